//! Outlines: beside a complete segment a small file with the *fronts* of its records, so that a start need not read what the
//! caller has no use for then.
//!
//! ```text
//! segment  [ head|body............ ][ head|body............ ][ head|body............ ]
//! outline  [ head, head, head ]                                read instead, if it is sound and of this very segment
//! ```
//! It is written once from what is read back of the segment, frame by frame and checked, when a snapshot covers that; what
//! the caller then needs nothing of is left out. What always holds: nothing depends on an outline. One that is missing, torn,
//! damaged or of another segment costs the reading of the segment, from where it went wrong; and a record whose front came
//! from an outline is checked by its own CRC whenever it is read. What is not worth an outline gets a void one, so that it is
//! not tried again.

use std::io::Write as _;
use std::sync::{Arc, PoisonError};

use crate::error::{Error, Result};
use crate::format::outline::{
    FRONT_BYTES_MAX, FrontAt, OUTLINE_BLOCK_BYTES, OUTLINE_BLOCK_HEADER_BYTES, OUTLINE_HEAD_BYTES,
    OUTLINE_TOTAL_BYTES, OutlineHead, Trail, block_header, is_block_sound, read_block_header,
};
use crate::format::{BLOCK, Fields};
use crate::io::{IoFile, OpenMode};
use crate::position::{Lsn, Position};
use crate::scan::{Record, Scan};
use crate::segment::{Segment, SegmentKind, outline_name};
use crate::shared::Shared;
use crate::whole_file::{Draft, Failure};
use crate::window::Window;
use crate::writer::Writer;

/// An outline longer than this part of its segment is not worth having.
const SHARE: u64 = 2;
/// So many records are outlined between two questions whether to go on.
const RECORDS_BETWEEN_LOOKS: u32 = 4096;

/// A record's front: as much of it as its outline keeps, or all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Front<'a> {
    /// Its number; [`Lsn::NONE`] for a cold one.
    pub lsn: Lsn,
    /// The caller's kind.
    pub kind: u8,
    /// Where its payload begins.
    pub position: Position,
    /// What kind of segment it is in.
    pub segment_kind: SegmentKind,
    /// The length of all its payload.
    pub len: u32,
    /// The first bytes of it, at least as many as the caller wanted kept.
    pub bytes: &'a [u8],
}

impl<'a> From<Record<'a>> for Front<'a> {
    fn from(record: Record<'a>) -> Self {
        Self {
            lsn: record.lsn,
            kind: record.kind,
            position: record.position,
            segment_kind: record.segment_kind,
            len: record.payload.len() as u32,
            bytes: record.payload,
        }
    }
}

/// What a replay of fronts read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Segments of which only the outline was read.
    pub outlined: usize,
    /// Segments that were read themselves.
    pub whole: usize,
    /// Outlines that were of no use; they are to be written again.
    pub flaws: Vec<Flaw>,
}

/// An outline that is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Its file.
    pub file: String,
    /// Where in it.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
}

/// What a segment's outline would have to say it is of.
fn head_of(segment: &Segment, version: u32) -> OutlineHead {
    let tail = segment.tail();
    OutlineHead {
        number: segment.number,
        nonce: segment.nonce,
        end: segment.readable(),
        last_lsn: tail.last_lsn,
        last_frame: tail.last_frame,
        version,
        is_void: false,
    }
}

impl Writer {
    /// Writes the outline of a complete segment, and says whether it did: not of one that the last snapshot does not cover,
    /// and not when it was not to go on to the end. `front` says how many bytes of a record's payload are to be kept, from
    /// the first on, and nothing if the record is of no use; `version` is the caller's number of that choice. It reads the
    /// whole segment: call it from a thread that may wait.
    ///
    /// # Errors
    /// `Released` when there is no such segment, `Corrupt` when it is damaged, or whatever the disk says. The journal is not
    /// affected.
    pub fn write_outline(
        &self,
        segment: u32,
        version: u32,
        mut front: impl FnMut(u8, &[u8]) -> Option<usize>,
        mut may_go_on: impl FnMut() -> bool,
    ) -> Result<bool> {
        let shared = &self.shared;
        let number = segment;
        let segment = shared
            .segment(number)
            .ok_or(Error::Released { segment: number })?;
        if !shared.is_covered(&segment) {
            return Ok(false);
        }
        let _turn = shared
            .outline_turn
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let cached = shared.outline(
            &segment,
            Arc::clone(&segment.file),
            version,
            &mut front,
            &mut may_go_on,
        );
        match cached {
            // As with single records: what the page cache has wrong is read once more past it.
            Err(Error::Corrupt { .. }) => {
                let failed = |error| Error::io("opening", &segment.name, error);
                let file = shared.io.open(&segment.name, OpenMode::Uncached);
                let file = file.map_err(failed)?;
                shared.outline(&segment, file, version, &mut front, &mut may_go_on)
            }
            other => other,
        }
    }
}

