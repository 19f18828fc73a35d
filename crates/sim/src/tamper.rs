//! Bugs put in on purpose, between the broker and who watches it, to show which invariant catches each.

use crate::clerks::packing;
use polybus_model::{
    Batch, Body, Event, GroupRequest, LogReply, LogRequest, Message, MessageParts, Outcome,
    ReaderOutcome, ReaderRequest, Request, RunContent, SessionId, Verdict,
};

/// A deliberate bug.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tamper {
    /// The broker confirms what it has written and not synced.
    ConfirmBeforeSync,
    /// The disk says that it has synced, and has not.
    LyingDisk,
    /// The disk flips a bit in some of its reads.
    DecayingDisk,
    /// What a consumer releases is accepted instead: the requeue is lost.
    LostRequeue,
    /// What a consumer accepts is kept.
    LostAccept,
    /// Two deliveries of a turn change places.
    SwappedOrder,
    /// The mark of redelivered messages is lost.
    ForgottenMark,
    /// A byte of a body changes.
    ChangedBody,
    /// Consumers get more credit than they asked for.
    MoreCredit,
    /// Confirms never arrive.
    DroppedConfirm,
    /// After a restart no run of a producer is known to have been appended before.
    ForgottenWriters,
    /// Of the runs that a reader is given one is left out, as if a copy had been forgotten.
    LostRun,
    /// A byte of a run changes.
    ChangedRun,
    /// What a log was told to give up stays.
    LostTrim,
    /// A run is said to be one offset before where it is.
    MisplacedRun,
    /// Of several appends of a client the last is carried out first.
    ReorderedAppends,
    /// Some readers are told an end that has been left behind.
    OldEnd,
    /// What a group is to remember is forgotten after a restart.
    OldGroupOffset,
    /// A transaction is aborted where its commit was asked for.
    LostCommit,
    /// A transaction is committed where its abort was asked for.
    LostAbort,
    /// Of what a reader is given the first run comes twice.
    DoubledRun,
    /// What a reader's or a group's record is settled with is lost.
    LostSettlement,
    /// Ids of messages are lost on the way to a keyed log.
    ForgottenId,
    /// What is stored in a keyed log goes elsewhere than is said.
    MisplacedMessage,
    /// A log that compacts loses the last record of a run, as if it had been superseded.
    LostLatest,
    /// Tombstones go as soon as they are looked after.
    EarlyTombstones,
    /// Who leaves goes on listening.
    LostLeave,
    /// What is said to listeners goes elsewhere.
    LostSaying,
}

impl Tamper {
    /// What the broker gets instead of what was asked.
    pub(crate) fn requests(self, batch: &mut Batch) {
        for (_, request) in &mut batch.requests {
            match (self, request) {
                (Self::LostRequeue, Request::Settle(settle))
                    if matches!(settle.outcome, Outcome::Release { .. }) =>
                {
                    settle.outcome = Outcome::Accept;
                }
                (Self::LostAccept, Request::Settle(settle))
                    if settle.outcome == Outcome::Accept =>
                {
                    settle.outcome = Outcome::Release { failed: false };
                }
                (Self::MoreCredit, Request::Subscribe(subscribe)) => {
                    subscribe.credit = subscribe.credit.map(|credit| credit + 1);
                }
                _ => {}
            }
        }
    }

