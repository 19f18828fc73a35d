//! A broker to fuzz sessions against: it answers as it is told to, and looks whether it is asked in order.

use std::collections::{BTreeMap, VecDeque};

use polybus_model::{
    Attempts, Batch, Credentials, Delivery, Error, Event, Kind, Lane, LeaseId, Message, Name,
    Outcome, Publish, Reply, Request, Resource, ReturnReason, Settle, SubscriberId, Taken, Value,
};

const HELD_MAX: usize = 4_096;

/// The broker.
#[derive(Default)]
pub struct Broker {
    /// What the next requests come to: 0 is well, others are errors.
    pub mood: VecDeque<u8>,
    /// What the session is to be told.
    pub events: VecDeque<Event>,
    subscribers: BTreeMap<u32, Subscriber>,
    ready: VecDeque<Message>,
    held: BTreeMap<u32, (Lane, Message)>,
    confirmed: BTreeMap<u16, u64>,
    next_slot: u32,
    is_authenticated: bool,
    is_open: bool,
}

struct Subscriber {
    lane: Lane,
    auto_settle: bool,
}

fn error(mood: u8) -> Box<Error> {
    let text = || "as it was told".to_owned();
    let kind = match mood % 13 {
        0 => Kind::NotFound,
        1 => Kind::inequivalent("durable", Some(Value::Bool(true)), Some(Value::Bool(false))),
        2 => Kind::Locked,
        3 => Kind::ExclusiveUse,
        4 => Kind::InUse,
        5 => Kind::NotEmpty,
        6 => Kind::AccessRefused(text()),
        7 => Kind::BadCredentials,
        8 => Kind::InvalidSetting(text()),
        9 => Kind::NotAllowed(text()),
        10 => Kind::Unsupported("as it was told"),
        11 => Kind::LimitReached(text()),
        _ => Kind::Unavailable(text()),
    };
    let resource = match mood / 13 % 3 {
        0 => Resource::Queue,
        1 => Resource::Topic,
        _ => Resource::Namespace,
    };
    let name = Name::new("q").unwrap_or_else(|_| Name::empty());
    let namespace = Name::new("/").unwrap_or_else(|_| Name::empty());
    Box::new(Error {
        kind,
        resource,
        name,
        namespace,
    })
}

impl Broker {
    /// Carries out a batch; what comes of it is put to the end of the events.
    pub fn handle(&mut self, batch: Batch) {
        let mut failed = Vec::new();
        for (lane, request) in batch.requests {
            if failed.contains(&lane) {
                continue;
            }
            let answers = request.answers();
            let mood = match request {
                // Whatever the broker's mood, a lane can be closed.
                Request::CloseLane => 0,
                _ => self.mood.pop_front().unwrap_or_default(),
            };
            let result = match mood {
                0 => Ok(self.carry_out(lane, request)),
                _ => Err(error(mood - 1)),
            };
            if result.is_err() {
                failed.push(lane);
            }
            match result {
                Ok(reply) if answers => self.events.push_back(Event::Reply {
                    lane,
                    result: Ok(reply),
                }),
                Ok(_) => {}
                Err(error) if answers => self.events.push_back(Event::Reply {
                    lane,
                    result: Err(error),
                }),
                Err(error) => self.events.push_back(Event::Failed { lane, error }),
            }
        }
        self.deliver();
        for (lane, through) in std::mem::take(&mut self.confirmed) {
            let lane = Lane(lane);
            self.events.push_back(Event::Confirmed { lane, through });
        }
    }