impl Shared {
    /// Whether the snapshot in force knows what came of all that is in a segment, and no more comes.
    fn is_covered(&self, segment: &Segment) -> bool {
        let snapshot_lsn = self.catalogue().manifest.snapshot_lsn;
        let tail = segment.tail();
        tail.complete && (segment.kind == SegmentKind::Cold || tail.last_lsn <= snapshot_lsn)
    }

    fn outline(
        &self,
        segment: &Segment,
        file: Arc<dyn IoFile>,
        version: u32,
        front: &mut impl FnMut(u8, &[u8]) -> Option<usize>,
        may_go_on: &mut impl FnMut() -> bool,
    ) -> Result<bool> {
        let head = head_of(segment, version);
        let mut sketch = Sketch::new(self, head)?;
        let result = sketch.fill(segment, file, front, may_go_on);
        let sketch = match result {
            Ok(Filled::Whole) => sketch,
            Ok(Filled::TooLong) => {
                sketch.draft.discard();
                let head = OutlineHead {
                    is_void: true,
                    ..head
                };
                Sketch::new(self, head)?
            }
            Ok(Filled::GivenUp) => {
                sketch.draft.discard();
                return Ok(false);
            }
            Err(error) => {
                sketch.draft.discard();
                return Err(error);
            }
        };
        match sketch.finish()?.publish() {
            Ok(()) => {}
            // Neither matters: whichever the disk has, it is checked before it is used.
            Err(Failure::Unchanged(error) | Failure::Unknown(error)) => return Err(error),
        }
        segment.set_outlined(true);
        if segment.is_released() {
            self.remove_outline(segment);
        }
        Ok(true)
    }

    /// Removes the outline of a segment that was released.
    pub(crate) fn remove_outline(&self, segment: &Segment) {
        if segment.is_outlined() {
            // What stays is harmless, and the next open removes it.
            let _ = self.io.remove(&outline_name(segment.number));
        }
    }
}

/// How far a segment was outlined.
enum Filled {
    Whole,
    /// Reading the segment costs hardly more than the outline.
    TooLong,
    GivenUp,
}

/// An outline that is being written.
struct Sketch {
    draft: Draft,
    head: OutlineHead,
    name: String,
    body: Vec<u8>,
    count: u32,
    total: u64,
}

impl Sketch {
    fn new(shared: &Shared, head: OutlineHead) -> Result<Self> {
        let name = outline_name(head.number);
        let mut sketch = Self {
            draft: Draft::new(&shared.io, &name, 0)?,
            head,
            name,
            body: Vec::new(),
            count: 0,
            total: 0,
        };
        sketch.put(&head.encode())?;
        Ok(sketch)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.draft
            .write_all(bytes)
            .map_err(|error| Error::io("writing", &self.name, error))
    }

    fn fill(
        &mut self,
        segment: &Segment,
        file: Arc<dyn IoFile>,
        front: &mut impl FnMut(u8, &[u8]) -> Option<usize>,
        may_go_on: &mut impl FnMut() -> bool,
    ) -> Result<Filled> {
        let mut scan = Scan::new(segment, file)?;
        let mut trail = Trail::new(segment.first_lsn);
        let bytes_max = u64::from(self.head.end) / SHARE;
        let mut since_look = 0;
        while let Some(record) = scan.next()? {
            since_look += 1;
            if since_look >= RECORDS_BETWEEN_LOOKS {
                since_look = 0;
                if !may_go_on() {
                    return Ok(Filled::GivenUp);
                }
            }
            let Some(kept) = front(record.kind, record.payload) else {
                continue;
            };
            let bytes = record.payload.get(..kept).unwrap_or(record.payload);
            let reached = self.draft.len() + self.body.len() as u64 + bytes.len() as u64;
            if bytes.len() > FRONT_BYTES_MAX || reached > bytes_max {
                return Ok(Filled::TooLong);
            }
            let at = FrontAt {
                lsn: match segment.kind {
                    SegmentKind::Journal => record.lsn.0,
                    SegmentKind::Cold => trail.lsn,
                },
                offset: record.position.offset,
                len: record.payload.len() as u32,
                kind: record.kind,
                bytes,
            };
            at.put(&mut self.body, &mut trail);
            self.count += 1;
            if self.body.len() >= OUTLINE_BLOCK_BYTES {
                self.close_block()?;
            }
        }
        Ok(Filled::Whole)
    }

    fn close_block(&mut self) -> Result<()> {
        let body = std::mem::take(&mut self.body);
        let offset = self.draft.len() as u32;
        let header = block_header(self.head.nonce, offset, self.count, &body);
        self.put(&header)?;
        self.put(&body)?;
        self.total += u64::from(self.count);
        self.count = 0;
        self.body = body;
        self.body.clear();
        Ok(())
    }

    /// Ends it with the block that says how many fronts there are.
    fn finish(mut self) -> Result<Draft> {
        let result = self.put_end();
        match result {
            Ok(()) => Ok(self.draft),
            Err(error) => {
                self.draft.discard();
                Err(error)
            }
        }
    }

    fn put_end(&mut self) -> Result<()> {
        if self.count > 0 {
            self.close_block()?;
        }
        self.body.extend_from_slice(&self.total.to_le_bytes());
        self.close_block()
    }
}

