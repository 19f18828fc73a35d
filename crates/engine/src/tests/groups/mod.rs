//! Groups: members that join, work and go, and the offsets they leave.

mod joining;
mod lasting;
mod leasing;
mod listing;
mod model;
mod moving;
mod offsets;
mod patterns;
mod sharing;
mod working;

use std::collections::BTreeMap;

use bytes::Bytes;
use polybus_model::{
    Assignor, Event, GroupError, GroupOffset, GroupReply, GroupRequest, GroupState, GroupSummary,
    Join, Joined, Leaver, LogReply, LogRequest, LogSettings, Membership, Millis, PartitionName,
    Request,
};

use super::desk::{Desk, Told, name};
use super::recovering::replay_known;
use crate::{Engine, Options, Recovery, ReplayOrigin};

const SESSION_MS: Millis = 10_000;
const REBALANCE_MS: Millis = 60_000;
const DELAY_MS: Millis = 100;

/// A desk at which sessions ask about groups, and the answers that have come.
pub(super) struct Club {
    pub(super) desk: Desk,
    asked: u64,
    answers: BTreeMap<u64, GroupReply>,
    /// A snapshot, and how many records were there before it.
    saved: Option<(usize, Vec<u8>)>,
}

pub(super) fn join(member: &str) -> Join {
    Join {
        group: "g".into(),
        member: None,
        new_member: member.into(),
        id_first: false,
        instance: None,
        client: "client".into(),
        host: "host".into(),
        session_timeout_ms: SESSION_MS,
        rebalance_timeout_ms: REBALANCE_MS,
        protocol_type: "consumer".into(),
        assignors: assignors(&["range"], member),
        can_skip_assignment: false,
        reads: None,
        owned: Vec::new(),
    }
}

pub(super) fn assignors(names: &[&str], metadata: &str) -> Vec<Assignor> {
    let each = names.iter().map(|name| Assignor {
        name: (*name).into(),
        metadata: Bytes::copy_from_slice(metadata.as_bytes()),
    });
    each.collect()
}

/// The join of one that is a member already.
pub(super) fn again(member: &str) -> Join {
    Join {
        member: Some(member.into()),
        ..join(member)
    }
}

pub(super) fn who(member: &str, generation: u32) -> Membership {
    Membership {
        group: "g".into(),
        generation: Some(generation),
        member: member.into(),
        instance: None,
    }
}

pub(super) fn nobody() -> Membership {
    Membership {
        group: "g".into(),
        generation: None,
        member: String::new(),
        instance: None,
    }
}

pub(super) fn at(log: &str, partition: u32) -> PartitionName {
    PartitionName {
        log: name(log),
        partition,
    }
}

pub(super) fn offset(log: &str, partition: u32, offset: u64) -> GroupOffset {
    GroupOffset {
        partition: at(log, partition),
        offset,
        epoch: Some(3),
        metadata: "remark".into(),
    }
}

impl Club {
    pub(super) fn new() -> Self {
        Self::with(Options::default())
    }

    pub(super) fn with(options: Options) -> Self {
        let mut club = Self {
            desk: Desk::with(options),
            asked: 0,
            answers: BTreeMap::new(),
            saved: None,
        };
        for log in ["l", "m"] {
            club.declare(log, 8);
        }
        club
    }

    /// Declares a log, or gives it more partitions.
    pub(super) fn declare(&mut self, log: &str, partitions: u32) {
        let name = name(log);
        let settings = LogSettings {
            partitions,
            ..LogSettings::default()
        };
        let dry_run = false;
        let namespace = self.desk.engine.namespace_slot("/");
        let namespace = self.desk.engine.namespaces.get(namespace.unwrap());
        let request = if namespace.unwrap().router.log_id(log).is_some() {
            LogRequest::Alter {
                name,
                settings,
                dry_run,
            }
        } else {
            LogRequest::Declare {
                name,
                settings,
                dry_run,
            }
        };
        self.ask_of_log(request);
    }

