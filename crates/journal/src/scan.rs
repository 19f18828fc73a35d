//! Reading a segment from its start, in large aligned reads.
//!
//! [`FrameScan`] walks frames and checks each against the one before; it stops at the first that
//! is not its rightful successor, and the caller decides what that means: for a sealed segment it
//! is damage, for the youngest it may be a torn tail. [`Scan`] walks the records of a segment
//! whose end is known, and is strict.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{
    BLOCK, FRAME_HEADER_BYTES, FrameHeader, RECORD_HEADER_BYTES, RecordHeader, crc_append, crc_seed,
};
use crate::io::IoFile;
use crate::position::{Lsn, Position};
use crate::segment::{Segment, SegmentKind, Tail};
use crate::window::Window;

/// A record, as a scan or a replay shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its number; [`Lsn::NONE`] for a cold one.
    pub lsn: Lsn,
    /// The caller's kind.
    pub kind: u8,
    /// The caller's entity.
    pub entity: u64,
    /// The caller's sequence.
    pub sequence: u64,
    /// Where its payload begins.
    pub position: Position,
    /// What kind of segment it is in.
    pub segment_kind: SegmentKind,
    /// Its bytes.
    pub payload: &'a [u8],
}

/// What the next frame must say about itself.
#[derive(Clone, Copy, Debug)]
struct Expected {
    epoch: u64,
    frame: u64,
    lsn: u64,
    /// Not known for a segment's first frame.
    link: Option<u32>,
}

pub(crate) struct FrameScan {
    window: Window,
    nonce: u64,
    offset: u64,
    expected: Expected,
}

/// A sound frame that the scan holds in memory.
struct FrameAt {
    header: FrameHeader,
    offset: u64,
}

impl FrameScan {
    /// From the first frame of `segment`, read through `file`.
    pub(crate) fn new(segment: &Segment, file: Arc<dyn IoFile>) -> Result<Self> {
        Ok(Self {
            window: Window::new(file, &segment.name)?,
            nonce: segment.nonce,
            offset: u64::from(BLOCK),
            expected: Expected {
                epoch: segment.epoch,
                frame: segment.first_frame,
                lsn: segment.first_lsn,
                link: None,
            },
        })
    }

    /// Where the next frame would begin.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Where the sound frames end, so far.
    pub(crate) fn tail(&self) -> Tail {
        Tail {
            last_lsn: self.expected.lsn - 1,
            last_frame: self.expected.frame - 1,
            complete: true,
        }
    }

    /// The next frame, if a sound one that follows the last lies here.
    fn next_frame(&mut self) -> Result<Option<FrameAt>> {
        let offset = self.offset;
        let (nonce, expected) = (self.nonce, self.expected);
        let left = self.window.len().saturating_sub(offset);
        let Ok(offset_in_header) = u32::try_from(offset) else {
            return Ok(None);
        };
        let bytes = self.window.load(offset, FRAME_HEADER_BYTES)?;
        let Some(header) = FrameHeader::decode(bytes, nonce, offset_in_header) else {
            return Ok(None);
        };
        let follows = header.epoch == expected.epoch
            && header.frame == expected.frame
            && header.first_lsn == expected.lsn
            && expected.link.is_none_or(|link| link == header.prev_link);
        if !follows || header.disk_bytes() > left {
            return Ok(None);
        }
        let used = FRAME_HEADER_BYTES + header.body_len as usize;
        let bytes = self.window.load(offset, used)?;
        let Some(body) = bytes.get(FRAME_HEADER_BYTES..used) else {
            return Ok(None);
        };
        if crc_append(crc_seed(nonce, offset_in_header), body) != header.body_crc {
            return Ok(None);
        }
        self.offset += header.disk_bytes();
        self.expected = Expected {
            epoch: header.epoch,
            frame: header.frame + 1,
            lsn: header.last_lsn() + 1,
            link: Some(header.link(offset_in_header)),
        };
        Ok(Some(FrameAt { header, offset }))
    }

    /// Goes on to the first frame that is not sound in two reads: what begins there may be cut off, and once a read was
    /// wrong of what the disk has right, acknowledged frames would go with it.
    pub(crate) fn run(&mut self) -> Result<()> {
        loop {
            while self.next_frame()?.is_some() {}
            self.window.forget();
            if self.next_frame()?.is_none() {
                return Ok(());
            }
        }
    }

