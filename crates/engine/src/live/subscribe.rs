//! Live subscriptions: made, ended, and gone with their session or topic.

use bytes::Bytes;
use polybus_model::{Error, Event, Kind, Lane, Resource, SubscribeLive, SubscriberId};

use super::Letter;
use crate::routing::{Listener, Wanted};
use crate::turn::{Asker, Turn};
use crate::{Engine, Store};

impl Engine {
    pub(crate) fn subscribe_live(
        &mut self,
        asker: Asker,
        subscribe: SubscribeLive,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let subscriber = subscribe.subscriber;
        if let Err(error) = self.listen(asker, subscribe) {
            let error = Box::new(error);
            turn.tell(asker.id, Event::LiveNotSubscribed { subscriber, error });
        }
    }

    fn listen(&mut self, asker: Asker, subscribe: SubscribeLive) -> Result<(), Error> {
        let topic = subscribe.topic.clone();
        let refused = |engine: &Self, kind| {
            Err(engine.failure(kind, Resource::Topic, &topic, asker.namespace))
        };
        let Some(session) = self.sessions.get(asker.session) else {
            return Ok(());
        };
        if session.is_cut {
            let text = "the session is ended, since it does not read fast enough";
            return refused(self, Kind::NotAllowed(text.to_owned()));
        }
        if session.listeners.contains_key(&subscribe.subscriber) {
            let text = "the subscriber's number is in use".to_owned();
            return refused(self, Kind::NotAllowed(text));
        }
        let (of_one, of_all) = (
            self.options.live_subscribers_max,
            self.options.live_subscribers_all_max,
        );
        if session.listeners.len() >= of_one {
            let text =
                format!("at most {of_one} live subscribers to a connection (live_subscribers_max)");
            return refused(self, Kind::LimitReached(text));
        }
        if self.live.count >= of_all {
            let text =
                format!("at most {of_all} live subscribers in all (live_subscribers_all_max)");
            return refused(self, Kind::LimitReached(text));
        }
        let wanted = Wanted {
            session: asker.session,
            subscriber: subscribe.subscriber,
            echo: subscribe.echo,
            filter: subscribe.filter,
            // A copy: the peer's bytes may be part of a large buffer.
            share: subscribe.share.map(|name| Bytes::copy_from_slice(&name)),
        };
        let bytes = wanted.memory_size();
        let (of_one, of_all) = (
            self.options.live_filter_bytes_max,
            self.options.live_filter_bytes_all_max,
        );
        if session.listening_bytes + bytes > of_one {
            let text = format!(
                "the filters of a connection's live subscribers take {of_one} bytes of memory at most (live_filter_bytes_max)"
            );
            return refused(self, Kind::LimitReached(text));
        }
        if self.live.bytes + bytes > of_all {
            let text = format!(
                "the filters of all live subscribers take {of_all} bytes of memory at most (live_filter_bytes_all_max)"
            );
            return refused(self, Kind::LimitReached(text));
        }
        self.readers
            .listening_changed(asker.namespace, &wanted.filter);
        let number = self
            .namespaces
            .get_mut(asker.namespace)
            .and_then(|namespace| namespace.router.listen(topic.as_str(), wanted));
        let Some(number) = number else {
            return refused(self, Kind::NotFound);
        };
        if let Some(session) = self.sessions.get_mut(asker.session) {
            session.listeners.insert(subscribe.subscriber, number);
            session.listening_bytes += bytes;
        }
        self.live.count += 1;
        self.live.bytes += bytes;
        let letters = &mut self.live.letters;
        if asker.session as usize >= letters.len() {
            letters.resize_with(asker.session as usize + 1, Letter::default);
        }
        Ok(())
    }

    pub(crate) fn unsubscribe_live(
        &mut self,
        asker: Asker,
        subscriber: SubscriberId,
        after: Option<u64>,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let session = self.sessions.get(asker.session);
        let Some(number) = session.and_then(|one| one.listeners.get(&subscriber).copied()) else {
            return;
        };
        let Some(namespace) = self.namespaces.get_mut(asker.namespace) else {
            return;
        };
        if let Some(after) = after
            && let Some(listener) = namespace.router.live.listener_mut(number)
        {
            listener.most = after;
            if listener.had >= after {
                self.live.served.push(number);
                self.end_served(asker.namespace, turn);
            }
            return;
        }
        self.end_listener(asker.session, number);
    }

    /// Ends the subscriptions that have had all that they wanted.
    pub(crate) fn end_served(&mut self, namespace: u32, turn: &mut Turn<'_, impl Store>) {
        while let Some(number) = self.live.served.pop() {
            let Some(found) = self.namespaces.get_mut(namespace) else {
                continue;
            };
            let live = &mut found.router.live;
            self.readers
                .listener_leaves(namespace, live.filter_of(number));
            let listener = live.remove(number);
            if let Some(listener) = listener {
                self.tell_listening_ended(&listener, turn);
            }
        }
    }

    /// A session's subscription has ended: it is no longer in the router.
    pub(crate) fn tell_listening_ended(
        &mut self,
        listener: &Listener,
        turn: &mut Turn<'_, impl Store>,
    ) {
        if self.forget_listener(listener)
            && let Some(session) = self.sessions.get(listener.session)
        {
            let (lane, subscriber) = (Lane::default(), listener.subscriber);
            turn.tell(session.id, Event::SubscriptionEnded { lane, subscriber });
        }
    }

    /// A session listens no more.
    pub(crate) fn end_listening(&mut self, session: u32) {
        let Some(one) = self.sessions.get(session) else {
            return;
        };
        for number in one.listeners.values().copied().collect::<Vec<_>>() {
            self.end_listener(session, number);
        }
    }
}
