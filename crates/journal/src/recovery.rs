//! Opening a folder: manifest, snapshot, the youngest segments' tail, then the replay.
//!
//! ```text
//! sealed segments     end known from the manifest: strict, checked while they are replayed
//! unsealed segments   ==frame==frame==XX??==frame?==
//!                                     ^ first bad frame. A later header whose watermark is past
//!                                       it: acknowledged data is damaged, refuse. None: cut here.
//! ```
//!
//! Nothing on disk changes before the caller has replayed what it needs and accepted it: damage in
//! a sealed segment is found only there, or, where an outline was shown instead, when it is read. Then the manifest of the next epoch seals every segment at
//! the end that was found, so a cut is made once and stays made, and new frames go to a new segment
//! with a new nonce. Since it stays made, the place is read twice before. What the files hold behind their ends is given back.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::ErrorKind;
use std::sync::Arc;

use crate::appender::Appender;
use crate::error::{Error, Result};
use crate::format::{BLOCK, FORMAT_VERSION, SegmentHeader};
use crate::io::{Io, OpenMode};
use crate::manifest::{self, Entry, Manifest, Sealed};
use crate::options::Options;
use crate::outline::{Front, Replayed, Shown, show};
use crate::position::Lsn;
use crate::reader::Reader;
use crate::scan::{FrameScan, Record, Scan};
use crate::segment::{
    OUTLINE, Segment, SegmentInfo, SegmentKind, SegmentStart, Tail, file_name, name_number,
};
use crate::shared::{Parts, Shared, recycle};
use crate::snapshot::{self, Snapshot};
use crate::whole_file::tmp_name;
use crate::writer::Writer;

/// A segment that ended with less than one such part of its room unused keeps its file's length: it can be used again.
const KEPT_ROOM_PARTS: u32 = 8;

/// A crash-safe log of opaque records.
#[derive(Debug)]
pub struct Journal;

/// An open journal's handles.
pub struct Opened {
    /// Takes records in.
    pub appender: Appender,
    /// Puts frames on disk.
    pub writer: Writer,
    /// Reads records back.
    pub reader: Reader,
    /// What the folder held.
    pub recovery: Recovery,
}

/// What the folder held when it was opened.
pub struct Recovery {
    /// The journal's own number, drawn when it was made and never changed.
    pub identity: u64,
    /// The last snapshot.
    pub snapshot: Option<Snapshot>,
    /// The last record of the journal.
    pub last_lsn: Lsn,
    /// Where a torn tail was cut, if there was one: nothing in it was acknowledged.
    pub torn: Option<Torn>,
    shared: Arc<Shared>,
    /// Cold ones first, then the journal: oldest first.
    segments: Vec<Arc<Segment>>,
    /// The folder's files, as they were.
    names: Vec<String>,
}

/// Where a torn tail was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment's file.
    pub file: String,
    /// The first byte that does not count.
    pub offset: u64,
}

impl Journal {
    /// Opens the folder, or makes an empty journal in an empty folder. Nothing on disk changes
    /// before [`Recovery::accept`], or the first write.
    ///
    /// # Errors
    /// `Locked`, `NewerFormat`, `Corrupt` (acknowledged data is damaged; nothing was changed), or
    /// whatever the disk says.
    pub fn open(io: Arc<dyn Io>, options: Options) -> Result<Opened> {
        let options = options.bounded();
        let lock = io.lock().map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => Error::Locked {
                folder: io.folder(),
            },
            _ => Error::io("locking", &io.folder(), error),
        })?;
        let names = io
            .list()
            .map_err(|error| Error::io("listing", &io.folder(), error))?;
        let mut manifest = load_manifest(&io, &options, &names)?;
        let snapshot = load_snapshot(&io, &manifest)?;
        let found = Found::read(&io, &options, &manifest)?;
        found.check_end(&manifest, snapshot.as_ref())?;

        found.note_outlines(&names);
        manifest.entries.clone_from(&found.entries);
        manifest.epoch += 1;
        manifest.stable_lsn = found.last_lsn;
        manifest.next_segment = manifest.next_segment.max(unused_number(&names));

        let last_lsn = found.last_lsn;
        let shared = Arc::new(Shared::new(Parts {
            io,
            options,
            manifest,
            segments: found.segments.clone(),
            last_lsn,
            lock,
        }));
        let mut segments = found.segments;
        segments.sort_by_key(|segment| (segment.kind == SegmentKind::Journal, segment.number));
        Ok(Opened {
            appender: Appender::new(Arc::clone(&shared), last_lsn),
            writer: Writer {
                shared: Arc::clone(&shared),
            },
            reader: Reader {
                shared: Arc::clone(&shared),
            },
            recovery: Recovery {
                identity: shared.journal_id,
                snapshot,
                last_lsn: Lsn(last_lsn),
                torn: found.torn,
                shared,
                segments,
                names,
            },
        })
    }
}

