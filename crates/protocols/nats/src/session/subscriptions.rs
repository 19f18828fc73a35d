//! A connection's subscriptions: what the client calls each (`sid`), what the broker calls it (a number).
//!
//! ```text
//! number:  | use of the slot, 12 bits | slot, 20 bits |      so that what was meant for an earlier one is known as such
//! sid ----> number ----> slot ----> subscription
//! ```
//! One that ends keeps its slot until all that was delivered to it before is written ([`Subscriptions::settle`]): a client
//! that drains counts on it.

use std::collections::{HashMap, VecDeque};

use polybus_model::{FilterWord, LiveFilter, SubscriberId};

use crate::watch::Watching;

const SLOT_BITS: u32 = 20;
/// No connection has more, whatever the settings say.
pub(super) const SUBSCRIPTIONS_MAX: usize = 1 << SLOT_BITS;
/// As many subscriptions with wildcards are looked through for the one that waits for an answer.
const OPEN_MAX: usize = 1024;

/// One subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    id: SubscriberId,
    /// The sid with a blank before and after, as it stands in each message.
    tag: Box<[u8]>,
    subject: Box<[u8]>,
    queue: Option<Box<[u8]>>,
    /// Messages that it has got.
    pub(super) delivered: u64,
    /// It hears what the broker is asked or tells, and counts as one that does.
    #[expect(dead_code, reason = "it counts while it is kept")]
    watching: Option<Watching>,
}

impl Subscription {
    /// The sid with a blank on both sides.
    #[inline]
    pub(super) fn tag(&self) -> &[u8] {
        &self.tag
    }

    /// What the client calls it.
    pub(super) fn sid(&self) -> &[u8] {
        self.tag.trim_ascii()
    }

    /// The subject.
    pub(super) fn subject(&self) -> &[u8] {
        &self.subject
    }

    /// The queue group.
    pub(super) fn queue(&self) -> Option<&[u8]> {
        self.queue.as_deref()
    }
}

#[derive(Debug, Default)]
struct Slot {
    uses: u32,
    taken: Option<Subscription>,
}

/// All of a connection's.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    slots: Vec<Slot>,
    free: VecDeque<u32>,
    /// The client chooses the names, so they are hashed with a secret.
    sids: HashMap<Box<[u8]>, SubscriberId>,
    /// Those of subjects without wildcards that share with nobody, by their subjects.
    literal: HashMap<Box<[u8]>, SubscriberId>,
    /// Some of those with wildcards that share with nobody.
    open: Vec<(SubscriberId, LiveFilter)>,
    /// Those that have ended but may have got something before.
    ending: Vec<SubscriberId>,
}

impl Subscriptions {
    /// Whether one of them is for this subject alone, and shares with nobody.
    pub(super) fn names(&self, subject: &[u8]) -> bool {
        self.literal.contains_key(subject)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.sids.len()
    }

