//! Reading single records back by position, from any thread.
//!
//! Every read checks the record's own CRC, which is seeded with its place: bytes that are stale,
//! misplaced or decayed are an error, never a result. What the page cache has wrong is read once more
//! past it: long frames are written past it, and nothing but the system's care keeps it from having
//! older blocks. A record that is not written yet is waited for, so do not read under the lock that
//! the appender and the committer need.

use std::sync::Arc;

use bytes::Bytes;

use crate::blocks::Blocks;
use crate::error::{Error, Result};
use crate::format::{BLOCK, FRAME_HEADER_BYTES, RECORD_HEADER_BYTES, RecordHeader};
use crate::io::OpenMode;
use crate::position::Position;
use crate::scan::Scan;
use crate::segment::Segment;
use crate::shared::Shared;

/// Two records this near each other are read in one go.
const GAP_BYTES_MAX: u64 = 32 << 10;
/// One read is no longer than this, unless a single record is: what an answer of 1 MiB comes from, with what stands between its
/// records.
const RUN_BYTES_MAX: u64 = 9 << 17;

/// Reads records; clones are handles to the same journal.
#[derive(Clone)]
pub struct Reader {
    pub(crate) shared: Arc<Shared>,
}

/// Neighbours that are read together: indices into what was asked for.
struct Run {
    segment: Arc<Segment>,
    start: u64,
    end: u64,
    members: Vec<usize>,
}

impl Reader {
    /// The payload of the record at `position`, which is `len` bytes long.
    ///
    /// # Errors
    /// `Released`, `NoSuchRecord`, `Corrupt`, or whatever the disk says; `Poisoned` or
    /// `NotWritten` when the record will never be written.
    pub fn read(&self, position: Position, len: u32) -> Result<Bytes> {
        let segment = self.locate(position, len)?;
        let start = u64::from(position.offset) - RECORD_HEADER_BYTES as u64;
        let bytes = self.fetch(&segment, start, RECORD_HEADER_BYTES + len as usize)?;
        self.check(&segment, &bytes, position, len)
    }

    /// The payloads of several records, in the order asked for; neighbours share a read.
    ///
    /// # Errors
    /// As [`Reader::read`]: the first failure fails all.
    pub fn read_many(&self, wanted: &[(Position, u32)]) -> Result<Vec<Bytes>> {
        let mut payloads = vec![Bytes::new(); wanted.len()];
        for run in self.runs(wanted)? {
            let bytes = self.fetch(&run.segment, run.start, (run.end - run.start) as usize)?;
            for index in run.members {
                let (position, len) = wanted[index];
                let at = u64::from(position.offset) - RECORD_HEADER_BYTES as u64 - run.start;
                let record =
                    bytes.slice(at as usize..at as usize + RECORD_HEADER_BYTES + len as usize);
                payloads[index] = self.check(&run.segment, &record, position, len)?;
            }
        }
        Ok(payloads)
    }

    fn runs(&self, wanted: &[(Position, u32)]) -> Result<Vec<Run>> {
        let mut order: Vec<usize> = (0..wanted.len()).collect();
        order.sort_unstable_by_key(|index| wanted[*index]);
        let mut runs: Vec<Run> = Vec::new();
        for index in order {
            let (position, len) = wanted[index];
            let segment = self.locate(position, len)?;
            let start = u64::from(position.offset) - RECORD_HEADER_BYTES as u64;
            let end = u64::from(position.offset) + u64::from(len);
            match runs.last_mut() {
                Some(run)
                    if run.segment.number == segment.number
                        && start <= run.end + GAP_BYTES_MAX
                        && end - run.start <= RUN_BYTES_MAX =>
                {
                    run.end = run.end.max(end);
                    run.members.push(index);
                }
                _ => runs.push(Run {
                    segment,
                    start,
                    end,
                    members: vec![index],
                }),
            }
        }
        Ok(runs)
    }

