//! What the handles of one open journal have in common: the disk, the live segments, the manifest
//! and the watermark.
//!
//! Locks are taken in this order, never the other way: catalogue, progress, table or awaited. Only
//! the catalogue's (and the turn to sync) is held across disk calls.

use std::collections::{BTreeSet, HashMap};
use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use crate::error::{Error, Result};
use crate::format::{SegmentHeader, segment_nonce};
use crate::frame::{FrameBuffer, SealedFrame};
use crate::io::{Io, IoFile, OpenMode};
use crate::manifest::{Entry, Manifest, Sealed};
use crate::options::Options;
use crate::progress::Progress;
use crate::segment::{Segment, SegmentKind, SegmentStart, file_name, spare_name};
use crate::whole_file::Failure;

/// How many frame buffers are kept for reuse.
const BUFFERS_MAX: usize = 4;
/// How much of a new file is zeroed and synced at a time.
const ZEROING_BYTES: usize = 256 << 10;

pub(crate) struct Shared {
    pub(crate) io: Arc<dyn Io>,
    pub(crate) options: Options,
    pub(crate) journal_id: u64,
    pub(crate) epoch: u64,
    pub(crate) progress: Progress,
    next_segment: AtomicU32,
    table: RwLock<HashMap<u32, Arc<Segment>>>,
    /// Segments that the appender has begun, and whose first frame is not written yet.
    awaited: Mutex<BTreeSet<u32>>,
    catalogue: Mutex<Catalogue>,
    /// Whether a file waits to become a segment.
    has_spare: AtomicBool,
    /// The last journal segment that had to begin with an empty file; 0 before there was one.
    grown_segment: AtomicU32,
    /// Held for a whole sync, so that none reports what another is still syncing.
    pub(crate) sync_turn: Mutex<()>,
    /// Held while a snapshot is written, since there is one draft.
    pub(crate) snapshot_turn: Mutex<()>,
    /// Held while an outline is written, for the same reason.
    pub(crate) outline_turn: Mutex<()>,
    buffers: Mutex<Vec<FrameBuffer>>,
    _lock: Box<dyn Send + Sync>,
}

/// The manifest that is in force, and the files that wait for their next use.
pub(crate) struct Catalogue {
    pub(crate) manifest: Manifest,
    pub(crate) spares: Vec<String>,
}

/// What recovery found.
pub(crate) struct Parts {
    pub(crate) io: Arc<dyn Io>,
    pub(crate) options: Options,
    pub(crate) manifest: Manifest,
    pub(crate) segments: Vec<Arc<Segment>>,
    pub(crate) last_lsn: u64,
    pub(crate) lock: Box<dyn Send + Sync>,
}

impl Shared {
    pub(crate) fn new(parts: Parts) -> Self {
        Self {
            progress: Progress::new(parts.options.durability, parts.last_lsn),
            io: parts.io,
            options: parts.options,
            journal_id: parts.manifest.journal_id,
            epoch: parts.manifest.epoch,
            next_segment: AtomicU32::new(parts.manifest.next_segment),
            table: RwLock::new(parts.segments.into_iter().map(|s| (s.number, s)).collect()),
            awaited: Mutex::new(BTreeSet::new()),
            catalogue: Mutex::new(Catalogue {
                manifest: parts.manifest,
                spares: Vec::new(),
            }),
            has_spare: AtomicBool::new(false),
            grown_segment: AtomicU32::new(0),
            sync_turn: Mutex::new(()),
            snapshot_turn: Mutex::new(()),
            outline_turn: Mutex::new(()),
            buffers: Mutex::new(Vec::new()),
            _lock: parts.lock,
        }
    }

