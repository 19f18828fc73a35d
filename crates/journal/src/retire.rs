//! What stands on the segments as files: listing, releasing, spare files, free space.
//!
//! A release is durable in the manifest before the file is touched. The file is then kept for a
//! later segment, under a new number and nonce, so that its old frames never count again.

use crate::error::{Error, Result};
use crate::manifest::Entry;
use crate::segment::{SegmentInfo, SegmentKind};
use crate::shared::Shared;
use crate::writer::Writer;

impl Writer {
    /// The live segments, by number. A cold one that is being written is not among them.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentInfo> {
        let segments = self.shared.segments();
        let infos = segments.iter().map(|segment| segment.info());
        infos
            .filter(|info| info.kind == SegmentKind::Journal || info.complete)
            .collect()
    }

    /// Gives up a segment and everything in it, durably; the file is recycled or removed.
    ///
    /// # Errors
    /// `InUse` unless the segment is complete and, for a journal segment, the oldest one;
    /// `Released` when there is no such segment. When the disk is full it stays.
    pub fn release(&self, segment: u32) -> Result<()> {
        self.shared.edit_segments(None, &[segment], || {})
    }

    /// Makes one zeroed file for a later segment when there are fewer than the options ask for,
    /// and says whether it did. It writes a whole segment: call it from a thread that may wait.
    ///
    /// # Errors
    /// Whatever the disk says; the journal is not affected.
    pub fn prepare_spare(&self) -> Result<bool> {
        self.prepare_spare_while(|| true)
    }

    /// Like [`Writer::prepare_spare`], but gives up, and leaves nothing, once `may_go_on` says no.
    ///
    /// # Errors
    /// As [`Writer::prepare_spare`].
    pub fn prepare_spare_while(&self, may_go_on: impl FnMut() -> bool) -> Result<bool> {
        self.shared.prepare_spare(may_go_on)
    }

    /// The bytes that the disk has left, for the low-space watermark.
    ///
    /// # Errors
    /// Whatever the disk says.
    pub fn free_bytes(&self) -> Result<u64> {
        let shared = &self.shared;
        let result = shared.io.free_bytes();
        result
            .map_err(|error| Error::io("asking for the free space of", &shared.io.folder(), error))
    }
}

impl Shared {
    /// Adds and removes segments in one manifest; `listed` runs once the new manifest is durable.
    pub(crate) fn edit_segments(
        &self,
        added: Option<Entry>,
        released: &[u32],
        listed: impl FnOnce(),
    ) -> Result<()> {
        let mut catalogue = self.catalogue();
        let mut manifest = self.refreshed(&catalogue.manifest);
        for number in released {
            self.check_releasable(&manifest.entries, *number, released)?;
        }
        manifest.entries.retain(|e| !released.contains(&e.number));
        if let Some(entry) = added {
            manifest.insert(entry);
        }
        self.store(&mut catalogue, manifest)?;
        listed();
        for number in released {
            if let Some(segment) = self.unlist(*number) {
                segment.release();
                self.remove_outline(&segment);
            }
        }
        for number in released {
            self.recycle(&mut catalogue, *number)?;
        }
        Ok(())
    }

    fn check_releasable(&self, entries: &[Entry], number: u32, released: &[u32]) -> Result<()> {
        let listed = entries.iter().any(|entry| entry.number == number);
        let Some(segment) = self.segment(number).filter(|_| listed) else {
            return Err(Error::Released { segment: number });
        };
        let in_use = |why| {
            Err(Error::InUse {
                segment: number,
                why,
            })
        };
        if !segment.tail().complete {
            return in_use("it is still being written");
        }
        let older_stays = entries.iter().any(|entry| {
            entry.kind == SegmentKind::Journal
                && entry.number < number
                && !released.contains(&entry.number)
        });
        if segment.kind == SegmentKind::Journal && older_stays {
            return in_use("an older journal segment must be released first");
        }
        Ok(())
    }
}
