//! The simulated disk: a folder in memory that forgets what was never synced.
//!
//! ```text
//! write -> current bytes, and the sector's old bytes go to `undo` (once)
//! sync  -> undo is forgotten: the bytes are stable
//! failed sync -> undo moves to `lost`: reads still show the new bytes, the disk never gets them
//! crash -> each undo sector is kept, put back or zeroed by the seed; each lost one is put back
//! ```
//!
//! Folder changes (create, rename, remove) are stable after `sync_folder`; of the others a torn crash
//! keeps the first few, or (by the seed) any of them. A crash also cuts off every open file and
//! every lock. The same calls and the same seed always give the same disk.

mod node;
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Error, ErrorKind, IoSlice, Result};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Io, IoFile, OpenMode};
use node::Node;
use random::Random;

/// What a simulated crash does to what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashMode {
    /// Only the process dies: everything that was written stays.
    Process,
    /// The power goes, and nothing that was not synced had reached the disk.
    LoseUnsynced,
    /// The power goes, and of the unsynced 512-byte sectors each is kept, lost or zeroed.
    Tear,
}

/// A simulated disk. Clones are handles to the same one.
#[derive(Clone, Default)]
pub struct MemoryIo {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Default)]
struct Disk {
    nodes: BTreeMap<u64, Node>,
    names: BTreeMap<String, u64>,
    /// The folder as of the last `sync_folder`, and each change since.
    names_stable: BTreeMap<String, u64>,
    changes: Vec<Change>,
    next_node: u64,
    /// Handles of an earlier generation are dead: the machine has crashed since.
    generation: u64,
    locked: bool,
    faults: Faults,
}

#[derive(Default)]
struct Faults {
    capacity_bytes: Option<u64>,
    syncs_until_failure: Option<u64>,
    writes_until_power_loss: Option<u64>,
    powerless: bool,
    syncs: u64,
    writes: u64,
    slow_write_every: Option<u64>,
    slow_writes: u64,
}

enum Change {
    Link(String, u64),
    Rename(String, String),
    Unlink(String),
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link(name, node) => {
                names.insert(name.clone(), *node);
            }
            Self::Rename(from, to) => {
                if let Some(node) = names.remove(from) {
                    names.insert(to.clone(), node);
                }
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
        }
    }
}

impl MemoryIo {
    /// An empty disk without limits or faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Crashes the machine (or the process): open files and locks are dead, and what was not
    /// synced is treated as `mode` says. Faults that were armed are disarmed.
    pub fn crash(&self, mode: CrashMode, seed: u64) {
        let mut disk = self.disk();
        let mut random = Random(seed);
        disk.generation += 1;
        disk.locked = false;
        let capacity_bytes = disk.faults.capacity_bytes;
        disk.faults = Faults {
            capacity_bytes,
            ..Faults::default()
        };
        if mode == CrashMode::Process {
            return;
        }
        let changes = std::mem::take(&mut disk.changes);
        let mut names = std::mem::take(&mut disk.names_stable);
        if mode == CrashMode::Tear {
            let in_order = random.below(2) == 0;
            let first_lost = random.below(changes.len() as u64 + 1) as usize;
            for (index, change) in changes.iter().enumerate() {
                let kept = match in_order {
                    true => index < first_lost,
                    false => random.below(2) == 0,
                };
                if kept {
                    change.apply(&mut names);
                }
            }
        }
        let live: Vec<u64> = names.values().copied().collect();
        disk.nodes.retain(|id, _| live.contains(id));
        for node in disk.nodes.values_mut() {
            node.crash(mode, &mut random);
        }
        disk.names_stable = names.clone();
        disk.names = names;
    }

    /// Flips one bit of a file, as decay on the disk does.
    ///
    /// # Errors
    /// `NotFound` when there is no such byte.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u8) -> Result<()> {
        let mut disk = self.disk();
        let flipped = disk.node_mut(name)?.flip_bit(offset, bit);
        flipped
            .then_some(())
            .ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// A file's bytes, as a read through the cache shows them.
    ///
    /// # Errors
    /// `NotFound` when there is no such file.
    pub fn contents(&self, name: &str) -> Result<Vec<u8>> {
        Ok(self.disk().node_mut(name)?.bytes.clone())
    }