    pub(crate) fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        self.catalogue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn segment(&self, number: u32) -> Option<Arc<Segment>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        table.get(&number).cloned()
    }

    /// All live segments, by number.
    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        let table = self.table.read().unwrap_or_else(PoisonError::into_inner);
        let mut segments: Vec<_> = table.values().cloned().collect();
        segments.sort_by_key(|segment| segment.number);
        segments
    }

    pub(crate) fn list(&self, segment: Arc<Segment>) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.insert(segment.number, segment);
    }

    pub(crate) fn unlist(&self, number: u32) -> Option<Arc<Segment>> {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        table.remove(&number)
    }

    /// A number that no segment has had.
    pub(crate) fn take_number(&self) -> u32 {
        self.next_segment.fetch_add(1, Ordering::Relaxed)
    }

    /// A number for the appender's next segment, which will come into being with its first frame.
    pub(crate) fn take_awaited_number(&self) -> u32 {
        let number = self.take_number();
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        awaited.insert(number);
        number
    }

    /// Whether a journal segment of this number is still to come.
    pub(crate) fn is_awaited(&self, number: u32) -> bool {
        let awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        awaited.contains(&number)
    }

    /// Whether any segment has had this number.
    pub(crate) fn is_number_taken(&self, number: u32) -> bool {
        number < self.next_segment.load(Ordering::Relaxed)
    }

    /// Whether what goes to this segment makes its file grow, and need not any longer. A write that makes a file grow, or fills
    /// it for the first time, takes the file system's journal too: two to three times as long.
    pub(crate) fn is_better_left(&self, segment: u32) -> bool {
        self.grown_segment.load(Ordering::Relaxed) == segment
            && self.has_spare.load(Ordering::Relaxed)
    }

    /// To be called when the spare files have changed.
    pub(crate) fn note_spares(&self, catalogue: &Catalogue) {
        let has_spare = !catalogue.spares.is_empty();
        self.has_spare.store(has_spare, Ordering::Relaxed);
    }

    pub(crate) fn nonce(&self, segment: u32) -> u64 {
        segment_nonce(self.journal_id, self.epoch, segment)
    }

    /// Poisons the journal when `result` is a failure.
    pub(crate) fn guard<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result {
            self.progress.poison(&error.to_string());
        }
        result
    }

    pub(crate) fn take_buffer(&self) -> FrameBuffer {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        buffers.pop().unwrap_or_default()
    }

    pub(crate) fn give_buffer(&self, mut buffer: FrameBuffer) {
        buffer.reset(2 * self.options.frame_bytes_max as usize);
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < BUFFERS_MAX {
            buffers.push(buffer);
        }
    }

    /// The segment that a frame goes to, made and listed when the frame is the first to come.
    pub(crate) fn segment_for(&self, frame: &SealedFrame) -> Result<Arc<Segment>> {
        if let Some(segment) = self.segment(frame.segment) {
            return Ok(segment);
        }
        let mut catalogue = self.catalogue();
        if let Some(segment) = self.segment(frame.segment) {
            return Ok(segment);
        }
        self.progress.check()?;
        let start = SegmentStart {
            number: frame.segment,
            kind: SegmentKind::Journal,
            nonce: frame.header.nonce,
            epoch: self.epoch,
            first_lsn: frame.segment_first_lsn,
            first_frame: frame.segment_first_frame,
        };
        let spare = catalogue.spares.pop();
        self.note_spares(&catalogue);
        if spare.is_none() {
            self.grown_segment.store(frame.segment, Ordering::Relaxed);
        }
        let file = self.open_new(frame.segment, spare.as_deref())?;
        write_header(file.as_ref(), &start)?;
        self.io
            .sync_folder()
            .map_err(|error| Error::io("syncing", "the folder", error))?;
        let mut manifest = self.refreshed(&catalogue.manifest);
        manifest.insert(entry(&start));
        self.store(&mut catalogue, manifest)?;
        let segment = Arc::new(Segment::new(&start, file));
        self.list(Arc::clone(&segment));
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        awaited.remove(&segment.number);
        drop(awaited);
        Ok(segment)
    }

    /// A new segment's file: a spare one under its new name, or an empty one.
    fn open_new(&self, number: u32, spare: Option<&str>) -> Result<Arc<dyn IoFile>> {
        let name = file_name(number);
        let mode = match spare {
            Some(spare) => {
                self.io
                    .rename(spare, &name)
                    .map_err(|error| Error::io("renaming", spare, error))?;
                OpenMode::Existing
            }
            None => OpenMode::Create,
        };
        let failed = |error| Error::io("creating", &name, error);
        let file = self.io.open(&name, mode).map_err(failed)?;
        if spare.is_none() {
            file.allocate(u64::from(self.options.segment_bytes))
                .map_err(failed)?;
        }
        Ok(file)
    }

    /// The manifest with all that is known by now: numbers taken, and which segments have ended.
    pub(crate) fn refreshed(&self, manifest: &Manifest) -> Manifest {
        let mut manifest = manifest.clone();
        let stable = self.progress.stable();
        manifest.next_segment = self.next_segment.load(Ordering::Relaxed);
        manifest.stable_lsn = manifest.stable_lsn.max(stable.lsn);
        for entry in &mut manifest.entries {
            if entry.sealed.is_some() {
                continue;
            }
            if let Some(segment) = self.segment(entry.number) {
                let tail = segment.tail();
                if tail.complete && tail.last_frame <= stable.frame {
                    entry.sealed = Some(Sealed {
                        end: segment.readable(),
                        last_lsn: tail.last_lsn,
                        last_frame: tail.last_frame,
                    });
                }
            }
        }
        manifest
    }

    /// Puts a manifest in force. A full disk leaves the old one in force, after a spare file has
    /// been given up to make room; not knowing which one the disk has poisons the journal.
    pub(crate) fn store(&self, catalogue: &mut Catalogue, manifest: Manifest) -> Result<()> {
        self.progress.check()?;
        let mut result = manifest.store(&self.io);
        while let Err(Failure::Unchanged(error)) = &result
            && error.is_no_space()
            && let Some(spare) = catalogue.spares.pop()
        {
            self.io
                .remove(&spare)
                .map_err(|error| Error::io("removing", &spare, error))?;
            self.note_spares(catalogue);
            result = manifest.store(&self.io);
        }
        match result {
            Ok(()) => {
                catalogue.manifest = manifest;
                Ok(())
            }
            Err(Failure::Unchanged(error)) => Err(error),
            Err(Failure::Unknown(error)) => self.guard(Err(error)),
        }
    }

    /// Makes a file that is no segment any more (and not in the manifest) a spare one, or removes it.
    pub(crate) fn recycle(&self, catalogue: &mut Catalogue, number: u32) -> Result<()> {
        let result = recycle(&self.io, &self.options, &mut catalogue.spares, number);
        self.note_spares(catalogue);
        result
    }

    /// Makes one zeroed spare file, if there are too few. Released segments are kept beyond that: they need no zeroing.
    pub(crate) fn prepare_spare(&self, may_go_on: impl FnMut() -> bool) -> Result<bool> {
        if self.catalogue().spares.len() >= self.options.spare_segments {
            return Ok(false);
        }
        let name = spare_name(self.take_number());
        let result = self.write_spare(&name, may_go_on);
        if !matches!(result, Ok(true)) {
            // Half a spare is of no use; the next open removes what is left of it.
            let _ = self.io.remove(&name);
            return result;
        }
        let mut catalogue = self.catalogue();
        catalogue.spares.push(name);
        self.note_spares(&catalogue);
        Ok(true)
    }

    /// False if it was not to go on to the end.
    fn write_spare(&self, name: &str, mut may_go_on: impl FnMut() -> bool) -> Result<bool> {
        let failed = |error| Error::io("preparing", name, error);
        let file = self.io.open(name, OpenMode::Create).map_err(failed)?;
        let zeros = vec![0; ZEROING_BYTES];
        let bytes = u64::from(self.options.segment_bytes);
        let mut at = 0;
        while at < bytes {
            if !may_go_on() {
                return Ok(false);
            }
            let len = (bytes - at).min(zeros.len() as u64) as usize;
            let mut parts = [IoSlice::new(&zeros[..len])];
            // Piece by piece: a large sync would hold up the commits that come meanwhile.
            file.write_at(&mut parts, at, true).map_err(failed)?;
            at += len as u64;
        }
        file.sync().map_err(failed)?;
        Ok(true)
    }
}

