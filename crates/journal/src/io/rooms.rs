//! Aligned buffers that are used again and again: fresh memory costs more than what is done with it.
//!
//! What always holds: a few wait for their next use; those that nobody used between two looks go.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::blocks::Blocks;

/// How many writers' rooms are kept: as many as there are writers.
const WRITING_MAX: usize = 2;
/// How many readers' rooms are kept.
const READING_MAX: usize = 4;

/// The buffers of all files of a folder.
#[derive(Default)]
pub(super) struct Rooms {
    writing: Mutex<Vec<Blocks>>,
    reading: Mutex<Vec<Blocks>>,
    /// One was used since the last look.
    is_used: AtomicBool,
}

fn guard(rooms: &Mutex<Vec<Blocks>>) -> MutexGuard<'_, Vec<Blocks>> {
    rooms.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Rooms {
    /// An empty one to write from.
    pub(super) fn to_write(&self, bytes: usize) -> Blocks {
        self.is_used.store(true, Ordering::Relaxed);
        let room = guard(&self.writing).pop();
        let mut room = room.unwrap_or_else(|| Blocks::new(bytes));
        room.keep_from(usize::MAX, bytes);
        room
    }

    /// It was written.
    pub(super) fn written(&self, room: Blocks) {
        let mut free = guard(&self.writing);
        if free.len() < WRITING_MAX {
            free.push(room);
        }
    }

    /// An empty one to read into, not much larger than that: what is read lends it out as a whole.
    #[cfg(target_os = "linux")]
    pub(super) fn to_read(self: &Arc<Self>, bytes: usize) -> Lent {
        self.is_used.store(true, Ordering::Relaxed);
        let fits = |room: &Blocks| (bytes..=bytes.saturating_mul(2)).contains(&room.room());
        let mut free = guard(&self.reading);
        let found = free.iter().position(fits).map(|at| free.swap_remove(at));
        drop(free);
        let mut room = found.unwrap_or_else(|| Blocks::new(bytes));
        room.keep_from(usize::MAX, bytes);
        Lent {
            room: Some(room),
            rooms: Arc::clone(self),
        }
    }

    /// Nobody uses it any more.
    #[cfg(target_os = "linux")]
    fn read(&self, room: Blocks) {
        let mut free = guard(&self.reading);
        if free.len() >= READING_MAX {
            // Whoever comes next asks for the size of those before it.
            free.swap_remove(0);
        }
        free.push(room);
    }

    /// Gives back what was not used since the last call.
    pub(super) fn rest(&self) {
        if !self.is_used.swap(false, Ordering::Relaxed) {
            guard(&self.writing).clear();
            guard(&self.reading).clear();
        }
    }
}

/// A room that comes back when the last of those who read its bytes is done.
#[cfg(target_os = "linux")]
pub(super) struct Lent {
    room: Option<Blocks>,
    rooms: Arc<Rooms>,
}

#[cfg(target_os = "linux")]
impl Lent {
    /// What is not filled of the first `bytes`.
    pub(super) fn spare(&mut self, bytes: usize) -> &mut [u8] {
        let Some(room) = &mut self.room else {
            return &mut [];
        };
        let left = bytes.saturating_sub(room.bytes().len());
        let spare = room.spare();
        let left = left.min(spare.len());
        spare.get_mut(..left).unwrap_or_default()
    }

    /// Says that `bytes` more are filled.
    pub(super) fn filled(&mut self, bytes: usize) {
        if let Some(room) = &mut self.room {
            room.filled(bytes);
        }
    }

    /// How much is filled.
    pub(super) fn len(&self) -> usize {
        self.as_ref().len()
    }

    /// Its bytes, as many as there are of those from `skipped` on.
    pub(super) fn into_bytes(self, skipped: usize, len: usize) -> Bytes {
        let end = self.len().min(skipped + len);
        Bytes::from_owner(self).slice(skipped.min(end)..end)
    }
}

#[cfg(target_os = "linux")]
impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.room.as_ref().map_or(&[], Blocks::bytes)
    }
}

#[cfg(target_os = "linux")]
impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(room) = self.room.take() {
            self.rooms.read(room);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_used_again_when_nobody_reads_it_and_goes_when_nobody_comes() {
        let rooms: Arc<Rooms> = Arc::default();
        let mut lent = rooms.to_read(8192);
        let at = lent.spare(8192).as_ptr();
        lent.spare(8192).fill(7);
        lent.filled(8192);
        let bytes = lent.into_bytes(100, 9000);
        assert_eq!(bytes.len(), 8092);
        let part = bytes.slice(..10);
        drop(bytes);
        let other = rooms.to_read(8192);
        drop(other);
        assert_eq!(&part[..], &[7; 10], "still read");
        drop(part);
        let again = [rooms.to_read(8192), rooms.to_read(8192)];
        assert!(
            again
                .into_iter()
                .any(|mut room| room.spare(1).as_ptr() == at)
        );
        let mut smaller = rooms.to_read(4096);
        assert_eq!(
            smaller.spare(usize::MAX).len(),
            4096 * 2,
            "not twice as large"
        );
        drop(smaller);
        rooms.rest();
        assert_eq!(guard(&rooms.reading).len(), 2);
        rooms.rest();
        assert!(guard(&rooms.reading).is_empty());
    }
}