    /// Replaces a file's bytes, stably and behind everyone's back.
    pub fn replace(&self, name: &str, bytes: Vec<u8>) {
        let mut disk = self.disk();
        let id = disk.new_node();
        disk.nodes.insert(id, Node::stable(bytes));
        disk.names.insert(name.to_owned(), id);
        disk.names_stable.insert(name.to_owned(), id);
    }

    /// A copy of the whole disk as a separate one.
    #[must_use]
    pub fn fork(&self) -> Self {
        let disk = self.disk();
        let copy = Self::new();
        for (name, id) in &disk.names {
            if let Some(node) = disk.nodes.get(id) {
                copy.replace(name, node.bytes.clone());
            }
        }
        copy
    }

    /// Limits what all files together may take; writes past it fail with `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk().faults.capacity_bytes = bytes;
    }

    /// Fails one sync (or durable write) after `after` good ones: its data never reaches the
    /// disk, although the cache goes on showing it and the next sync says that all is well.
    pub fn fail_sync(&self, after: u64) {
        self.disk().faults.syncs_until_failure = Some(after);
    }

    /// Cuts the power in the middle of a write, after `after` whole ones: every later call fails
    /// until [`MemoryIo::crash`] restarts the machine.
    pub fn lose_power(&self, after: u64) {
        self.disk().faults.writes_until_power_loss = Some(after);
    }

    /// Marks every `n`th write as slow: [`MemoryIo::slow_writes`] counts them, and whoever owns
    /// the simulated clock charges for them. This disk has no clock of its own.
    pub fn mark_slow_writes(&self, every: Option<u64>) {
        self.disk().faults.slow_write_every = every;
    }

    /// How many writes were marked slow so far.
    #[must_use]
    pub fn slow_writes(&self) -> u64 {
        self.disk().faults.slow_writes
    }

    /// How many syncs and durable writes there were since the last crash.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.disk().faults.syncs
    }
}

impl Disk {
    fn new_node(&mut self) -> u64 {
        self.next_node += 1;
        self.next_node
    }

    fn node_mut(&mut self, name: &str) -> Result<&mut Node> {
        let id = self.names.get(name).ok_or(ErrorKind::NotFound)?;
        Ok(self.nodes.get_mut(id).ok_or(ErrorKind::NotFound)?)
    }