    fn carry_out(&mut self, lane: Lane, request: Request) -> Reply {
        match request {
            Request::Authenticate(credentials) => {
                assert!(!self.is_authenticated, "authenticated twice");
                self.is_authenticated = true;
                if let Credentials::Password { user, .. } = credentials {
                    assert!(user.len() < 1 << 17);
                }
                return Reply::Done;
            }
            Request::Open { .. } => {
                assert!(self.is_authenticated && !self.is_open, "opened too early");
                self.is_open = true;
                return Reply::Done;
            }
            _ => assert!(self.is_open, "asked before it is open: {request:?}"),
        }
        match request {
            Request::Publish(publish) => self.publish(lane, publish),
            Request::Settle(settle) => self.settle(lane, &settle),
            Request::DeclareQueue { name, .. } => {
                return Reply::Queue {
                    name,
                    messages: self.ready.len() as u64,
                    consumers: self.subscribers.len() as u64,
                };
            }
            Request::DeleteQueue { .. } => {
                for (number, subscriber) in std::mem::take(&mut self.subscribers) {
                    self.events.push_back(Event::SubscriptionEnded {
                        lane: subscriber.lane,
                        subscriber: SubscriberId(number),
                    });
                }
                return Reply::Count(0);
            }
            Request::Purge { .. } => return Reply::Count(self.ready.drain(..).count() as u64),
            Request::Subscribe(subscribe) => {
                let subscriber = Subscriber {
                    lane,
                    auto_settle: subscribe.auto_settle,
                };
                let before = self.subscribers.insert(subscribe.subscriber.0, subscriber);
                assert!(before.is_none(), "a subscriber's number is in use");
            }
            Request::Unsubscribe { subscriber } => {
                self.subscribers.remove(&subscriber.0);
            }
            Request::Take { auto_settle, .. } => {
                let taken = self.ready.pop_front().map(|message| {
                    let lease = self.lease(lane, &message, auto_settle);
                    Box::new(Taken {
                        lease,
                        message,
                        redelivered: false,
                        attempts: None,
                        remaining: self.ready.len() as u64,
                    })
                });
                return Reply::Taken(taken);
            }
            Request::Transaction(transaction) => {
                for mut publish in transaction.publishes {
                    publish.confirm = None;
                    self.publish(lane, publish);
                }
                for settle in &transaction.settles {
                    self.settle(lane, settle);
                }
            }
            Request::CloseLane => {
                self.subscribers.retain(|_, one| one.lane != lane);
                let held = std::mem::take(&mut self.held);
                for (slot, (holder, message)) in held {
                    if holder == lane {
                        self.ready.push_front(message);
                    } else {
                        self.held.insert(slot, (holder, message));
                    }
                }
            }
            _ => {}
        }
        Reply::Done
    }

    fn publish(&mut self, lane: Lane, publish: Publish) {
        if let Some(number) = publish.confirm {
            let last = self.confirmed.insert(lane.0, number);
            assert!(last.is_none_or(|last| last < number), "confirms rise");
            if publish.message.key().first() == Some(&b'!') {
                self.events.push_back(Event::Refused { lane, number });
                return;
            }
        }
        if publish.mandatory {
            self.events.push_back(Event::Returned {
                lane,
                message: publish.message,
                reason: ReturnReason::Unroutable,
            });
        } else if self.ready.len() + self.held.len() < HELD_MAX {
            self.ready.push_back(publish.message);
        }
    }

    fn settle(&mut self, lane: Lane, settle: &Settle) {
        assert!(!settle.leases.is_empty(), "nothing to settle");
        for lease in &settle.leases {
            let Some((holder, message)) = self.held.remove(&lease.slot) else {
                panic!("{lease:?} is settled twice, or never was");
            };
            assert_eq!(holder, lane, "settled on another lane");
            if matches!(settle.outcome, Outcome::Release { .. }) {
                self.ready.push_back(message);
            }
        }
    }

    fn lease(&mut self, lane: Lane, message: &Message, auto_settle: bool) -> Option<LeaseId> {
        let slot = self.next_slot;
        self.next_slot += 1;
        if !auto_settle {
            self.held.insert(slot, (lane, message.clone()));
        }
        (!auto_settle).then_some(LeaseId {
            queue: 1,
            slot,
            stamp: 0,
        })
    }

    /// To each subscriber in turn, as long as there are messages that were ready at the beginning.
    fn deliver(&mut self) {
        let subscribers: Vec<_> = self
            .subscribers
            .iter()
            .map(|(number, one)| (*number, one.lane, one.auto_settle))
            .collect();
        if subscribers.is_empty() {
            return;
        }
        let turns = subscribers.iter().cycle();
        for (message, (number, lane, auto_settle)) in
            std::mem::take(&mut self.ready).into_iter().zip(turns)
        {
            let lease = self.lease(*lane, &message, *auto_settle);
            let attempts = Attempts {
                failed: self.next_slot % 3,
                all: self.next_slot % 5,
            };
            self.events.push_back(Event::Delivery(Delivery {
                lane: *lane,
                subscriber: SubscriberId(*number),
                lease,
                message,
                redelivered: attempts.all > 0,
                attempts: (attempts.all > 0).then_some(attempts),
            }));
        }
    }
}
