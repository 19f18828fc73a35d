//! Fetch sessions: a client names its partitions once, and then only what changes; it is told only what changed.
//!
//! ```text
//! epoch 0   all partitions named -> a session, if there is room; all told
//! epoch n   what changed named   -> all of the session's read; told: those with records, news or an error
//! epoch -1  all named, no session (and the one named ends)
//! ```
//! A session belongs to its connection, and ends with it.

use std::collections::{HashMap, HashSet};

use polybus_model::Name;

use super::core::Core;
use crate::codec::Uuid;
use crate::codec::messages::fetch::FetchRequest;
use crate::error::Code;

/// The epoch of a request outside of sessions.
const NO_SESSION: i32 = -1;
/// The epoch of a request that wants a session.
const NEW_SESSION: i32 = 0;

/// Where a client reads in a partition.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// The topic's name; none where its id is not known.
    pub(super) topic: Option<Name>,
    pub(super) id: Uuid,
    pub(super) index: i32,
    pub(super) offset: i64,
    pub(super) bytes_max: i32,
    pub(super) leader_epoch: i32,
    /// What the client was told last.
    pub(super) told: Option<Told>,
}

/// What a client is told of a partition beside its records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) stable_end: i64,
}

/// A partition as requests name it.
type Key = (Option<Name>, Uuid, i32);

impl Slot {
    fn key(&self) -> Key {
        (self.topic.clone(), self.id, self.index)
    }
}

#[derive(Debug)]
struct Session {
    /// The epoch of the next request.
    next_epoch: i32,
    slots: Vec<Slot>,
}

/// What is to be read for a request.
#[derive(Debug)]
pub(super) struct Plan {
    /// The session; 0 for none.
    pub(super) session: i32,
    /// Only what changed is told.
    pub(super) is_incremental: bool,
    pub(super) slots: Vec<Slot>,
}

/// The sessions of a connection.
#[derive(Debug, Default)]
pub(super) struct FetchSessions {
    open: HashMap<i32, Session>,
}

/// What a request has to say of its session. Fails with the code for the whole answer.
pub(super) fn plan(
    core: &mut Core,
    request: &FetchRequest,
    slots: Vec<Slot>,
) -> Result<Plan, Code> {
    let (id, epoch) = (request.session_id, request.session_epoch);
    if epoch == NO_SESSION || epoch == NEW_SESSION {
        core.fetches.open.remove(&id);
        let session = if epoch == NEW_SESSION {
            begin(core, &slots)
        } else {
            0
        };
        return Ok(Plan {
            session,
            is_incremental: false,
            slots,
        });
    }
    let slots_max = core.settings.fetch_session_partitions_max;
    let session = core
        .fetches
        .open
        .get_mut(&id)
        .ok_or(Code::FETCH_SESSION_ID_NOT_FOUND)?;
    if session.next_epoch != epoch {
        return Err(Code::INVALID_FETCH_SESSION_EPOCH);
    }
    session.next_epoch = epoch.checked_add(1).unwrap_or(1);
    let forgotten: HashSet<(&str, Uuid, i32)> = request
        .forgotten_topics_data
        .iter()
        .flat_map(|topic| {
            let indexes = topic.partitions.iter();
            indexes.map(|index| (topic.topic.as_str(), topic.topic_id, *index))
        })
        .collect();
    if !forgotten.is_empty() {
        let has_ids = request
            .forgotten_topics_data
            .iter()
            .all(|topic| topic.topic.is_empty());
        session.slots.retain(|slot| {
            let name = slot
                .topic
                .as_ref()
                .filter(|_| !has_ids)
                .map_or("", Name::as_str);
            let id = if has_ids { slot.id } else { Uuid::default() };
            !forgotten.contains(&(name, id, slot.index))
        });
    }
    update(session, slots);
    if session.slots.len() > slots_max {
        core.fetches.open.remove(&id);
        return Err(Code::FETCH_SESSION_ID_NOT_FOUND);
    }
    Ok(Plan {
        session: id,
        is_incremental: true,
        slots: session.slots.clone(),
    })
}

fn begin(core: &mut Core, slots: &[Slot]) -> i32 {
    let settings = &core.settings;
    let has_room = core.fetches.open.len() < settings.fetch_sessions_max
        && slots.len() <= settings.fetch_session_partitions_max
        && !slots.is_empty();
    if !has_room {
        return 0;
    }
    let id = ((settings.random)() >> 33) as i32;
    if id == 0 || core.fetches.open.contains_key(&id) {
        return 0;
    }
    let session = Session {
        next_epoch: 1,
        slots: slots.to_vec(),
    };
    core.fetches.open.insert(id, session);
    id
}

/// Takes the slots that a request names: those that are there are moved, others are added.
fn update(session: &mut Session, named: Vec<Slot>) {
    if named.is_empty() {
        return;
    }
    let places: HashMap<Key, usize> = session
        .slots
        .iter()
        .enumerate()
        .map(|(at, slot)| (slot.key(), at))
        .collect();
    for slot in named {
        match places
            .get(&slot.key())
            .and_then(|at| session.slots.get_mut(*at))
        {
            Some(known) => {
                *known = Slot {
                    told: known.told,
                    ..slot
                };
            }
            None => session.slots.push(slot),
        }
    }
}

impl FetchSessions {
    /// Notes what the client was told of each of a session's partitions, in the order of the plan; those with records go
    /// behind the others, so that each comes first some time.
    pub(super) fn note(&mut self, session: i32, told: &[(Option<Told>, bool)]) {
        let Some(session) = self.open.get_mut(&session) else {
            return;
        };
        if session.slots.len() != told.len() {
            return;
        }
        let slots = std::mem::take(&mut session.slots);
        let (mut quiet, mut busy) = (Vec::with_capacity(slots.len()), Vec::new());
        for (mut slot, (told, has_records)) in slots.into_iter().zip(told) {
            slot.told = *told;
            if *has_records {
                busy.push(slot);
            } else {
                quiet.push(slot);
            }
        }
        quiet.append(&mut busy);
        session.slots = quiet;
    }
}
