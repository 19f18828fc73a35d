//! What the caller chooses when it opens a journal.

use crate::format::BLOCK;

/// When a record counts as durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Once its frame is on stable storage, with the write itself.
    #[default]
    Fsync,
    /// Once a later [`crate::Writer::sync`] is done; the caller decides how often it calls that.
    Interval,
    /// Once it is written to the operating system: survives the process, not the power.
    None,
}

/// How a journal is opened. [`Options::default`] suits production.
#[derive(Clone, Debug)]
pub struct Options {
    /// When a record counts as durable.
    pub durability: Durability,
    /// A segment's nominal size: a new one is started once it is reached.
    pub segment_bytes: u32,
    /// A frame's soft limit: it is closed at the first group that begins past it.
    pub frame_bytes_max: u32,
    /// A shared part below this size is copied instead of kept by reference.
    pub shared_bytes_min: usize,
    /// How many zeroed files are made for the next segments; of released ones, twice as many are kept.
    pub spare_segments: usize,
    /// Read the journal past the page cache at recovery, where the platform can.
    pub uncached_recovery: bool,
    /// Where a new journal's identity comes from: `None` asks the operating system, a fixed seed
    /// makes a simulation repeatable.
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Fsync,
            segment_bytes: 64 << 20,
            frame_bytes_max: 1 << 20,
            shared_bytes_min: 16 << 10,
            spare_segments: 2,
            uncached_recovery: true,
            seed: None,
        }
    }
}

impl Options {
    /// How many spare files there may be before a released segment is removed instead of kept.
    pub(crate) const fn recycled_segments_max(&self) -> usize {
        self.spare_segments.saturating_mul(2)
    }

    /// Puts every size inside the bounds that the format can express.
    pub(crate) fn bounded(mut self) -> Self {
        self.segment_bytes = self.segment_bytes.clamp(4 * BLOCK, 1 << 30) & !(BLOCK - 1);
        self.frame_bytes_max = self.frame_bytes_max.clamp(BLOCK, 64 << 20);
        self.shared_bytes_min = self.shared_bytes_min.max(1);
        self
    }
}
