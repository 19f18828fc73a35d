//! Dead letters: a message's history grows by one death, and the dead-letter topic routes it on.

use std::sync::Arc;

use bytes::Bytes;
use polybus_model::{Death, DeathReason, Message, Millis, Name, Run, Value};

use crate::deliver::request_loads;
use crate::queue::Queue;
use crate::routing::RouteMode;
use crate::turn::Turn;
use crate::{Engine, HeaderReaders, Store};

/// The header in which protocols that have them name the further keys that a message is routed by.
const FURTHER_KEYS: &str = "CC";

impl Engine {
    /// Dead-letters what is dying in a queue, in order, until a message has to be loaded first.
    pub(crate) fn bury(&mut self, slot: u32, turn: &mut Turn<'_, impl Store>) {
        let was_full = self.queues.get(slot).is_some_and(|queue| !queue.can_kill());
        loop {
            let Some(queue) = self.queues.get_mut(slot) else {
                return;
            };
            let namespace = queue.namespace;
            match queue.next_letter(&self.options.header_readers, turn) {
                Next::Letter(message, more_keys) => {
                    self.post(namespace, &message, &more_keys, turn);
                }
                Next::Nowhere => {}
                Next::Later => return,
                Next::None => break,
            }
        }
        // What could not die, or be delivered, for lack of room may now.
        if was_full {
            self.touch(slot);
        }
    }

    /// Routes a dead letter; queues that it went round to are left out.
    pub(crate) fn post(
        &mut self,
        namespace: u32,
        message: &Message,
        more_keys: &[Bytes],
        turn: &mut Turn<'_, impl Store>,
    ) {
        let mut slots = std::mem::take(&mut self.work.slots);
        let mode = RouteMode::BROKER;
        let routed = self.namespaces.get_mut(namespace).and_then(|namespace| {
            let router = &mut namespace.router;
            let readers = &self.options.header_readers;
            router
                .route(
                    message.topic(),
                    message,
                    more_keys,
                    mode,
                    readers,
                    &mut slots,
                )
                .ok()
        });
        if let Some(routed) = routed {
            if let Some(deaths) = message.deaths() {
                slots.retain(|slot| {
                    let queue = self.queues.get(*slot);
                    queue.is_some_and(|queue| !is_cycle(deaths, &queue.name))
                });
            }
            self.tell_listeners(namespace, message, turn);
            if routed.logged {
                self.append_routed(namespace, message, turn);
            }
            self.enqueue(message, &slots, turn);
        }
        self.work.slots = slots;
    }
}

/// Where records of a log that failed in a group come from, and where they go.
pub(crate) struct FailedRecords<'a> {
    pub(crate) namespace: u32,
    pub(crate) group: &'a str,
    pub(crate) log: &'a Name,
    pub(crate) to: &'a Name,
    /// The offsets of those of the run that failed.
    pub(crate) range: std::ops::Range<u64>,
    pub(crate) reason: DeathReason,
}

impl Engine {
    /// Routes records that failed in a group as dead letters: to the topic that the group names, or else to the queue of that
    /// name.
    pub(crate) fn post_records(
        &mut self,
        failed: &FailedRecords<'_>,
        run: &Run,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let mut messages = Vec::new();
        let readers = &self.options.run_readers;
        readers.read(failed.log, &run.content, &mut messages);
        let queue = Name::new(failed.group).unwrap_or_else(|_| failed.log.clone());
        let known = self.namespaces.get(failed.namespace);
        let is_topic = known.is_some_and(|one| one.router.topic(failed.to.as_str()).is_some());
        let nowhere = Name::empty();
        let (topic, key) = match is_topic {
            true => (failed.to, None),
            false => (&nowhere, Some(failed.to.as_str().as_bytes())),
        };
        for (at, message) in &messages {
            let offset = run.offset.saturating_add((*at).into());
            if !failed.range.contains(&offset) {
                continue;
            }
            let death = Death {
                reason: failed.reason,
                queue: queue.clone(),
                topic: failed.log.clone(),
                keys: vec![Bytes::copy_from_slice(message.key())],
                time: self.time(turn),
                count: 1,
                original_ttl: message.ttl(),
            };
            let deaths = add_death(message.deaths().map(|deaths| deaths.as_slice()), death);
            let letter = message.redirected(topic, key, Arc::new(deaths));
            self.post(failed.namespace, &letter, &[], turn);
        }
    }
}

