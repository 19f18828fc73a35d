//! The disk, as the journal needs it: one folder of named files.
//!
//! [`FileIo`] is a real folder. [`MemoryIo`] is a simulated one that can lose power, tear writes,
//! fail syncs, run full and flip bits, all repeatable. Nothing here retries anything.

mod direct;
mod file;
#[cfg(target_os = "linux")]
mod long_read;
mod memory;
mod rooms;

use std::io::{IoSlice, Result};
use std::sync::Arc;

use bytes::Bytes;

pub use file::FileIo;
pub use memory::{CrashMode, MemoryIo};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Make it empty, replacing what is there; then read and write.
    Create,
    /// Read and write what is there.
    Existing,
    /// Read past the page cache where the platform can: reads are then whole aligned blocks.
    Uncached,
}

/// One folder.
pub trait Io: Send + Sync + 'static {
    /// The folder's name, for error messages.
    fn folder(&self) -> String;

    /// Makes this the folder's only user until the guard is dropped.
    ///
    /// # Errors
    /// `WouldBlock` when another one has it.
    fn lock(&self) -> Result<Box<dyn Send + Sync>>;

    /// The names of the files.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn list(&self) -> Result<Vec<String>>;

    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound`, or whatever the disk says.
    fn open(&self, name: &str, mode: OpenMode) -> Result<Arc<dyn IoFile>>;

    /// Renames a file, replacing any that has the new name. Durable after [`Io::sync_folder`].
    ///
    /// # Errors
    /// Whatever the disk says.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Removes a file. Durable after [`Io::sync_folder`].
    ///
    /// # Errors
    /// Whatever the disk says.
    fn remove(&self, name: &str) -> Result<()>;

    /// Makes creations, renames and removals durable.
    ///
    /// # Errors
    /// Whatever the disk says: the state of the folder is unknown then.
    fn sync_folder(&self) -> Result<()>;

    /// The bytes that can still be written.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn free_bytes(&self) -> Result<u64>;

    /// Gives back memory that was kept for further use, and not used since the last call.
    fn rest(&self) {}
}

/// One open file, used from several threads at once.
pub trait IoFile: Send + Sync {
    /// Writes all parts, one behind the other, from `offset` on; `durable` makes them stable
    /// before it returns.
    ///
    /// # Errors
    /// Whatever the disk says: what was written is unknown then.
    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64, durable: bool) -> Result<()>;

    /// Takes room on the disk for the first `bytes` of an empty file, which read as zeros until they
    /// are written: writes need not make it grow then. A disk that cannot leaves the file empty.
    ///
    /// # Errors
    /// Whatever the disk says: the file is empty then.
    fn allocate(&self, _bytes: u64) -> Result<()> {
        Ok(())
    }

    /// Gives back the room behind the first `bytes`, which nobody reads any more. Whether that outlives a crash does not
    /// matter; a disk that cannot keeps the file as it is.
    ///
    /// # Errors
    /// Whatever the disk says: the file is as it was.
    fn shrink(&self, _bytes: u64) -> Result<()> {
        Ok(())
    }

    /// Makes everything that was written stable.
    ///
    /// # Errors
    /// Whatever the disk says: what was written is lost then, and must not be synced again.
    fn sync(&self) -> Result<()>;

    /// Fills `buffer` from `offset` on, and says how much of it: less only at the file's end.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize>;

    /// Reads `len` bytes from `offset` on into memory of their own; fewer only at the file's end.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn read_new(&self, offset: u64, len: usize) -> Result<Bytes> {
        let mut bytes = vec![0; len];
        let read = self.read_at(&mut bytes, offset)?;
        bytes.truncate(read);
        Ok(Bytes::from(bytes))
    }

    /// The file's length.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn len(&self) -> Result<u64>;

    /// Whether the file is empty.
    ///
    /// # Errors
    /// Whatever the disk says.
    fn is_empty(&self) -> Result<bool> {
        self.len().map(|len| len == 0)
    }
}
