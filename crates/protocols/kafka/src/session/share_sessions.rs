//! Share sessions: a member names the partitions that it takes records from once, and then only what changes.
//!
//! ```text
//! epoch 0   a new session, with what is named
//! epoch n   what is named is added, what is forgotten goes; n rises with every request
//! epoch -1  the session ends, and all that the member holds goes back
//! ```
//! A session belongs to its connection, as the leases do that are made in it.

use std::collections::HashMap;

use super::core::Core;
use crate::codec::Uuid;
use crate::error::Code;

/// The epoch of a request that begins a session.
const BEGINS: i32 = 0;
/// The epoch of a request that ends one.
const ENDS: i32 = -1;

/// A partition as requests name it.
pub(super) type Key = (Uuid, i32);

#[derive(Debug, Default)]
struct Session {
    /// The epoch of the next request.
    next_epoch: i32,
    /// In the order in which they are read.
    partitions: Vec<Key>,
}

/// Whose session it is: the group and the member.
pub(super) type Who = (String, String);

/// The share sessions of a connection.
#[derive(Debug, Default)]
pub(super) struct ShareSessions {
    open: HashMap<Who, Session>,
}

/// What a request has to say of its session.
#[derive(Debug)]
pub(super) struct Plan {
    /// What is read.
    pub(super) partitions: Vec<Key>,
    /// All of it is told, also what has nothing new.
    pub(super) is_new: bool,
    /// It ends.
    pub(super) ends: bool,
}

impl ShareSessions {
    /// The partitions of a session.
    pub(super) fn partitions(&self, who: &Who) -> &[Key] {
        self.open.get(who).map_or(&[], |one| &one.partitions)
    }

    /// The session is over: its group does not know it.
    pub(super) fn close(&mut self, who: &Who) {
        self.open.remove(who);
    }
}

/// A request to read. Fails with the code for the whole answer.
pub(super) fn plan(
    core: &mut Core,
    who: &Who,
    epoch: i32,
    named: &[Key],
    forgotten: &[Key],
) -> Result<Plan, Code> {
    let most = core.settings.fetch_session_partitions_max;
    let sessions = &mut core.shares.open;
    if epoch == BEGINS {
        let is_known = sessions.contains_key(who);
        if !is_known && sessions.len() >= core.settings.fetch_sessions_max {
            return Err(Code::SHARE_SESSION_LIMIT_REACHED);
        }
        sessions.insert(who.clone(), Session::default());
    } else if let Some(plan) = step(core, who, epoch)? {
        return Ok(plan);
    }
    let sessions = &mut core.shares.open;
    let session = sessions.get_mut(who).ok_or(Code::SHARE_SESSION_NOT_FOUND)?;
    if epoch == BEGINS {
        session.next_epoch = 1;
    }
    session.partitions.retain(|one| !forgotten.contains(one));
    for one in named {
        if !session.partitions.contains(one) {
            session.partitions.push(*one);
        }
    }
    if session.partitions.len() > most {
        sessions.remove(who);
        return Err(Code::SHARE_SESSION_LIMIT_REACHED);
    }
    let partitions = session.partitions.clone();
    // Next time another one comes first.
    if let Some(at) = session.partitions.first().map(|(first, _)| {
        let of_first = session.partitions.iter();
        of_first.take_while(|(id, _)| id == first).count()
    }) {
        session.partitions.rotate_left(at);
    }
    Ok(Plan {
        partitions,
        is_new: epoch == BEGINS,
        ends: false,
    })
}

/// A request that only settles. Fails with the code for the whole answer.
pub(super) fn plan_settling(core: &mut Core, who: &Who, epoch: i32) -> Result<Plan, Code> {
    if epoch == BEGINS {
        return Err(Code::INVALID_SHARE_SESSION_EPOCH);
    }
    let plan = step(core, who, epoch)?;
    Ok(plan.unwrap_or(Plan {
        partitions: Vec::new(),
        is_new: false,
        ends: false,
    }))
}

/// Takes a session to its next epoch, or to its end.
fn step(core: &mut Core, who: &Who, epoch: i32) -> Result<Option<Plan>, Code> {
    let sessions = &mut core.shares.open;
    let session = sessions.get_mut(who).ok_or(Code::SHARE_SESSION_NOT_FOUND)?;
    if epoch == ENDS {
        sessions.remove(who);
        return Ok(Some(Plan {
            partitions: Vec::new(),
            is_new: false,
            ends: true,
        }));
    }
    if session.next_epoch != epoch {
        return Err(Code::INVALID_SHARE_SESSION_EPOCH);
    }
    session.next_epoch = epoch.checked_add(1).unwrap_or(1);
    Ok(None)
}
