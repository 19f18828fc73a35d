//! A broker that fits on a page: direct topics, queues in memory, answers at once. A failed lane drops what follows it in
//! the same batch, as the contract says.

use std::collections::{BTreeMap, VecDeque};

use polybus_model::{
    Batch, Credentials, Delivery, Destination, Error, Event, Kind, Lane, LeaseId, LogId,
    LogRequest, LogSettings, LogSummary, Message, Name, Outcome, Publish, Reply, Request, Resource,
    ReturnReason, SubscriberId, Taken,
};

#[derive(Default)]
struct Queue {
    ready: VecDeque<(Message, bool)>,
    held: BTreeMap<u32, (Message, Lane)>,
    subscribers: Vec<(Lane, SubscriberId, bool)>,
}

/// The broker.
#[derive(Default)]
pub(super) struct Broker {
    topics: Vec<String>,
    queues: BTreeMap<String, Queue>,
    bindings: Vec<(String, String, String)>,
    next_slot: u32,
    confirmed: BTreeMap<u16, u64>,
    /// Publishes with these keys are refused.
    pub(super) refuses: Vec<Vec<u8>>,
    /// What it was asked, in words.
    pub(super) log: Vec<String>,
    /// How many leases each settlement had.
    pub(super) settled: Vec<(usize, Outcome)>,
    pub(super) published: Vec<Publish>,
    /// A queue that is a log with so many partitions.
    pub(super) stream: Option<(String, u32)>,
    /// What it was asked of logs, to be answered by the test.
    pub(super) asked: Vec<(u64, LogRequest)>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn error(kind: Kind, resource: Resource, name: &str) -> Error {
    Error {
        kind,
        resource,
        name: Name::new(name).unwrap_or_else(|_| Name::empty()),
        namespace: Name::new("/").unwrap_or_else(|_| Name::empty()),
    }
}

fn word(request: &Request) -> String {
    let debug = format!("{request:?}");
    let end = debug.find([' ', '(', '{']).unwrap_or(debug.len());
    debug[..end].to_owned()
}

impl Broker {
    pub(super) fn handle(&mut self, batch: Batch) -> Vec<Event> {
        let mut events = Vec::new();
        let mut failed: Vec<Lane> = Vec::new();
        for (lane, request) in batch.requests {
            if failed.contains(&lane) {
                continue;
            }
            self.log.push(word(&request));
            let answers = request.answers();
            match self.carry_out(lane, request, &mut events) {
                Ok(reply) if answers => events.push(Event::Reply {
                    lane,
                    result: Ok(reply),
                }),
                Ok(_) => {}
                Err(error) => {
                    failed.push(lane);
                    events.push(if answers {
                        Event::Reply {
                            lane,
                            result: Err(Box::new(error)),
                        }
                    } else {
                        Event::Failed {
                            lane,
                            error: Box::new(error),
                        }
                    });
                }
            }
        }
        self.deliver(&mut events);
        for (lane, through) in std::mem::take(&mut self.confirmed) {
            let lane = Lane(lane);
            events.push(Event::Confirmed { lane, through });
        }
        events
    }

    fn queue(&mut self, name: &str) -> Result<&mut Queue, Error> {
        self.queues
            .get_mut(name)
            .ok_or_else(|| error(Kind::NotFound, Resource::Queue, name))
    }

