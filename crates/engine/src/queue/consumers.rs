//! The subscribers of a queue, and whose turn it is.
//!
//! ```text
//! ring (one per priority, the highest first)  --no credit-->  parked (until credit comes back)
//! waiting (behind a single active consumer)   --its turn-->   ring
//! ```

use std::collections::VecDeque;

use bytes::Bytes;
use polybus_model::{Lane, Millis, SessionId, SubscriberId, Table};

use crate::slab::Slab;

/// Where a consumer stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// In its ring: it gets messages in its turn, if it proves to have credit then.
    Ring,
    /// It had no credit when its turn came.
    Parked,
    /// Another one is the single active consumer.
    Waiting,
}

/// A subscriber.
#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    /// Unique in the engine.
    pub(crate) number: u64,
    pub(crate) session: u32,
    pub(crate) session_id: SessionId,
    pub(crate) lane: u32,
    pub(crate) lane_id: Lane,
    pub(crate) holder: u32,
    pub(crate) subscriber: SubscriberId,
    pub(crate) tag: Bytes,
    pub(crate) auto_settle: bool,
    pub(crate) exclusive: bool,
    pub(crate) priority: i32,
    pub(crate) credit: Option<u32>,
    pub(crate) held: u32,
    pub(crate) timeout: Option<Millis>,
    pub(crate) arguments: Table,
    pub(crate) standing: Standing,
}

impl Consumer {
    /// Whether its own credit allows one more.
    pub(crate) fn has_credit(&self) -> bool {
        self.auto_settle || self.credit.is_none_or(|credit| self.held < credit)
    }
}

/// What always holds: a consumer is in a ring exactly if its standing says so; with `single`, only the active one is
/// not waiting.
#[derive(Clone, Debug, Default)]
pub(crate) struct Consumers {
    all: Slab<Consumer>,
    /// By falling priority.
    rings: Vec<(i32, VecDeque<u32>)>,
    single: bool,
    active: Option<u32>,
    /// Quorum queues hand over to one of a higher priority as soon as the active one holds nothing.
    yields: bool,
    had_any: bool,
}

impl Consumers {
    pub(crate) fn new(single: bool, yields: bool) -> Self {
        Self {
            single,
            yields,
            ..Self::default()
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    pub(crate) const fn had_any(&self) -> bool {
        self.had_any
    }

    pub(crate) fn get(&self, at: u32) -> Option<&Consumer> {
        self.all.get(at)
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut Consumer> {
        self.all.get_mut(at)
    }

    /// All of them, in the order of their subscription.
    pub(crate) fn in_order(&self) -> Vec<(u32, &Consumer)> {
        let mut all: Vec<_> = self.all.iter().collect();
        all.sort_unstable_by_key(|(_, consumer)| consumer.number);
        all
    }

    pub(crate) fn has_exclusive(&self) -> bool {
        self.all.iter().any(|(_, consumer)| consumer.exclusive)
    }

    pub(crate) fn add(&mut self, mut consumer: Consumer) -> u32 {
        self.had_any = true;
        consumer.standing = Standing::Waiting;
        let at = self.all.insert(consumer);
        if !self.single {
            self.enter_ring(at);
        } else if self.active.is_none() {
            self.activate_next();
        } else {
            self.yield_active();
        }
        at
    }

    pub(crate) fn remove(&mut self, at: u32) -> Option<Consumer> {
        let consumer = self.all.remove(at)?;
        self.leave_ring(at, consumer.priority);
        if self.active == Some(at) {
            self.active = None;
            self.activate_next();
        }
        Some(consumer)
    }

    fn enter_ring(&mut self, at: u32) {
        let Some(consumer) = self.all.get_mut(at) else {
            return;
        };
        consumer.standing = Standing::Ring;
        let priority = consumer.priority;
        let found = self
            .rings
            .binary_search_by(|(other, _)| priority.cmp(other));
        let ring = match found {
            Ok(ring) => ring,
            Err(ring) => {
                self.rings.insert(ring, (priority, VecDeque::new()));
                ring
            }
        };
        if let Some((_, ring)) = self.rings.get_mut(ring) {
            ring.push_back(at);
        }
    }

    fn leave_ring(&mut self, at: u32, priority: i32) {
        if let Ok(ring) = self
            .rings
            .binary_search_by(|(other, _)| priority.cmp(other))
            && let Some((_, members)) = self.rings.get_mut(ring)
        {
            members.retain(|member| *member != at);
            if members.is_empty() {
                self.rings.remove(ring);
            }
        }
    }

    /// The one of the highest priority, of these the oldest, becomes active.
    fn activate_next(&mut self) {
        let next = self
            .all
            .iter()
            .min_by_key(|(_, consumer)| (std::cmp::Reverse(consumer.priority), consumer.number))
            .map(|(at, _)| at);
        self.active = next;
        if let Some(at) = next {
            self.enter_ring(at);
        }
    }

    /// Hands over to one of a higher priority where the queue does that; true if it did.
    pub(crate) fn yield_active(&mut self) -> bool {
        let Some(at) = self.active.filter(|_| self.single && self.yields) else {
            return false;
        };
        let Some(active) = self.all.get(at) else {
            return false;
        };
        if active.held > 0 || !self.outranked(active.priority) {
            return false;
        }
        let priority = active.priority;
        self.leave_ring(at, priority);
        if let Some(active) = self.all.get_mut(at) {
            active.standing = Standing::Waiting;
        }
        self.activate_next();
        true
    }

    fn outranked(&self, priority: i32) -> bool {
        self.all
            .iter()
            .any(|(_, consumer)| consumer.priority > priority)
    }

    /// Whether it is the single active consumer, or the queue has none such.
    pub(crate) fn is_active(&self, at: u32) -> bool {
        !self.single || self.active == Some(at)
    }

    /// Whose turn it is.
    pub(crate) fn next(&self) -> Option<u32> {
        let at = self
            .rings
            .iter()
            .find_map(|(_, ring)| ring.front().copied())?;
        if self.single && self.yields {
            let held_back = self
                .all
                .get(at)
                .is_some_and(|active| active.held > 0 && self.outranked(active.priority));
            if held_back {
                return None;
            }
        }
        Some(at)
    }

    /// The one whose turn it is had it: it goes to the end of its ring.
    pub(crate) fn rotate(&mut self) {
        if let Some((_, ring)) = self.rings.iter_mut().find(|(_, ring)| !ring.is_empty())
            && ring.len() > 1
        {
            ring.rotate_left(1);
        }
    }

    /// The one whose turn it is has no credit.
    pub(crate) fn park(&mut self) {
        if let Some((_, ring)) = self.rings.iter_mut().find(|(_, ring)| !ring.is_empty())
            && let Some(at) = ring.pop_front()
            && let Some(consumer) = self.all.get_mut(at)
        {
            consumer.standing = Standing::Parked;
        }
    }

    /// It has credit again, as far as anyone knows; true if it was parked.
    pub(crate) fn unpark(&mut self, at: u32) -> bool {
        let parked = self
            .all
            .get(at)
            .is_some_and(|consumer| consumer.standing == Standing::Parked);
        if parked {
            self.enter_ring(at);
        }
        parked
    }
}
