//! Transactions of producers through whole turns: all of it or nothing, once, and only from whoever has the present epoch.

use polybus_model::{
    AppendedRun, Event, GroupError, GroupOffset, GroupReply, GroupRequest, LogError, LogReply,
    LogRequest, LogSettings, Membership, NewRun, Place, Request, SessionId, Slice,
    TransactionState, TransactionalProducer, Transactor, Writer,
};

use super::desk::{Desk, name};
use super::logs::{at, bytes, desk, read_of, replies, run};
use super::recovering::History;
use crate::Options;

pub(super) const TIMEOUT_MS: u64 = 10_000;

pub(super) fn transactional(who: &Transactor, sequence: u32, body: &str) -> NewRun {
    NewRun {
        writer: Some(Writer {
            producer: who.producer,
            epoch: who.epoch,
            sequence,
            transactional: true,
        }),
        ..run(body, 1)
    }
}

impl Desk {
    pub(super) fn open(
        &mut self,
        name: &str,
        current: Option<(u64, u16)>,
    ) -> Result<Transactor, LogError> {
        let open = LogRequest::OpenProducer {
            transactional: Some(TransactionalProducer {
                name: name.into(),
                timeout_ms: TIMEOUT_MS,
            }),
            current,
        };
        match self.log(open) {
            LogReply::Producer(result) => result.map(|(producer, epoch)| Transactor {
                name: name.into(),
                producer,
                epoch,
            }),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn add(&mut self, who: &Transactor, partitions: &[u32]) -> Result<(), LogError> {
        let add = LogRequest::AddPartitions {
            transactor: who.clone(),
            partitions: partitions.iter().map(|one| at("l", *one)).collect(),
        };
        match self.log(add) {
            LogReply::Added(results) => results?.into_iter().collect(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn put(
        &mut self,
        who: &Transactor,
        partition: u32,
        sequence: u32,
        body: &str,
    ) -> Result<AppendedRun, LogError> {
        self.append("l", partition, transactional(who, sequence, body))
    }

    pub(super) fn end(
        &mut self,
        who: &Transactor,
        committed: bool,
        renew: bool,
    ) -> Result<(u64, u16), LogError> {
        let end = LogRequest::End {
            transactor: who.clone(),
            committed,
            renew,
        };
        match self.log(end) {
            LogReply::Producer(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn committed_slice(&mut self, partition: u32, offset: u64) -> Slice {
        let mut read = read_of("l", partition, offset);
        read.committed = true;
        self.read(read).unwrap()
    }

    /// What a reader of what is committed makes of a partition.
    pub(super) fn committed(&mut self, partition: u32) -> Vec<String> {
        let slice = self.committed_slice(partition, 0);
        let mut aborted = slice.aborted.clone();
        aborted.sort_by_key(|one| one.1);
        let mut skipped = Vec::new();
        let mut seen = Vec::new();
        for run in slice.runs {
            while aborted.first().is_some_and(|one| one.1 <= run.offset) {
                skipped.push(aborted.remove(0).0);
            }
            let text = bytes(&run.content);
            if let Some(ends) = run.ends {
                skipped.retain(|one| *one != ends.producer);
            } else {
                let (producer, body) = text.split_once(':').unwrap_or(("0", &text));
                let producer: u64 = producer.parse().unwrap();
                if !skipped.contains(&producer) {
                    seen.push(body.to_owned());
                }
            }
        }
        seen
    }

    pub(super) fn group(&mut self, request: GroupRequest) -> GroupReply {
        let request = Request::Group {
            number: 3,
            request: Box::new(request),
        };
        let told = self.batch(1, vec![request]);
        let reply = told.into_iter().find_map(|(_, event)| match event {
            Event::Group { number: 3, reply } => Some(*reply),
            _ => None,
        });
        reply.expect("an answer")
    }

    pub(super) fn add_group(&mut self, who: &Transactor) -> Result<(), LogError> {
        let add = LogRequest::AddGroup {
            transactor: who.clone(),
            group: "g".into(),
        };
        match self.log(add) {
            LogReply::Done(result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn stand(&mut self, who: &Transactor, offset: u64) -> Result<(), GroupError> {
        let commit = GroupRequest::CommitInTransaction {
            transactor: who.clone(),
            membership: nobody(),
            offsets: vec![GroupOffset {
                partition: at("l", 0),
                offset,
                epoch: None,
                metadata: String::new(),
            }],
            forbidden: Vec::new(),
        };
        match self.group(commit) {
            GroupReply::Committed(results) => results?.into_iter().collect(),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn stands(&mut self, stable: bool) -> Result<Option<u64>, GroupError> {
        let asked = GroupRequest::Offsets {
            membership: nobody(),
            partitions: Some(vec![at("l", 0)]),
            stable,
        };
        match self.group(asked) {
            GroupReply::Offsets(offsets) => Ok(offsets?.first().map(|one| one.offset)),
            other => panic!("{other:?}"),
        }
    }

    fn state(&mut self, of: &str) -> TransactionState {
        match self.log(LogRequest::Transactions(Some(vec![of.into()]))) {
            LogReply::Transactions(mut found) => found.remove(0).unwrap().state,
            other => panic!("{other:?}"),
        }
    }
}

fn nobody() -> Membership {
    Membership {
        group: "g".into(),
        generation: None,
        member: String::new(),
        instance: None,
    }
}

fn wide() -> Desk {
    let mut desk = Desk::new();
    let settings = LogSettings {
        partitions: 2,
        ..LogSettings::default()
    };
    desk.declare_log("l", settings).unwrap();
    desk
}

fn body(who: &Transactor, text: &str) -> String {
    format!("{}:{text}", who.producer)
}

#[test]
fn all_of_a_transaction_is_seen_at_once() {
    let mut desk = wide();
    let who = desk.open("t", None).unwrap();
    assert_eq!(desk.put(&who, 0, 0, "x"), Err(LogError::NoTransaction));
    desk.add(&who, &[0, 1]).unwrap();
    desk.put(&who, 0, 0, &body(&who, "a")).unwrap();
    desk.put(&who, 1, 0, &body(&who, "b")).unwrap();
    desk.append("l", 0, run("plain", 1)).unwrap();
    assert_eq!(desk.state("t"), TransactionState::Open);
    for partition in [0, 1] {
        assert!(desk.committed(partition).is_empty());
        assert_eq!(desk.committed_slice(partition, 0).stable_end, 0);
    }
    assert_eq!(desk.read_all("l", 1, 0).len(), 1, "others see it at once");
    assert_eq!(desk.end(&who, true, false), Ok((who.producer, 0)));
    assert_eq!(desk.end(&who, true, false), Ok((who.producer, 0)), "again");
    let other = desk.end(&who, false, false);
    assert_eq!(other, Err(LogError::NoTransaction));
    assert_eq!(desk.state("t"), TransactionState::Committed);
    assert_eq!(desk.committed(0), ["a", "plain"]);
    assert_eq!(desk.committed(1), ["b"]);
    assert_eq!(desk.committed_slice(0, 0).stable_end, 3);
}

#[test]
fn nothing_of_an_aborted_one_is_seen() {
    let mut desk = desk();
    let who = desk.open("t", None).unwrap();
    desk.add(&who, &[0]).unwrap();
    desk.put(&who, 0, 0, &body(&who, "lost")).unwrap();
    desk.end(&who, false, false).unwrap();
    desk.add(&who, &[0]).unwrap();
    desk.put(&who, 0, 1, &body(&who, "kept")).unwrap();
    desk.end(&who, true, false).unwrap();
    assert_eq!(desk.committed(0), ["kept"]);
    assert_eq!(desk.committed_slice(0, 0).aborted, [(who.producer, 0)]);
    assert_eq!(desk.committed_slice(0, 2).aborted, []);
}

#[test]
fn a_commit_is_not_seen_before_it_is_durable() {
    let mut desk = desk();
    let who = desk.open("t", None).unwrap();
    desk.add(&who, &[0]).unwrap();
    desk.put(&who, 0, 0, &body(&who, "a")).unwrap();
    desk.durable = false;
    desk.end(&who, true, false).unwrap();
    assert!(desk.committed(0).is_empty());
    desk.tell_durable();
    assert_eq!(desk.committed(0), ["a"]);
}

#[test]
fn a_reader_that_waits_hears_of_a_commit() {
    let mut desk = desk();
    let who = desk.open("t", None).unwrap();
    desk.add(&who, &[0]).unwrap();
    let mut read = read_of("l", 0, 0);
    read.committed = true;
    read.bytes_min = 5_000;
    read.wait_ms = 60_000;
    assert!(replies(desk.ask(2, 9, LogRequest::Read(read))).is_empty());
    let long = body(&who, &"x".repeat(6_000));
    let append = LogRequest::Append(vec![polybus_model::Append {
        partition: at("l", 0),
        id: None,
        run: transactional(&who, 0, &long),
    }]);
    assert_eq!(replies(desk.ask(1, 1, append)).len(), 1, "only the writer");
    let end = LogRequest::End {
        transactor: who,
        committed: true,
        renew: false,
    };
    let told = replies(desk.ask(1, 2, end));
    let numbers: Vec<u64> = told.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, [2, 9]);
}

#[test]
fn a_newer_producer_of_the_name_fences_the_older() {
    let mut desk = desk();
    let old = desk.open("t", None).unwrap();
    desk.add(&old, &[0]).unwrap();
    desk.put(&old, 0, 0, &body(&old, "lost")).unwrap();
    let new = desk.open("t", None).unwrap();
    assert_eq!((new.producer, new.epoch), (old.producer, 1));
    assert_eq!(desk.state("t"), TransactionState::Aborted);
    assert_eq!(desk.add(&old, &[0]), Err(LogError::Fenced));
    assert_eq!(desk.put(&old, 0, 1, "x"), Err(LogError::Fenced));
    assert_eq!(desk.end(&old, true, false), Err(LogError::Fenced));
    assert_eq!(desk.add_group(&old), Err(LogError::Fenced));
    let current = Some((old.producer, old.epoch));
    assert_eq!(desk.open("t", current), Err(LogError::Fenced));
    assert!(desk.committed(0).is_empty());
    // Whoever has the present epoch may ask for the next, and again if the answer got lost.
    let current = Some((new.producer, new.epoch));
    let next = desk.open("t", current).unwrap();
    assert_eq!(next.epoch, 2);
    assert_eq!(desk.open("t", current).unwrap(), next);
    let stranger = Transactor {
        name: "u".into(),
        ..next
    };
    assert_eq!(desk.add(&stranger, &[0]), Err(LogError::UnknownProducer));
}

#[test]
fn an_end_that_renews_gives_the_next_epoch_and_the_same_when_asked_again() {
    let mut desk = desk();
    let who = desk.open("t", None).unwrap();
    assert_eq!(desk.end(&who, true, true), Err(LogError::NoTransaction));
    desk.add(&who, &[0]).unwrap();
    desk.put(&who, 0, 0, &body(&who, "a")).unwrap();
    let next = (who.producer, 1);
    assert_eq!(desk.end(&who, true, true), Ok(next));
    assert_eq!(desk.end(&who, true, true), Ok(next));
    assert_eq!(desk.end(&who, false, true), Err(LogError::Fenced));
    assert_eq!(desk.put(&who, 0, 1, "late"), Err(LogError::Fenced));
    assert_eq!(desk.committed(0), ["a"]);
}

#[test]
fn a_producer_that_has_no_epoch_left_gets_another_number() {
    let mut desk = desk();
    let mut who = desk.open("t", None).unwrap();
    let first = who.producer;
    for _ in 0..i16::MAX {
        who = desk.open("t", None).unwrap();
    }
    assert_ne!(who.producer, first);
    assert_eq!(who.epoch, 0);
    let history = History::default();
    (desk.engine, desk.shelf) = history.recover(&desk, false);
    desk.engine.attach(SessionId(1), &name("/")).unwrap();
    let again = desk.open("t", None).unwrap();
    assert_eq!((again.producer, again.epoch), (who.producer, 1));
}

#[test]
fn what_is_open_for_too_long_is_aborted_and_its_producer_fenced() {
    let mut desk = desk();
    let who = desk.open("t", None).unwrap();
    desk.add(&who, &[0]).unwrap();
    desk.put(&who, 0, 0, &body(&who, "lost")).unwrap();
    desk.wait(TIMEOUT_MS - 1);
    assert_eq!(desk.state("t"), TransactionState::Open);
    desk.wait(1);
    assert_eq!(desk.state("t"), TransactionState::Aborted);
    assert_eq!(desk.end(&who, true, false), Err(LogError::Fenced));
    assert!(desk.committed(0).is_empty());
    assert_eq!(desk.committed_slice(0, 0).stable_end, 2);
}

#[test]
fn offsets_of_a_group_are_there_with_the_commit() {
    let mut desk = desk();
    let who = desk.open("t", None).unwrap();
    assert_eq!(desk.stand(&who, 5), Err(GroupError::NoTransaction));
    desk.add_group(&who).unwrap();
    assert_eq!(desk.stands(true), Ok(None), "nothing is pending yet");
    desk.stand(&who, 5).unwrap();
    assert_eq!(desk.stands(true), Err(GroupError::Unstable));
    assert_eq!(desk.stands(false), Ok(None));
    desk.end(&who, true, false).unwrap();
    assert_eq!(desk.stands(true), Ok(Some(5)));
    desk.add_group(&who).unwrap();
    desk.stand(&who, 9).unwrap();
    desk.end(&who, false, false).unwrap();
    assert_eq!(desk.stands(true), Ok(Some(5)));
}

#[test]
fn open_ones_are_still_open_after_a_restart() {
    for with_snapshot in [false, true] {
        let mut desk = wide();
        let mut history = History::default();
        let who = desk.open("t", None).unwrap();
        desk.add(&who, &[0, 1]).unwrap();
        desk.put(&who, 0, 0, &body(&who, "lost")).unwrap();
        desk.end(&who, false, false).unwrap();
        desk.add(&who, &[0, 1]).unwrap();
        desk.add_group(&who).unwrap();
        desk.put(&who, 0, 1, &body(&who, "a")).unwrap();
        desk.stand(&who, 7).unwrap();
        if with_snapshot {
            history.snapshot(&desk);
        }
        (desk.engine, desk.shelf) = history.recover(&desk, false);
        desk.engine.attach(SessionId(1), &name("/")).unwrap();
        assert_eq!(desk.state("t"), TransactionState::Open);
        assert!(desk.committed(0).is_empty());
        assert_eq!(desk.stands(true), Err(GroupError::Unstable));
        desk.put(&who, 1, 0, &body(&who, "b")).unwrap();
        desk.end(&who, true, false).unwrap();
        (desk.engine, desk.shelf) = history.recover(&desk, false);
        desk.engine.attach(SessionId(1), &name("/")).unwrap();
        assert_eq!(desk.state("t"), TransactionState::Committed);
        assert_eq!(
            (desk.committed(0), desk.committed(1)),
            (vec!["a".into()], vec!["b".into()])
        );
        assert_eq!(desk.stands(true), Ok(Some(7)));
        let place = LogRequest::FindOffsets(vec![(at("l", 0), Place::StableEnd)]);
        match desk.log(place) {
            LogReply::Offsets(found) => {
                let found = found[0].as_ref().unwrap().as_ref().unwrap();
                assert_eq!(found.offset, 4);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn writers_are_listed_with_what_is_open() {
    let mut desk = desk();
    let who = desk.open("t", None).unwrap();
    desk.add(&who, &[0]).unwrap();
    desk.put(&who, 0, 0, "a").unwrap();
    match desk.log(LogRequest::Writers(vec![at("l", 0)])) {
        LogReply::Writers(found) => {
            let writer = &found[0].as_ref().unwrap()[0];
            assert_eq!(writer.producer, who.producer);
            assert_eq!((writer.sequence, writer.open_since), (Some(0), Some(0)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn names_that_are_not_used_for_long_are_forgotten() {
    const IDLE_MS: u64 = 2 * TIMEOUT_MS;
    let options = || Options {
        transactional_ids_idle_ms_max: IDLE_MS,
        ..Options::default()
    };
    let (mut desk, mut history) = (Desk::with(options()), History::default());
    desk.declare_log("l", LogSettings::default()).unwrap();
    let old = desk.open("old", None).unwrap();
    desk.wait(IDLE_MS / 2);
    let busy = desk.open("busy", None).unwrap();
    desk.add(&busy, &[0]).unwrap();
    desk.put(&busy, 0, 0, &body(&busy, "a")).unwrap();
    let recovered = history.recover_with(&desk, false, options());
    desk.crash(recovered);
    desk.wait(IDLE_MS / 2 - 1);
    assert_eq!(
        desk.end(&old, true, false),
        Err(LogError::NoTransaction),
        "still known"
    );
    desk.wait(1);
    assert_eq!(desk.end(&old, true, false), Err(LogError::UnknownProducer));
    // It timed out, which counts as use.
    assert_eq!(desk.state("busy"), TransactionState::Aborted);
    for with_snapshot in [false, true] {
        if with_snapshot {
            history.snapshot(&desk);
        }
        let recovered = history.recover_with(&desk, false, options());
        desk.crash(recovered);
        assert_eq!(desk.end(&old, true, false), Err(LogError::UnknownProducer));
        assert_eq!(desk.state("busy"), TransactionState::Aborted);
    }
    let new = desk.open("old", None).unwrap();
    assert_ne!(new.producer, old.producer, "it begins anew");
    desk.wait(IDLE_MS);
    let listed = desk.log(LogRequest::Transactions(None));
    assert!(matches!(listed, LogReply::Transactions(all) if all.is_empty()));
}
