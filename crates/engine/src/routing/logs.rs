//! Logs as destinations: of bindings, of the default topic, and of the topic of the same name, which is in front of them.
//!
//! What always holds: a topic and a log of one name know each other, whichever came first.

use polybus_model::Name;

use super::{Log, NameKey, Removal, Removed, Router};

impl Router {
    pub(super) fn log_numbered(&self, name: &str) -> Option<(u32, &Log)> {
        let number = *self.log_numbers.get(name.as_bytes())?;
        Some((number, self.logs.get(number)?))
    }

    /// The id of the log with that name.
    pub(crate) fn log_id(&self, name: &str) -> Option<u64> {
        Some(self.log_numbered(name)?.1.id)
    }

    /// A log exists: the topic of its name is in front of it, and bindings can lead to it.
    pub(crate) fn log_declared(&mut self, name: &Name, id: u64) {
        let number = self.logs.insert(Log {
            name: name.clone(),
            id,
            incoming: Vec::new(),
        });
        self.log_numbers.insert(NameKey(name.clone()), number);
        let front = self.topic_numbered(name.as_str()).map(|(topic, _)| topic);
        self.reach.note_log(number, id, front);
        if let Some(topic) = front.and_then(|topic| self.topics.get_mut(topic)) {
            topic.log = Some(number);
        }
    }

    /// A log is gone: its bindings go, and topics of `auto_delete` that lost their last binding as a source.
    pub(crate) fn remove_log(&mut self, name: &str) -> Removed {
        let mut removal = Removal::default();
        let Some((number, _)) = self.log_numbered(name) else {
            return self.finish(removal);
        };
        if let Some(&topic) = self.topic_numbers.get(name.as_bytes())
            && let Some(topic) = self.topics.get_mut(topic)
        {
            topic.log = None;
        }
        let incoming = self.logs.get_mut(number);
        let incoming = incoming.map(|log| std::mem::take(&mut log.incoming));
        for at in incoming.into_iter().flatten() {
            self.remove_binding(at, &mut removal);
        }
        self.logs.remove(number);
        self.log_numbers.remove(name.as_bytes());
        self.finish(removal)
    }

    /// The topic of that name is there from now on (its number), or no more.
    pub(super) fn put_in_front(&mut self, name: &Name, topic: Option<u32>) {
        let Some((number, log)) = self.log_numbered(name.as_str()) else {
            return;
        };
        let id = log.id;
        self.reach.note_log(number, id, topic);
        if let Some(topic) = topic.and_then(|topic| self.topics.get_mut(topic)) {
            topic.log = Some(number);
        }
    }

    /// The ids of the logs that the last routed message reached, each once, in the order in which it did.
    pub(crate) fn logs_reached(&self) -> &[u64] {
        self.reach.logs_reached()
    }
}
