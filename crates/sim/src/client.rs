//! A client: publishes, consumes, settles, changes its mind, and forgets. What it does next is chance.
//!
//! A request that answers is in a batch of its own, and a lane asks again only when it was answered; publishes and
//! settlements go together as they come. So the ledger knows what holds during each turn.

use std::collections::VecDeque;

use bytes::Bytes;
use polybus_broker::Connection;
use polybus_model::{
    Batch, Body, Event, Lane, LeaseId, Message, MessageParts, Origin, Outcome, Publish, Reply,
    Request, SessionId, Settle, Subscribe, SubscriberId, Table, Transaction,
};

use crate::ledger::{Ledger, MessageInfo, OUTCOMES, body_of};
use crate::random::Random;
use crate::shape::{DEAD, Route, Shape};

/// Lanes that a client uses at a time.
const LANES_MAX: usize = 3;
/// Consumers that a client has.
const SUBSCRIBERS_MAX: usize = 4;

/// One side of a lane.
#[derive(Clone, Debug)]
struct LaneSide {
    lane: Lane,
    /// Its publishes are confirmed.
    confirms: bool,
    next_number: u64,
    subscribers: Vec<SubscriberId>,
    /// The broker wants it closed.
    to_close: bool,
}

/// A client and its connection; dropping it is its death.
pub(crate) struct Client {
    pub(crate) connection: Connection,
    pub(crate) id: SessionId,
    lanes: Vec<LaneSide>,
    /// What came and was not looked at yet.
    pub(crate) inbox: VecDeque<Event>,
    held: Vec<(Lane, LeaseId)>,
    settled_before: Option<LeaseId>,
    drained: usize,
    next_lane: u16,
    next_subscriber: u32,
    /// What it mostly does with deliveries.
    mostly: Outcome,
    /// How long it keeps them, in percent of the times that it could settle.
    lazy: u64,
}

impl Client {
    pub(crate) fn new(connection: Connection, random: &mut Random) -> Self {
        Self {
            id: connection.id(),
            connection,
            lanes: Vec::new(),
            inbox: VecDeque::new(),
            held: Vec::new(),
            settled_before: None,
            drained: 0,
            next_lane: 1,
            next_subscriber: 1,
            mostly: *random.pick(&OUTCOMES).unwrap_or(&Outcome::Accept),
            lazy: random.below(90),
        }
    }

    /// Looks at some of what came.
    pub(crate) fn read(&mut self, count: usize) {
        for _ in 0..count {
            let Some(event) = self.inbox.pop_front() else {
                return;
            };
            match event {
                Event::Delivery(delivery) => {
                    self.drained += delivery.message.memory_size();
                    if let Some(lease) = delivery.lease {
                        self.held.push((delivery.lane, lease));
                    }
                }
                Event::Reply {
                    lane,
                    result: Ok(Reply::Taken(Some(taken))),
                } => {
                    if let Some(lease) = taken.lease {
                        self.held.push((lane, lease));
                    }
                }
                Event::ConsumerTimeout { lane, .. } => {
                    if let Some(side) = self.lanes.iter_mut().find(|side| side.lane == lane) {
                        side.to_close = true;
                    }
                }
                _ => {}
            }
        }
    }

    /// What it submits next. `blocked`: the broker has asked not to publish.
    pub(crate) fn next_batch(
        &mut self,
        random: &mut Random,
        shape: &Shape,
        ledger: &mut Ledger,
        blocked: bool,
    ) -> Batch {
        let at = self.choose_lane(random);
        let idle = ledger.lane(self.id, self.lanes[at].lane).ask.is_none();
        let mut batch = Batch::default();
        let lane = self.lanes[at].lane;
        if idle && (self.lanes[at].to_close || random.chance(22)) {
            let request = self.question(at, random, shape, ledger, blocked);
            batch.requests.push((lane, request));
            return batch;
        }
        if random.chance(60) && (!blocked || random.chance(20)) {
            let count = match random.below(20) {
                0 => random.between(10, 60),
                _ => random.between(1, 5),
            };
            for _ in 0..count {
                if let Some(publish) = self.publish(at, random, shape, ledger, blocked) {
                    batch.requests.push((lane, Request::Publish(publish)));
                }
            }
        }
        if !random.chance(self.lazy) {
            for settle in self.settles(random) {
                batch.requests.push((lane, Request::Settle(settle)));
            }
        }
        if self.drained > 0 && random.chance(60) {
            let bytes = std::mem::take(&mut self.drained);
            batch.requests.push((lane, Request::Drained { bytes }));
        }
        batch
    }

