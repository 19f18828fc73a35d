//! Past the page cache, for what is long: how it is written, and where it is read (`long_read.rs`).
//!
//! ```text
//! parts -> copied into whole aligned blocks -> O_DIRECT (with RWF_DSYNC, or a sync behind several pieces)
//! ```
//! A long write through the page cache costs more than the copy: pages are looked up, filled, marked and
//! written back, and few of them are ever read again (what was just written is mostly still in
//! the broker's memory). So what is long goes straight to the disk, and what is short through the
//! cache, where it costs less.
//!
//! What always holds: where the file system refuses a direct write, false is the answer and whoever asked
//! writes all of it through the cache. What the cache has of the place, read ahead before it was
//! written, the system drops with the write.

use std::fs::File;
use std::io::{IoSlice, Result};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

#[cfg(target_os = "linux")]
use super::long_read::{self, Cached};
use super::rooms::Rooms;
use crate::blocks::Blocks;
use crate::format::BLOCK;

/// What is shorter goes through the page cache, if it is to be on the disk when the write returns.
const DURABLE_BYTES_MIN: usize = 64 << 10;
/// The same for what need not: the cache takes it without waiting for the disk.
const PLAIN_BYTES_MIN: usize = 256 << 10;
/// What is longer is written in pieces.
const PIECE_BYTES_MAX: usize = 2 << 20;
/// One file's way past the cache.
pub(super) struct Direct {
    path: PathBuf,
    rooms: Arc<Rooms>,
    /// Opened for the first long one; none where that is refused.
    file: OnceLock<Option<File>>,
    /// One was refused: the next ones are not even begun.
    is_refused: AtomicBool,
    #[cfg(target_os = "linux")]
    cached: Cached,
}

impl Direct {
    pub(super) fn new(path: PathBuf, rooms: Arc<Rooms>) -> Self {
        Self {
            path,
            rooms,
            file: OnceLock::new(),
            is_refused: AtomicBool::new(false),
            #[cfg(target_os = "linux")]
            cached: Cached::new(),
        }
    }

    /// Reads `len` bytes from `offset` on if they are long enough; fewer only at the file's end.
    #[cfg(target_os = "linux")]
    pub(super) fn read(&self, plain: &File, offset: u64, len: usize) -> Result<Option<Bytes>> {
        if len < long_read::BYTES_MIN || self.is_refused.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let file = self.file.get_or_init(|| open(plain, &self.path));
        let Some(file) = file else {
            return Ok(None);
        };
        let read = long_read::read((plain, file), &self.cached, &self.rooms, (offset, len));
        if matches!(read, Ok(None)) {
            self.is_refused.store(true, Ordering::Relaxed);
        }
        read
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn read(&self, _plain: &File, _offset: u64, _len: usize) -> Result<Option<Bytes>> {
        Ok(None)
    }

    /// Writes all parts if they are long enough and whole blocks. False if it did not: all of it is to be written then,
    /// through the cache, what was written already as well.
    pub(super) fn write(
        &self,
        cached: &File,
        parts: &[IoSlice<'_>],
        offset: u64,
        durable: bool,
    ) -> Result<bool> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let written = self.write_long(cached, parts, (offset, len), durable);
        #[cfg(target_os = "linux")]
        self.cached
            .written(offset, len, !matches!(written, Ok(true)));
        written
    }

    fn write_long(
        &self,
        cached: &File,
        parts: &[IoSlice<'_>],
        (offset, len): (u64, usize),
        durable: bool,
    ) -> Result<bool> {
        let block = u64::from(BLOCK);
        let is_whole = (len as u64).is_multiple_of(block) && offset.is_multiple_of(block);
        let least = match durable {
            true => DURABLE_BYTES_MIN,
            false => PLAIN_BYTES_MIN,
        };
        if len < least || !is_whole || self.is_refused.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let file = self.file.get_or_init(|| open(cached, &self.path));
        let Some(file) = file else {
            return Ok(false);
        };
        let mut room = self.rooms.to_write(len.min(PIECE_BYTES_MAX));
        let written = write_pieces(file, &mut room, Source::new(parts), (offset, len), durable);
        self.rooms.written(room);
        if matches!(written, Ok(false)) {
            self.is_refused.store(true, Ordering::Relaxed);
        }
        written
    }
}

/// What is still to be copied of some parts.
struct Source<'a> {
    parts: std::slice::Iter<'a, IoSlice<'a>>,
    part: &'a [u8],
}

impl<'a> Source<'a> {
    fn new(parts: &'a [IoSlice<'_>]) -> Self {
        Self {
            parts: parts.iter(),
            part: &[],
        }
    }

    /// Fills the room, or as much of it as there is left.
    fn fill(&mut self, room: &mut Blocks) {
        room.keep_from(usize::MAX, 0);
        loop {
            let spare = room.spare();
            let len = self.part.len().min(spare.len());
            if len > 0 {
                let (now, later) = self.part.split_at(len);
                spare[..len].copy_from_slice(now);
                room.filled(len);
                self.part = later;
                continue;
            }
            if !self.part.is_empty() {
                return;
            }
            let Some(next) = self.parts.next() else {
                return;
            };
            self.part = next;
        }
    }
}

