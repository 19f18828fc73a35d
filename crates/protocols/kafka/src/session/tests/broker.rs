//! A broker of a few lines: logs in memory, one user. Requests can be left lying, to be answered later and in any order.

use std::collections::BTreeMap;

use polybus_model::{
    AccessReply, AccessRequest, AppendedRun, Batch, Credentials, Error, Event, FoundOffset,
    GroupReply, GroupRequest, Kind, Lane, LogError, LogId, LogReply, LogRequest, LogSettings,
    LogSummary, Name, NewRun, Operation, Operations, PartitionName, Place, Read, Reply, Request,
    Resource, Run, Slice, WhichLogs,
};

struct Log {
    id: LogId,
    settings: LogSettings,
    partitions: Vec<Vec<Run>>,
}

#[derive(Default)]
pub(super) struct Broker {
    logs: BTreeMap<Name, Log>,
    next_id: u64,
    /// What was asked, in words.
    pub(super) asked: Vec<String>,
    /// Reads that find nothing wait here.
    pub(super) waiting: Vec<(u64, LogRequest)>,
    /// Log requests are left lying here instead.
    pub(super) sleeps: bool,
    pub(super) slept: Vec<(u64, LogRequest)>,
    /// What groups are told.
    pub(super) group_replies: Vec<GroupReply>,
    pub(super) group_requests: Vec<GroupRequest>,
    /// What producers with transactions are told, in order, and what they asked.
    pub(super) transaction_replies: Vec<LogReply>,
    pub(super) transaction_requests: Vec<LogRequest>,
}

impl Broker {
    pub(super) fn handle(&mut self, batch: Batch) -> Vec<Event> {
        let mut events = Vec::new();
        for (lane, request) in batch.requests {
            match request {
                Request::Log { number, request } if self.sleeps => {
                    self.slept.push((number, *request));
                }
                Request::Log { number, request } => events.extend(self.log(number, *request)),
                Request::Group { number, request } => {
                    self.group_requests.push(*request);
                    let reply = Box::new(self.group_replies.remove(0));
                    events.push(Event::Group { number, reply });
                }
                Request::Access { number, request } => {
                    let AccessRequest::Allowed(resources) = *request else {
                        panic!("unexpected {request:?}");
                    };
                    let all = || Operation::EACH.into_iter().collect::<Operations>();
                    let all = resources.iter().map(|_| all()).collect();
                    let reply = Box::new(AccessReply::Allowed(all));
                    events.push(Event::Access { number, reply });
                }
                other => events.push(Event::Reply {
                    lane,
                    result: self.login(lane, other),
                }),
            }
        }
        events
    }

