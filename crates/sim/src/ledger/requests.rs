//! What requests must bring about.

use polybus_model::{Batch, Lane, Outcome, Publish, QueueKind, Request, SessionId};

use super::sessions::Unconfirmed;
use super::{Ask, Ledger, State, SubscriberModel, id_of};

impl Ledger {
    /// A session is about to submit this. `blocked`: the broker refuses publishes.
    pub(crate) fn note_requests(&mut self, id: SessionId, batch: &Batch, blocked: bool) {
        for (lane, request) in &batch.requests {
            self.note_request(id, *lane, request, blocked);
        }
    }

    fn note_request(&mut self, id: SessionId, lane: Lane, request: &Request, blocked: bool) {
        let ask = match request {
            Request::Publish(publish) => {
                self.note_publish(id, lane, publish, blocked);
                return;
            }
            Request::Settle(settle) => {
                for lease in &settle.leases {
                    self.settle(*lease, id, settle.outcome);
                }
                return;
            }
            Request::Drained { bytes } => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.outstanding = session.outstanding.saturating_sub(*bytes);
                }
                return;
            }
            Request::Subscribe(subscribe) => {
                let Some(queue) = self.shape.find(subscribe.queue.as_str()) else {
                    return;
                };
                let model = SubscriberModel {
                    lane,
                    queue,
                    auto_settle: subscribe.auto_settle,
                    credit: subscribe.credit,
                    held: 0,
                };
                let quorum = self.queue_shape(queue).settings.kind == QueueKind::Quorum;
                let refused = quorum && self.lane(id, lane).limit.is_some();
                let subscriber = subscribe.subscriber;
                if let Some(session) = self.sessions.get_mut(&id).filter(|_| !refused) {
                    session.subscribers.insert(subscriber, model);
                }
                Ask::Subscribe { refused }
            }
            Request::Unsubscribe { subscriber } => {
                if let Some(session) = self.sessions.get_mut(&id) {
                    session.subscribers.remove(subscriber);
                }
                Ask::Other
            }
            Request::LaneCredit { limit } => {
                self.lane(id, lane).limit = *limit;
                Ask::Other
            }
            Request::Flow { active } => {
                self.lane(id, lane).active = *active;
                Ask::Other
            }
            Request::Take { queue, auto_settle } => match self.shape.find(queue.as_str()) {
                Some(queue) => Ask::Take {
                    queue,
                    auto_settle: *auto_settle,
                },
                None => Ask::Other,
            },
            Request::Purge { queue } => match self.shape.find(queue.as_str()) {
                Some(queue) => Ask::Purge { queue },
                None => Ask::Other,
            },
            Request::Transaction(transaction) => {
                let mut durable = false;
                for publish in &transaction.publishes {
                    let copies = self.note_publish(id, lane, publish, false);
                    durable |= copies.iter().any(|copy| self.copies[*copy].is_durable());
                }
                for settle in &transaction.settles {
                    for lease in &settle.leases {
                        self.settle(*lease, id, settle.outcome);
                    }
                }
                Ask::Transaction {
                    turn: self.turn,
                    durable,
                }
            }
            Request::CloseLane => {
                self.lane_gone(id, lane);
                Ask::Other
            }
            _ => Ask::Other,
        };
        self.lane(id, lane).ask = Some(ask);
    }

    fn note_publish(
        &mut self,
        id: SessionId,
        lane: Lane,
        publish: &Publish,
        blocked: bool,
    ) -> Vec<usize> {
        let message = &publish.message;
        let Some(number) = id_of(message.body()) else {
            return Vec::new();
        };
        let targets = self
            .shape
            .routes
            .iter()
            .find(|route| {
                route.topic.as_str().as_bytes() == message.topic() && route.key == message.key()
            })
            .map(|route| route.targets.clone())
            .unwrap_or_default();
        let copies: Vec<usize> = targets
            .into_iter()
            .map(|home| self.add_copy(number, home))
            .collect();
        for copy in &copies {
            let home = self.copies[*copy].home;
            self.published_to[home] |= !blocked;
            if blocked {
                self.set_state(*copy, State::Never);
            }
        }
        if let Some(number) = publish.confirm {
            let turn = self.turn;
            self.lane(id, lane).unconfirmed.push_back(Unconfirmed {
                number,
                turn,
                copies: if blocked { Vec::new() } else { copies.clone() },
            });
        }
        copies
    }

    /// What a purge took away.
    pub(super) fn purge(&mut self, queue: usize) -> u64 {
        let ready: Vec<usize> = self
            .copies
            .iter()
            .enumerate()
            .filter(|(_, copy)| copy.queue() == queue && copy.state == State::Ready)
            .map(|(at, _)| at)
            .collect();
        let count = ready.len() as u64;
        ready.into_iter().for_each(|at| self.end(at));
        count
    }
}

/// The outcomes that consumers choose from.
pub(crate) const OUTCOMES: [Outcome; 4] = [
    Outcome::Accept,
    Outcome::Release { failed: true },
    Outcome::Release { failed: false },
    Outcome::Reject,
];