fn write_pieces(
    file: &File,
    room: &mut Blocks,
    mut source: Source<'_>,
    (mut offset, len): (u64, usize),
    durable: bool,
) -> Result<bool> {
    let is_one_piece = len <= PIECE_BYTES_MAX;
    let end = offset + len as u64;
    while offset < end {
        source.fill(room);
        if !write_piece(file, room.bytes(), offset, durable && is_one_piece)? {
            return Ok(false);
        }
        offset += room.bytes().len() as u64;
    }
    if durable && !is_one_piece {
        file.sync_data()?;
    }
    Ok(true)
}

/// Opens what `cached` is once more, for direct reads and writes; none where that is refused, or where something else has its
/// name by now.
#[cfg(target_os = "linux")]
fn open(cached: &File, path: &Path) -> Option<File> {
    use rustix::fs::{OFlags, fstat};
    use std::os::unix::fs::OpenOptionsExt;
    let flags = OFlags::DIRECT.bits().cast_signed();
    let mut options = File::options();
    let options = options.read(true).write(true);
    let file = options.custom_flags(flags).open(path).ok()?;
    let (ours, named) = (fstat(cached).ok()?, fstat(&file).ok()?);
    let is_same = (ours.st_dev, ours.st_ino) == (named.st_dev, named.st_ino);
    is_same.then_some(file)
}

#[cfg(not(target_os = "linux"))]
fn open(_cached: &File, _path: &Path) -> Option<File> {
    None
}

#[cfg(target_os = "linux")]
fn write_piece(file: &File, mut piece: &[u8], mut offset: u64, durable: bool) -> Result<bool> {
    use rustix::io::{Errno, ReadWriteFlags, pwritev2};
    let flags = match durable {
        true => ReadWriteFlags::DSYNC,
        false => ReadWriteFlags::empty(),
    };
    while !piece.is_empty() {
        match pwritev2(file, &[IoSlice::new(piece)], offset, flags) {
            // What is left would not be whole blocks.
            Ok(written) if written == 0 || !written.is_multiple_of(BLOCK as usize) => {
                return Ok(false);
            }
            Ok(written) => {
                piece = piece.get(written..).unwrap_or_default();
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

#[cfg(not(target_os = "linux"))]
fn write_piece(_file: &File, _piece: &[u8], _offset: u64, _durable: bool) -> Result<bool> {
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_any_length_fill_room_after_room() {
        let bytes: Vec<u8> = (0..50_000u32).map(|at| (at % 251) as u8).collect();
        let (first, rest) = bytes.split_at(5);
        let (second, third) = rest.split_at(20_000);
        let parts = [first, &[], second, third].map(IoSlice::new);
        let mut source = Source::new(&parts);
        let mut room = Blocks::new(8192);
        let mut copied = Vec::new();
        loop {
            source.fill(&mut room);
            if room.bytes().is_empty() {
                break;
            }
            assert!(room.bytes().as_ptr().addr().is_multiple_of(BLOCK as usize));
            copied.extend_from_slice(room.bytes());
        }
        assert_eq!(copied, bytes);
    }

    #[test]
    fn what_is_written_past_the_cache_is_what_is_read_through_it() {
        let path = std::env::temp_dir().join(format!("polybus-direct-{}", std::process::id()));
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true);
        let file = options.open(&path).unwrap();
        let direct = Direct::new(path.clone(), Arc::default());
        let bytes: Vec<u8> = (0..5 * 1024 * 1024u32).map(|at| (at >> 7) as u8).collect();
        let mut written = 0;
        // One piece, several pieces, and one over what was read before.
        for (offset, len, durable) in [
            (4096, 65536, true),
            (0, bytes.len(), true),
            (8192, 1 << 20, false),
        ] {
            let (head, tail) = bytes[..len].split_at(77);
            let parts = [head, tail].map(IoSlice::new);
            if !direct.write(&file, &parts, offset, durable).unwrap() {
                break; // This file system has no such writes.
            }
            let mut read = vec![0; len];
            std::os::unix::fs::FileExt::read_exact_at(&file, &mut read, offset).unwrap();
            assert!(read == bytes[..len]);
            written += 1;
        }
        std::fs::remove_file(&path).unwrap();
        let is_refused = direct.file.get().is_some_and(Option::is_none);
        assert!(written == 3 || is_refused || direct.is_refused.load(Ordering::Relaxed));
        // What is short, or no whole blocks, is left alone.
        let parts = [IoSlice::new(&bytes[..4096])];
        assert!(!direct.write(&file, &parts, 0, true).unwrap());
        let parts = [IoSlice::new(&bytes[..65537])];
        assert!(!direct.write(&file, &parts, 0, true).unwrap());
    }

    #[test]
    fn a_file_of_another_name_by_now_is_not_written_by_its_name() {
        let folder = std::env::temp_dir();
        let path = folder.join(format!("polybus-direct-a-{}", std::process::id()));
        let moved = folder.join(format!("polybus-direct-b-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        std::fs::rename(&path, &moved).unwrap();
        std::fs::write(&path, b"another").unwrap();
        let direct = Direct::new(path.clone(), Arc::default());
        let parts = [IoSlice::new(&[1; 65536])];
        assert!(!direct.write(&file, &parts, 0, false).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), b"another");
        std::fs::remove_file(&path).unwrap();
        std::fs::remove_file(&moved).unwrap();
    }
}