/// What becomes of the next message that is dying.
pub(crate) enum Next {
    /// This dead letter, which is routed by these further keys too.
    Letter(Message, Vec<Bytes>),
    /// It has ended; there is nowhere to send it.
    Nowhere,
    /// It has to be loaded first, which was asked for.
    Later,
    /// There is none.
    None,
}

impl Queue {
    /// Ends the next message that is dying, if it is in memory, and makes its letter.
    pub(crate) fn next_letter(
        &mut self,
        readers: &HeaderReaders,
        turn: &mut Turn<'_, impl Store>,
    ) -> Next {
        if let Some((entry, _)) = self.dying.front()
            && entry.message.is_none()
        {
            request_loads(self, false, turn);
            return Next::Later;
        }
        let Some((entry, reason)) = self.next_dying() else {
            return Next::None;
        };
        self.end(&entry, turn.store);
        let made = entry
            .message
            .and_then(|message| letter(self, &message, reason, turn.now, readers));
        match made {
            Some((message, more_keys)) => Next::Letter(message, more_keys),
            None => Next::Nowhere,
        }
    }
}

/// The dead letter made of a message: none if the queue has nowhere to send it.
fn letter(
    queue: &Queue,
    message: &Message,
    reason: DeathReason,
    now: Millis,
    readers: &HeaderReaders,
) -> Option<(Message, Vec<Bytes>)> {
    let to = queue.settings.dead_letter.as_ref()?;
    let keys = current_keys(message, readers);
    let topic = Name::new(&String::from_utf8_lossy(message.topic())).ok()?;
    let death = Death {
        reason,
        queue: queue.name.clone(),
        topic,
        keys: keys.clone(),
        time: now,
        count: 1,
        original_ttl: message.ttl(),
    };
    let deaths = add_death(message.deaths().map(|deaths| deaths.as_slice()), death);
    let letter = message.redirected(&to.topic, to.key.as_deref(), Arc::new(deaths));
    let more_keys = match to.key {
        Some(_) => Vec::new(),
        None => keys.into_iter().skip(1).collect(),
    };
    Some((letter, more_keys))
}

/// The keys that a message was last routed by: its own, and the further ones that its headers name. A dead letter that
/// was given a key of its queue's choosing has lost those.
fn current_keys(message: &Message, readers: &HeaderReaders) -> Vec<Bytes> {
    let mut keys = vec![Bytes::copy_from_slice(message.key())];
    if message.marks().rekeyed {
        return keys;
    }
    if let Some(Value::Array(further)) = readers.headers(message).lookup(FURTHER_KEYS) {
        keys.extend(further.iter().filter_map(|key| match key {
            Value::Text(key) | Value::Bytes(key) => Some(key.clone()),
            _ => None,
        }));
    }
    keys
}

/// A history with one more death: the latest first, one entry per queue and reason, which counts.
pub(crate) fn add_death(history: Option<&[Death]>, death: Death) -> Vec<Death> {
    let mut deaths = history.unwrap_or_default().to_vec();
    let same = deaths
        .iter()
        .position(|old| old.reason == death.reason && old.queue == death.queue);
    let newest = match same {
        Some(at) => {
            let mut old = deaths.remove(at);
            old.count = old.count.saturating_add(1);
            old
        }
        None => death,
    };
    deaths.insert(0, newest);
    deaths
}

/// Whether a message that comes to this queue would go round for ever: it was here before, and nobody rejected it since.
fn is_cycle(deaths: &[Death], queue: &Name) -> bool {
    deaths
        .iter()
        .take_while(|death| death.reason != DeathReason::Rejected)
        .any(|death| death.queue == *queue)
}
