//! Destinations in the order of their bindings, and the gathering of a message's queues, each at most once.
//!
//! Within a router a queue is its *number*, dense from zero, and a topic its own; a [`Target`] is either in four bytes.
//! [`Reach`] stamps what a message has reached with the message's stamp, so that nothing is hashed or cleared per message.

/// A destination: a queue's or a topic's number in the router.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Target(u32);

/// A target, told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Queue(u32),
    Topic(u32),
}

const TOPIC_BIT: u32 = 1 << 31;

impl Target {
    /// Stands where a removed target stood.
    const GONE: Self = Self(u32::MAX);

    pub(super) const fn queue(number: u32) -> Self {
        Self(number & !TOPIC_BIT)
    }

    pub(super) const fn topic(number: u32) -> Self {
        Self(number | TOPIC_BIT)
    }

    pub(super) const fn kind(self) -> Kind {
        if self.0 & TOPIC_BIT == 0 {
            Kind::Queue(self.0)
        } else {
            Kind::Topic(self.0 & !TOPIC_BIT)
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

/// What the message being routed has reached.
#[derive(Debug, Default)]
pub(super) struct Reach {
    stamp: u32,
    queues: Vec<Mark>,
    topics: Vec<u32>,
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

    /// Begins with another message.
    pub(super) fn begin(&mut self) {
        self.path.clear();
        self.next = 0;
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.stamp = 1;
            self.topics.fill(0);
            for mark in &mut self.queues {
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
        }
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