/// How far a segment was shown by its outline.
pub(crate) enum Shown {
    /// All of it.
    All,
    /// Nothing: it is not to be used.
    Nothing,
    /// The records up to this place; the rest is to be read.
    UpTo(u32, Flaw),
}

/// Shows what a segment's outline says.
pub(crate) fn show(
    shared: &Shared,
    segment: &Segment,
    version: u32,
    mode: OpenMode,
    visit: &mut impl FnMut(Front<'_>),
) -> Shown {
    let file = outline_name(segment.number);
    let mut outline = match Outline::open(shared, segment, version, mode, &file) {
        Ok(Some(outline)) => outline,
        Ok(None) => return Shown::Nothing,
        Err(what) => {
            let offset = 0;
            return Shown::UpTo(0, Flaw { file, offset, what });
        }
    };
    loop {
        match outline.next_block(segment, visit) {
            Ok(true) => {}
            Ok(false) => return Shown::All,
            Err(what) => {
                let offset = outline.offset;
                return Shown::UpTo(outline.shown, Flaw { file, offset, what });
            }
        }
    }
}

/// An outline that is being read. It fails with what is wrong.
struct Outline {
    window: Window,
    head: OutlineHead,
    trail: Trail,
    offset: u64,
    total: u64,
    /// Where the last record that was shown begins.
    shown: u32,
}

impl Outline {
    /// Nothing if it is void.
    fn open(
        shared: &Shared,
        segment: &Segment,
        version: u32,
        mode: OpenMode,
        name: &str,
    ) -> std::result::Result<Option<Self>, String> {
        let file = shared.io.open(name, mode);
        let file = file.map_err(|error| error.to_string())?;
        let mut window = Window::new(file, name).map_err(|error| error.to_string())?;
        let bytes = window.load(0, OUTLINE_HEAD_BYTES);
        let head = OutlineHead::decode(bytes.map_err(|error| error.to_string())?)
            .ok_or("it does not begin as an outline does")?;
        let expected = head_of(segment, version);
        let comparable = OutlineHead {
            is_void: false,
            ..head
        };
        if comparable != expected {
            return Err("it is of another segment, or of another version".to_owned());
        }
        let outline = Self {
            window,
            head,
            trail: Trail::new(segment.first_lsn),
            offset: OUTLINE_HEAD_BYTES as u64,
            total: 0,
            shown: 0,
        };
        Ok((!head.is_void).then_some(outline))
    }

    /// The bytes at the next block's place; fewer at the file's end.
    fn load(&mut self, len: usize) -> std::result::Result<&[u8], String> {
        let skipped = self.offset % u64::from(BLOCK);
        let bytes = self
            .window
            .load(self.offset - skipped, skipped as usize + len)
            .map_err(|error| error.to_string())?;
        Ok(bytes.get(skipped as usize..).unwrap_or_default())
    }

    /// Shows the fronts of the next block; false behind the last.
    fn next_block(
        &mut self,
        segment: &Segment,
        visit: &mut impl FnMut(Front<'_>),
    ) -> std::result::Result<bool, String> {
        let torn = || "it ends too early".to_owned();
        let head = self.head;
        let place = u32::try_from(self.offset).map_err(|_| "it is too long".to_owned())?;
        let header = self.load(OUTLINE_BLOCK_HEADER_BYTES)?;
        let (len, count) = read_block_header(header).ok_or_else(torn)?;
        let (mut trail, mut shown, mut total) = (self.trail, self.shown, self.total);
        let block = self.load(OUTLINE_BLOCK_HEADER_BYTES + len)?;
        let (header, body) = block
            .split_at_checked(OUTLINE_BLOCK_HEADER_BYTES)
            .ok_or_else(torn)?;
        if !is_block_sound(header, body, head.nonce, place) {
            return Err("a block's checksum is wrong".to_owned());
        }
        let mut fields = Fields(body);
        if count == 0 {
            let said = (len == OUTLINE_TOTAL_BYTES).then(|| fields.u64()).flatten();
            return match said == Some(total) {
                true => Ok(false),
                false => Err("it does not hold as many fronts as it says".to_owned()),
            };
        }
        let mut wrong = None;
        for _ in 0..count {
            let front = FrontAt::read(&mut fields, &mut trail, head.end);
            let Some(front) = front.filter(|front| front.lsn <= head.last_lsn) else {
                wrong = Some("it names a record that cannot be".to_owned());
                break;
            };
            let position = Position {
                segment: segment.number,
                offset: front.offset,
            };
            visit(Front {
                lsn: match segment.kind {
                    SegmentKind::Journal => Lsn(front.lsn),
                    SegmentKind::Cold => Lsn::NONE,
                },
                kind: front.kind,
                position,
                segment_kind: segment.kind,
                len: front.len,
                bytes: front.bytes,
            });
            shown = front.offset;
            total += 1;
        }
        (self.trail, self.shown, self.total) = (trail, shown, total);
        match wrong {
            None => {
                self.offset += (OUTLINE_BLOCK_HEADER_BYTES + len) as u64;
                Ok(true)
            }
            Some(wrong) => Err(wrong),
        }
    }
}
