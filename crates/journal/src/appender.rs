//! The journal's inlet, owned by the shard: records go into the one open frame, and frames leave
//! in order.
//!
//! ```text
//! begin, append, append | begin, append | begin ...          (groups: one engine turn each)
//!      [ open frame                   ] --full--> queue --seal()--> Writer::write
//! ```
//!
//! A segment is left when it is full, or when its file was not zeroed beforehand and the next one's
//! is. There is exactly one open frame, and where it will lie is fixed when it opens, so a record's
//! position is known when it is appended. A group never spans two frames. No disk is touched here.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Result;
use crate::format::{BLOCK, FrameHeader, RecordHeader};
use crate::frame::{FrameBuffer, Large, SealedFrame};
use crate::position::{Lsn, Position};
use crate::shared::Shared;

/// Where a record went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its number.
    pub lsn: Lsn,
    /// Where its payload will lie.
    pub position: Position,
    /// Its payload's length.
    pub len: u32,
}

/// Takes records in; see the module's picture. One per journal.
pub struct Appender {
    shared: Arc<Shared>,
    open: FrameBuffer,
    queue: VecDeque<SealedFrame>,
    queued_bytes: u64,
    next_lsn: u64,
    /// The open frame's number and first record.
    frame: u64,
    frame_first_lsn: u64,
    prev_link: u32,
    segment: u32,
    segment_first_lsn: u64,
    segment_first_frame: u64,
    nonce: u64,
    /// Where the open frame will begin.
    base: u32,
}

impl Appender {
    /// Begins a new segment behind `last_lsn`.
    pub(crate) fn new(shared: Arc<Shared>, last_lsn: u64) -> Self {
        let segment = shared.take_awaited_number();
        let nonce = shared.nonce(segment);
        let next_lsn = last_lsn + 1;
        Self {
            shared,
            open: FrameBuffer::default(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            next_lsn,
            frame: 1,
            frame_first_lsn: next_lsn,
            prev_link: 0,
            segment,
            segment_first_lsn: next_lsn,
            segment_first_frame: 1,
            nonce,
            base: BLOCK,
        }
    }

    /// Begins a group: what is appended until the next call is on disk as a whole or not at all.
    /// Closes the open frame first when it is full.
    pub fn begin(&mut self) {
        let bytes = self.open.disk_bytes();
        let full = bytes >= u64::from(self.shared.options.frame_bytes_max)
            || u64::from(self.base) + bytes >= u64::from(self.shared.options.segment_bytes);
        if full && self.open.count() > 0 {
            self.close_frame();
        }
    }

    /// Adds a record to the current group. Its payload is all `parts`, then `shared`: a large
    /// shared part is kept by reference until it is written, a small one is copied like the parts.
    ///
    /// # Errors
    /// `Poisoned` after a failed write; `TooLarge` when the frame could not hold it. Nothing was
    /// added then, but what the group added before stays.
    pub fn append(
        &mut self,
        kind: u8,
        entity: u64,
        sequence: u64,
        parts: &[&[u8]],
        shared: Option<Bytes>,
    ) -> Result<Appended> {
        self.append_large(kind, entity, sequence, parts, shared.map(Large::from))
    }

    /// The same with a shared part of which a checksum may be known.
    ///
    /// # Errors
    /// As [`Appender::append`].
    pub fn append_large(
        &mut self,
        kind: u8,
        entity: u64,
        sequence: u64,
        parts: &[&[u8]],
        shared: Option<Large>,
    ) -> Result<Appended> {
        self.shared.progress.check()?;
        let inline: usize = parts.iter().map(|part| part.len()).sum();
        let len = inline + shared.as_ref().map_or(0, |large| large.bytes.len());
        self.open.check_room(self.base, len)?;
        let header = RecordHeader {
            kind,
            len: len as u32,
            entity,
            sequence,
        };
        let at = match shared {
            Some(large) if large.bytes.len() >= self.shared.options.shared_bytes_min => {
                self.open.push(header, parts, Some(large))
            }
            Some(small) => match parts {
                [] => self.open.push(header, &[&small.bytes], None),
                [one] => self.open.push(header, &[one, &small.bytes], None),
                [one, two] => self.open.push(header, &[one, two, &small.bytes], None),
                many => self
                    .open
                    .push(header, &[many, &[&small.bytes]].concat(), None),
            },
            None => self.open.push(header, parts, None),
        };
        let lsn = Lsn(self.next_lsn);
        self.next_lsn += 1;
        let position = Position {
            segment: self.segment,
            offset: self.base + at as u32,
        };
        Ok(Appended {
            lsn,
            position,
            len: len as u32,
        })
    }

    /// Takes the next frame to write, oldest first; between groups only. The open frame is closed
    /// when no older one waits. `None` when there is nothing to write.
    pub fn seal(&mut self) -> Option<SealedFrame> {
        if self.queue.is_empty() && self.open.count() > 0 {
            self.close_frame();
        }
        let frame = self.queue.pop_front()?;
        self.queued_bytes -= frame.bytes();
        Some(frame)
    }

    /// Like [`Appender::seal`], but makes an empty frame when there is nothing to write. Written
    /// when the journal falls idle, it proves on disk how far everything before it was durable:
    /// damage to the last acknowledged frame can then be told from a torn write.
    pub fn seal_mark(&mut self) -> SealedFrame {
        match self.seal() {
            Some(frame) => frame,
            None => self.cut_frame(),
        }
    }

    /// The next record's number.
    #[must_use]
    pub fn next_lsn(&self) -> Lsn {
        Lsn(self.next_lsn)
    }

    /// The bytes that wait for [`Appender::seal`]; 0 when there is nothing to write.
    #[must_use]
    pub fn pending(&self) -> u64 {
        let open = match self.open.count() {
            0 => 0,
            _ => self.open.disk_bytes(),
        };
        self.queued_bytes + open
    }

    fn close_frame(&mut self) {
        let frame = self.cut_frame();
        self.queued_bytes += frame.bytes();
        self.queue.push_back(frame);
    }

    /// Ends the open frame, and fixes where the next one will lie.
    fn cut_frame(&mut self) -> SealedFrame {
        let buffer = std::mem::replace(&mut self.open, self.shared.take_buffer());
        let header = FrameHeader {
            nonce: self.nonce,
            epoch: self.shared.epoch,
            frame: self.frame,
            first_lsn: self.frame_first_lsn,
            count: buffer.count(),
            body_len: buffer.body_len() as u32,
            committed_lsn: 0,
            prev_link: self.prev_link,
            body_crc: 0,
        };
        let sealed = SealedFrame {
            buffer,
            segment: self.segment,
            segment_first_lsn: self.segment_first_lsn,
            segment_first_frame: self.segment_first_frame,
            offset: self.base,
            header,
        };
        self.prev_link = header.link(self.base);
        self.frame += 1;
        self.frame_first_lsn = self.next_lsn;
        let end = u64::from(self.base) + header.disk_bytes();
        let is_full = end >= u64::from(self.shared.options.segment_bytes);
        if is_full || self.shared.is_better_left(self.segment) {
            self.segment = self.shared.take_awaited_number();
            self.nonce = self.shared.nonce(self.segment);
            self.segment_first_lsn = self.next_lsn;
            self.segment_first_frame = self.frame;
            self.base = BLOCK;
        } else {
            self.base = end as u32;
        }
        sealed
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.shared.progress.appender_gone();
    }
}
