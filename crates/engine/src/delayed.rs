//! Messages that wait in delayed topics until they are due.

use std::collections::BTreeMap;

use bytes::Bytes;
use polybus_model::{Marks, Message, Millis, Name, Publish};
use rustc_hash::FxHashMap;

use crate::deliver::Run;
use crate::engine::merge_ranges;
use crate::queue::block::Cold;
use crate::record::{self, Delayed, Range, Stand, kind};
use crate::routing::RouteMode;
use crate::turn::Turn;
use crate::{Engine, Load, Store};

/// Messages released in one turn; the rest follows in the next.
const RELEASED_PER_TURN: usize = 4_096;

/// A message that waits.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) namespace: u32,
    pub(crate) topics: Vec<Name>,
    pub(crate) more_keys: Vec<Bytes>,
    /// Where it is journaled, unless it is transient.
    pub(crate) stand: Option<Stand>,
    pub(crate) message: Option<Message>,
}

/// What always holds: both maps name the same messages; one that is not in memory has a stand.
#[derive(Debug)]
pub(crate) struct DelayedMessages {
    by_due: BTreeMap<(Millis, u64), Held>,
    due_of: FxHashMap<u64, Millis>,
    pub(crate) next_sequence: u64,
    /// The sequences of the one load under way.
    asked: Vec<u64>,
    ended: Vec<Range>,
    hot_bytes: usize,
}

impl Default for DelayedMessages {
    fn default() -> Self {
        Self {
            by_due: BTreeMap::new(),
            due_of: FxHashMap::default(),
            next_sequence: 1,
            asked: Vec::new(),
            ended: Vec::new(),
            hot_bytes: 0,
        }
    }
}

impl DelayedMessages {
    pub(crate) fn insert(&mut self, due: Millis, sequence: u64, held: Held) {
        self.next_sequence = self.next_sequence.max(sequence + 1);
        self.hot_bytes += held.message.as_ref().map_or(0, Message::memory_size);
        self.due_of.insert(sequence, due);
        self.by_due.insert((due, sequence), held);
    }

    fn remove(&mut self, due: Millis, sequence: u64, store: &mut impl Store) -> Option<Held> {
        let held = self.by_due.remove(&(due, sequence))?;
        self.due_of.remove(&sequence);
        self.hot_bytes -= held.message.as_ref().map_or(0, Message::memory_size);
        if let Some(stand) = held.stand {
            self.ended.push(Range {
                first: sequence,
                len: 1,
            });
            store.release(stand.place, stand.len);
        }
        Some(held)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Millis, u64, &Held)> {
        self.by_due
            .iter()
            .map(|((due, sequence), held)| (*due, *sequence, held))
    }

    /// When the next one is due, or nothing while it is being loaded.
    pub(crate) fn deadline(&self) -> Option<Millis> {
        let ((due, _), held) = self.by_due.first_key_value()?;
        (held.message.is_some() || self.asked.is_empty()).then_some(*due)
    }

    pub(crate) fn stand(&self, sequence: u64) -> Option<Stand> {
        let due = self.due_of.get(&sequence)?;
        self.by_due.get(&(*due, sequence))?.stand
    }

    pub(crate) fn set_stand(&mut self, sequence: u64, stand: Stand) {
        if let Some(due) = self.due_of.get(&sequence)
            && let Some(held) = self.by_due.get_mut(&(*due, sequence))
        {
            held.stand = Some(stand);
        }
    }

    pub(crate) fn loaded(&mut self, messages: Vec<(u64, Message)>) {
        self.asked.clear();
        for (sequence, message) in messages {
            if let Some(due) = self.due_of.get(&sequence)
                && let Some(held) = self.by_due.get_mut(&(*due, sequence))
                && held.message.is_none()
            {
                self.hot_bytes += message.memory_size();
                held.message = Some(message);
            }
        }
    }

    pub(crate) fn drop_namespace(&mut self, namespace: u32, store: &mut impl Store) {
        let keys: Vec<_> = self
            .by_due
            .iter()
            .filter(|(_, held)| held.namespace == namespace)
            .map(|(key, _)| *key)
            .collect();
        for (due, sequence) in keys {
            self.remove(due, sequence, store);
        }
    }

    /// Journals what was released in this turn.
    pub(crate) fn journal_ended(&mut self, buffer: &mut Vec<u8>, turn: &mut Turn<'_, impl Store>) {
        if !self.ended.is_empty() {
            merge_ranges(&mut self.ended);
            record::put_settle(buffer, record::DELAYED_QUEUE, &self.ended);
            self.ended.clear();
            turn.append(buffer, record::DELAYED_QUEUE);
        }
    }

