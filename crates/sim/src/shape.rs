//! What a run's broker is declared with: queues of many settings, and the routes that lead to them.
//!
//! ```text
//! default topic --key--> each queue
//! spread (fanout) -----> some queues          queue --dies--> letters (fanout) --> dead
//! words (pattern) --a.*, *.b, #--> some queues
//! ```
//! Queue 0 is where dead letters go. It has no rules of its own: what comes there stays until it is settled.

use bytes::Bytes;
use polybus_model::{
    Binding, DeadLetter, DelayedRetry, Destination, Name, Overflow, QueueKind, QueueSettings,
    Request, Returns, Table, TopicKind, TopicSettings,
};

use crate::random::Random;

/// Where dead letters go, among a shape's queues.
pub(crate) const DEAD: usize = 0;

/// One queue.
#[derive(Clone, Debug)]
pub(crate) struct QueueShape {
    pub(crate) name: Name,
    pub(crate) settings: QueueSettings,
}

impl QueueShape {
    /// Its durable messages survive a restart.
    pub(crate) fn is_persistent(&self) -> bool {
        self.settings.durable && !self.settings.exclusive
    }

    /// It drops what is over its length from the head.
    pub(crate) fn drops_head(&self) -> bool {
        self.settings.overflow == Overflow::DropHead && self.settings.max_length.is_some()
    }

    /// It refuses what is over its length.
    pub(crate) fn refuses(&self) -> bool {
        self.settings.overflow != Overflow::DropHead && self.settings.max_length.is_some()
    }

    pub(crate) fn has_letters(&self) -> bool {
        self.settings.dead_letter.is_some()
    }

    /// The priority level of a message, as documented for the kinds of queues.
    pub(crate) fn level_of(&self, priority: Option<u8>) -> u8 {
        match (self.settings.kind, self.settings.max_priority) {
            (QueueKind::Quorum, None) => priority.unwrap_or(4).min(31),
            (_, Some(max)) => priority.unwrap_or(0).min(max),
            (QueueKind::Classic | QueueKind::Log, None) => 0,
        }
    }
}

/// A way to publish.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) topic: Name,
    pub(crate) key: Bytes,
    /// The queues it leads to.
    pub(crate) targets: Vec<usize>,
    /// One of them may refuse: only for publishes that are told so.
    pub(crate) may_refuse: bool,
}

/// Queues, bindings and routes of a run.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) queues: Vec<QueueShape>,
    pub(crate) routes: Vec<Route>,
    bindings: Vec<Binding>,
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap_or_else(|_| Name::empty())
}

impl Shape {
    /// A shape that the generator chooses.
    pub(crate) fn new(random: &mut Random) -> Self {
        let mut queues = vec![QueueShape {
            name: name("dead"),
            settings: QueueSettings {
                durable: true,
                ..QueueSettings::default()
            },
        }];
        for number in 1..=random.between(2, 8) {
            queues.push(QueueShape {
                name: name(&format!("q{number}")),
                settings: settings(random),
            });
        }
        let mut shape = Self {
            queues,
            routes: Vec::new(),
            bindings: vec![binding("letters", "dead", "")],
        };
        shape.add_routes(random);
        shape
    }

    fn add_routes(&mut self, random: &mut Random) {
        let mut routes: Vec<Route> = (1..self.queues.len())
            .filter_map(|at| self.direct(at))
            .collect();
        let takers: Vec<usize> = (1..self.queues.len())
            .filter(|at| self.queues.get(*at).is_some_and(|queue| !queue.refuses()))
            .collect();
        let spread: Vec<usize> = self.bind_some(random, &takers, "spread", "");
        routes.push(Route {
            topic: name("spread"),
            key: Bytes::from_static(b"any"),
            targets: spread,
            may_refuse: false,
        });
        let left = self.bind_some(random, &takers, "words", "a.*");
        let right = self.bind_some(random, &takers, "words", "*.b");
        let all = self.bind_some(random, &takers, "words", "#");
        for (key, parts) in [
            ("a.b", vec![&left, &right, &all]),
            ("a.c", vec![&left, &all]),
            ("x.b", vec![&right, &all]),
            ("x", vec![&all]),
        ] {
            let mut targets: Vec<usize> = parts.into_iter().flatten().copied().collect();
            targets.sort_unstable();
            targets.dedup();
            routes.push(Route {
                topic: name("words"),
                key: Bytes::from(key),
                targets,
                may_refuse: false,
            });
        }
        self.routes = routes;
    }

