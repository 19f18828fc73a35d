//! From a record's offset to its message: what is in memory, or was read back ahead of time.
//!
//! What always holds: one load at a time is under way for a reader; what it brought is kept until it is handed out or passed,
//! and the next is asked for before that is used up. `loaded` rises.

use polybus_model::{Message, Millis, Run, RunContent};

use super::Reader;
use crate::effects::LogLoad;
use crate::logs::partition::{Found, Partition};
use crate::turn::Turn;
use crate::{Engine, Store};

/// Records that are read back together, at most, and their bytes.
const AHEAD_RECORDS: usize = 1_024;
const AHEAD_BYTES: u64 = 1 << 20;

/// A load under way.
#[derive(Debug)]
pub(super) struct Fetching {
    reader: u64,
    offsets: Vec<u64>,
}

/// A record that was looked for.
pub(super) enum Fetched {
    /// Here it is, with the time of its append.
    Here(Message, Millis),
    /// It is on its way from the disk.
    Coming,
    /// There is none.
    Gone,
}

impl Engine {
    /// The message of a record that a reader is to hand out.
    pub(super) fn fetch(
        &mut self,
        number: u64,
        offset: u64,
        turn: &mut Turn<'_, impl Store>,
    ) -> Fetched {
        let Some(reader) = self.readers.all.get_mut(&number) else {
            return Fetched::Gone;
        };
        let Some(partition) = self.logs.partition(reader.at) else {
            return Fetched::Gone;
        };
        let position = partition.position(offset);
        let Some((run, found)) = partition.from(position).next() else {
            return Fetched::Gone;
        };
        if run.offset != offset {
            return Fetched::Gone;
        }
        if let Found::Recent(kept) = found {
            return match &kept.content {
                RunContent::Message(message) => Fetched::Here(message.clone(), run.time),
                RunContent::Packed { .. } => Fetched::Gone,
            };
        }
        if let Some(at) = reader.loaded.iter().position(|(at, _)| *at == offset) {
            // What stands before it was passed.
            reader.loaded.drain(..at);
            if let Some((_, message)) = reader.loaded.pop_front() {
                return Fetched::Here(message, run.time);
            }
        }
        if !reader.is_loading {
            reader.loaded.clear();
            self.load_ahead(number, offset, turn);
        }
        Fetched::Coming
    }

    /// Much of what was read back is handed out: what comes next is asked for meanwhile.
    pub(super) fn fetch_ahead(&mut self, number: u64, turn: &mut Turn<'_, impl Store>) {
        let Some(reader) = self.readers.all.get(&number) else {
            return;
        };
        if reader.is_loading || reader.loaded.len() >= AHEAD_RECORDS / 2 {
            return;
        }
        if let Some((last, _)) = reader.loaded.back() {
            self.load_ahead(number, last + 1, turn);
        }
    }

    /// Has records read back that will be wanted from an offset on, if there are any that are not in memory.
    fn load_ahead(&mut self, number: u64, from: u64, turn: &mut Turn<'_, impl Store>) {
        let Some(reader) = self.readers.all.get_mut(&number) else {
            return;
        };
        let Some(partition) = self.logs.partition(reader.at) else {
            return;
        };
        let (offsets, items) = ahead(reader, partition, from);
        if items.is_empty() {
            return;
        }
        reader.is_loading = true;
        let load = self.logs.loadings.number();
        turn.out.log_loads.push(LogLoad {
            number: load,
            items,
        });
        let reader = number;
        self.readers
            .loads
            .insert(load, Fetching { reader, offsets });
    }

    /// What a reader asked for has come; with nothing, if it was moved or is gone: then it is looked for anew. False if the
    /// load is none of a reader.
    pub(crate) fn reader_loaded(&mut self, load: u64, runs: &mut Vec<Run>) -> bool {
        let Some(fetching) = self.readers.loads.remove(&load) else {
            return false;
        };
        if let Some(reader) = self.readers.all.get_mut(&fetching.reader) {
            reader.is_loading = false;
            let loaded = fetching.offsets.into_iter().zip(runs.drain(..));
            let messages = loaded.filter_map(|(offset, run)| match run.content {
                RunContent::Message(message) => Some((offset, message)),
                RunContent::Packed { .. } => None,
            });
            reader.loaded.extend(messages);
            self.readers.touch(fetching.reader);
        }
        true
    }
}

/// The records to read back: the first ones that are wanted from an offset on.
fn ahead(
    reader: &Reader,
    partition: &Partition,
    from: u64,
) -> (Vec<u64>, Vec<(crate::Place, u32)>) {
    let (mut offsets, mut items, mut bytes) = (Vec::new(), Vec::new(), 0);
    let Some(keyed) = &partition.keyed else {
        return (offsets, items);
    };
    // Without a filter each record is wanted: they follow each other in the index.
    let wants_all = reader.settings.filters.is_empty() && from >= reader.origin.last_of_keys;
    let mut runs = partition.from(partition.position(from));
    let mut next = from;
    while offsets.len() < AHEAD_RECORDS {
        if !wants_all {
            let Some(wanted) = reader.next_wanted(&keyed.keys, next, partition.end) else {
                break;
            };
            runs = partition.from(partition.position(wanted));
        }
        let Some((run, Found::Away(_))) = runs.next().filter(|(run, _)| run.offset >= next) else {
            break;
        };
        bytes += u64::from(run.len);
        if run.offset >= partition.end || (!offsets.is_empty() && bytes > AHEAD_BYTES) {
            break;
        }
        next = run.end();
        offsets.push(run.offset);
        items.push((run.place, run.len));
    }
    (offsets, items)
}
