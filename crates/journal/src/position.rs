//! The two names of a record: its number, and where its payload lies on disk.
//!
//! A [`Lsn`] is dense and starts at 1; 0 means "none". A [`Position`] is known when the record is
//! appended, before anything is written. Both halves of a valid position are non-zero: segment
//! numbers start at 1, and no payload begins inside a segment's 4 KiB header.

use std::fmt;

/// The number of a journal record: dense, from 1, never reused. `Lsn(0)` means "none".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// No record: before the first one, and the number of every cold record.
    pub const NONE: Self = Self(0);

    /// The number after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where a record's payload begins on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The segment's number, from 1.
    pub segment: u32,
    /// The payload's first byte in the segment's file.
    pub offset: u32,
}

impl Position {
    /// Both halves in one number: never 0 for a valid position.
    #[must_use]
    pub const fn to_u64(self) -> u64 {
        (self.segment as u64) << 32 | self.offset as u64
    }

    /// The inverse of [`Position::to_u64`].
    #[must_use]
    pub const fn from_u64(packed: u64) -> Self {
        Self {
            segment: (packed >> 32) as u32,
            offset: (packed & 0xffff_ffff) as u32,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}
