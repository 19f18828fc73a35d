//! From a record of an origin to its message, for a follower: what is in memory, or was read back ahead of time.
//!
//! What always holds: one load at a time is under way for an origin; what it brought is kept until it is taken or passed.

use polybus_model::{Followed, Message, Millis, Run, RunContent};

use crate::effects::LogLoad;
use crate::logs::At;
use crate::logs::partition::{Found, Partition};
use crate::turn::Turn;
use crate::{Engine, Place, Store};

/// Records that are read back together, at most, and their bytes.
const AHEAD_RECORDS: usize = 256;
const AHEAD_BYTES: u64 = 1 << 20;
/// A load under way.
#[derive(Debug)]
pub(super) struct Fetching {
    pub(super) at: At,
    origin: usize,
    offsets: Vec<u64>,
}

/// What is there of a record that is wanted.
pub(super) enum Fetched {
    Here(Message, Millis),
    Coming,
}

impl Engine {
    /// The message of a record that a follower is to take.
    pub(super) fn fetch_followed(
        &mut self,
        (at, origin): (At, usize),
        source: At,
        offset: u64,
        what: &Followed,
        turn: &mut Turn<'_, impl Store>,
    ) -> Fetched {
        let Some(partition) = self.logs.partition(source) else {
            return Fetched::Coming;
        };
        let found = partition.from(partition.position(offset)).next();
        let Some((run, found)) = found.filter(|(run, _)| run.offset == offset) else {
            return Fetched::Coming;
        };
        if let Found::Recent(kept) = found
            && let RunContent::Message(message) = &kept.content
        {
            return Fetched::Here(message.clone(), run.time);
        }
        let time = run.time;
        let Some(following) = self.following(at, origin) else {
            return Fetched::Coming;
        };
        // What stands before it was passed.
        while following
            .loaded
            .pop_front_if(|(at, _)| *at < offset)
            .is_some()
        {}
        if let Some((_, message)) = following.loaded.pop_front_if(|(at, _)| *at == offset) {
            return Fetched::Here(message, time);
        }
        if following.loading.is_none() {
            let number = self.logs.loadings.number();
            let ahead = self.logs.partition(source);
            let (offsets, items) = ahead
                .map(|one| read_ahead(one, what, offset))
                .unwrap_or_default();
            if let Some(following) = self.following(at, origin) {
                following.loading = Some(number);
                following.loaded.clear();
            }
            turn.out.log_loads.push(LogLoad { number, items });
            let fetching = Fetching {
                at,
                origin,
                offsets,
            };
            self.logs.following.loads.insert(number, fetching);
        }
        Fetched::Coming
    }

    /// What a follower asked for has come; with nothing, if it was moved or is gone: then it is looked for anew. False if the
    /// load is none of a follower.
    pub(in crate::logs) fn followed_loaded(&mut self, number: u64, runs: &mut Vec<Run>) -> bool {
        let Some(fetching) = self.logs.following.loads.remove(&number) else {
            return false;
        };
        let Fetching {
            at,
            origin,
            offsets,
        } = fetching;
        if let Some(following) = self.following(at, origin)
            && following.loading == Some(number)
        {
            following.loading = None;
            let loaded = offsets.into_iter().zip(runs.drain(..));
            let loaded = loaded.filter_map(|(offset, run)| match run.content {
                RunContent::Message(message) => Some((offset, message)),
                RunContent::Packed { .. } => None,
            });
            following.loaded = loaded.collect();
            self.logs.following.touched.insert(at.log);
        }
        true
    }
}

/// The records to read back: the one that is wanted and those that will be wanted next.
fn read_ahead(
    partition: &Partition,
    what: &Followed,
    offset: u64,
) -> (Vec<u64>, Vec<(Place, u32)>) {
    let (mut offsets, mut items, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (run, found) in partition.from(partition.position(offset)) {
        let is_away = matches!(found, Found::Away(_));
        bytes += u64::from(run.len);
        let is_enough = offsets.len() >= AHEAD_RECORDS || bytes > AHEAD_BYTES;
        if !is_away || run.offset >= partition.end || (is_enough && !offsets.is_empty()) {
            break;
        }
        let keys = partition.keyed.as_ref().map(|keyed| &keyed.keys);
        let key = keys.and_then(|keys| keys.key_of(run.offset));
        let is_wanted = what.renamings.is_empty()
            || key.is_some_and(|key| what.renamings.iter().any(|rule| rule.keys.fits(key)));
        if is_wanted {
            offsets.push(run.offset);
            items.push((run.place, run.len));
        }
    }
    (offsets, items)
}
