//! The journal's outlet: puts sealed frames on disk, from several threads at once, outside of the
//! broker's lock.
//!
//! Frames finish in any order, and the durable watermark moves only over a contiguous run of
//! them. Any failed write or sync of the journal poisons it: nothing is retried.

use std::sync::{Arc, PoisonError};

use crate::error::{Error, Result};
use crate::frame::SealedFrame;
use crate::options::Durability;
use crate::position::Lsn;
use crate::progress::Done;
use crate::shared::Shared;

/// What a write achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The last record of the frame that was written.
    pub last_lsn: Lsn,
    /// What may be acknowledged now: everything up to here, and perhaps not yet this frame.
    pub durable_lsn: Lsn,
}

/// Writes frames and keeps the folder; see the module's text. Clones are handles to the same
/// journal.
#[derive(Clone)]
pub struct Writer {
    pub(crate) shared: Arc<Shared>,
}

impl Writer {
    /// Writes one frame, and waits for it. Two to four threads at once make best use of a disk.
    ///
    /// # Errors
    /// Any error poisons the journal: the durable LSN never moves again.
    pub fn write(&self, frame: SealedFrame) -> Result<Written> {
        self.shared.progress.check()?;
        let result = self.write_frame(frame);
        self.shared.guard(result)
    }

    fn write_frame(&self, mut frame: SealedFrame) -> Result<Written> {
        let shared = &self.shared;
        let segment = shared.segment_for(&frame)?;
        frame.header.committed_lsn = shared.progress.stable_lsn();
        frame.buffer.checksum(frame.header, frame.offset);
        let durable = shared.options.durability == Durability::Fsync;
        let result = segment.file.write_at(
            &mut frame.buffer.io_slices(),
            u64::from(frame.offset),
            durable,
        );
        result.map_err(|error| Error::io("writing", &segment.name, error))?;
        let last_lsn = frame.last_lsn();
        shared.progress.complete(Done {
            frame: frame.header.frame,
            last_lsn: last_lsn.0,
            end: (u64::from(frame.offset) + frame.bytes()) as u32,
            segment,
        })?;
        shared.give_buffer(frame.buffer);
        Ok(Written {
            last_lsn,
            durable_lsn: self.durable_lsn(),
        })
    }

    /// Makes everything that was written stable: for [`Durability::Interval`], as often as the
    /// caller likes. Returns the durable LSN.
    ///
    /// # Errors
    /// Any error poisons the journal: what a failed sync lost, no later sync brings back.
    pub fn sync(&self) -> Result<Lsn> {
        let shared = &self.shared;
        let _turn = shared
            .sync_turn
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        shared.progress.check()?;
        let (reached, dirty) = shared.progress.begin_sync();
        for segment in dirty {
            let result = segment.file.sync();
            shared.guard(result.map_err(|error| Error::io("syncing", &segment.name, error)))?;
        }
        shared.progress.end_sync(reached)?;
        Ok(self.durable_lsn())
    }

    /// What may be acknowledged: every record up to here is as durable as the journal promises.
    #[must_use]
    pub fn durable_lsn(&self) -> Lsn {
        Lsn(self.shared.progress.durable_lsn())
    }

    /// Every record up to here was handed to the operating system.
    #[must_use]
    pub fn written_lsn(&self) -> Lsn {
        Lsn(self.shared.progress.written_lsn())
    }

    /// Whether the journal still accepts anything.
    ///
    /// # Errors
    /// `Poisoned`, with the first cause.
    pub fn health(&self) -> Result<()> {
        self.shared.progress.check()
    }

    /// Closes the journal after the last frame was written: syncs, and notes in the manifest where
    /// it ends, so that the next open knows that nothing may be missing. Nothing is accepted
    /// afterwards.
    ///
    /// # Errors
    /// Whatever kept it from being closed cleanly; what was durable still is.
    pub fn close(&self) -> Result<()> {
        self.sync()?;
        let shared = &self.shared;
        let mut catalogue = shared.catalogue();
        if let Some(current) = shared.progress.current() {
            current.complete();
        }
        let manifest = shared.refreshed(&catalogue.manifest);
        let result = shared.store(&mut catalogue, manifest);
        shared.progress.poison("it was closed");
        result
    }
}