    fn carry_out(
        &mut self,
        lane: Lane,
        request: Request,
        events: &mut Vec<Event>,
    ) -> Result<Reply, Error> {
        match request {
            Request::Authenticate(Credentials::Password { password, .. })
                if password != "guest" =>
            {
                return Err(error(Kind::BadCredentials, Resource::Namespace, "/"));
            }
            Request::Open { namespace } if namespace.as_str() != "/" => {
                let name = namespace.as_str();
                return Err(error(Kind::NotFound, Resource::Namespace, name));
            }
            Request::Publish(publish) => self.publish(lane, publish, events)?,
            Request::Settle(settle) => {
                self.settled.push((settle.leases.len(), settle.outcome));
                for lease in settle.leases {
                    self.settle(lease, settle.outcome);
                }
            }
            Request::DeclareTopic { name, settings } => {
                let name = name.as_str();
                let is_there = name.starts_with("amq.") && name != "amq.new"
                    || self.topics.iter().any(|topic| topic == name);
                match settings {
                    None if !is_there => {
                        return Err(error(Kind::NotFound, Resource::Topic, name));
                    }
                    Some(_) if !is_there => self.topics.push(name.to_owned()),
                    _ => {}
                }
            }
            Request::Bind(binding) => {
                if let Destination::Queue(queue) = &binding.destination {
                    self.queue(queue.as_str())?;
                    let source = binding.source.as_str().to_owned();
                    let queue = queue.as_str().to_owned();
                    self.bindings.push((source, text(&binding.key), queue));
                }
            }
            Request::DeclareQueue { name, settings } => {
                if settings.is_some() {
                    self.queues.entry(name.as_str().to_owned()).or_default();
                }
                let queue = self.queue(name.as_str())?;
                let (messages, consumers) = (queue.ready.len(), queue.subscribers.len());
                return Ok(Reply::Queue {
                    name,
                    messages: messages as u64,
                    consumers: consumers as u64,
                });
            }
            Request::DeleteQueue { name, .. } => {
                let Some(queue) = self.queues.remove(name.as_str()) else {
                    return Ok(Reply::Count(0));
                };
                for (lane, subscriber, _) in queue.subscribers {
                    events.push(Event::SubscriptionEnded { lane, subscriber });
                }
                return Ok(Reply::Count(queue.ready.len() as u64));
            }
            Request::Purge { queue } => {
                let queue = self.queue(queue.as_str())?;
                let count = queue.ready.len() as u64;
                queue.ready.clear();
                return Ok(Reply::Count(count));
            }
            Request::Log { number, request } => self.asked.push((number, *request)),
            Request::Subscribe(subscribe)
                if self
                    .stream
                    .as_ref()
                    .is_some_and(|one| one.0 == subscribe.queue.as_str()) =>
            {
                let partitions = self.stream.as_ref().map_or(1, |one| one.1);
                return Ok(Reply::Log(Box::new(LogSummary {
                    name: subscribe.queue,
                    id: LogId(5),
                    settings: LogSettings {
                        partitions,
                        ..LogSettings::default()
                    },
                })));
            }
            Request::Subscribe(subscribe) => {
                let queue = self.queue(subscribe.queue.as_str())?;
                let auto = subscribe.auto_settle;
                queue.subscribers.push((lane, subscribe.subscriber, auto));
            }
            Request::Unsubscribe { subscriber } => {
                for queue in self.queues.values_mut() {
                    queue.subscribers.retain(|(_, s, _)| *s != subscriber);
                }
            }
            Request::Take { queue, auto_settle } => {
                let (slot, number) = (self.next_slot, self.number(queue.as_str()));
                self.next_slot += 1;
                let queue = self.queue(queue.as_str())?;
                let taken = queue.ready.pop_front().map(|(message, redelivered)| {
                    if !auto_settle {
                        queue.held.insert(slot, (message.clone(), lane));
                    }
                    Box::new(Taken {
                        lease: (!auto_settle).then_some(lease(number, slot)),
                        message,
                        redelivered,
                        attempts: None,
                        remaining: queue.ready.len() as u64,
                    })
                });
                return Ok(Reply::Taken(taken));
            }
            Request::Transaction(transaction) => {
                for publish in transaction.publishes {
                    self.publish(lane, publish, events)?;
                }
                for settle in transaction.settles {
                    self.settled.push((settle.leases.len(), settle.outcome));
                    for lease in settle.leases {
                        self.settle(lease, settle.outcome);
                    }
                }
            }
            Request::CloseLane => {
                for queue in self.queues.values_mut() {
                    queue.subscribers.retain(|(l, ..)| *l != lane);
                    let slots: Vec<u32> = queue.held.keys().rev().copied().collect();
                    for slot in slots {
                        if let Some((message, holder)) = queue.held.remove(&slot) {
                            if holder == lane {
                                queue.ready.push_front((message, true));
                            } else {
                                queue.held.insert(slot, (message, holder));
                            }
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(Reply::Done)
    }

    /// Queues are numbered by their place among the names.
    fn number(&self, name: &str) -> u32 {
        self.queues.keys().position(|n| n == name).unwrap_or(0) as u32
    }

    fn publish(
        &mut self,
        lane: Lane,
        publish: Publish,
        events: &mut Vec<Event>,
    ) -> Result<(), Error> {
        let (topic, key) = (text(publish.message.topic()), text(publish.message.key()));
        if !topic.is_empty() && !self.topics.contains(&topic) && !topic.starts_with("amq.") {
            return Err(error(Kind::NotFound, Resource::Topic, &topic));
        }
        let bound =
            |(source, bound, _): &&(String, String, String)| *source == topic && *bound == key;
        let to: Vec<String> = if topic.is_empty() {
            vec![key.clone()]
        } else {
            self.bindings
                .iter()
                .filter(bound)
                .map(|b| b.2.clone())
                .collect()
        };
        let mut routed = false;
        for name in to {
            if let Some(queue) = self.queues.get_mut(&name) {
                queue.ready.push_back((publish.message.clone(), false));
                routed = true;
            }
        }
        if !routed && publish.mandatory {
            events.push(Event::Returned {
                lane,
                message: publish.message.clone(),
                reason: ReturnReason::Unroutable,
            });
        }
        if let Some(number) = publish.confirm {
            if self.refuses.iter().any(|key| key == publish.message.key()) {
                events.push(Event::Refused { lane, number });
            }
            self.confirmed.insert(lane.0, number);
        }
        self.published.push(publish);
        Ok(())
    }

    fn settle(&mut self, lease: LeaseId, outcome: Outcome) {
        let Some(queue) = self.queues.values_mut().nth(lease.queue as usize) else {
            return;
        };
        if let Some((message, _)) = queue.held.remove(&lease.slot)
            && matches!(outcome, Outcome::Release { .. })
        {
            queue.ready.push_front((message, true));
        }
    }

    fn deliver(&mut self, events: &mut Vec<Event>) {
        for (number, queue) in self.queues.values_mut().enumerate() {
            let Some((lane, subscriber, auto)) = queue.subscribers.first().copied() else {
                continue;
            };
            while let Some((message, redelivered)) = queue.ready.pop_front() {
                let slot = self.next_slot;
                self.next_slot += 1;
                if !auto {
                    queue.held.insert(slot, (message.clone(), lane));
                }
                events.push(Event::Delivery(Delivery {
                    lane,
                    subscriber,
                    lease: (!auto).then_some(lease(number as u32, slot)),
                    message,
                    redelivered,
                    attempts: None,
                }));
            }
        }
    }
}

fn lease(queue: u32, slot: u32) -> LeaseId {
    LeaseId {
        queue,
        slot,
        stamp: 0,
    }
}