    fn powered(&self) -> Result<()> {
        if self.faults.powerless {
            return Err(Error::other("the simulated machine has no power"));
        }
        Ok(())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    /// What the named files take: a removed one makes room at once.
    fn used_bytes(&self) -> u64 {
        let nodes = self.names.values().filter_map(|id| self.nodes.get(id));
        nodes.map(|node| node.bytes.len() as u64).sum()
    }

    /// Forgets nodes that no name leads to, now or after any crash.
    fn forget_unnamed(&mut self) {
        let linked = self.changes.iter().filter_map(|change| match change {
            Change::Link(_, node) => Some(*node),
            _ => None,
        });
        let named = self.names.values().chain(self.names_stable.values());
        let live: BTreeSet<u64> = named.copied().chain(linked).collect();
        self.nodes.retain(|id, _| live.contains(id));
    }

    fn sync_fails(&mut self) -> bool {
        self.faults.syncs += 1;
        match &mut self.faults.syncs_until_failure {
            Some(0) => {
                self.faults.syncs_until_failure = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }

    fn power_fails(&mut self) -> bool {
        match &mut self.faults.writes_until_power_loss {
            Some(0) => {
                self.faults.writes_until_power_loss = None;
                self.faults.powerless = true;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

/// Unlocks when dropped, unless the machine has crashed since.
struct Lock {
    io: MemoryIo,
    generation: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut disk = self.io.disk();
        if disk.generation == self.generation {
            disk.locked = false;
        }
    }
}

impl Io for MemoryIo {
    fn folder(&self) -> String {
        "memory".to_owned()
    }

    fn lock(&self) -> Result<Box<dyn Send + Sync>> {
        let mut disk = self.disk();
        disk.powered()?;
        if disk.locked {
            return Err(ErrorKind::WouldBlock.into());
        }
        disk.locked = true;
        Ok(Box::new(Lock {
            io: self.clone(),
            generation: disk.generation,
        }))
    }

    fn list(&self) -> Result<Vec<String>> {
        let disk = self.disk();
        disk.powered()?;
        Ok(disk.names.keys().cloned().collect())
    }

    fn open(&self, name: &str, mode: OpenMode) -> Result<Arc<dyn IoFile>> {
        let mut disk = self.disk();
        disk.powered()?;
        let node = match (mode, disk.names.get(name).copied()) {
            (OpenMode::Create, _) => {
                let id = disk.new_node();
                disk.nodes.insert(id, Node::default());
                disk.change(Change::Link(name.to_owned(), id));
                disk.forget_unnamed();
                id
            }
            (_, Some(id)) => id,
            (_, None) => return Err(ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(MemoryFile {
            io: self.clone(),
            node,
            generation: disk.generation,
            uncached: mode == OpenMode::Uncached,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let mut disk = self.disk();
        disk.powered()?;
        if !disk.names.contains_key(from) {
            return Err(ErrorKind::NotFound.into());
        }
        disk.change(Change::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        let mut disk = self.disk();
        disk.powered()?;
        if !disk.names.contains_key(name) {
            return Err(ErrorKind::NotFound.into());
        }
        disk.change(Change::Unlink(name.to_owned()));
        Ok(())
    }

    fn sync_folder(&self) -> Result<()> {
        let mut disk = self.disk();
        disk.powered()?;
        if disk.sync_fails() {
            return Err(Error::other("simulated: the sync failed"));
        }
        disk.names_stable = disk.names.clone();
        disk.changes.clear();
        disk.forget_unnamed();
        Ok(())
    }

    fn free_bytes(&self) -> Result<u64> {
        let disk = self.disk();
        let capacity = disk.faults.capacity_bytes.unwrap_or(1 << 40);
        Ok(capacity.saturating_sub(disk.used_bytes()))
    }
}

struct MemoryFile {
    io: MemoryIo,
    node: u64,
    generation: u64,
    uncached: bool,
}

impl MemoryFile {
    /// The disk, if this handle is still good for it.
    fn disk(&self) -> Result<MutexGuard<'_, Disk>> {
        let disk = self.io.disk();
        disk.powered()?;
        if disk.generation != self.generation {
            return Err(Error::other("simulated: the machine has crashed since"));
        }
        Ok(disk)
    }
}

impl IoFile for MemoryFile {
    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64, durable: bool) -> Result<()> {
        let mut disk = self.disk()?;
        let len: u64 = parts.iter().map(|part| part.len() as u64).sum();
        let used = disk.used_bytes();
        disk.faults.writes += 1;
        if let Some(every) = disk.faults.slow_write_every {
            let slow = disk.faults.writes.is_multiple_of(every.max(1));
            disk.faults.slow_writes += u64::from(slow);
        }
        let capacity = disk.faults.capacity_bytes;
        let node = disk.nodes.get_mut(&self.node).ok_or(ErrorKind::NotFound)?;
        let grown = (offset + len).saturating_sub(node.bytes.len() as u64);
        if capacity.is_some_and(|capacity| used + grown > capacity) {
            return Err(ErrorKind::StorageFull.into());
        }
        let no_power = disk.power_fails();
        let failed = durable && !no_power && disk.sync_fails();
        let stable = durable && !no_power && !failed;
        let node = disk.nodes.get_mut(&self.node).ok_or(ErrorKind::NotFound)?;
        let mut at = offset;
        for part in parts.iter() {
            node.write(at, part, stable);
            at += part.len() as u64;
        }
        if failed {
            node.settle(offset, at, true);
            return Err(Error::other("simulated: the durable write failed"));
        }
        if no_power {
            return Err(Error::other("simulated: the power went"));
        }
        Ok(())
    }

    fn shrink(&self, bytes: u64) -> Result<()> {
        let mut disk = self.disk()?;
        let node = disk.nodes.get_mut(&self.node).ok_or(ErrorKind::NotFound)?;
        node.shrink(bytes);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let mut disk = self.disk()?;
        let failed = disk.sync_fails();
        let node = disk.nodes.get_mut(&self.node).ok_or(ErrorKind::NotFound)?;
        node.settle(0, u64::MAX, failed);
        if failed {
            return Err(Error::other("simulated: the sync failed"));
        }
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let disk = self.disk()?;
        let node = disk.nodes.get(&self.node).ok_or(ErrorKind::NotFound)?;
        Ok(node.read(buffer, offset, self.uncached))
    }

    fn len(&self) -> Result<u64> {
        let disk = self.disk()?;
        let node = disk.nodes.get(&self.node).ok_or(ErrorKind::NotFound)?;
        Ok(node.bytes.len() as u64)
    }
}