    /// The segment of a record, once the record is written.
    fn locate(&self, position: Position, len: u32) -> Result<Arc<Segment>> {
        let first = BLOCK as usize + FRAME_HEADER_BYTES + RECORD_HEADER_BYTES;
        if position.segment == 0 || (position.offset as usize) < first {
            return Err(Error::NoSuchRecord { position });
        }
        if let Some(result) = self.locate_now(position, len) {
            return result;
        }
        let located = self
            .shared
            .progress
            .wait(|| self.locate_now(position, len))?;
        located.unwrap_or(Err(Error::NotWritten { position }))
    }

    /// `None` while the record may still come.
    fn locate_now(&self, position: Position, len: u32) -> Option<Result<Arc<Segment>>> {
        let number = position.segment;
        let end = u64::from(position.offset) + u64::from(len);
        // Asked first: a segment is in the table before it stops being awaited.
        let awaited = self.shared.is_awaited(number);
        match self.shared.segment(number) {
            Some(segment) => {
                let complete = segment.tail().complete;
                if end <= u64::from(segment.readable()) {
                    Some(Ok(segment))
                } else if complete {
                    Some(Err(Error::NoSuchRecord { position }))
                } else {
                    None
                }
            }
            None if awaited => None,
            None if self.shared.is_number_taken(number) => {
                Some(Err(Error::Released { segment: number }))
            }
            None => Some(Err(Error::NoSuchRecord { position })),
        }
    }

    fn fetch(&self, segment: &Segment, start: u64, len: usize) -> Result<Bytes> {
        let bytes = segment
            .file
            .read_new(start, len)
            .map_err(|error| Error::io("reading", &segment.name, error))?;
        if bytes.len() < len {
            return Err(self.unsound(segment, start, "the file ends inside a record"));
        }
        Ok(bytes)
    }

    /// Gives back memory that was kept for further reads and writes, and not used since the last call.
    pub fn rest(&self) {
        self.shared.io.rest();
    }

    fn check(
        &self,
        segment: &Segment,
        record: &Bytes,
        position: Position,
        len: u32,
    ) -> Result<Bytes> {
        match RecordHeader::verify(record, segment.nonce, position.offset) {
            Some(header) if header.len == len => Ok(record.slice(RECORD_HEADER_BYTES..)),
            _ => self.read_from_disk(segment, position, len).ok_or_else(|| {
                let what = "the record's checksum is wrong";
                self.unsound(segment, u64::from(position.offset), what)
            }),
        }
    }

    /// A record's payload as the disk has it, if it is sound there.
    fn read_from_disk(&self, segment: &Segment, position: Position, len: u32) -> Option<Bytes> {
        let io = &self.shared.io;
        let file = io.open(&segment.name, OpenMode::Uncached).ok()?;
        let start = position.offset as usize - RECORD_HEADER_BYTES;
        let skipped = start % BLOCK as usize;
        let end = skipped + RECORD_HEADER_BYTES + len as usize;
        let mut blocks = Blocks::new(end);
        let read = file
            .read_at(blocks.spare(), (start - skipped) as u64)
            .ok()?;
        blocks.filled(read);
        let record = blocks.bytes().get(skipped..end)?;
        RecordHeader::verify(record, segment.nonce, position.offset)
            .filter(|header| header.len == len)?;
        Some(Bytes::copy_from_slice(record.get(RECORD_HEADER_BYTES..)?))
    }

    /// What wrong bytes mean: a segment that was released meanwhile may hold anything.
    fn unsound(&self, segment: &Segment, offset: u64, what: &str) -> Error {
        match segment.is_released() {
            true => Error::Released {
                segment: segment.number,
            },
            false => Error::corrupt(&segment.name, offset, what),
        }
    }

    /// Walks all records of a segment that are readable by now, in order.
    ///
    /// # Errors
    /// `Released` when there is no such segment, or whatever the disk says.
    pub fn scan(&self, segment: u32) -> Result<Scan> {
        let number = segment;
        let segment = self
            .shared
            .segment(number)
            .ok_or(Error::Released { segment: number })?;
        Scan::new(&segment, Arc::clone(&segment.file))
    }
}