    pub(super) fn drop_log(&mut self, log: &str) {
        self.ask_of_log(LogRequest::Delete { name: name(log) });
    }

    pub(super) fn ask_of_log(&mut self, request: LogRequest) {
        let request = Request::Log {
            number: 1,
            request: Box::new(request),
        };
        let told = self.desk.batch(1, vec![request]);
        let done = |event: &Event| match event {
            Event::Log { reply, .. } => match &**reply {
                LogReply::Logs(logs) => logs.iter().all(Result::is_ok),
                _ => false,
            },
            _ => false,
        };
        assert!(told.iter().any(|(_, event)| done(event)), "{told:?}");
        self.desk.engine.groups.check();
    }

    /// The kinds of the records about groups, in order.
    pub(super) fn recorded(&self) -> Vec<u8> {
        let kinds = self.desk.shelf.records.iter().map(|(kind, ..)| *kind);
        kinds.filter(|kind| (32..=35).contains(kind)).collect()
    }

    fn hear(&mut self, told: Told) {
        self.desk.engine.groups.check();
        for (_, event) in told {
            if let Event::Group { number, reply } = event {
                let before = self.answers.insert(number, *reply);
                assert!(before.is_none(), "{number} was answered twice: {before:?}");
            }
        }
    }

    /// Asks, and gives the number under which the answer comes.
    pub(super) fn ask(&mut self, request: GroupRequest) -> u64 {
        self.asked += 1;
        let number = self.asked;
        let request = Request::Group {
            number,
            request: Box::new(request),
        };
        let told = self.desk.batch(1, vec![request]);
        self.hear(told);
        number
    }

    pub(super) fn wait(&mut self, ms: Millis) {
        let told = self.desk.wait(ms);
        self.hear(told);
    }

    pub(super) fn answer(&mut self, number: u64) -> Option<GroupReply> {
        self.answers.remove(&number)
    }

    /// Asks what is answered at once.
    pub(super) fn now(&mut self, request: GroupRequest) -> GroupReply {
        let number = self.ask(request);
        self.answer(number).expect("an answer at once")
    }

    pub(super) fn ask_join(&mut self, join: Join) -> u64 {
        self.ask(GroupRequest::Join(join))
    }