    fn login(&mut self, _lane: Lane, request: Request) -> Result<Reply, Box<Error>> {
        let refused = |kind| {
            Box::new(Error {
                kind,
                resource: Resource::Namespace,
                name: Name::empty(),
                namespace: Name::empty(),
            })
        };
        match request {
            Request::Authenticate(Credentials::Password { user, password }) => {
                self.asked.push(format!("password of {user}"));
                if user == password {
                    Ok(Reply::Done)
                } else {
                    Err(refused(Kind::BadCredentials))
                }
            }
            Request::LookUpSalt { .. } => Ok(Reply::Salt {
                salt: "salt".into(),
                iterations: 4096,
            }),
            Request::Authenticate(Credentials::Scram(proof)) => {
                self.asked.push(format!("proof of {}", proof.user));
                Ok(Reply::Proven {
                    signature: "signed".into(),
                })
            }
            Request::Authenticate(Credentials::Anonymous { user }) => {
                self.asked.push(format!("anonymous {user}"));
                Ok(Reply::Done)
            }
            Request::Open { namespace } => {
                self.asked.push(format!("open {namespace}"));
                Ok(Reply::Done)
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    /// Answers a request that was left lying.
    pub(super) fn wake(&mut self, at: usize) -> Event {
        let (number, request) = self.slept.remove(at);
        self.log(number, request).remove(0)
    }

    fn log(&mut self, number: u64, request: LogRequest) -> Vec<Event> {
        let event = |number, reply| Event::Log {
            number,
            reply: Box::new(reply),
        };
        let is_append = matches!(request, LogRequest::Append(_));
        if let LogRequest::Read(read) = &request {
            let found = self.read(read.reads.iter());
            let is_empty = found
                .iter()
                .all(|one| matches!(one, Ok(slice) if slice.runs.is_empty()));
            if is_empty && read.wait_ms > 0 {
                self.waiting.push((number, request));
                return Vec::new();
            }
            return vec![event(number, LogReply::Read(found))];
        }
        let mut events = vec![event(number, self.answer(request))];
        if is_append {
            for (number, request) in std::mem::take(&mut self.waiting) {
                events.extend(self.log(number, request));
            }
        }
        events
    }

    fn answer(&mut self, request: LogRequest) -> LogReply {
        match request {
            LogRequest::Append(appends) => LogReply::Appended(
                appends
                    .into_iter()
                    .map(|append| self.append(&append.partition, append.id, append.run))
                    .collect(),
            ),
            LogRequest::FindOffsets(all) => LogReply::Offsets(
                all.into_iter()
                    .map(|(partition, place)| self.find(&partition, place))
                    .collect(),
            ),
            LogRequest::List(which) => LogReply::Logs(self.list(which)),
            LogRequest::Declare {
                name,
                settings,
                dry_run,
            } => {
                if self.logs.contains_key(&name) {
                    return LogReply::Logs(vec![Err(LogError::Exists)]);
                }
                self.next_id += 1;
                let id = LogId(self.next_id);
                let partitions = vec![Vec::new(); settings.partitions as usize];
                let summary = LogSummary {
                    name: name.clone(),
                    id,
                    settings: settings.clone(),
                };
                if !dry_run {
                    self.logs.insert(
                        name,
                        Log {
                            id,
                            settings,
                            partitions,
                        },
                    );
                }
                LogReply::Logs(vec![Ok(summary)])
            }
            LogRequest::Alter { name, settings, .. } => {
                let log = self.logs.get_mut(&name).unwrap();
                log.partitions
                    .resize(settings.partitions as usize, Vec::new());
                log.settings = settings;
                LogReply::Logs(self.list(WhichLogs::Named(vec![name])))
            }
            LogRequest::Delete { name } => {
                let logs = self.list(WhichLogs::Named(vec![name.clone()]));
                self.logs.remove(&name);
                LogReply::Logs(logs)
            }
            LogRequest::OpenProducer {
                transactional: None,
                ..
            } => LogReply::Producer(Ok((4000, 0))),
            request @ (LogRequest::OpenProducer { .. }
            | LogRequest::AddPartitions { .. }
            | LogRequest::AddGroup { .. }
            | LogRequest::End { .. }
            | LogRequest::Transactions(_)) => {
                self.transaction_requests.push(request);
                self.transaction_replies.remove(0)
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    fn list(&self, which: WhichLogs) -> Vec<Result<LogSummary, LogError>> {
        let summary = |(name, log): (&Name, &Log)| LogSummary {
            name: name.clone(),
            id: log.id,
            settings: log.settings.clone(),
        };
        let all = || self.logs.iter();
        match which {
            WhichLogs::All => all().map(summary).map(Ok).collect(),
            WhichLogs::Named(names) | WhichLogs::Configured(names) => names
                .iter()
                .map(|name| {
                    all()
                        .find(|(n, _)| *n == name)
                        .map(summary)
                        .ok_or(LogError::NotFound)
                })
                .collect(),
            WhichLogs::WithIds(ids) => ids
                .iter()
                .map(|id| {
                    all()
                        .find(|(_, l)| l.id == *id)
                        .map(summary)
                        .ok_or(LogError::NotFound)
                })
                .collect(),
        }
    }

    /// Whether a log of that name is another one than is meant.
    fn check(&self, log: &Name, id: Option<LogId>) -> Result<(), LogError> {
        let is_it = |log: &Log| id.is_none_or(|id| id == log.id);
        match self.logs.get(log) {
            Some(log) if !is_it(log) => Err(LogError::Replaced),
            _ => Ok(()),
        }
    }

    fn partition(&mut self, name: &PartitionName) -> Option<&mut Vec<Run>> {
        self.logs
            .get_mut(&name.log)?
            .partitions
            .get_mut(name.partition as usize)
    }

    fn append(
        &mut self,
        name: &PartitionName,
        id: Option<LogId>,
        run: NewRun,
    ) -> Result<AppendedRun, LogError> {
        self.check(&name.log, id)?;
        let stamps = self
            .logs
            .get(&name.log)
            .is_some_and(|log| log.settings.stamps);
        let stamped = stamps.then_some(1234);
        let compacts = self
            .logs
            .get(&name.log)
            .is_some_and(|log| log.settings.compacts);
        if compacts && !run.keyed {
            return Err(LogError::KeysUnknown);
        }
        let runs = self.partition(name).ok_or(LogError::NotFound)?;
        let offset = end(runs);
        runs.push(Run {
            offset,
            count: run.count,
            time_max: run.time_max,
            stamped,
            transaction: None,
            ends: None,
            content: run.content,
        });
        Ok(AppendedRun {
            offset,
            start: 0,
            stamped,
        })
    }

    fn read<'a>(&mut self, reads: impl Iterator<Item = &'a Read>) -> Vec<Result<Slice, LogError>> {
        reads
            .map(|read| {
                let (name, offset) = (&read.partition, read.offset);
                self.check(&name.log, read.id)?;
                let runs = self.partition(name).ok_or(LogError::NotFound)?;
                let end = end(runs);
                if offset > end {
                    return Err(LogError::OutOfRange { start: 0, end });
                }
                let from_here = |run: &&Run| run.offset + u64::from(run.count) > offset;
                Ok(Slice {
                    start: 0,
                    end,
                    stable_end: end,
                    runs: runs.iter().filter(from_here).cloned().collect(),
                    aborted: Vec::new(),
                })
            })
            .collect()
    }

    fn find(
        &mut self,
        name: &PartitionName,
        place: Place,
    ) -> Result<Option<FoundOffset>, LogError> {
        let runs = self.partition(name).ok_or(LogError::NotFound)?;
        let plain = |offset| Ok(Some(FoundOffset { offset, run: None }));
        let of_run = |run: &Run| FoundOffset {
            offset: run.offset,
            run: Some(run.clone()),
        };
        match place {
            Place::Start => plain(0),
            Place::End | Place::StableEnd => plain(end(runs)),
            Place::Time(time) => Ok(runs
                .iter()
                .find(|run| run.time_max >= Some(time))
                .map(of_run)),
            Place::LatestTime => Ok(runs.iter().max_by_key(|run| run.time_max).map(of_run)),
            Place::Record(_) => Err(LogError::Unsupported("no keys here".to_owned())),
        }
    }
}

fn end(runs: &[Run]) -> u64 {
    runs.last()
        .map_or(0, |run| run.offset + u64::from(run.count))
}
