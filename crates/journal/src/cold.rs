//! Writing a cold segment: records copied out of older segments, in bulk, before those are
//! released.
//!
//! Nothing of it counts until [`ColdWriter::finish`] has synced it and listed it in the manifest;
//! a crash or a drop before that leaves no trace. It needs no lock of the broker's.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::format::{BLOCK, FrameHeader, RecordHeader};
use crate::frame::FrameBuffer;
use crate::io::OpenMode;
use crate::manifest::Sealed;
use crate::position::Position;
use crate::segment::{Segment, SegmentInfo, SegmentKind, SegmentStart};
use crate::shared::{Shared, entry, write_header};
use crate::writer::Writer;

/// Builds one cold segment.
pub struct ColdWriter {
    shared: Arc<Shared>,
    segment: Arc<Segment>,
    buffer: FrameBuffer,
    base: u32,
    frame: u64,
    next_index: u64,
    frame_first_index: u64,
    prev_link: u32,
    finished: bool,
}

impl Writer {
    /// Begins a cold segment.
    ///
    /// # Errors
    /// Whatever the disk says; the journal itself is not affected.
    pub fn cold_writer(&self) -> Result<ColdWriter> {
        let shared = Arc::clone(&self.shared);
        shared.progress.check()?;
        let number = shared.take_number();
        let start = SegmentStart {
            number,
            kind: SegmentKind::Cold,
            nonce: shared.nonce(number),
            epoch: shared.epoch,
            first_lsn: 1,
            first_frame: 1,
        };
        let name = crate::segment::file_name(number);
        let file = shared
            .io
            .open(&name, OpenMode::Create)
            .map_err(|error| Error::io("creating", &name, error))?;
        let segment = Arc::new(Segment::new(&start, file));
        shared.list(Arc::clone(&segment));
        let writer = ColdWriter {
            shared,
            segment,
            buffer: FrameBuffer::default(),
            base: BLOCK,
            frame: 1,
            next_index: 1,
            frame_first_index: 1,
            prev_link: 0,
            finished: false,
        };
        write_header(writer.segment.file.as_ref(), &start)?;
        Ok(writer)
    }
}

impl ColdWriter {
    /// The bytes so far, for the caller to decide when to begin another.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.base) + self.buffer.disk_bytes()
    }

    /// Adds a record, and says where it will be.
    ///
    /// # Errors
    /// `TooLarge` when it does not fit (begin another segment for it), or whatever the disk says;
    /// after that the segment is of no use.
    pub fn append(
        &mut self,
        kind: u8,
        entity: u64,
        sequence: u64,
        parts: &[&[u8]],
    ) -> Result<Position> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.buffer.check_room(self.base, len)?;
        let header = RecordHeader {
            kind,
            len: len as u32,
            entity,
            sequence,
        };
        let at = self.buffer.push(header, parts, None);
        let position = Position {
            segment: self.segment.number,
            offset: self.base + at as u32,
        };
        self.next_index += 1;
        if self.buffer.disk_bytes() >= u64::from(self.shared.options.frame_bytes_max) {
            self.write_frame()?;
        }
        Ok(position)
    }

    fn write_frame(&mut self) -> Result<()> {
        let header = FrameHeader {
            nonce: self.segment.nonce,
            epoch: self.segment.epoch,
            frame: self.frame,
            first_lsn: self.frame_first_index,
            count: self.buffer.count(),
            body_len: self.buffer.body_len() as u32,
            committed_lsn: 0,
            prev_link: self.prev_link,
            body_crc: 0,
        };
        self.buffer.checksum(header, self.base);
        self.segment
            .file
            .write_at(&mut self.buffer.io_slices(), u64::from(self.base), false)
            .map_err(|error| Error::io("writing", &self.segment.name, error))?;
        self.prev_link = header.link(self.base);
        self.base += header.disk_bytes() as u32;
        self.frame += 1;
        self.frame_first_index = self.next_index;
        self.buffer
            .reset(2 * self.shared.options.frame_bytes_max as usize);
        Ok(())
    }

    /// Makes the segment durable and lists it: from here on its positions can be read.
    ///
    /// # Errors
    /// Whatever the disk says; the segment is then gone, and the sources must be kept.
    pub fn finish(self) -> Result<SegmentInfo> {
        self.finish_and_release(&[])
    }

    /// Like [`ColdWriter::finish`], and releases these segments in the same atomic step.
    ///
    /// # Errors
    /// As [`ColdWriter::finish`] and [`Writer::release`].
    pub fn finish_and_release(mut self, released: &[u32]) -> Result<SegmentInfo> {
        if self.buffer.count() > 0 {
            self.write_frame()?;
        }
        self.segment
            .file
            .sync()
            .map_err(|error| Error::io("syncing", &self.segment.name, error))?;
        self.shared
            .io
            .sync_folder()
            .map_err(|error| Error::io("syncing", "the folder", error))?;
        let start = SegmentStart {
            number: self.segment.number,
            kind: SegmentKind::Cold,
            nonce: self.segment.nonce,
            epoch: self.segment.epoch,
            first_lsn: 1,
            first_frame: 1,
        };
        let mut listed = entry(&start);
        listed.sealed = Some(Sealed {
            end: self.base,
            last_lsn: self.next_index - 1,
            last_frame: self.frame - 1,
        });
        let shared = Arc::clone(&self.shared);
        shared.edit_segments(Some(listed), released, || {
            self.segment
                .advance(self.base, self.next_index - 1, self.frame - 1);
            self.segment.complete();
            self.finished = true;
            self.shared.progress.notify();
        })?;
        Ok(self.segment.info())
    }
}

impl Drop for ColdWriter {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        self.segment.release();
        self.shared.unlist(self.segment.number);
        // After a poisoned manifest write the disk may list this file: it must stay then. A
        // left-over file that is not listed is recycled by the next open.
        if self.shared.progress.check().is_ok() {
            let _ = self.shared.io.remove(&self.segment.name);
        }
        self.shared.progress.notify();
    }
}
