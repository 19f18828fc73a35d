//! Messages that the operator puts into a queue, past all topics.

use polybus_model::{Message, Millis, Name};

use crate::{Effects, Engine, Store};

/// What became of messages put into a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// They are in it, or have gone through it.
    All,
    /// There is no such queue.
    NoQueue,
    /// It is full, and refused one of them; those before it are in it.
    Refused,
}

impl Engine {
    /// Puts messages into a queue, as they are, in order.
    pub fn put_into_queue(
        &mut self,
        (namespace, queue): (&Name, &Name),
        messages: &[Message],
        now: Millis,
        store: &mut impl Store,
        out: &mut Effects,
    ) -> Put {
        let slot = self.namespace_slot(namespace.as_str());
        let queue = slot.and_then(|slot| self.queue_slot(slot, queue.as_str()));
        let Some(queue) = queue else {
            return Put::NoQueue;
        };
        let mut turn = self.begin(now, store, out);
        let mut put = Put::All;
        for message in messages {
            if self.enqueue(message, &[queue], &mut turn).refused {
                put = Put::Refused;
                break;
            }
        }
        self.finish(&mut turn);
        put
    }
}
