//! A channel's consumers, in places numbered for the broker, so that a delivery finds its own by an index.

use bytes::Bytes;
use polybus_model::{Name, SubscriberId};

/// A consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) tag: Bytes,
}

/// The consumer of direct replies.
#[derive(Debug)]
struct ReplyConsumer {
    /// The queue behind the pseudo-queue, and where repliers send to.
    name: Name,
    place: u16,
}

/// A channel's consumers.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    places: Vec<Option<Consumer>>,
    len: usize,
    reply: Option<ReplyConsumer>,
}

impl Consumers {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts a consumer in a free place; none if there is no place left.
    pub(super) fn insert(&mut self, consumer: Consumer) -> Option<u16> {
        let at = match self.places.iter().position(Option::is_none) {
            Some(at) => at,
            None => {
                self.places.push(None);
                self.places.len() - 1
            }
        };
        let place = u16::try_from(at).ok()?;
        *self.places.get_mut(at)? = Some(consumer);
        self.len += 1;
        Some(place)
    }

    /// The consumer in that place.
    #[inline]
    pub(super) fn at(&self, place: u16) -> Option<&Consumer> {
        self.places.get(usize::from(place))?.as_ref()
    }

    /// The consumer of that number.
    #[inline]
    pub(super) fn of(&self, subscriber: SubscriberId) -> Option<&Consumer> {
        self.at(place_of(subscriber))
    }

    /// The place of the consumer with that tag.
    pub(super) fn tagged(&self, tag: &[u8]) -> Option<u16> {
        let is_it = |place: &Option<Consumer>| place.as_ref().is_some_and(|c| c.tag == tag);
        self.places
            .iter()
            .position(is_it)
            .and_then(|at| u16::try_from(at).ok())
    }

    /// Takes the consumer out of that place.
    pub(super) fn remove(&mut self, place: u16) -> Option<Consumer> {
        let removed = self.places.get_mut(usize::from(place))?.take()?;
        self.len -= 1;
        if self
            .reply
            .as_ref()
            .is_some_and(|reply| reply.place == place)
        {
            self.reply = None;
        }
        Some(removed)
    }

    /// Takes out the consumer of that number.
    pub(super) fn remove_subscriber(&mut self, subscriber: SubscriberId) -> Option<Consumer> {
        self.remove(place_of(subscriber))
    }

    /// The consumer in that place gets direct replies.
    pub(super) fn set_reply(&mut self, name: Name, place: u16) {
        self.reply = Some(ReplyConsumer { name, place });
    }

    /// Where direct replies go.
    #[inline]
    pub(super) fn reply_name(&self) -> Option<&str> {
        self.reply.as_ref().map(|reply| reply.name.as_str())
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

fn place_of(subscriber: SubscriberId) -> u16 {
    (subscriber.0 & 0xffff) as u16
}