    /// Slots in use: those that have ended and are not settled count.
    pub(super) fn held(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The number of the one that the client calls so.
    pub(super) fn lookup(&self, sid: &[u8]) -> Option<SubscriberId> {
        self.sids.get(sid).copied()
    }

    /// The one with that number, if it has not been settled.
    #[inline]
    pub(super) fn find(&mut self, id: SubscriberId) -> Option<&mut Subscription> {
        let slot = id.0 & (SUBSCRIPTIONS_MAX as u32 - 1);
        let taken = self.slots.get_mut(slot as usize)?.taken.as_mut()?;
        (taken.id == id).then_some(taken)
    }

    /// Takes one; the client calls no other so.
    pub(super) fn insert(
        &mut self,
        sid: &[u8],
        subject: &[u8],
        queue: Option<&[u8]>,
        filter: &LiveFilter,
        watching: Option<Watching>,
    ) -> SubscriberId {
        let slot = self.free.pop_front().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.slots.len() as u32 - 1
        });
        let Some(place) = self.slots.get_mut(slot as usize) else {
            return SubscriberId(slot);
        };
        let id = SubscriberId(place.uses << SLOT_BITS | slot);
        place.uses = place.uses.wrapping_add(1);
        place.taken = Some(Subscription {
            id,
            tag: [b" ", sid, b" "].concat().into(),
            subject: subject.into(),
            queue: queue.map(Into::into),
            delivered: 0,
            watching,
        });
        self.sids.insert(sid.into(), id);
        if queue.is_none() {
            if filter.as_key().is_some() {
                self.literal.insert(subject.into(), id);
            } else if self.open.len() < OPEN_MAX {
                self.open.push((id, filter.clone()));
            }
        }
        id
    }

    /// It has ended for the client; what was delivered to it before may still come.
    pub(super) fn end(&mut self, id: SubscriberId) {
        let Some(found) = self.find(id) else { return };
        let (sid, subject) = (found.sid().to_vec(), found.subject.clone());
        if self.sids.get(&sid[..]) == Some(&id) {
            self.sids.remove(&sid[..]);
            self.ending.push(id);
        }
        if self.literal.get(&subject) == Some(&id) {
            self.literal.remove(&subject);
        } else if let Some(at) = self.open.iter().position(|(open, _)| *open == id) {
            self.open.swap_remove(at);
        }
    }

    /// All that was delivered so far is written: those that have ended are gone.
    pub(super) fn settle(&mut self) {
        for id in self.ending.drain(..) {
            let slot = id.0 & (SUBSCRIPTIONS_MAX as u32 - 1);
            if let Some(place) = self.slots.get_mut(slot as usize) {
                place.taken = None;
                self.free.push_back(slot);
            }
        }
        if self.sids.is_empty() && self.slots.capacity() > 64 {
            // Nothing is left, so no number is in use; the numbers go on where they were.
            self.slots.iter_mut().for_each(|slot| slot.taken = None);
            self.sids.shrink_to_fit();
            self.literal.shrink_to_fit();
        }
    }

    /// One that gets what is published to this subject, and alone.
    pub(super) fn waiting_for(&self, subject: &[u8]) -> Option<SubscriberId> {
        let literal = self.literal.get(subject).copied();
        literal.or_else(|| {
            let mut open = self.open.iter();
            open.find(|(_, filter)| filter.fits(subject))
                .map(|(id, _)| *id)
        })
    }
}

/// A subject as the broker filters by it.
pub(crate) fn filter(subject: &[u8]) -> LiveFilter {
    LiveFilter::new(subject.split(|&byte| byte == b'.').map(|word| match word {
        b"*" => FilterWord::AnyOne,
        b">" => FilterWord::Rest,
        word => FilterWord::Exact(word),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(all: &mut Subscriptions, sid: &str, subject: &str) -> SubscriberId {
        let wanted = filter(subject.as_bytes());
        all.insert(sid.as_bytes(), subject.as_bytes(), None, &wanted, None)
    }

    #[test]
    fn an_earlier_one_is_never_taken_for_a_later_one() {
        let mut all = Subscriptions::default();
        let first = insert(&mut all, "1", "a");
        all.end(first);
        assert_eq!((all.len(), all.held()), (0, 1));
        assert!(all.find(first).is_some() && all.lookup(b"1").is_none());
        let second = insert(&mut all, "1", "a");
        all.settle();
        assert!(all.find(first).is_none());
        let third = insert(&mut all, "2", "b");
        assert_eq!(third.0 & 0xfffff, first.0 & 0xfffff);
        assert!(all.find(first).is_none() && all.find(second).is_some());
        assert_eq!(
            all.find(third).map(|found| found.tag().to_vec()),
            Some(b" 2 ".to_vec())
        );
    }

    #[test]
    fn who_waits_for_an_answer_is_found() {
        let mut all = Subscriptions::default();
        let inbox = insert(&mut all, "1", "_INBOX.x.*");
        let exact = insert(&mut all, "2", "_INBOX.y");
        assert_eq!(all.waiting_for(b"_INBOX.x.7"), Some(inbox));
        assert_eq!(all.waiting_for(b"_INBOX.y"), Some(exact));
        assert_eq!(all.waiting_for(b"_INBOX.z"), None);
        all.end(inbox);
        all.end(exact);
        assert_eq!(all.waiting_for(b"_INBOX.x.7"), None);
        assert_eq!(all.waiting_for(b"_INBOX.y"), None);
    }
}
