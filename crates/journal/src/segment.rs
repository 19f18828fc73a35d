//! A segment that is open for reading (and, while it is young, for writing).
//!
//! A journal segment's readable end moves with the contiguous written watermark; a cold one's is
//! set once, when it is finished. A number is never used for two segments.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::format::BLOCK;
use crate::io::IoFile;
use crate::position::Lsn;

/// What a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// The write-ahead journal, in LSN order.
    Journal,
    /// Records copied out of older segments, in the order that the caller chose.
    Cold,
}

impl SegmentKind {
    pub(crate) const fn to_byte(self) -> u8 {
        match self {
            Self::Journal => 1,
            Self::Cold => 2,
        }
    }

    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Journal),
            2 => Some(Self::Cold),
            _ => None,
        }
    }
}

/// A live segment, as [`crate::Writer::segments`] lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Its number; positions name it.
    pub number: u32,
    /// What it holds.
    pub kind: SegmentKind,
    /// The bytes that are readable in it.
    pub bytes: u64,
    /// In so many frames, for a journal segment.
    pub frames: u64,
    /// Its first record, for a journal segment.
    pub first_lsn: Lsn,
    /// Its last readable record, for a journal segment; below `first_lsn` while it is empty.
    pub last_lsn: Lsn,
    /// Whether no more will be written to it.
    pub complete: bool,
    /// Whether it has an outline, which recovery reads instead of it.
    pub outlined: bool,
}

/// The name of a segment's file.
pub(crate) fn file_name(number: u32) -> String {
    format!("{number:010}.seg")
}

/// The name of a file that waits to become a segment.
pub(crate) fn spare_name(number: u32) -> String {
    format!("{number:010}.free")
}

/// The name of a segment's outline.
pub(crate) fn outline_name(number: u32) -> String {
    format!("{number:010}{OUTLINE}")
}

/// What the name of an outline ends with.
pub(crate) const OUTLINE: &str = ".outline";

/// The number in a file's name, if it has this extension.
pub(crate) fn name_number(name: &str, extension: &str) -> Option<u32> {
    let digits = name.strip_suffix(extension)?;
    let plain = digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if plain { digits.parse().ok() } else { None }
}

/// Where a segment's written part ends.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tail {
    pub(crate) last_lsn: u64,
    pub(crate) last_frame: u64,
    pub(crate) complete: bool,
}

pub(crate) struct Segment {
    pub(crate) number: u32,
    pub(crate) kind: SegmentKind,
    pub(crate) nonce: u64,
    pub(crate) epoch: u64,
    pub(crate) first_lsn: u64,
    pub(crate) first_frame: u64,
    pub(crate) file: Arc<dyn IoFile>,
    pub(crate) name: String,
    readable: AtomicU32,
    released: AtomicBool,
    outlined: AtomicBool,
    tail: Mutex<Tail>,
}

/// What a segment is from its start.
pub(crate) struct SegmentStart {
    pub(crate) number: u32,
    pub(crate) kind: SegmentKind,
    pub(crate) nonce: u64,
    pub(crate) epoch: u64,
    pub(crate) first_lsn: u64,
    pub(crate) first_frame: u64,
}

impl Segment {
    /// A segment of which nothing is readable yet.
    pub(crate) fn new(start: &SegmentStart, file: Arc<dyn IoFile>) -> Self {
        Self {
            number: start.number,
            kind: start.kind,
            nonce: start.nonce,
            epoch: start.epoch,
            first_lsn: start.first_lsn,
            first_frame: start.first_frame,
            file,
            name: file_name(start.number),
            readable: AtomicU32::new(BLOCK),
            released: AtomicBool::new(false),
            outlined: AtomicBool::new(false),
            tail: Mutex::new(Tail {
                last_lsn: start.first_lsn.saturating_sub(1),
                last_frame: start.first_frame.saturating_sub(1),
                complete: false,
            }),
        }
    }

    fn tail_guard(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn tail(&self) -> Tail {
        *self.tail_guard()
    }

    /// Everything below `end` is written and may be read.
    pub(crate) fn advance(&self, end: u32, last_lsn: u64, last_frame: u64) {
        let mut tail = self.tail_guard();
        tail.last_lsn = last_lsn;
        tail.last_frame = last_frame;
        self.readable.store(end, Ordering::Release);
    }

    pub(crate) fn complete(&self) {
        self.tail_guard().complete = true;
    }

    pub(crate) fn readable(&self) -> u32 {
        self.readable.load(Ordering::Acquire)
    }

    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::Release);
    }

    pub(crate) fn is_released(&self) -> bool {
        self.released.load(Ordering::Acquire)
    }

    /// An outline of it is in place, or not.
    pub(crate) fn set_outlined(&self, is: bool) {
        self.outlined.store(is, Ordering::Release);
    }

    pub(crate) fn is_outlined(&self) -> bool {
        self.outlined.load(Ordering::Acquire)
    }

    pub(crate) fn info(&self) -> SegmentInfo {
        let tail = self.tail();
        let (first_lsn, last_lsn) = match self.kind {
            SegmentKind::Journal => (Lsn(self.first_lsn), Lsn(tail.last_lsn)),
            SegmentKind::Cold => (Lsn::NONE, Lsn::NONE),
        };
        let frames = match self.kind {
            SegmentKind::Journal => (tail.last_frame + 1).saturating_sub(self.first_frame),
            SegmentKind::Cold => 0,
        };
        SegmentInfo {
            number: self.number,
            kind: self.kind,
            bytes: u64::from(self.readable()),
            frames,
            first_lsn,
            last_lsn,
            complete: tail.complete,
            outlined: self.is_outlined(),
        }
    }
}