    /// What the frame headers in the rest of the file claim: the highest watermark, or `None` when
    /// there is no header. A header counts even when its body is torn.
    pub(crate) fn evidence(&mut self) -> Result<Option<u64>> {
        let nonce = self.nonce;
        let mut highest = None;
        let mut at = self.offset;
        while let Ok(offset) = u32::try_from(at) {
            let bytes = self.window.load(at, FRAME_HEADER_BYTES)?;
            if bytes.len() < FRAME_HEADER_BYTES {
                break;
            }
            if let Some(header) = FrameHeader::decode(bytes, nonce, offset) {
                highest = highest.max(Some(header.committed_lsn));
            }
            at += u64::from(BLOCK);
        }
        Ok(highest)
    }
}

/// Walks the records of one segment in order; any damage before its end is an error.
pub struct Scan {
    frames: FrameScan,
    number: u32,
    kind: SegmentKind,
    end: u64,
    tail: Tail,
    /// The frame at hand: where it is, where in it the next record begins, where it ends, and how
    /// many records are left.
    frame_offset: u64,
    at: usize,
    frame_end: usize,
    left: u32,
    lsn: u64,
}

impl Scan {
    /// All that is readable in `segment` by now.
    pub(crate) fn new(segment: &Segment, file: Arc<dyn IoFile>) -> Result<Self> {
        let tail = segment.tail();
        let end = u64::from(segment.readable());
        let mut frames = FrameScan::new(segment, file)?;
        // What lies behind may be being written: nobody is to have read it before.
        frames.window.end_at(end);
        Ok(Self {
            frames,
            number: segment.number,
            kind: segment.kind,
            end,
            tail,
            frame_offset: 0,
            at: 0,
            frame_end: 0,
            left: 0,
            lsn: 0,
        })
    }

    fn damaged(&self, offset: u64, what: &str) -> Error {
        Error::corrupt(self.frames.window.name(), offset, what)
    }

    /// Goes on to the next frame; `false` at the segment's end.
    fn advance(&mut self) -> Result<bool> {
        if self.at != self.frame_end {
            return Err(self.damaged(self.frame_offset, "a frame holds more than its records"));
        }
        if self.frames.offset >= self.end {
            let tail = self.frames.tail();
            let whole = self.frames.offset == self.end && tail.last_lsn >= self.tail.last_lsn;
            return match whole {
                true => Ok(false),
                false => Err(self.damaged(self.end, "the segment's end is not where it was")),
            };
        }
        match self.frames.next_frame()? {
            Some(frame) => {
                self.frame_offset = frame.offset;
                self.at = FRAME_HEADER_BYTES;
                self.frame_end = FRAME_HEADER_BYTES + frame.header.body_len as usize;
                self.left = frame.header.count;
                self.lsn = frame.header.first_lsn;
                Ok(true)
            }
            None => Err(self.damaged(
                self.frames.offset,
                "no sound frame begins here, although acknowledged ones follow or end here",
            )),
        }
    }