    /// What a join came to; none while it waits.
    pub(super) fn joined(&mut self, number: u64) -> Option<Result<Joined, GroupError>> {
        match self.answer(number)? {
            GroupReply::Joined(result) => Some(result.map(|joined| *joined)),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn join_now(&mut self, join: Join) -> Result<Joined, GroupError> {
        let number = self.ask_join(join);
        self.joined(number).expect("an answer at once")
    }

    pub(super) fn ask_sync(&mut self, who: Membership, parts: &[(&str, &str)]) -> u64 {
        let parts = parts
            .iter()
            .map(|(id, part)| ((*id).into(), Bytes::copy_from_slice(part.as_bytes())));
        self.ask(GroupRequest::Sync {
            membership: who,
            protocol_type: None,
            assignor: None,
            assignments: parts.collect(),
            shares: Vec::new(),
        })
    }

    pub(super) fn synced(&mut self, number: u64) -> Option<Result<String, GroupError>> {
        match self.answer(number)? {
            GroupReply::Synced(result) => {
                Some(result.map(|(_, _, part)| String::from_utf8(part.to_vec()).unwrap()))
            }
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn sync_now(
        &mut self,
        who: Membership,
        parts: &[(&str, &str)],
    ) -> Result<String, GroupError> {
        let number = self.ask_sync(who, parts);
        self.synced(number).expect("an answer at once")
    }

    pub(super) fn heartbeat(&mut self, who: Membership) -> Result<(), GroupError> {
        match self.now(GroupRequest::Heartbeat(who)) {
            GroupReply::Done(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn leave(&mut self, member: &str, instance: Option<&str>) -> Result<(), GroupError> {
        let leaver = Leaver {
            member: member.into(),
            instance: instance.map(Into::into),
        };
        let request = GroupRequest::Leave {
            group: "g".into(),
            leavers: vec![leaver],
        };
        match self.now(request) {
            GroupReply::Left(Ok(mut results)) => results.pop().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn commit(
        &mut self,
        who: Membership,
        offsets: Vec<GroupOffset>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let membership = who;
        match self.now(GroupRequest::Commit {
            membership,
            offsets,
            forbidden: Vec::new(),
        }) {
            GroupReply::Committed(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn offsets(&mut self) -> Vec<(String, u32, u64)> {
        let request = GroupRequest::Offsets {
            membership: nobody(),
            partitions: None,
            stable: false,
        };
        match self.now(request) {
            GroupReply::Offsets(Ok(offsets)) => offsets
                .into_iter()
                .map(|one| {
                    let log = one.partition.log.as_str().to_owned();
                    (log, one.partition.partition, one.offset)
                })
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn describe(&mut self) -> GroupSummary {
        match self.now(GroupRequest::Describe(vec![Ok("g".into())])) {
            GroupReply::Described(mut found) => found.pop().unwrap().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn state(&mut self) -> GroupState {
        self.describe().state
    }

    /// Members that joined together, the first one leading, and their generation.
    pub(super) fn gather(&mut self, members: &[&str]) -> u32 {
        let joins: Vec<_> = members.iter().map(|id| self.ask_join(join(id))).collect();
        self.wait(members.len() as u64 * DELAY_MS);
        let mut generation = 0;
        for number in joins {
            generation = self.joined(number).unwrap().unwrap().generation;
        }
        generation
    }

    /// Members that have their parts: each its own id.
    pub(super) fn settle(&mut self, members: &[&str]) -> u32 {
        let generation = self.gather(members);
        self.assign(members, generation);
        generation
    }

    /// The first member assigns to each its own id.
    pub(super) fn assign(&mut self, members: &[&str], generation: u32) {
        let parts: Vec<_> = members.iter().map(|id| (*id, *id)).collect();
        let (leader, others) = members.split_first().unwrap();
        let others: Vec<_> = others
            .iter()
            .map(|id| (*id, self.ask_sync(who(id, generation), &[])))
            .collect();
        let part = self.sync_now(who(leader, generation), &parts);
        assert_eq!(part.as_deref(), Ok(*leader));
        for (id, number) in others {
            assert_eq!(self.synced(number).unwrap().as_deref(), Ok(id));
        }
    }

    /// Takes a snapshot; restarts start from it.
    pub(super) fn save(&mut self) {
        let mut bytes = Vec::new();
        self.desk.engine.snapshot(&mut bytes);
        self.saved = Some((self.desk.shelf.records.len(), bytes));
    }

    /// The engine goes, and comes back from the last snapshot (one of now, if that is wanted) and its records.
    pub(super) fn restart(&mut self, from_snapshot: bool) {
        if from_snapshot {
            self.save();
        }
        let (cut, mut recovery) = match &self.saved {
            None => (0, Recovery::empty(Options::default())),
            Some((cut, bytes)) => (*cut, Engine::restore(Options::default(), bytes).unwrap()),
        };
        for (at, record) in self.desk.shelf.records.iter().enumerate() {
            let (kind, place, payload) = record;
            match at < cut {
                true => replay_known(&mut recovery, ReplayOrigin::BeforeSnapshot, record),
                false => recovery
                    .replay(ReplayOrigin::AfterSnapshot, *kind, *place, payload)
                    .unwrap(),
            }
        }
        let shelf = &mut self.desk.shelf;
        self.desk.engine = recovery.finish(self.desk.now, false, shelf).unwrap();
        for session in 1..=4 {
            let session = polybus_model::SessionId(session);
            self.desk.engine.attach(session, &name("/")).unwrap();
        }
    }
}