    fn direct(&self, at: usize) -> Option<Route> {
        let queue = self.queues.get(at)?;
        Some(Route {
            topic: Name::empty(),
            key: Bytes::from(queue.name.as_str().to_owned()),
            targets: vec![at],
            may_refuse: queue.refuses(),
        })
    }

    fn bind_some(
        &mut self,
        random: &mut Random,
        takers: &[usize],
        topic: &str,
        key: &str,
    ) -> Vec<usize> {
        let chosen: Vec<usize> = takers
            .iter()
            .copied()
            .filter(|_| random.chance(45))
            .collect();
        for at in &chosen {
            if let Some(queue) = self.queues.get(*at) {
                self.bindings.push(binding(topic, queue.name.as_str(), key));
            }
        }
        chosen
    }

    /// The queue of that name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.queues
            .iter()
            .position(|queue| queue.name.as_str() == name)
    }

    /// What declares it all, on a fresh broker or on one that has it already.
    pub(crate) fn declarations(&self) -> Vec<Request> {
        let topics = [
            ("letters", TopicKind::Fanout),
            ("spread", TopicKind::Fanout),
            ("words", TopicKind::Pattern),
        ];
        let mut requests: Vec<Request> = topics
            .into_iter()
            .map(|(topic, kind)| Request::DeclareTopic {
                name: name(topic),
                settings: Some(Box::new(topic_settings(kind))),
            })
            .collect();
        requests.extend(self.queues.iter().map(|queue| Request::DeclareQueue {
            name: queue.name.clone(),
            settings: Some(Box::new(queue.settings.clone())),
        }));
        requests.extend(
            self.bindings
                .iter()
                .map(|binding| Request::Bind(Box::new(binding.clone()))),
        );
        requests
    }
}

fn topic_settings(kind: TopicKind) -> TopicSettings {
    TopicSettings {
        kind,
        delayed: false,
        durable: true,
        auto_delete: false,
        internal: false,
        alternate: None,
        arguments: Table::new(),
    }
}

fn binding(topic: &str, queue: &str, key: &str) -> Binding {
    Binding {
        source: name(topic),
        destination: Destination::Queue(name(queue)),
        key: Bytes::copy_from_slice(key.as_bytes()),
        arguments: Table::new(),
    }
}

fn settings(random: &mut Random) -> QueueSettings {
    let mut settings = QueueSettings {
        durable: random.chance(85),
        ..QueueSettings::default()
    };
    if random.chance(40) {
        settings.dead_letter = Some(DeadLetter {
            topic: name("letters"),
            key: random.chance(50).then(|| Bytes::from_static(b"why")),
        });
    }
    match random.below(8) {
        0 => settings.max_priority = Some(random.between(1, 9) as u8),
        1 => settings.message_ttl = Some(random.between(0, 400)),
        2 | 3 => {
            settings.max_length = Some(random.between(0, 20));
            settings.overflow = *random
                .pick(&[
                    Overflow::DropHead,
                    Overflow::RejectPublish,
                    Overflow::RejectPublishDeadLetter,
                ])
                .unwrap_or(&Overflow::DropHead);
        }
        4 => settings.delivery_limit = Some(random.between(1, 3)),
        5 => settings.single_active = true,
        _ => {}
    }
    if random.chance(15) {
        settings.delayed_retry = Some(DelayedRetry {
            of: *random
                .pick(&[Returns::All, Returns::Failed, Returns::Unfailed])
                .unwrap_or(&Returns::All),
            min: random.between(1, 100),
            max: random.between(100, 300),
        });
    }
    if random.chance(15) && settings.max_length.is_none() {
        settings.kind = QueueKind::Quorum;
        settings.durable = true;
    }
    settings
}
