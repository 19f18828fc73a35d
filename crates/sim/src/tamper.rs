//! Bugs put in on purpose, between the broker and who watches it, to show which invariant catches each.

use polybus_model::{Batch, Body, Event, Message, MessageParts, Outcome, Request, SessionId};

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
