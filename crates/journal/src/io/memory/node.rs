//! One simulated file: its current bytes, and what is under those that are not stable yet.
//!
//! Invariant: a sector is in `undo` (written, not synced), in `lost` (its sync failed) or in
//! neither (stable), never in both.

use std::collections::BTreeMap;
use std::ops::Range;

use super::CrashMode;
use super::random::Random;

const SECTOR: u64 = 512;

type Sector = [u8; SECTOR as usize];

#[derive(Default)]
pub(super) struct Node {
    pub(super) bytes: Vec<u8>,
    len_stable: u64,
    undo: BTreeMap<u64, Sector>,
    lost: BTreeMap<u64, Sector>,
}

impl Node {
    pub(super) fn stable(bytes: Vec<u8>) -> Self {
        Self {
            len_stable: bytes.len() as u64,
            bytes,
            ..Self::default()
        }
    }

    fn sector(&self, number: u64) -> Sector {
        let mut sector = [0; SECTOR as usize];
        let start = (number * SECTOR) as usize;
        let end = (start + SECTOR as usize).min(self.bytes.len());
        if let Some(bytes) = self.bytes.get(start..end) {
            sector[..bytes.len()].copy_from_slice(bytes);
        }
        sector
    }

    fn put_sector(&mut self, number: u64, sector: &Sector) {
        let start = (number * SECTOR) as usize;
        let end = (start + SECTOR as usize).min(self.bytes.len());
        if let Some(bytes) = self.bytes.get_mut(start..end) {
            bytes.copy_from_slice(&sector[..end - start]);
        }
    }

    /// Writes, at once stable or not. Stable writes share no sector with unstable ones: each is
    /// then as stable as the last write to it.
    pub(super) fn write(&mut self, offset: u64, part: &[u8], stable: bool) {
        let end = offset + part.len() as u64;
        let sectors = offset / SECTOR..end.div_ceil(SECTOR);
        if stable {
            self.undo.retain(|number, _| !sectors.contains(number));
            self.lost.retain(|number, _| !sectors.contains(number));
        } else {
            self.remember(sectors);
        }
        if self.bytes.len() < end as usize {
            self.bytes.resize(end as usize, 0);
        }
        self.bytes[offset as usize..end as usize].copy_from_slice(part);
        if stable {
            self.len_stable = self.len_stable.max(end);
        }
    }

    /// Cuts the end off, at once stable.
    pub(super) fn shrink(&mut self, len: u64) {
        self.bytes.truncate(len as usize);
        self.len_stable = self.len_stable.min(len);
        self.undo.retain(|number, _| number * SECTOR < len);
        self.lost.retain(|number, _| number * SECTOR < len);
    }

    /// Keeps what is stable under these sectors.
    fn remember(&mut self, sectors: Range<u64>) {
        for number in sectors {
            if !self.undo.contains_key(&number) {
                let old = match self.lost.remove(&number) {
                    Some(old) => old,
                    None => self.sector(number),
                };
                self.undo.insert(number, old);
            }
        }
    }

    /// Ends the sync of a range: stable, or (when it failed) gone for good.
    pub(super) fn settle(&mut self, start: u64, end: u64, failed: bool) {
        let sectors = start / SECTOR..end.div_ceil(SECTOR);
        let numbers: Vec<u64> = self.undo.range(sectors).map(|(n, _)| *n).collect();
        for number in numbers {
            if let Some(old) = self.undo.remove(&number)
                && failed
            {
                self.lost.insert(number, old);
            }
        }
        if !failed {
            self.len_stable = self.len_stable.max(end.min(self.bytes.len() as u64));
        }
    }

    pub(super) fn crash(&mut self, mode: CrashMode, random: &mut Random) {
        for (number, old) in std::mem::take(&mut self.lost) {
            self.put_sector(number, &old);
        }
        let mut len = self.len_stable;
        for (number, old) in std::mem::take(&mut self.undo) {
            let fate = match mode {
                CrashMode::Process => 0,
                CrashMode::LoseUnsynced => 1,
                CrashMode::Tear => random.below(5),
            };
            match fate {
                0 | 3 => len = len.max((number + 1) * SECTOR),
                1 | 4 => self.put_sector(number, &old),
                _ => {
                    self.put_sector(number, &[0; SECTOR as usize]);
                }
            }
        }
        self.bytes.truncate(len as usize);
        self.len_stable = self.bytes.len() as u64;
    }

    pub(super) fn read(&self, buffer: &mut [u8], offset: u64, uncached: bool) -> usize {
        let start = (offset as usize).min(self.bytes.len());
        let end = (start + buffer.len()).min(self.bytes.len());
        let len = end - start;
        buffer[..len].copy_from_slice(&self.bytes[start..end]);
        if uncached && !self.lost.is_empty() {
            let sectors = start as u64 / SECTOR..(end as u64).div_ceil(SECTOR);
            for (number, old) in self.lost.range(sectors) {
                for (index, byte) in old.iter().enumerate() {
                    let at = *number as usize * SECTOR as usize + index;
                    if (start..end).contains(&at) {
                        buffer[at - start] = *byte;
                    }
                }
            }
        }
        len
    }

    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) -> bool {
        match self.bytes.get_mut(offset as usize) {
            Some(byte) => {
                *byte ^= 1 << (bit % 8);
                true
            }
            None => false,
        }
    }
}