    fn choose_lane(&mut self, random: &mut Random) -> usize {
        if self.lanes.is_empty() || (self.lanes.len() < LANES_MAX && random.chance(5)) {
            self.lanes.push(LaneSide {
                lane: Lane(self.next_lane),
                confirms: random.chance(75),
                next_number: 1,
                subscribers: Vec::new(),
                to_close: false,
            });
            self.next_lane += 1;
        }
        random.index(self.lanes.len())
    }

    /// A request that answers.
    fn question(
        &mut self,
        at: usize,
        random: &mut Random,
        shape: &Shape,
        ledger: &mut Ledger,
        blocked: bool,
    ) -> Request {
        if self.lanes[at].to_close || random.chance(3) {
            let closed = self.lanes.remove(at);
            self.held.retain(|(lane, _)| *lane != closed.lane);
            return Request::CloseLane;
        }
        let subscribed: usize = self.lanes.iter().map(|side| side.subscribers.len()).sum();
        let queue = random.index(shape.queues.len());
        match random.below(12) {
            0..=4 if subscribed < SUBSCRIBERS_MAX => {
                self.subscribe(at, &shape.queues[queue].name, random)
            }
            5 => match self.lanes[at].subscribers.pop() {
                Some(subscriber) => Request::Unsubscribe { subscriber },
                None => Request::Flow { active: true },
            },
            6 => Request::LaneCredit {
                limit: random.chance(70).then(|| random.between(1, 10) as u32),
            },
            7 => Request::Flow {
                active: random.chance(70),
            },
            8 | 9 if !blocked => self.transaction(at, random, shape, ledger),
            10 if random.chance(20) => {
                // Of the others it is not known what is ready at the moment.
                let plain = (0..shape.queues.len()).filter(|at| {
                    let queue = &shape.queues[*at];
                    *at != DEAD && !queue.has_letters() && queue.settings.delayed_retry.is_none()
                });
                match random.pick(&plain.collect::<Vec<_>>()) {
                    Some(queue) => Request::Purge {
                        queue: shape.queues[*queue].name.clone(),
                    },
                    None => Request::Flow { active: true },
                }
            }
            _ => Request::Take {
                queue: shape.queues[queue].name.clone(),
                auto_settle: random.chance(30),
            },
        }
    }

    fn subscribe(
        &mut self,
        at: usize,
        queue: &polybus_model::Name,
        random: &mut Random,
    ) -> Request {
        let subscriber = SubscriberId(self.next_subscriber);
        self.next_subscriber += 1;
        self.lanes[at].subscribers.push(subscriber);
        Request::Subscribe(Box::new(Subscribe {
            queue: queue.clone(),
            subscriber,
            tag: Bytes::new(),
            auto_settle: random.chance(20),
            exclusive: false,
            priority: if random.chance(20) { 5 } else { 0 },
            credit: random.chance(75).then(|| random.between(1, 8) as u32),
            consumer_timeout: None,
            internal: false,
            arguments: Table::new(),
        }))
    }

    /// All that the client needs to take everything there is.
    pub(crate) fn subscribe_all(&mut self, shape: &Shape) -> Vec<Batch> {
        let lane = Lane(self.next_lane);
        self.next_lane += 1;
        let mut batches = Vec::new();
        for queue in &shape.queues {
            let subscribe = Subscribe {
                queue: queue.name.clone(),
                subscriber: SubscriberId(self.next_subscriber),
                tag: Bytes::new(),
                auto_settle: false,
                exclusive: false,
                priority: 0,
                credit: Some(7),
                consumer_timeout: None,
                internal: false,
                arguments: Table::new(),
            };
            self.next_subscriber += 1;
            let request = Request::Subscribe(Box::new(subscribe));
            batches.push(Batch {
                requests: vec![(lane, request)],
            });
        }
        batches
    }