/// The manifest's entry for a segment that begins.
pub(crate) fn entry(start: &SegmentStart) -> Entry {
    Entry {
        number: start.number,
        kind: start.kind,
        nonce: start.nonce,
        epoch: start.epoch,
        first_lsn: start.first_lsn,
        first_frame: start.first_frame,
        sealed: None,
    }
}

/// Writes a segment's first block, durably.
pub(crate) fn write_header(file: &dyn IoFile, start: &SegmentStart) -> Result<()> {
    let block = SegmentHeader {
        kind: start.kind,
        number: start.number,
        nonce: start.nonce,
        epoch: start.epoch,
        first_lsn: start.first_lsn,
        first_frame: start.first_frame,
    }
    .encode();
    file.write_at(&mut [IoSlice::new(&block)], 0, true)
        .map_err(|error| Error::io("writing the header of", &file_name(start.number), error))
}

/// Keeps a segment's file for the next segment, or removes it.
pub(crate) fn recycle(
    io: &Arc<dyn Io>,
    options: &Options,
    spares: &mut Vec<String>,
    number: u32,
) -> Result<()> {
    let name = file_name(number);
    let failed = |error| Error::io("recycling", &name, error);
    let nominal = u64::from(options.segment_bytes);
    let len = io
        .open(&name, OpenMode::Existing)
        .and_then(|file| file.len())
        .map_err(failed)?;
    let fits = (nominal..=nominal + nominal / 2).contains(&len);
    if fits && spares.len() < options.recycled_segments_max() {
        let spare = spare_name(number);
        io.rename(&name, &spare).map_err(failed)?;
        spares.push(spare);
        Ok(())
    } else {
        io.remove(&name).map_err(failed)
    }
}
