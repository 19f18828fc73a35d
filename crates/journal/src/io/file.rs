//! A real folder.
//!
//! A durable write is one `pwritev2` with `RWF_DSYNC` on Linux (one call, and several can be in
//! flight on one file), a write and a sync elsewhere; what is long goes past the page cache
//! (`direct.rs`), and is read there when it is read once (`long_read.rs`). Recovery reads with `O_DIRECT` where the file system takes it, and has the system
//! forget its copy where it does not: after a failed sync the page cache shows bytes that the disk
//! lacks.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::direct::Direct;
use super::rooms::Rooms;
use super::{Io, IoFile, OpenMode};

/// The most parts that one vectored write takes (`IOV_MAX` on Linux).
const PARTS_MAX: usize = 1024;

/// A folder on a real disk.
pub struct FileIo {
    folder: PathBuf,
    rooms: Arc<Rooms>,
}

impl FileIo {
    /// Uses `folder`, and makes it when it is not there.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn new(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref().to_owned();
        if !folder.is_dir() {
            fs::create_dir_all(&folder)?;
            if let Some(parent) = folder.parent().filter(|p| !p.as_os_str().is_empty()) {
                File::open(parent)?.sync_all()?;
            }
        }
        let rooms = Arc::default();
        Ok(Self { folder, rooms })
    }

    /// The size of the disk, used or not.
    ///
    /// # Errors
    /// Whatever the operating system says.
    pub fn disk_bytes(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(&self.folder)?;
        Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Io for FileIo {
    fn folder(&self) -> String {
        self.folder.display().to_string()
    }

    fn lock(&self) -> Result<Box<dyn Send + Sync>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.path("LOCK"))?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(file)),
            Err(TryLockError::WouldBlock) => Err(Error::from(ErrorKind::WouldBlock)),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn open(&self, name: &str, mode: OpenMode) -> Result<Arc<dyn IoFile>> {
        let path = self.path(name);
        let file = match mode {
            OpenMode::Create => OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(&path)?,
            OpenMode::Existing => OpenOptions::new().read(true).write(true).open(&path)?,
            OpenMode::Uncached => open_uncached(&path)?,
        };
        Ok(Arc::new(DiskFile {
            file,
            plain_sync: AtomicBool::new(!cfg!(target_os = "linux")),
            direct: Direct::new(path, Arc::clone(&self.rooms)),
        }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_folder(&self) -> Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn free_bytes(&self) -> Result<u64> {
        let stat = rustix::fs::statvfs(&self.folder)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn rest(&self) {
        self.rooms.rest();
    }
}

#[cfg(target_os = "linux")]
fn open_uncached(path: &Path) -> Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let direct = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::DIRECT.bits().cast_signed())
        .open(path);
    match direct {
        Err(error) if error.kind() == ErrorKind::InvalidInput => open_forgotten(path),
        result => result,
    }
}

/// Opens a file of which the page cache holds nothing that the disk may lack. A failed sync leaves
/// pages that count as clean; what still is dirty must reach the disk, or nothing is read. Where
/// memory is the disk (tmpfs), nothing is forgotten and nothing need be.
#[cfg(target_os = "linux")]
fn open_forgotten(path: &Path) -> Result<File> {
    let file = File::open(path)?;
    file.sync_all()?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(file)
}

#[cfg(not(target_os = "linux"))]
fn open_uncached(path: &Path) -> Result<File> {
    File::open(path)
}

struct DiskFile {
    file: File,
    /// Set once the file system has refused a durable write: it is a write and a sync from then.
    plain_sync: AtomicBool,
    direct: Direct,
}

impl DiskFile {
    /// One durable vectored write; `None` when the platform has no such thing.
    #[cfg(target_os = "linux")]
    fn write_durably(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<Option<usize>> {
        use rustix::io::{Errno, ReadWriteFlags, pwritev2};
        if self.plain_sync.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match pwritev2(&self.file, parts, offset, ReadWriteFlags::DSYNC) {
            Ok(written) => Ok(Some(written)),
            Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL) => {
                self.plain_sync.store(true, Ordering::Relaxed);
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn write_durably(&self, _parts: &[IoSlice<'_>], _offset: u64) -> Result<Option<usize>> {
        Ok(None)
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
    fn write_plainly(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<usize> {
        Ok(rustix::io::pwritev(&self.file, parts, offset)?)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
    fn write_plainly(&self, parts: &[IoSlice<'_>], offset: u64) -> Result<usize> {
        match parts.first() {
            Some(part) => self.file.write_at(part, offset),
            None => Ok(0),
        }
    }
}

impl IoFile for DiskFile {
    fn write_at(
        &self,
        mut parts: &mut [IoSlice<'_>],
        mut offset: u64,
        durable: bool,
    ) -> Result<()> {
        if self.direct.write(&self.file, parts, offset, durable)? {
            return Ok(());
        }
        let mut sync_after = false;
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let batch = &parts[..parts.len().min(PARTS_MAX)];
            let attempt = if durable {
                self.write_durably(batch, offset)
            } else {
                Ok(None)
            };
            let attempt = match attempt {
                Ok(Some(written)) => Ok(written),
                Ok(None) => {
                    sync_after = durable;
                    self.write_plainly(batch, offset)
                }
                Err(error) => Err(error),
            };
            match attempt {
                Ok(0) => return Err(Error::from(ErrorKind::WriteZero)),
                Ok(written) => {
                    offset += written as u64;
                    IoSlice::advance_slices(&mut parts, written);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if sync_after {
            self.file.sync_data()?;
        }
        Ok(())
    }

    #[cfg(target_os = "linux")]
    fn allocate(&self, bytes: u64) -> Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        let allocated = fallocate(&self.file, FallocateFlags::empty(), 0, bytes);
        // It may have got half of the way.
        allocated.or_else(|_| self.file.set_len(0))
    }

    fn shrink(&self, bytes: u64) -> Result<()> {
        self.file.set_len(bytes)
    }

    fn sync(&self) -> Result<()> {
        self.file.sync_data()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self
                .file
                .read_at(&mut buffer[filled..], offset + filled as u64)
            {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A short direct read ends at an odd offset, and the next one is refused there.
                Err(error) if error.kind() == ErrorKind::InvalidInput && filled > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Without zeroing the memory first.
    fn read_new(&self, offset: u64, len: usize) -> Result<Bytes> {
        let long = self.direct.read(&self.file, offset, len)?;
        if let Some(bytes) = long.filter(|bytes| bytes.len() == len) {
            return Ok(bytes);
        }
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let at = offset + bytes.len() as u64;
            match rustix::io::pread(&self.file, rustix::buffer::spare_capacity(&mut bytes), at) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(len);
        Ok(Bytes::from(bytes))
    }

    fn len(&self) -> Result<u64> {
        self.file.metadata().map(|metadata| metadata.len())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::IoSliceMut;

    use rustix::io::{Errno, ReadWriteFlags, preadv2};

    use super::*;

    /// Whether a read would be served from the page cache.
    fn is_cached(file: &File) -> Option<bool> {
        let mut byte = [0];
        let flags = ReadWriteFlags::NOWAIT;
        match preadv2(file, &mut [IoSliceMut::new(&mut byte)], 4096, flags) {
            Ok(_) => Some(true),
            Err(Errno::AGAIN) => Some(false),
            Err(_) => None,
        }
    }

    #[test]
    fn what_cannot_be_read_directly_is_not_read_from_the_page_cache() {
        let path = std::env::temp_dir().join(format!("polybus-cached-{}", std::process::id()));
        fs::write(&path, [7; 3 * 4096]).unwrap();
        let before = File::open(&path).unwrap();
        let was_cached = is_cached(&before);
        let file = open_forgotten(&path).unwrap();
        fs::remove_file(&path).unwrap();
        if was_cached != Some(true) {
            return; // This file system does not tell.
        }
        let is_memory = rustix::fs::fstatfs(&file).unwrap().f_type == 0x0102_1994;
        assert_eq!(is_cached(&file), Some(is_memory));
        let mut byte = [0];
        file.read_at(&mut byte, 8192).unwrap();
        assert_eq!(byte, [7]);
    }
}
