//! Reading what is long: past the page cache, unless it is likely to be there.
//!
//! ```text
//! written through the cache, or read before?  -> through the cache: it is there, or will be for the next one
//! else                                        -> O_DIRECT, into whole aligned blocks that are used again and again
//! ```
//! Most of what a log's readers read, they read once. To bring it into the page cache first costs several times what
//! it costs to read it past it, and drives out what others need. What comes to be read again is brought there.
//! (To ask the cache first, with `RWF_NOWAIT`, makes the system read ahead into it.)
//!
//! What always holds: where the file system refuses a direct read, none is the answer and whoever asked reads as usual.

use std::fs::File;
use std::io::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use rustix::io::{Errno, pread};

use super::rooms::{Lent, Rooms};
use crate::format::BLOCK;

/// What is shorter is read as usual: the system reads ahead for it.
pub(super) const BYTES_MIN: usize = 128 << 10;
/// What is told apart: of two reads behind each other the middles are further apart.
const GRAIN_BYTES: u64 = 64 << 10;
/// So many grains are told apart; in longer files some share one.
const GRAINS: u64 = 1024;

/// Which parts of a file are likely to be in the page cache.
pub(super) struct Cached([AtomicU64; (GRAINS / 64) as usize]);

impl Cached {
    pub(super) fn new() -> Self {
        Self([const { AtomicU64::new(0) }; (GRAINS / 64) as usize])
    }

    /// Where it is known of a grain, and which bit.
    fn word(&self, grain: u64) -> (&AtomicU64, u64) {
        let [first, ..] = &self.0;
        let word = self.0.get((grain % GRAINS / 64) as usize);
        (word.unwrap_or(first), 1 << (grain % 64))
    }

    /// It was written, through the cache or past it.
    pub(super) fn written(&self, offset: u64, len: usize, is_cached: bool) {
        let end = offset + (len as u64).saturating_sub(1);
        let grains = offset / GRAIN_BYTES..=end / GRAIN_BYTES;
        for grain in grains.take(GRAINS as usize) {
            let (word, bit) = self.word(grain);
            match is_cached {
                true => word.fetch_or(bit, Ordering::Relaxed),
                false => word.fetch_and(!bit, Ordering::Relaxed),
            };
        }
    }

    /// It is being read. Says whether it is likely to be there.
    fn read(&self, middle: u64) -> bool {
        let (word, bit) = self.word(middle / GRAIN_BYTES);
        word.fetch_or(bit, Ordering::Relaxed) & bit != 0
    }
}

/// Reads `len` bytes from `offset` on, fewer only at the file's end; none if that has to be done in another way.
pub(super) fn read(
    (plain, direct): (&File, &File),
    cached: &Cached,
    rooms: &Arc<Rooms>,
    (offset, len): (u64, usize),
) -> Result<Option<Bytes>> {
    let block = u64::from(BLOCK);
    let skipped = (offset % block) as usize;
    let start = offset - skipped as u64;
    let whole = (skipped + len).next_multiple_of(BLOCK as usize);
    let mut room = rooms.to_read(whole);
    let is_cached = cached.read(start + whole as u64 / 2);
    let file = if is_cached { plain } else { direct };
    if !fill(file, &mut room, start, whole)? {
        return Ok(None);
    }
    Ok(Some(room.into_bytes(skipped, len)))
}

/// Fills the room to `whole` bytes, or to the file's end. False if the file system refuses.
fn fill(file: &File, room: &mut Lent, start: u64, whole: usize) -> Result<bool> {
    while room.len() < whole {
        let at = start + room.len() as u64;
        match pread(file, room.spare(whole), at) {
            Ok(0) => return Ok(true),
            Ok(read) => {
                room.filled(read);
                if read % BLOCK as usize != 0 {
                    // The file's end.
                    return Ok(true);
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_is_read_is_what_was_written_past_the_cache_or_not() {
        use std::os::unix::fs::OpenOptionsExt;
        let path = std::env::temp_dir().join(format!("polybus-long-{}", std::process::id()));
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        let mut file = options.open(&path).unwrap();
        let bytes: Vec<u8> = (0..600_001u32).map(|at| (at % 253) as u8).collect();
        file.write_all(&bytes).unwrap();
        file.sync_all().unwrap();
        let flags = rustix::fs::OFlags::DIRECT.bits().cast_signed();
        let direct = options.truncate(false).custom_flags(flags).open(&path);
        let direct = direct.unwrap_or(file.try_clone().unwrap());
        let (cached, rooms) = (Cached::new(), Arc::default());
        // Past the cache, through it, and over the end.
        for _ in 0..2 {
            for (offset, len) in [(0, 200_000), (4_097, 150_000), (299_000, 400_000)] {
                let read = read((&file, &direct), &cached, &rooms, (offset, len)).unwrap();
                let Some(read) = read else {
                    continue; // This file system has no such reads.
                };
                let end = bytes.len().min(offset as usize + len);
                assert!(read == bytes[offset as usize..end]);
            }
        }
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn what_is_read_twice_or_was_written_through_the_cache_counts_as_there() {
        let cached = Cached::new();
        let middles = (0..200u64).map(|at| at * BYTES_MIN as u64 + BYTES_MIN as u64 / 2);
        assert!(middles.clone().all(|middle| !cached.read(middle)));
        assert!(middles.clone().all(|middle| cached.read(middle)));
        cached.written(GRAIN_BYTES + 1, 3 * GRAIN_BYTES as usize, false);
        let read: Vec<bool> = (0..6).map(|at| cached.read(at * GRAIN_BYTES)).collect();
        assert_eq!(read, [false, false, false, false, false, true]);
        let other = Cached::new();
        other.written(5, GRAIN_BYTES as usize - 4, true);
        let read: Vec<bool> = (0..3).map(|at| other.read(at * GRAIN_BYTES)).collect();
        assert_eq!(read, [true, true, false]);
        other.written(7, 0, true);
    }
}
