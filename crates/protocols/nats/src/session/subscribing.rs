//! SUB and UNSUB.

use bytes::Bytes;
use polybus_model::{Error, Lane, Request, SubscribeLive, SubscriberId};

use super::Connection;
use super::subscriptions::{SUBSCRIPTIONS_MAX, filter};
use crate::codec::is_valid;
use crate::error::{
    INVALID_SUBJECT, SID_TOO_LONG, TOO_MANY_SUBSCRIPTIONS, subscription_denied,
    subscription_refused,
};

/// The longest id of a subscription, in bytes.
const SID_LEN_MAX: usize = 128;

impl Connection {
    pub(super) fn subscribe(&mut self, subject: &[u8], queue: Option<&[u8]>, sid: &[u8]) {
        let most = self.settings.subscriptions_max.min(SUBSCRIPTIONS_MAX);
        let (open, held) = (self.subscriptions.len(), self.subscriptions.held());
        if open >= most || held >= SUBSCRIPTIONS_MAX {
            return self.complain(TOO_MANY_SUBSCRIPTIONS);
        }
        if !is_valid(subject) {
            return self.complain(INVALID_SUBJECT);
        }
        if sid.len() > SID_LEN_MAX {
            return self.complain(SID_TOO_LONG);
        }
        if self.subscriptions.lookup(sid).is_none() {
            let wanted = filter(subject);
            let permissions = self.permissions.as_deref();
            if permissions.is_some_and(|one| !one.may_subscribe(&wanted)) {
                return self.complain(&subscription_denied(subject, queue));
            }
            let watching = self.jetstream.watched().watch(&wanted);
            let subscriber = self
                .subscriptions
                .insert(sid, subject, queue, &wanted, watching);
            let request = SubscribeLive {
                subscriber,
                topic: self.topic.clone(),
                filter: wanted,
                share: queue.map(Bytes::copy_from_slice),
                echo: self.connect.echo,
            };
            self.ask(Request::SubscribeLive(Box::new(request)));
            self.backups_heard(subject);
        }
        self.confirm();
    }

    pub(super) fn unsubscribe(&mut self, sid: &[u8], max: Option<u64>) {
        if let Some(subscriber) = self.subscriptions.lookup(sid) {
            let delivered = self
                .subscriptions
                .find(subscriber)
                .map_or(0, |s| s.delivered);
            let after = max.filter(|max| *max > delivered);
            if after.is_none() {
                self.subscriptions.end(subscriber);
            }
            self.ask(Request::UnsubscribeLive { subscriber, after });
        }
        self.confirm();
    }

    fn ask(&mut self, request: Request) {
        self.requests.push((Lane::default(), request));
    }

    /// The broker did not make the subscription.
    pub(super) fn tell_not_subscribed(&mut self, subscriber: SubscriberId, error: &Error) {
        let Some(found) = self.subscriptions.find(subscriber) else {
            return;
        };
        let text = subscription_refused(error, found.subject(), found.queue());
        self.subscriptions.end(subscriber);
        self.complain(&text);
    }
}