    /// Accepts all that it holds.
    pub(crate) fn accept_all(&mut self) -> Batch {
        let leases = self.held.drain(..).map(|(_, lease)| lease).collect();
        let settle = Settle {
            leases,
            outcome: Outcome::Accept,
        };
        let bytes = std::mem::take(&mut self.drained);
        Batch {
            requests: vec![
                (Lane(1), Request::Settle(settle)),
                (Lane(1), Request::Drained { bytes }),
            ],
        }
    }

    fn transaction(
        &mut self,
        at: usize,
        random: &mut Random,
        shape: &Shape,
        ledger: &mut Ledger,
    ) -> Request {
        let mut transaction = Transaction::default();
        for _ in 0..random.below(6) {
            let route = random.pick(&shape.routes).cloned();
            if let Some(route) = route.filter(|route| !route.may_refuse) {
                let publish = message(&route, random, ledger);
                transaction.publishes.push(publish);
            }
        }
        if random.chance(70) {
            transaction.settles = self.settles(random);
        }
        let _ = at;
        Request::Transaction(Box::new(transaction))
    }

    fn publish(
        &mut self,
        at: usize,
        random: &mut Random,
        shape: &Shape,
        ledger: &mut Ledger,
        blocked: bool,
    ) -> Option<Publish> {
        let side = &mut self.lanes[at];
        let route = random.pick(&shape.routes)?;
        if !side.confirms && (route.may_refuse || blocked) {
            return None;
        }
        let mut publish = message(route, random, ledger);
        if side.confirms {
            publish.confirm = Some(side.next_number);
            side.next_number += 1;
        }
        Some(publish)
    }

    fn settles(&mut self, random: &mut Random) -> Vec<Settle> {
        let mut settles = Vec::new();
        let mut count = random.between(0, self.held.len() as u64);
        while count > 0 {
            let run = random.between(1, count);
            let mut leases = Vec::new();
            for _ in 0..run {
                // The oldest ones mostly; some out of order.
                let at = match random.chance(80) {
                    true => 0,
                    false => random.index(self.held.len()),
                };
                leases.push(self.held.remove(at).1);
            }
            count -= run;
            let outcome = match random.chance(70) {
                true => self.mostly,
                false => *random.pick(&OUTCOMES).unwrap_or(&Outcome::Accept),
            };
            // A client that settles twice is not heard the second time.
            if random.chance(5)
                && let Some(stale) = self.settled_before
            {
                leases.push(stale);
            }
            self.settled_before = leases.first().copied();
            settles.push(Settle { leases, outcome });
        }
        settles
    }
}

/// A message to publish.
fn message(route: &Route, random: &mut Random, ledger: &mut Ledger) -> Publish {
    let body_len = match random.below(50) {
        0 => random.between(5_000, 20_000),
        1 | 2 => random.between(500, 4_200),
        _ => random.between(10, 120),
    } as usize;
    let info = MessageInfo {
        body_len,
        durable: random.chance(80),
        priority: random.chance(30).then(|| random.below(12) as u8),
        ttl: random.chance(5).then(|| random.below(300)),
    };
    let number = ledger.add_message(info.clone());
    let message = Message::new(MessageParts {
        origin: Origin(0),
        topic: route.topic.as_str().as_bytes(),
        key: &route.key,
        properties: b"",
        body: Body::Shared(Bytes::from(body_of(number, body_len))),
        durable: info.durable,
        priority: info.priority,
        ttl: info.ttl,
        deaths: None,
    });
    Publish {
        message,
        more_keys: Vec::new(),
        mandatory: random.chance(20),
        confirm: None,
        delay: None,
    }
}