    /// What the broker gets of logs and groups instead of what was asked, after so many restarts.
    pub(crate) fn log_request(self, request: &mut Request, restarts: u64) {
        match request {
            Request::Log { request, .. } => match (self, &mut **request) {
                (Self::ForgottenWriters | Self::ReorderedAppends, LogRequest::Append(appends))
                    if restarts > 0 || self == Self::ReorderedAppends =>
                {
                    for append in appends {
                        append.run.writer = None;
                    }
                }
                (Self::LostTrim, LogRequest::Trim(wanted)) => {
                    for (_, offset) in wanted {
                        *offset = Some(0);
                    }
                }
                _ => {}
            },
            Request::Group { request, .. } => match (self, &mut **request) {
                (Self::OldGroupOffset, GroupRequest::Commit { offsets, .. }) if restarts > 0 => {
                    for one in offsets {
                        one.offset = 1;
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }

    /// What the broker gets of clerks instead of what was asked.
    pub(crate) fn clerk_request(self, request: &mut Request) {
        match request {
            Request::Log { request, .. } => match (self, &mut **request) {
                (Self::LostCommit, LogRequest::End { committed, .. }) => *committed = false,
                (Self::LostAbort, LogRequest::End { committed, .. }) => *committed = true,
                (Self::ForgottenId, LogRequest::Store { terms, .. }) => terms.id = None,
                (Self::EarlyTombstones, LogRequest::Declare { settings, .. }) => {
                    settings.compaction.tombstones_ms = 0;
                }
                _ => {}
            },
            Request::Group { request, .. } if self == Self::LostSettlement => {
                lose_settlement(request);
            }
            Request::UnsubscribeLive { subscriber, .. } if self == Self::LostLeave => {
                subscriber.0 += 1_000_000;
            }
            Request::Publish(publish) if self == Self::LostSaying => {
                publish.message = elsewhere(&publish.message);
            }
            _ => {}
        }
    }

    /// What clerks see instead of what came.
    pub(crate) fn clerk_event(self, event: &mut Event) {
        let Event::Log { reply, .. } = event else {
            return;
        };
        match (self, &mut **reply) {
            (Self::DoubledRun, LogReply::Read(slices)) => {
                for slice in slices.iter_mut().flatten() {
                    let first = slice.runs.first().cloned();
                    slice.runs.extend(first);
                }
            }
            (Self::LostLatest, LogReply::Read(slices)) => {
                let runs = slices.iter_mut().flatten().flat_map(|one| &mut one.runs);
                for run in runs {
                    if let RunContent::Packed { bytes, .. } = &mut run.content
                        && let Some((mut records, until)) = packing::unpack(bytes)
                    {
                        records.pop();
                        *bytes = packing::pack(&records, until);
                    }
                }
            }
            (Self::MisplacedMessage, LogReply::Stored(Ok(stored))) => stored.offset += 1,
            _ => {}
        }
    }

    /// What is seen of logs instead of what came.
    pub(crate) fn log_event(self, event: &mut Event) {
        let Event::Log { reply, .. } = event else {
            return;
        };
        match (self, &mut **reply) {
            (Self::LostRun, LogReply::Read(slices)) => {
                let slices = slices.iter_mut().flatten();
                for slice in slices.filter(|slice| slice.runs.len() > 2) {
                    slice.runs.remove(1);
                }
            }
            (Self::ChangedRun, LogReply::Read(slices)) => {
                let runs = slices.iter_mut().flatten().flat_map(|one| &mut one.runs);
                for run in runs {
                    if let RunContent::Packed { bytes, .. } = &mut run.content {
                        let mut changed = bytes.to_vec();
                        changed
                            .iter_mut()
                            .last()
                            .into_iter()
                            .for_each(|last| *last ^= 1);
                        *bytes = changed.into();
                    }
                }
            }
            (Self::OldEnd, LogReply::Read(slices)) => {
                for slice in slices
                    .iter_mut()
                    .flatten()
                    .filter(|one| one.runs.is_empty())
                {
                    slice.end = slice.start;
                }
            }
            (Self::MisplacedRun, LogReply::Appended(results)) => {
                for appended in results.iter_mut().flatten() {
                    appended.offset = appended.offset.saturating_sub(1);
                }
            }
            _ => {}
        }
    }

    /// What is seen instead of what came.
    pub(crate) fn events(self, events: &mut Vec<(SessionId, Event)>) {
        match self {
            Self::SwappedOrder => swap(events),
            Self::ForgottenMark => {
                for (_, event) in events {
                    if let Event::Delivery(delivery) = event {
                        delivery.redelivered = false;
                    }
                }
            }
            Self::ChangedBody => {
                for (_, event) in events {
                    if let Event::Delivery(delivery) = event {
                        delivery.message = changed(&delivery.message);
                    }
                }
            }
            Self::DroppedConfirm => {
                events.retain(|(_, event)| !matches!(event, Event::Confirmed { .. }));
            }
            _ => {}
        }
    }
}

/// What is accepted goes back instead.
fn lose_settlement(request: &mut GroupRequest) {
    match request {
        GroupRequest::Lease(request) => {
            let settles = request.parts.iter_mut().flat_map(|part| &mut part.settles);
            for one in settles.filter(|one| one.how == Verdict::Accept) {
                one.how = Verdict::Release;
            }
        }
        GroupRequest::Reader(request) => {
            if let ReaderRequest::Settle { outcome, .. } = &mut **request {
                *outcome = ReaderOutcome::Release(0);
            }
        }
        _ => {}
    }
}

/// The same message, to a key that nobody listens to.
fn elsewhere(message: &Message) -> Message {
    Message::new(MessageParts {
        origin: message.origin(),
        topic: message.topic(),
        key: b"nowhere.at.all",
        properties: message.properties(),
        body: Body::Copied(message.body()),
        durable: message.is_durable(),
        priority: message.priority(),
        ttl: message.ttl(),
        deaths: message.deaths().cloned(),
    })
}

fn swap(events: &mut [(SessionId, Event)]) {
    for at in 1..events.len() {
        let (before, after) = events.split_at_mut(at);
        if let (
            Some((first_id, Event::Delivery(first))),
            Some((second_id, Event::Delivery(second))),
        ) = (before.last_mut(), after.first_mut())
            && first_id == second_id
            && first.subscriber == second.subscriber
        {
            std::mem::swap(first, second);
        }
    }
}

fn changed(message: &Message) -> Message {
    let mut body = message.body().to_vec();
    if let Some(last) = body.last_mut() {
        *last ^= 1;
    }
    Message::new(MessageParts {
        origin: message.origin(),
        topic: message.topic(),
        key: message.key(),
        properties: message.properties(),
        body: Body::Copied(&body),
        durable: message.is_durable(),
        priority: message.priority(),
        ttl: message.ttl(),
        deaths: message.deaths().cloned(),
    })
}
