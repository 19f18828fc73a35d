//! Live subscriptions: made, ended, and gone with their session or topic.

use bytes::Bytes;
use polybus_model::{Error, Event, Kind, Lane, Resource, SubscribeLive, SubscriberId};

use super::Letter;
use crate::routing::Wanted;
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
        }
        self.live.count += 1;
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
        self.readers
            .listener_leaves(asker.namespace, namespace.router.live.filter_of(number));
        namespace.router.live.remove(number);
        self.live.count -= 1;
        if let Some(session) = self.sessions.get_mut(asker.session) {
            session.listeners.remove(&subscriber);
        }
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
                self.tell_listening_ended(listener.session, listener.subscriber, turn);
            }
        }
    }

    /// A session's subscription has ended: it is no longer in the router.
    pub(crate) fn tell_listening_ended(
        &mut self,
        session: u32,
        subscriber: SubscriberId,
        turn: &mut Turn<'_, impl Store>,
    ) {
        let Some(session) = self.sessions.get_mut(session) else {
            return;
        };
        if session.listeners.remove(&subscriber).is_some() {
            self.live.count -= 1;
            let lane = Lane::default();
            turn.tell(session.id, Event::SubscriptionEnded { lane, subscriber });
        }
    }

    /// A session listens no more.
    pub(crate) fn end_listening(&mut self, session: u32) {
        let Some(session) = self.sessions.get_mut(session) else {
            return;
        };
        let listeners = std::mem::take(&mut session.listeners);
        self.live.count -= listeners.len();
        let slot = session.namespace;
        if let Some(namespace) = self.namespaces.get_mut(slot) {
            let live = &mut namespace.router.live;
            for number in listeners.into_values() {
                self.readers.listener_leaves(slot, live.filter_of(number));
                live.remove(number);
            }
        }
    }
}