    /// The next record, or `None` at the segment's end.
    ///
    /// # Errors
    /// `Corrupt` at the first damage.
    #[allow(clippy::should_implement_trait)] // It lends its buffer, which an iterator cannot.
    pub fn next(&mut self) -> Result<Option<Record<'_>>> {
        while self.left == 0 {
            if !self.advance()? {
                return Ok(None);
            }
        }
        let payload_at = self.at + RECORD_HEADER_BYTES;
        let header = self
            .frames
            .window
            .held(self.frame_offset)
            .get(self.at..payload_at)
            .and_then(RecordHeader::decode);
        let payload_end = header.map(|header| payload_at + header.len as usize);
        let (Some(header), Some(payload_end)) = (header, payload_end) else {
            return Err(self.damaged(
                self.frame_offset,
                "a frame holds something else than records",
            ));
        };
        if payload_end > self.frame_end {
            return Err(self.damaged(self.frame_offset, "a record is longer than its frame"));
        }
        let lsn = match self.kind {
            SegmentKind::Journal => Lsn(self.lsn),
            SegmentKind::Cold => Lsn::NONE,
        };
        self.at = payload_end;
        self.left -= 1;
        self.lsn += 1;
        let held = self.frames.window.held(self.frame_offset);
        Ok(Some(Record {
            lsn,
            kind: header.kind,
            entity: header.entity,
            sequence: header.sequence,
            position: Position {
                segment: self.number,
                offset: (self.frame_offset + payload_at as u64) as u32,
            },
            segment_kind: self.kind,
            payload: held.get(payload_at..payload_end).unwrap_or_default(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::format::segment_nonce;
    use crate::frame::FrameBuffer;
    use crate::io::{Io, MemoryIo, OpenMode};
    use crate::segment::SegmentStart;

    fn segment(nonce: u64) -> Segment {
        let file = MemoryIo::new().open("a", OpenMode::Create).unwrap();
        let start = SegmentStart {
            number: 1,
            kind: SegmentKind::Journal,
            nonce,
            epoch: 1,
            first_lsn: 1,
            first_frame: 1,
        };
        Segment::new(&start, file)
    }

    /// Writes empty frame number `frame` in its place, and returns its link.
    fn write_frame(segment: &Segment, frame: u64, prev_link: u32) -> u32 {
        let header = FrameHeader {
            nonce: segment.nonce,
            epoch: 1,
            frame,
            first_lsn: 1,
            count: 0,
            body_len: 0,
            committed_lsn: 7,
            prev_link,
            body_crc: 0,
        };
        let base = BLOCK * frame as u32;
        let mut buffer = FrameBuffer::default();
        buffer.checksum(header, base);
        let mut parts = buffer.io_slices();
        segment
            .file
            .write_at(&mut parts, u64::from(base), true)
            .unwrap();
        header.link(base)
    }

    fn run(segment: &Segment) -> (u64, Option<u64>) {
        let mut scan = FrameScan::new(segment, Arc::clone(&segment.file)).unwrap();
        scan.run().unwrap();
        (scan.tail().last_frame, scan.evidence().unwrap())
    }

    #[test]
    fn a_frame_counts_only_behind_the_one_that_it_names() {
        let segment = segment(5);
        let link = write_frame(&segment, 1, 0);
        let link = write_frame(&segment, 2, link);
        write_frame(&segment, 3, link);
        assert_eq!(run(&segment), (3, None));
        write_frame(&segment, 3, link ^ 1);
        assert_eq!(run(&segment), (2, Some(7)));
    }

    /// A file of which one read has one byte wrong, and the disk none.
    struct Misread {
        file: Arc<dyn IoFile>,
        wrong_at: u64,
        /// Reads until the wrong one.
        left: AtomicUsize,
    }

    impl IoFile for Misread {
        fn write_at(
            &self,
            parts: &mut [IoSlice<'_>],
            offset: u64,
            durable: bool,
        ) -> std::io::Result<()> {
            self.file.write_at(parts, offset, durable)
        }

        fn sync(&self) -> std::io::Result<()> {
            self.file.sync()
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
            let read = self.file.read_at(buffer, offset)?;
            if self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
                buffer[(self.wrong_at - offset) as usize] ^= 1;
            }
            Ok(read)
        }

        fn len(&self) -> std::io::Result<u64> {
            self.file.len()
        }
    }

    #[test]
    fn a_frame_that_one_read_has_wrong_is_not_cut_off() {
        let segment = segment(5);
        let link = write_frame(&segment, 1, 0);
        let link = write_frame(&segment, 2, link);
        write_frame(&segment, 3, link);
        for frame in 1..=3 {
            let misread = Misread {
                file: Arc::clone(&segment.file),
                wrong_at: u64::from(BLOCK) * frame + 20,
                left: AtomicUsize::new(0),
            };
            let mut scan = FrameScan::new(&segment, Arc::new(misread)).unwrap();
            scan.run().unwrap();
            assert_eq!(scan.tail().last_frame, 3, "{frame}");
            assert_eq!(scan.evidence().unwrap(), None, "{frame}");
        }
    }

    #[test]
    fn frames_of_another_incarnation_are_not_even_evidence() {
        let old = segment(segment_nonce(1, 1, 1));
        let link = write_frame(&old, 1, 0);
        write_frame(&old, 2, link);
        for (id, epoch, number) in [(1, 1, 2), (1, 2, 1), (2, 1, 1)] {
            let mut new = segment(segment_nonce(id, epoch, number));
            new.file = Arc::clone(&old.file);
            assert_eq!(run(&new), (0, None));
        }
    }
}
