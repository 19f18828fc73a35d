//! A group that leases (a share group): records are appended, lent to members, and accepted or given back.
//!
//! ```text
//! appended --> log "shared" --group "workers"--> two members on one connection
//! ```

use std::collections::{BTreeMap, BTreeSet};

use polybus_model::{
    Append, Beat, Beginning, Event, GroupReply, GroupRequest, GroupSettings, LeasePart,
    LeaseRequest, Leased, LogReply, LogRequest, LogSettings, NewRun, Request, RunContent, Settling,
    Sight, Standing, Verdict as How,
};

use super::{Clerk, declare, log, numbered, partition};
use crate::invariants::{clerk_answers, lease_settled};
use crate::random::Random;
use crate::shape::name;
use crate::violation::Verdict;

const LOG: &str = "shared";
const GROUP: &str = "workers";
const MEMBERS: [&str; 2] = ["m0", "m1"];
const LEASE_MS: u64 = 400;

enum Asked {
    Append,
    Configure,
    Attend,
    /// A member, and what it accepts with that.
    Lease(usize, Vec<u64>),
}

/// The clerk.
pub(super) struct Leases {
    asked: BTreeMap<u64, Asked>,
    next_number: u64,
    next_record: u64,
    /// What each member holds.
    held: [Vec<u64>; MEMBERS.len()],
    /// What was accepted, and that this was confirmed of.
    accepted: BTreeSet<u64>,
}

impl Leases {
    pub(super) fn new() -> Self {
        Self {
            asked: BTreeMap::new(),
            next_number: 0,
            next_record: 0,
            held: Default::default(),
            accepted: BTreeSet::new(),
        }
    }

    fn number(&mut self, asked: Asked) -> u64 {
        self.next_number += 1;
        self.asked.insert(self.next_number, asked);
        self.next_number
    }

    fn group(&mut self, asked: Asked, request: GroupRequest) -> Request {
        Request::Group {
            number: self.number(asked),
            request: Box::new(request),
        }
    }

    fn append(&mut self, random: &mut Random) -> Request {
        let appends = (0..random.between(1, 3)).map(|_| {
            self.next_record += 1;
            Append {
                partition: partition(LOG, 0),
                id: None,
                run: NewRun {
                    count: 1,
                    time_max: None,
                    time_min: None,
                    keyed: false,
                    crc: None,
                    writer: None,
                    content: RunContent::Message(numbered(LOG, "", self.next_record, random)),
                },
            }
        });
        let appends = appends.collect();
        log(self.number(Asked::Append), LogRequest::Append(appends))
    }

    /// Settles what a member holds, and asks for more.
    fn lease(&mut self, member: usize, random: &mut Random) -> Request {
        let (mut accepted, mut settles) = (Vec::new(), Vec::new());
        for offset in std::mem::take(&mut self.held[member]) {
            let how = match random.below(10) {
                0..=5 => How::Accept,
                6 => How::Release,
                _ => {
                    self.held[member].push(offset);
                    continue;
                }
            };
            if how == How::Accept {
                accepted.push(offset);
            }
            settles.push(Settling {
                first: offset,
                end: offset + 1,
                how,
            });
        }
        let request = LeaseRequest {
            group: GROUP.to_owned(),
            member: MEMBERS[member].to_owned(),
            parts: vec![LeasePart {
                partition: partition(LOG, 0),
                id: None,
                settles,
                reads: true,
                forbidden: false,
            }],
            bytes_min: 1,
            wait_ms: random.below(100),
            bytes_max: 1 << 20,
            records_max: random.between(1, 6) as u32,
            exactly: true,
            ends: false,
        };
        let asked = Asked::Lease(member, accepted);
        self.group(asked, GroupRequest::Lease(Box::new(request)))
    }