impl Recovery {
    /// The segments that were found, in the order of the replay.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        self.segments.iter().map(|segment| segment.info()).collect()
    }

    /// Shows every record: first the cold segments', then the journal's, each oldest first.
    ///
    /// # Errors
    /// `Corrupt` at the first damage, or whatever the disk says: the broker must not start then.
    pub fn replay(&self, mut visit: impl FnMut(Record<'_>)) -> Result<()> {
        for segment in &self.segments {
            self.replay_one(segment, Lsn::NONE, &mut visit)?;
        }
        Ok(())
    }

    /// Shows the journal's records after `lsn`, skipping the segments that end before.
    ///
    /// # Errors
    /// As [`Recovery::replay`], for the segments that it reads.
    pub fn replay_after(&self, lsn: Lsn, mut visit: impl FnMut(Record<'_>)) -> Result<()> {
        for segment in &self.segments {
            if segment.kind == SegmentKind::Journal && segment.tail().last_lsn > lsn.0 {
                self.replay_one(segment, lsn, &mut visit)?;
            }
        }
        Ok(())
    }

    /// Shows the front of every record that is of use, in the order of [`Recovery::replay`]: out of the outlines where there
    /// are sound ones of this version and the snapshot covers the segment, else out of the segments, whole.
    ///
    /// # Errors
    /// As [`Recovery::replay`], for the segments that it reads.
    pub fn replay_fronts(
        &self,
        version: u32,
        mut visit: impl FnMut(Front<'_>),
    ) -> Result<Replayed> {
        let snapshot_lsn = self.snapshot.as_ref().map_or(Lsn::NONE, |found| found.lsn);
        let mode = read_mode(&self.shared.options);
        let mut replayed = Replayed::default();
        for segment in &self.segments {
            let is_covered =
                segment.kind == SegmentKind::Cold || segment.tail().last_lsn <= snapshot_lsn.0;
            let shown = match is_covered && segment.is_outlined() {
                true => show(&self.shared, segment, version, mode, &mut visit),
                false => Shown::Nothing,
            };
            let shown_to = match shown {
                Shown::All => {
                    replayed.outlined += 1;
                    continue;
                }
                Shown::Nothing => 0,
                Shown::UpTo(offset, flaw) => {
                    segment.set_outlined(false);
                    replayed.flaws.push(flaw);
                    offset
                }
            };
            replayed.whole += 1;
            self.replay_one(segment, Lsn::NONE, &mut |record: Record<'_>| {
                if record.position.offset > shown_to {
                    visit(record.into());
                }
            })?;
        }
        Ok(replayed)
    }

    /// Puts the epoch that began with the open in force, durably: the segments end where they were
    /// found to end, and what crashes left behind goes, unused room of segments too. Called once, after the replay and before
    /// anything is written; without it a failed start leaves the folder as it was.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn accept(&self) -> Result<()> {
        let shared = &self.shared;
        let mut catalogue = shared.catalogue();
        let manifest = shared.refreshed(&catalogue.manifest);
        shared.store(&mut catalogue, manifest)?;
        catalogue.spares = tidy(
            &shared.io,
            &shared.options,
            &self.names,
            &catalogue.manifest,
        )?;
        shared.note_spares(&catalogue);
        drop(catalogue);
        self.give_back();
        Ok(())
    }

    /// Each open ends a segment, mostly early: without this each would take a whole segment's room for as long as
    /// anything lives in it, and a broker that is started often would fill its disk.
    fn give_back(&self) {
        let kept_max = u64::from(self.shared.options.segment_bytes / KEPT_ROOM_PARTS);
        for segment in &self.segments {
            let end = u64::from(segment.readable()).next_multiple_of(BLOCK.into());
            let is_worth_it = |len| len > end + kept_max;
            // What cannot be given back is only room.
            if segment.file.len().is_ok_and(is_worth_it) {
                let _ = segment.file.shrink(end);
            }
        }
    }

    fn replay_one(
        &self,
        segment: &Segment,
        after: Lsn,
        visit: &mut impl FnMut(Record<'_>),
    ) -> Result<()> {
        let mode = read_mode(&self.shared.options);
        let file = self
            .shared
            .io
            .open(&segment.name, mode)
            .map_err(|error| Error::io("opening", &segment.name, error))?;
        let mut scan = Scan::new(segment, file)?;
        while let Some(record) = scan.next()? {
            if record.lsn > after || record.segment_kind == SegmentKind::Cold {
                visit(record);
            }
        }
        Ok(())
    }
}

fn read_mode(options: &Options) -> OpenMode {
    match options.uncached_recovery {
        true => OpenMode::Uncached,
        false => OpenMode::Existing,
    }
}

fn load_manifest(io: &Arc<dyn Io>, options: &Options, names: &[String]) -> Result<Manifest> {
    if let Some(manifest) = Manifest::load(io)? {
        return Ok(manifest);
    }
    let used = names
        .iter()
        .find(|name| name_number(name, ".seg").is_some() || *name == snapshot::NAME);
    if let Some(name) = used {
        let what = format!("it is missing, although the folder holds {name}");
        return Err(Error::corrupt(manifest::NAME, 0, what));
    }
    let journal_id = options
        .seed
        .unwrap_or_else(|| RandomState::new().build_hasher().finish());
    Ok(Manifest {
        journal_id,
        next_segment: 1,
        ..Manifest::default()
    })
}

fn load_snapshot(io: &Arc<dyn Io>, manifest: &Manifest) -> Result<Option<Snapshot>> {
    let snapshot = snapshot::load(io)?;
    let lsn = snapshot.as_ref().map_or(0, |snapshot| snapshot.lsn.0);
    if lsn < manifest.snapshot_lsn {
        let what = format!(
            "it holds the state at {lsn}, but one at {} was finished",
            manifest.snapshot_lsn
        );
        return Err(Error::corrupt(snapshot::NAME, 0, what));
    }
    Ok(snapshot)
}

/// What reading the segments brought to light. Nothing on disk has changed yet.
struct Found {
    entries: Vec<Entry>,
    segments: Vec<Arc<Segment>>,
    last_lsn: u64,
    torn: Option<Torn>,
    /// Where the journal's sound frames end, for error messages.
    end: Torn,
    /// The frame, record and epoch that the next segment must follow.
    last: Option<(Tail, u64)>,
}

impl Found {
    fn read(io: &Arc<dyn Io>, options: &Options, manifest: &Manifest) -> Result<Self> {
        let mut found = Self {
            entries: Vec::new(),
            segments: Vec::new(),
            last_lsn: 0,
            torn: None,
            end: Torn {
                file: manifest::NAME.to_owned(),
                offset: 0,
            },
            last: None,
        };
        let mut highest_evidence = 0;
        for entry in &manifest.entries {
            let segment = open_segment(io, entry)?;
            match entry.sealed {
                Some(sealed) => found.take_sealed(*entry, sealed, segment)?,
                None => {
                    let evidence = found.take_unsealed(io, options, *entry, segment)?;
                    highest_evidence = highest_evidence.max(evidence);
                }
            }
        }
        found.last_lsn = match &found.last {
            Some((tail, _)) => tail.last_lsn,
            None => manifest.stable_lsn,
        };
        if highest_evidence > found.last_lsn {
            return Err(found.damaged(highest_evidence));
        }
        Ok(found)
    }

    /// Segments of which there is an outline. What it says is looked at when it is used.
    fn note_outlines(&self, names: &[String]) {
        let outlined = names.iter().filter_map(|name| name_number(name, OUTLINE));
        let outlined: BTreeSet<u32> = outlined.collect();
        for segment in &self.segments {
            segment.set_outlined(outlined.contains(&segment.number));
        }
    }

    fn damaged(&self, durable: u64) -> Error {
        let what = format!(
            "the sound frames end here with record {}, but record {durable} was durable",
            self.last_lsn
        );
        Error::corrupt(&self.end.file, self.end.offset, what)
    }

    /// A journal that ends before what was durable is damaged, not torn.
    fn check_end(&self, manifest: &Manifest, snapshot: Option<&Snapshot>) -> Result<()> {
        let snapshot_lsn = snapshot.map_or(0, |snapshot| snapshot.lsn.0);
        let durable = manifest.stable_lsn.max(snapshot_lsn);
        match durable > self.last_lsn {
            true => Err(self.damaged(durable)),
            false => Ok(()),
        }
    }

    fn follows(&self, entry: &Entry) -> bool {
        let Some((tail, epoch)) = &self.last else {
            return true;
        };
        let frame = match entry.epoch == *epoch {
            true => tail.last_frame + 1,
            false => 1,
        };
        entry.first_lsn == tail.last_lsn + 1 && entry.first_frame == frame
    }

    fn keep(&mut self, mut entry: Entry, sealed: Sealed, segment: Segment) {
        segment.advance(sealed.end, sealed.last_lsn, sealed.last_frame);
        segment.complete();
        if entry.kind == SegmentKind::Journal {
            self.last = Some((segment.tail(), entry.epoch));
            self.end = Torn {
                file: segment.name.clone(),
                offset: u64::from(sealed.end),
            };
        }
        entry.sealed = Some(sealed);
        self.entries.push(entry);
        self.segments.push(Arc::new(segment));
    }

    fn take_sealed(&mut self, entry: Entry, sealed: Sealed, segment: Segment) -> Result<()> {
        let failed = |error| Error::io("reading", &segment.name, error);
        let len = segment.file.len().map_err(failed)?;
        if len < u64::from(sealed.end) {
            let what = format!("the file ends here, but should reach byte {}", sealed.end);
            return Err(Error::corrupt(&segment.name, len, what));
        }
        if entry.kind == SegmentKind::Journal && (!self.follows(&entry) || self.torn.is_some()) {
            let what = "the manifest lists no segment between this one and the one before";
            return Err(Error::corrupt(&segment.name, 0, what));
        }
        self.keep(entry, sealed, segment);
        Ok(())
    }

    /// Finds the sound part of a segment that was being written, and returns the highest
    /// watermark that what lies behind it claims.
    fn take_unsealed(
        &mut self,
        io: &Arc<dyn Io>,
        options: &Options,
        entry: Entry,
        segment: Segment,
    ) -> Result<u64> {
        let failed = |error| Error::io("syncing", &segment.name, error);
        segment.file.sync().map_err(failed)?;
        let file = io
            .open(&segment.name, read_mode(options))
            .map_err(|error| Error::io("opening", &segment.name, error))?;
        let mut scan = FrameScan::new(&segment, file)?;
        if !self.follows(&entry) || self.torn.is_some() {
            // Frames are missing before this segment: all of it comes after the cut.
            self.torn.get_or_insert_with(|| self.end.clone());
            return Ok(scan.evidence()?.unwrap_or_default());
        }
        scan.run()?;
        let (end, tail) = (scan.offset(), scan.tail());
        let evidence = scan.evidence()?;
        self.end = Torn {
            file: segment.name.clone(),
            offset: end,
        };
        if evidence.is_some() {
            self.torn = Some(self.end.clone());
        }
        let evidence = evidence.unwrap_or_default();
        if end == u64::from(BLOCK) {
            // It holds nothing: its number is not used again, and its file is recycled.
            self.last.get_or_insert((tail, entry.epoch));
            return Ok(evidence);
        }
        let sealed = Sealed {
            end: u32::try_from(end).unwrap_or(u32::MAX),
            last_lsn: tail.last_lsn,
            last_frame: tail.last_frame,
        };
        self.keep(entry, sealed, segment);
        Ok(evidence)
    }
}

/// A listed segment's file, whose header must be the one that the manifest names.
fn open_segment(io: &Arc<dyn Io>, entry: &Entry) -> Result<Segment> {
    let name = file_name(entry.number);
    let file = io
        .open(&name, OpenMode::Existing)
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::corrupt(&name, 0, "the file is missing"),
            _ => Error::io("opening", &name, error),
        })?;
    let mut block = vec![0; BLOCK as usize];
    let read = file
        .read_at(&mut block, 0)
        .map_err(|error| Error::io("reading", &name, error))?;
    block.truncate(read);
    let expected = SegmentHeader {
        kind: entry.kind,
        number: entry.number,
        nonce: entry.nonce,
        epoch: entry.epoch,
        first_lsn: entry.first_lsn,
        first_frame: entry.first_frame,
    };
    if SegmentHeader::decode(&block) != Some(expected) {
        let what = format!(
            "its header is not that of segment {} in format {FORMAT_VERSION}",
            entry.number
        );
        return Err(Error::corrupt(&name, 0, what));
    }
    let start = SegmentStart {
        number: entry.number,
        kind: entry.kind,
        nonce: entry.nonce,
        epoch: entry.epoch,
        first_lsn: entry.first_lsn,
        first_frame: entry.first_frame,
    };
    Ok(Segment::new(&start, file))
}

