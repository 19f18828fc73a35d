//! Who listens to what the broker itself is asked and has to tell, over all connections: what nobody hears need not be made.
//!
//! What always holds: a subscription counts as long as it is kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use polybus_model::{FilterWord, LiveFilter};

/// Of how many subscriptions.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    requests: AtomicUsize,
    acks: AtomicUsize,
    events: AtomicUsize,
}

/// A subscription that counts.
#[derive(Debug)]
pub(crate) struct Watching {
    watched: Arc<Watched>,
    requests: bool,
    acks: bool,
    events: bool,
}

impl Watched {
    /// Counts a subscription; none if it hears neither.
    pub(crate) fn watch(self: &Arc<Self>, filter: &LiveFilter) -> Option<Watching> {
        let below = |second: &'static [u8]| {
            let words = [
                FilterWord::Exact(b"$JS"),
                FilterWord::Exact(second),
                FilterWord::Rest,
            ];
            LiveFilter::new(words).overlaps(filter)
        };
        let (requests, acks, events) = (below(b"API"), below(b"ACK"), below(b"EVENT"));
        if !requests && !acks && !events {
            return None;
        }
        self.requests
            .fetch_add(usize::from(requests), Ordering::Relaxed);
        self.acks.fetch_add(usize::from(acks), Ordering::Relaxed);
        self.events
            .fetch_add(usize::from(events), Ordering::Relaxed);
        Some(Watching {
            watched: Arc::clone(self),
            requests,
            acks,
            events,
        })
    }

    /// Somebody may hear requests of the API.
    pub(crate) fn requests(&self) -> bool {
        self.requests.load(Ordering::Relaxed) > 0
    }

    /// Somebody may hear acknowledgements.
    pub(crate) fn acks(&self) -> bool {
        self.acks.load(Ordering::Relaxed) > 0
    }

    /// Somebody may hear what the broker tells of itself.
    pub(crate) fn events(&self) -> bool {
        self.events.load(Ordering::Relaxed) > 0
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let all = [
            (self.requests, &self.watched.requests),
            (self.acks, &self.watched.acks),
            (self.events, &self.watched.events),
        ];
        for (_, count) in all.into_iter().filter(|(counts, _)| *counts) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::filter;

    #[test]
    fn who_may_hear_is_counted_as_long_as_it_is_there() {
        let watched = Arc::new(Watched::default());
        let watch = |subject: &str| watched.watch(&filter(subject.as_bytes()));
        assert!(watch("a.>").is_none() && watch("_INBOX.x").is_none() && watch("$JS.*").is_none());
        let api = watch("$JS.API.CONSUMER.MSG.NEXT.s.c");
        assert!(watched.requests() && !watched.events());
        let all = watch(">");
        assert!(watched.events());
        drop(all);
        assert!(watched.requests() && !watched.events());
        drop(api);
        let ack = watch("$JS.ACK.s.c.1.1.1.1.0");
        assert!(watched.acks() && !watched.requests());
        drop(ack);
        assert!(!watched.acks());
        assert!(!watched.requests());
        let events = watch("$JS.EVENT.ADVISORY.>");
        assert!(watched.events() && !watched.requests());
        drop(events);
    }
}
