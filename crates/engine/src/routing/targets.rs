//! Destinations in the order of their bindings, and the gathering of a message's queues, each at most once.
//!
//! Within a router a queue is its *number*, dense from zero, a topic its own and a log its own; a [`Target`] is one of them in
//! four bytes.
//! [`Reach`] stamps what a message has reached with the message's stamp, so that nothing is hashed or cleared per message.

/// A destination: a queue's, a topic's or a log's number in the router.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Target(u32);

/// A target, told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Queue(u32),
    Topic(u32),
    Log(u32),
}

/// Set for all but queues, which are looked at first.
const OTHER_BIT: u32 = 1 << 31;
/// Set for logs besides.
const LOG_BIT: u32 = 1 << 30;

impl Target {
    /// Stands where a removed target stood.
    const GONE: Self = Self(u32::MAX);

    pub(super) const fn queue(number: u32) -> Self {
        Self(number & !OTHER_BIT)
    }

    pub(super) const fn topic(number: u32) -> Self {
        Self(number & !LOG_BIT | OTHER_BIT)
    }

    pub(super) const fn log(number: u32) -> Self {
        Self(number | LOG_BIT | OTHER_BIT)
    }

    pub(super) const fn kind(self) -> Kind {
        let number = self.0 & !(OTHER_BIT | LOG_BIT);
        if self.0 & OTHER_BIT == 0 {
            Kind::Queue(self.0)
        } else if self.0 & LOG_BIT == 0 {
            Kind::Topic(number)
        } else {
            Kind::Log(number)
        }
    }
}

/// A destination with the rank of its binding: lower ones were bound earlier.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Hit {
    pub(super) rank: u64,
    pub(super) target: Target,
}

/// Targets in the order of their bindings' ranks. A removed one leaves a gap; half gaps, and the list is packed.
#[derive(Debug, Default)]
pub(super) struct Targets {
    ranks: Vec<u64>,
    targets: Vec<Target>,
    gaps: usize,
}

impl Targets {
    /// Adds the binding with the greatest rank so far.
    pub(super) fn push(&mut self, hit: Hit) {
        debug_assert!(self.ranks.last().is_none_or(|last| *last < hit.rank));
        self.ranks.push(hit.rank);
        self.targets.push(hit.target);
    }

    /// Takes away the binding of that rank.
    pub(super) fn remove(&mut self, rank: u64) {
        let Ok(at) = self.ranks.binary_search(&rank) else {
            return;
        };
        let Some(target) = self.targets.get_mut(at) else {
            return;
        };
        if *target == Target::GONE {
            return;
        }
        *target = Target::GONE;
        self.gaps += 1;
        if self.gaps * 2 > self.targets.len() {
            let mut kept = self.targets.iter().map(|target| *target != Target::GONE);
            self.ranks.retain(|_| kept.next().unwrap_or(false));
            self.targets.retain(|target| *target != Target::GONE);
            self.gaps = 0;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.gaps == self.targets.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Target> {
        let targets = self.targets.iter().copied();
        targets.filter(|target| *target != Target::GONE)
    }

    pub(super) fn hits(&self) -> impl Iterator<Item = Hit> {
        let hits = self.ranks.iter().zip(&self.targets);
        hits.map(|(rank, target)| Hit {
            rank: *rank,
            target: *target,
        })
        .filter(|hit| hit.target != Target::GONE)
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    stamp: u32,
    slot: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct LogMark {
    stamp: u32,
    id: u64,
    /// The number of the topic in front of it.
    front: Option<u32>,
}

/// What the message being routed has reached.
#[derive(Debug, Default)]
pub(super) struct Reach {
    stamp: u32,
    queues: Vec<Mark>,
    topics: Vec<u32>,
    logs: Vec<LogMark>,
    /// The ids of the logs reached, in order.
    logs_reached: Vec<u64>,
    /// The topics reached, in order; those before `next` have been routed through.
    path: Vec<u32>,
    next: usize,
}

impl Reach {
    /// Says which slot a queue's number stands for.
    pub(super) fn note_queue(&mut self, number: u32, slot: u32) {
        let at = number as usize;
        if at >= self.queues.len() {
            self.queues.resize(at + 1, Mark::default());
        }
        if let Some(mark) = self.queues.get_mut(at) {
            mark.slot = slot;
        }
    }

    /// Makes a topic's number known.
    pub(super) fn note_topic(&mut self, number: u32) {
        let at = number as usize;
        if at >= self.topics.len() {
            self.topics.resize(at + 1, 0);
        }
    }

    /// Says which id a log's number stands for, and which topic is in front of it.
    pub(super) fn note_log(&mut self, number: u32, id: u64, front: Option<u32>) {
        let at = number as usize;
        if at >= self.logs.len() {
            self.logs.resize(at + 1, LogMark::default());
        }
        if let Some(mark) = self.logs.get_mut(at) {
            (mark.id, mark.front) = (id, front);
        }
    }

    /// Begins with another message.
    pub(super) fn begin(&mut self) {
        self.path.clear();
        self.logs_reached.clear();
        self.next = 0;
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.stamp = 1;
            self.topics.fill(0);
            for mark in &mut self.queues {
                mark.stamp = 0;
            }
            for mark in &mut self.logs {
                mark.stamp = 0;
            }
        }
    }

    /// The message reaches a destination.
    #[inline]
    pub(super) fn add(&mut self, target: Target, out: &mut Vec<u32>) {
        match target.kind() {
            Kind::Queue(number) => {
                if let Some(mark) = self.queues.get_mut(number as usize)
                    && mark.stamp != self.stamp
                {
                    mark.stamp = self.stamp;
                    out.push(mark.slot);
                }
            }
            Kind::Topic(number) => self.visit(number),
            Kind::Log(number) => self.reach_log(number),
        }
    }

    /// The message reaches a log, once, and the topic in front of it.
    pub(super) fn reach_log(&mut self, number: u32) {
        if let Some(mark) = self.logs.get_mut(number as usize)
            && mark.stamp != self.stamp
        {
            mark.stamp = self.stamp;
            self.logs_reached.push(mark.id);
            if let Some(front) = mark.front {
                self.visit(front);
            }
        }
    }

    /// The ids of the logs reached, in order.
    pub(super) fn logs_reached(&self) -> &[u64] {
        &self.logs_reached
    }

    /// The message reaches destinations; true if there was any.
    #[inline]
    pub(super) fn add_all(
        &mut self,
        targets: impl Iterator<Item = Target>,
        out: &mut Vec<u32>,
    ) -> bool {
        let mut any = false;
        for target in targets {
            any = true;
            self.add(target, out);
        }
        any
    }

    /// The message reaches a topic, once.
    pub(super) fn visit(&mut self, number: u32) {
        if let Some(stamp) = self.topics.get_mut(number as usize)
            && *stamp != self.stamp
        {
            *stamp = self.stamp;
            self.path.push(number);
        }
    }

    /// The next topic to route through.
    pub(super) fn next_topic(&mut self) -> Option<u32> {
        let topic = self.path.get(self.next).copied();
        self.next += usize::from(topic.is_some());
        topic
    }

    /// Sets the stamp, so that tests see it wrap.
    #[cfg(test)]
    pub(super) fn set_stamp(&mut self, stamp: u32) {
        self.stamp = stamp;
    }
}
