//! Looking offsets up, and giving up what is before one.

use polybus_model::{FoundOffset, LogError, LogReply, PartitionName, Place};

use super::partition::Found;
use super::read::{Hole, LOAD_BYTES_MAX, Wanted, unfilled};
use super::record::put_trimmed;
use super::{At, Caller, is_forbidden};
use crate::turn::Turn;
use crate::{Engine, Store};

impl Engine {
    pub(super) fn find_offsets(
        &mut self,
        caller: Caller,
        wanted: Vec<(PartitionName, Place)>,
        forbidden: Vec<u32>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let mut holes = Vec::new();
        let mut away_bytes = 0;
        let mut found = Vec::with_capacity(wanted.len());
        for (part, (name, place)) in wanted.iter().enumerate() {
            let at = match is_forbidden(&forbidden, part) {
                true => Err(LogError::Forbidden),
                false => self.partition_at(caller.namespace, name),
            };
            let one = at.and_then(|at| self.find_offset(at, place, part, &mut holes));
            let hole = holes.last().filter(|hole: &&Hole| hole.part == part);
            let len = hole.map_or(0, |hole| u64::from(hole.indexed.len));
            if len > 0 && away_bytes > 0 && away_bytes + len > LOAD_BYTES_MAX {
                holes.pop();
                found.push(Err(too_many()));
            } else {
                away_bytes += len;
                found.push(one);
            }
        }
        let wanted = Wanted::Offsets {
            caller,
            forbidden,
            wanted,
            found,
        };
        self.answer(wanted, holes, turn);
    }

    fn find_offset(
        &self,
        at: At,
        place: &Place,
        part: usize,
        holes: &mut Vec<Hole>,
    ) -> Result<Option<FoundOffset>, LogError> {
        let partition = self.logs.partition(at).ok_or(LogError::NotFound)?;
        let plain = |offset| Some(FoundOffset { offset, run: None });
        let position = match place {
            Place::Start => return Ok(plain(partition.start)),
            Place::End => return Ok(plain(partition.end)),
            Place::StableEnd => return Ok(plain(partition.stable.stable_end(partition.end))),
            Place::Time(time) => partition.at_time(*time),
            Place::LatestTime => partition.at_latest_time(),
            Place::Record(which) => self.position_of(at, which)?,
        };
        let Some((indexed, found)) = position.and_then(|at| partition.from(at).next()) else {
            return Ok(None);
        };
        let run = match found {
            Found::Recent(run) => run.clone(),
            Found::Away(indexed) => {
                let run = 0;
                holes.push(Hole { part, run, indexed });
                unfilled(indexed)
            }
        };
        Ok(Some(FoundOffset {
            offset: indexed.offset,
            run: Some(run),
        }))
    }

    /// A session gives up what is before an offset of partitions.
    pub(super) fn trim_logs(
        &mut self,
        caller: Caller,
        wanted: &[(PartitionName, Option<u64>)],
        forbids: impl Fn(usize) -> bool,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let mut results = Vec::with_capacity(wanted.len());
        for (part, (name, offset)) in wanted.iter().enumerate() {
            let at = match forbids(part) {
                true => Err(LogError::Forbidden),
                false => self.partition_at(caller.namespace, name),
            };
            results.push(at.and_then(|at| self.trim_to(at, *offset, turn)));
        }
        let event = caller.event(LogReply::Offsets(results));
        turn.gate(caller.session, event, true);
    }

    fn trim_to(
        &mut self,
        at: At,
        offset: Option<u64>,
        turn: &mut Turn<'_, impl Store>,
    ) -> Result<Option<FoundOffset>, LogError> {
        let partition = self.logs.partition(at).ok_or(LogError::NotFound)?;
        let (start, end) = (partition.start, partition.end);
        let wanted = offset.unwrap_or(end);
        if wanted > end {
            return Err(LogError::OutOfRange { start, end });
        }
        let offset = self.give_up(at, wanted, usize::MAX, turn);
        Ok(Some(FoundOffset { offset, run: None }))
    }

    /// Gives up what is before an offset, `runs_max` runs at most; gives the new start.
    pub(super) fn give_up(
        &mut self,
        at: At,
        wanted: u64,
        runs_max: usize,
        turn: &mut Turn<'_, impl Store>,
    ) -> u64 {
        let Some(log) = self.logs.all.get_mut(&at.log) else {
            return wanted;
        };
        let durable = log.settings.durable;
        let Some(partition) = log.partitions.get_mut(at.partition as usize) else {
            return wanted;
        };
        if wanted <= partition.start {
            return partition.start;
        }
        let (bytes, runs) = partition.trim(wanted, runs_max, turn.store);
        let start = partition.start;
        self.logs.recent.freed(runs, bytes);
        self.readers.records_went(at, start.saturating_sub(1));
        if durable {
            put_trimmed(&mut self.work.buffer, at.log, at.partition, start);
            turn.append(&self.work.buffer, at.log);
        }
        start
    }
}

/// The records of one request would take too much memory to be read back together.
fn too_many() -> LogError {
    let mib = LOAD_BYTES_MAX >> 20;
    LogError::Unavailable(format!(
        "offsets by time are looked up in {mib} MiB of stored records at most for one request: ask again for the rest"
    ))
}