/// A number above that of every file: spare files take numbers that no manifest has noted.
fn unused_number(names: &[String]) -> u32 {
    let numbers = names
        .iter()
        .filter_map(|name| name_number(name, ".seg").or_else(|| name_number(name, ".free")));
    numbers.max().unwrap_or(0).saturating_add(1)
}

/// Whether it is an outline of a segment that is not listed, or a draft of one.
fn is_of_nothing(name: &str, manifest: &Manifest) -> bool {
    let is_listed = |number| (manifest.entries.iter()).any(|entry: &Entry| entry.number == number);
    name_number(name, OUTLINE).is_some_and(|number| !is_listed(number))
        || name_number(name, &tmp_name(OUTLINE)).is_some()
}

/// Removes what crashes left behind, and returns the spare files.
fn tidy(
    io: &Arc<dyn Io>,
    options: &Options,
    names: &[String],
    manifest: &Manifest,
) -> Result<Vec<String>> {
    let mut spares = Vec::new();
    for name in names {
        let failed = |error| Error::io("tidying up", name, error);
        if name_number(name, ".free").is_some() {
            let len = io.open(name, OpenMode::Existing).and_then(|f| f.len());
            let whole = len.map_err(failed)? >= u64::from(options.segment_bytes);
            match whole && spares.len() < options.spare_segments {
                true => spares.push(name.clone()),
                false => io.remove(name).map_err(failed)?,
            }
        } else if is_of_nothing(name, manifest) {
            io.remove(name).map_err(failed)?;
        } else if *name == tmp_name(manifest::NAME) || *name == tmp_name(snapshot::NAME) {
            // The manifest was stored meanwhile, which has used up its draft.
            match io.remove(name) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
                _ => {}
            }
        }
    }
    for name in names {
        if let Some(number) = name_number(name, ".seg")
            && !manifest.entries.iter().any(|entry| entry.number == number)
        {
            recycle(io, options, &mut spares, number)?;
        }
    }
    Ok(spares)
}
