//! A read buffer whose memory, offset and length are whole blocks, as direct reads need them.
//!
//! `bytes` are the file's bytes from `offset` on. They begin on a block boundary both in the file
//! and in memory, through every growth and move.

use std::ops::Range;

use crate::format::BLOCK;

const ALIGN: usize = BLOCK as usize;

pub(crate) struct Blocks {
    raw: Vec<u8>,
    /// The aligned area inside `raw`.
    area: Range<usize>,
    filled: usize,
}

impl Blocks {
    /// Room for at least `bytes`.
    pub(crate) fn new(bytes: usize) -> Self {
        let room = bytes.next_multiple_of(ALIGN).max(ALIGN);
        let raw = vec![0; room + ALIGN];
        let start = raw.as_ptr().align_offset(ALIGN).min(ALIGN);
        Self {
            raw,
            area: start..start + room,
            filled: 0,
        }
    }

    /// How much there is room for.
    pub(crate) fn room(&self) -> usize {
        self.area.len()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.raw[self.area.start..self.area.start + self.filled]
    }

    /// The aligned room behind what is filled.
    pub(crate) fn spare(&mut self) -> &mut [u8] {
        let start = self.area.start + self.filled;
        &mut self.raw[start..self.area.end]
    }

    /// Says that `bytes` more are filled.
    pub(crate) fn filled(&mut self, bytes: usize) {
        self.filled = (self.filled + bytes).min(self.area.len());
    }

    /// Drops whole blocks off the front, and makes room for `room` bytes in all.
    pub(crate) fn keep_from(&mut self, from: usize, room: usize) {
        let from = from.min(self.filled);
        let kept = self.filled - from;
        if room > self.area.len() {
            let mut larger = Self::new(room);
            larger.spare()[..kept].copy_from_slice(&self.bytes()[from..]);
            larger.filled = kept;
            *self = larger;
        } else {
            let start = self.area.start;
            self.raw
                .copy_within(start + from..start + self.filled, start);
            self.filled = kept;
        }
    }
}