    fn attend(&mut self, member: &str) -> Request {
        let beat = Beat {
            group: GROUP.to_owned(),
            member: member.to_owned(),
            instance: None,
            client: "simulation".to_owned(),
            host: "nowhere".to_owned(),
            standing: Standing::Joins,
            rebalance_timeout_ms: None,
            reads: Some(vec![name(LOG)]),
            pattern: None,
            sight: Sight::default(),
            assignor: None,
            owned: None,
        };
        self.group(Asked::Attend, GroupRequest::Attend(Box::new(beat)))
    }

    fn leased(&mut self, member: usize, accepted: Vec<u64>, leased: Leased) -> Verdict {
        for part in leased.parts {
            match part.settled {
                Ok(()) => self.accepted.extend(&accepted),
                // The time of one of them was over: nothing was settled, and all may be anyone's by now.
                Err(_) => self.held[member].clear(),
            }
            let others: Vec<u64> = (0..MEMBERS.len())
                .filter(|one| *one != member)
                .flat_map(|one| self.held[one].clone())
                .collect();
            for lent in part.lent {
                for offset in lent.first..lent.end {
                    lease_settled::check(offset, lent.attempts, &self.accepted, &others)?;
                    self.held[member].push(offset);
                }
            }
        }
        self.held[member].sort_unstable();
        self.held[member].dedup();
        Ok(())
    }
}

impl Clerk for Leases {
    fn name(&self) -> &'static str {
        "leases"
    }

    fn declarations(&mut self) -> Vec<Request> {
        let settings = GroupSettings {
            beginning: Beginning::Start,
            lease_ms: LEASE_MS,
            attempts_max: None,
            ..GroupSettings::default()
        };
        let configure = GroupRequest::Configure {
            group: GROUP.to_owned(),
            settings: Box::new(settings),
        };
        vec![
            log(0, declare(LOG, LogSettings::default())),
            self.group(Asked::Configure, configure),
        ]
    }

    fn greets(&mut self) -> Vec<Request> {
        MEMBERS.map(|member| self.attend(member)).into()
    }

    fn next(&mut self, random: &mut Random) -> Vec<Request> {
        let waits = |asked: &Asked| !matches!(asked, Asked::Attend);
        if self.asked.values().any(waits) {
            return Vec::new();
        }
        match random.below(10) {
            0..=3 => vec![self.append(random)],
            4 => MEMBERS.map(|member| self.attend(member)).into(),
            _ => {
                let member = random.index(MEMBERS.len());
                vec![self.lease(member, random)]
            }
        }
    }

    fn told(&mut self, event: Event, may_refuse: bool) -> Verdict {
        match event {
            Event::Log { number: 0, .. } => Ok(()),
            Event::Log { number, reply } => match (self.asked.remove(&number), *reply) {
                (Some(Asked::Append), LogReply::Appended(_)) => Ok(()),
                (Some(_), reply) => clerk_answers::unexpected(LOG, &reply, may_refuse),
                (None, _) => clerk_answers::unasked(self.name(), number),
            },
            Event::Group { number, reply } => match (self.asked.remove(&number), *reply) {
                (Some(Asked::Lease(member, accepted)), GroupReply::Leased(Ok(leased))) => {
                    self.leased(member, accepted, *leased)
                }
                // Its group has forgotten the member: it will join again.
                (Some(Asked::Lease(member, _)), GroupReply::Leased(Err(_))) => {
                    self.held[member].clear();
                    Ok(())
                }
                (Some(Asked::Attend), GroupReply::Beat(_))
                | (Some(Asked::Configure), GroupReply::Done(_)) => Ok(()),
                (Some(_), reply) => clerk_answers::unexpected(LOG, &reply, may_refuse),
                (None, _) => clerk_answers::unasked(self.name(), number),
            },
            _ => Ok(()),
        }
    }

    fn connection_gone(&mut self) {
        self.asked.clear();
        self.held.iter_mut().for_each(Vec::clear);
    }

    fn look(&mut self, _step: usize) -> Option<Request> {
        None
    }

    fn looked(&mut self) -> Verdict {
        Ok(())
    }
}