    /// Asks for the messages that are due and not in memory.
    fn request(&mut self, turn: &mut Turn<'_, impl Store>) {
        if !self.asked.is_empty() {
            return;
        }
        let mut run = Run::default();
        for ((due, sequence), held) in &self.by_due {
            if *due > turn.now {
                break;
            }
            if let (None, Some(stand)) = (&held.message, held.stand) {
                let cold = Cold {
                    sequence: *sequence,
                    stand,
                };
                if !run.take(cold) {
                    break;
                }
            }
        }
        if !run.items.is_empty() {
            self.asked.extend(run.items.iter().map(|item| item.0));
            turn.out.loads.push(Load {
                queue: record::DELAYED_QUEUE,
                items: run.items,
            });
        }
    }
}

impl Engine {
    /// Keeps a message for the delayed topics that it stopped at; true if it was journaled.
    pub(crate) fn delay(
        &mut self,
        namespace: u32,
        publish: &Publish,
        turn: &mut Turn<'_, impl Store>,
    ) -> bool {
        let Some(state) = self.namespaces.get(namespace) else {
            return false;
        };
        let topics = state.router.delayed_at().to_vec();
        let durable = topics.iter().any(|topic| {
            let settings = state.router.topic(topic.as_str());
            settings.is_some_and(|settings| settings.durable)
        });
        let delayed = Delayed {
            sequence: self.delayed.next_sequence,
            due: turn.now.saturating_add(publish.delay.unwrap_or(0)),
            namespace: state.name.clone(),
            topics,
            more_keys: publish.more_keys.clone(),
        };
        let marks = publish.message.marks();
        let message = &publish.message.with_marks(Marks {
            delayed: true,
            ..marks
        });
        let mut stand = None;
        if durable {
            record::put_delayed(&mut self.work.buffer, &delayed, message);
            let stored = turn.store.append(
                kind::DELAYED,
                record::DELAYED_QUEUE,
                delayed.sequence,
                &[&self.work.buffer, message.inline_bytes()],
                message.shared_body().map(crate::Shared::from),
                1,
            );
            stand = Some(Stand {
                place: stored.place,
                len: stored.len,
            });
        }
        let full = self.resident_bytes + self.delayed.hot_bytes > self.options.resident_bytes_max;
        let held = Held {
            namespace,
            topics: delayed.topics,
            more_keys: delayed.more_keys,
            stand,
            message: (stand.is_none() || !full).then(|| message.clone()),
        };
        self.delayed.insert(delayed.due, delayed.sequence, held);
        durable
    }

    /// Routes what is due.
    pub(crate) fn release_delayed(&mut self, turn: &mut Turn<'_, impl Store>) {
        let (mut slots, mut logs) = (Vec::new(), Vec::new());
        let mut found = Vec::new();
        for _ in 0..RELEASED_PER_TURN {
            let Some(((due, sequence), held)) = self.delayed.by_due.first_key_value() else {
                return;
            };
            if *due > turn.now {
                return;
            }
            if held.message.is_none() {
                self.delayed.request(turn);
                return;
            }
            let (due, sequence) = (*due, *sequence);
            let Some(held) = self.delayed.remove(due, sequence, turn.store) else {
                return;
            };
            let Some(message) = &held.message else {
                return;
            };
            slots.clear();
            logs.clear();
            for topic in &held.topics {
                self.route_released(&held, topic, message, &mut found, &mut logs);
                self.tell_listeners(held.namespace, message, turn);
                slots.extend(
                    found
                        .drain(..)
                        .filter(|slot| !slots.contains(slot))
                        .collect::<Vec<_>>(),
                );
            }
            if !logs.is_empty() {
                self.append_to_logs(&logs, message, turn);
            }
            self.enqueue(message, &slots, turn);
        }
    }

    fn route_released(
        &mut self,
        held: &Held,
        topic: &Name,
        message: &Message,
        found: &mut Vec<u32>,
        logs: &mut Vec<u64>,
    ) {
        found.clear();
        let mode = RouteMode::BROKER;
        let readers = &self.options.header_readers;
        if let Some(namespace) = self.namespaces.get_mut(held.namespace) {
            let topic = topic.as_str().as_bytes();
            let router = &mut namespace.router;
            // A topic that is gone takes its messages with it.
            let routed = router.route(topic, message, &held.more_keys, mode, readers, found);
            if routed.is_ok_and(|routed| routed.logged) {
                let reached = router.logs_reached().iter();
                let new = reached.filter(|log| !logs.contains(log)).copied();
                let new: Vec<u64> = new.collect();
                logs.extend(new);
            }
        }
    }
}
