//! Live subscribers: who hears what, how subscriptions end, who is cut and who is held.

use std::sync::Arc;

use bytes::Bytes;
use polybus_model::{
    Batch, Binding, Destination, Event, FilterWord, Kind, Lane, LiveBlock, LiveFilter, LiveItem,
    LiveProperties, Origin, QueueSettings, Request, SessionId, SubscribeLive, SubscriberId, Table,
    TopicKind, TopicSettings,
};

use super::desk::{Desk, Told, durable, message, name, publish};
use crate::{Effects, Hold, Options};

/// A filter in NATS' words.
pub(super) fn filter(text: &str) -> LiveFilter {
    LiveFilter::new(text.split('.').map(|word| match word {
        "*" => FilterWord::AnyOne,
        ">" => FilterWord::Rest,
        word => FilterWord::Exact(word.as_bytes()),
    }))
}

pub(super) fn listen(number: u32, text: &str) -> SubscribeLive {
    SubscribeLive {
        subscriber: SubscriberId(number),
        topic: name("amq.topic"),
        filter: filter(text),
        share: None,
        echo: true,
    }
}

pub(super) fn shared(number: u32, text: &str, share: &str) -> SubscribeLive {
    SubscribeLive {
        share: Some(Bytes::copy_from_slice(share.as_bytes())),
        ..listen(number, text)
    }
}

pub(super) fn subscribe(one: SubscribeLive) -> Request {
    Request::SubscribeLive(Box::new(one))
}

/// A block of those keys, each message's body its key; all want to know if nobody hears them.
pub(super) fn block(keys: &[&str]) -> Arc<LiveBlock> {
    let mut bytes = Vec::new();
    let items = keys.iter().map(|key| {
        let at = bytes.len() as u32;
        bytes.extend_from_slice(key.as_bytes());
        let span = at..bytes.len() as u32;
        LiveItem::new(span.clone(), span).wanting(LiveItem::WANTS_UNHEARD)
    });
    let items = items.collect();
    Arc::new(LiveBlock::new(
        Origin(9),
        name("amq.topic"),
        bytes.into(),
        items,
    ))
}

pub(super) fn say(keys: &[&str]) -> Request {
    Request::PublishLive(block(keys))
}

/// What was heard: session, subscriber, key; what nobody heard has session 0.
pub(super) fn heard(told: &Told) -> Vec<(u64, u32, String)> {
    let mut heard = Vec::new();
    for (session, event) in told {
        match event {
            Event::Live { block, targets, .. } => {
                for (at, subscriber) in targets {
                    let key = block.key(block.item(*at).unwrap());
                    heard.push((session.0, subscriber.0, String::from_utf8_lossy(key).into()));
                }
            }
            Event::LiveMessage {
                subscriber,
                message,
                ..
            } => {
                let key = String::from_utf8_lossy(message.key()).into();
                heard.push((session.0, subscriber.0, key));
            }
            Event::Unheard { block, items } => {
                for at in items {
                    let key = block.key(block.item(*at).unwrap());
                    heard.push((0, 0, String::from_utf8_lossy(key).into()));
                }
            }
            _ => {}
        }
    }
    heard
}

fn said(session: u64, number: u32, key: &str) -> (u64, u32, String) {
    (session, number, key.to_owned())
}

fn bind(desk: &mut Desk, source: &str, destination: Destination, key: &str) {
    let binding = Binding {
        source: name(source),
        destination,
        key: Bytes::copy_from_slice(key.as_bytes()),
        arguments: Table::new(),
    };
    desk.batch(1, vec![Request::Bind(Box::new(binding))]);
}

#[test]
fn one_event_for_a_session_and_a_block() {
    let mut desk = Desk::new();
    desk.batch(
        1,
        vec![subscribe(listen(7, "a.*")), subscribe(listen(8, "a.b"))],
    );
    desk.batch(2, vec![subscribe(listen(7, "a.>"))]);
    let told = desk.batch(3, vec![say(&["a.b", "x", "a.c.d", "a.b"])]);
    assert_eq!(told.len(), 3, "two sessions and the publisher: {told:?}");
    let mut all = heard(&told);
    all.sort();
    assert_eq!(
        all,
        [
            said(0, 0, "x"),
            said(1, 7, "a.b"),
            said(1, 7, "a.b"),
            said(1, 8, "a.b"),
            said(1, 8, "a.b"),
            said(2, 7, "a.b"),
            said(2, 7, "a.b"),
            said(2, 7, "a.c.d"),
        ]
    );
}

#[test]
fn an_echo_can_be_declined_and_is_then_unheard() {
    let mut desk = Desk::new();
    let silent = SubscribeLive {
        echo: false,
        ..listen(1, "a")
    };
    desk.batch(1, vec![subscribe(silent), subscribe(listen(2, "b"))]);
    let told = desk.batch(1, vec![say(&["a", "b"])]);
    assert_eq!(heard(&told), [said(1, 2, "b"), said(0, 0, "a")]);
    let told = desk.batch(2, vec![say(&["a"])]);
    assert_eq!(heard(&told), [said(1, 1, "a")]);
}

#[test]
fn a_share_gives_each_message_to_one_member_in_turn() {
    let mut desk = Desk::new();
    for session in 1..=3 {
        desk.batch(session, vec![subscribe(shared(1, "a.*", "workers"))]);
    }
    // The same name by another filter is the same share; another name is another.
    desk.batch(
        4,
        vec![
            subscribe(shared(1, "a.b", "workers")),
            subscribe(shared(2, "a.b", "x")),
        ],
    );
    let told = desk.batch(1, vec![say(&["a.b"; 40])]);
    let all = heard(&told);
    for session in 1..=4 {
        let count = all
            .iter()
            .filter(|one| one.0 == session && one.1 == 1)
            .count();
        assert_eq!(count, 10, "session {session}");
    }
    assert_eq!(all.iter().filter(|one| one.1 == 2).count(), 40);
    desk.detach(4);
    desk.detach(1);
    let all = heard(&desk.batch(2, vec![say(&["a.b"; 10])]));
    assert_eq!(all.iter().filter(|one| one.0 == 2).count(), 5);
    assert_eq!(all.iter().filter(|one| one.0 == 3).count(), 5);
}

#[test]
fn a_share_passes_by_a_member_that_does_not_want_its_own() {
    let mut desk = Desk::new();
    let silent = SubscribeLive {
        echo: false,
        ..shared(1, "a", "s")
    };
    desk.batch(1, vec![subscribe(silent)]);
    desk.batch(2, vec![subscribe(shared(1, "a", "s"))]);
    let all = heard(&desk.batch(1, vec![say(&["a"; 6])]));
    assert_eq!(all, vec![said(2, 1, "a"); 6]);
}

#[test]
fn a_subscription_ends_after_as_many_messages_as_it_wants() {
    let mut desk = Desk::new();
    desk.batch(1, vec![subscribe(listen(5, "a"))]);
    desk.batch(2, vec![say(&["a", "a"])]);
    let after = |after| Request::UnsubscribeLive {
        subscriber: SubscriberId(5),
        after,
    };
    assert!(desk.batch(1, vec![after(Some(4))]).is_empty());
    let told = desk.batch(2, vec![say(&["a", "a", "a"])]);
    let all = heard(&told);
    assert_eq!(all, [said(1, 5, "a"), said(1, 5, "a"), said(0, 0, "a")]);
    let ended = |told: &Told| {
        let ended = |(_, event): &(_, Event)| matches!(event, Event::SubscriptionEnded { .. });
        told.iter().any(ended)
    };
    assert!(ended(&told));
    // What it has had already counts.
    desk.batch(1, vec![subscribe(listen(5, "a"))]);
    desk.batch(2, vec![say(&["a", "a"])]);
    assert!(ended(&desk.batch(1, vec![after(Some(2))])));
    desk.batch(1, vec![subscribe(listen(5, "a"))]);
    assert!(desk.batch(1, vec![after(None)]).is_empty());
    assert_eq!(heard(&desk.batch(2, vec![say(&["a"])])), [said(0, 0, "a")]);
}

#[test]
fn queues_and_live_subscribers_hear_each_other() {
    let mut desk = Desk::new();
    desk.declare("q", durable());
    bind(
        &mut desk,
        "amq.topic",
        Destination::Queue(name("q")),
        "order.#",
    );
    desk.batch(2, vec![subscribe(listen(1, "order.*"))]);
    let told = desk.batch(3, vec![say(&["order.new", "order"])]);
    assert_eq!(heard(&told), [said(2, 1, "order.new")], "`q` has both");
    assert_eq!(desk.drain("q"), ["order.new", "order"]);
    let request = Request::Publish(publish(message("amq.topic", "order.old", "from far")));
    let told = desk.batch(3, vec![request]);
    assert_eq!(heard(&told), [said(2, 1, "order.old")]);
    assert_eq!(desk.drain("q"), ["from far"]);
}

#[test]
fn a_live_message_keeps_its_reply_and_headers_in_a_queue() {
    let mut desk = Desk::new();
    desk.declare("q", QueueSettings::default());
    bind(&mut desk, "amq.topic", Destination::Queue(name("q")), "#");
    let bytes = Bytes::from_static(b"keyreplyHEADbody");
    let item = LiveItem::new(0..3, 12..16).with_reply(3..8).with_headers(4);
    let block = LiveBlock::new(Origin(9), name("amq.topic"), bytes, vec![item]);
    desk.batch(1, vec![Request::PublishLive(Arc::new(block))]);
    let taken = desk.take(1, "q").unwrap();
    assert_eq!(taken.message.origin(), Origin(9));
    assert_eq!(taken.message.body(), b"body");
    let properties = LiveProperties::decoded(taken.message.properties());
    assert_eq!(
        (properties.reply, properties.headers),
        (&b"reply"[..], &b"HEAD"[..])
    );
}

#[test]
fn a_mandatory_message_that_is_heard_does_not_come_back() {
    let mut desk = Desk::new();
    let mandatory = || {
        let mut one = publish(message("amq.topic", "a", ""));
        one.mandatory = true;
        Request::Publish(one)
    };
    let came_back = |told: &Told| {
        let back = |(_, event): &(_, Event)| matches!(event, Event::Returned { .. });
        told.iter().any(back)
    };
    assert!(came_back(&desk.batch(1, vec![mandatory()])));
    desk.batch(2, vec![subscribe(listen(1, ">"))]);
    assert!(!came_back(&desk.batch(1, vec![mandatory()])));
}

#[test]
fn topics_behind_a_topic_are_heard_once() {
    let mut desk = Desk::new();
    let settings = TopicSettings {
        kind: TopicKind::Fanout,
        delayed: false,
        durable: false,
        auto_delete: false,
        internal: false,
        alternate: None,
        arguments: Table::new(),
    };
    desk.batch(
        1,
        vec![Request::DeclareTopic {
            name: name("behind"),
            settings: Some(Box::new(settings)),
        }],
    );
    bind(
        &mut desk,
        "amq.topic",
        Destination::Topic(name("behind")),
        "a.#",
    );
    let behind = SubscribeLive {
        topic: name("behind"),
        ..listen(2, "a.*")
    };
    desk.batch(2, vec![subscribe(listen(1, "a.*")), subscribe(behind)]);
    let mut all = heard(&desk.batch(3, vec![say(&["a.b"])]));
    all.sort();
    assert_eq!(all, [said(2, 1, "a.b"), said(2, 2, "a.b")]);
    // With further keys, a subscriber that they all fit has the message once.
    let mut one = publish(message("amq.topic", "a.b", ""));
    one.more_keys = vec![Bytes::from_static(b"a.c"), Bytes::from_static(b"a.d")];
    let mut all = heard(&desk.batch(3, vec![Request::Publish(one)]));
    all.sort();
    assert_eq!(all, [said(2, 1, "a.b"), said(2, 2, "a.b")]);
    // The topic goes, and its subscribers are told.
    let told = desk.batch(
        1,
        vec![Request::DeleteTopic {
            name: name("behind"),
            if_unused: false,
        }],
    );
    let ended = told.iter().any(|(session, event)| {
        matches!(event, Event::SubscriptionEnded { subscriber, .. } if session.0 == 2 && subscriber.0 == 2)
    });
    assert!(ended, "{told:?}");
    assert_eq!(
        heard(&desk.batch(3, vec![say(&["a.b"])])),
        [said(2, 1, "a.b")]
    );
}

#[test]
fn refusals_do_not_stop_what_follows() {
    let mut desk = Desk::with(Options {
        live_subscribers_max: 2,
        live_subscribers_all_max: 3,
        ..Options::default()
    });
    let refused = |told: &Told| -> Vec<Kind> {
        let refused = told.iter().filter_map(|(_, event)| match event {
            Event::LiveNotSubscribed { error, .. } | Event::LiveRefused { error, .. } => {
                Some(error.kind.clone())
            }
            _ => None,
        });
        refused.collect()
    };
    let nowhere = SubscribeLive {
        topic: name("nowhere"),
        ..listen(1, "a")
    };
    let told = desk.batch(1, vec![subscribe(nowhere), subscribe(listen(1, "a"))]);
    assert_eq!(refused(&told), [Kind::NotFound]);
    let told = desk.batch(
        1,
        vec![subscribe(listen(1, "b")), subscribe(listen(2, "b"))],
    );
    assert!(matches!(refused(&told)[..], [Kind::NotAllowed(_)]));
    let told = desk.batch(1, vec![subscribe(listen(3, "c"))]);
    assert!(matches!(refused(&told)[..], [Kind::LimitReached(_)]));
    let told = desk.batch(
        2,
        vec![subscribe(listen(1, "a")), subscribe(listen(2, "a"))],
    );
    assert!(matches!(refused(&told)[..], [Kind::LimitReached(_)]));
    desk.detach(1);
    assert!(desk.batch(2, vec![subscribe(listen(2, "a"))]).is_empty());
    let elsewhere = LiveBlock::new(Origin(9), name("nowhere"), Bytes::new(), Vec::new());
    let told = desk.batch(
        2,
        vec![Request::PublishLive(Arc::new(elsewhere)), say(&["a"])],
    );
    assert_eq!(refused(&told), [Kind::NotFound]);
    assert_eq!(heard(&told), [said(2, 1, "a"), said(2, 2, "a")]);
}

#[test]
fn the_bytes_of_filters_are_bounded_and_given_back() {
    let long = |number| listen(number, &format!("{}.{number}", "x".repeat(1_000)));
    let mut desk = Desk::with(Options {
        live_filter_bytes_max: 2 * long(1).filter.memory_size(),
        live_filter_bytes_all_max: 3 * long(1).filter.memory_size(),
        ..Options::default()
    });
    let refused = |told: Told| {
        let refused = told.into_iter().filter_map(|(_, event)| match event {
            Event::LiveNotSubscribed { subscriber, .. } => Some(subscriber.0),
            _ => None,
        });
        refused.collect::<Vec<_>>()
    };
    let three = |_| (1..=3).map(|number| subscribe(long(number))).collect();
    assert_eq!(refused(desk.batch(1, three(()))), [3]);
    assert_eq!(refused(desk.batch(2, three(()))), [2, 3]);
    let ended = Request::UnsubscribeLive {
        subscriber: SubscriberId(1),
        after: None,
    };
    desk.batch(1, vec![ended]);
    assert_eq!(refused(desk.batch(2, vec![subscribe(long(2))])), []);
    desk.detach(1);
    desk.detach(2);
    desk.attach_all();
    assert_eq!(refused(desk.batch(1, three(()))), [3]);
}

#[test]
fn who_leaves_with_many_subscriptions_hears_nothing_and_goes_in_slices() {
    let mut desk = Desk::new();
    let many = (0..5_000).map(|number| subscribe(listen(number, &format!("many.{number}.*"))));
    desk.batch(1, many.collect());
    // The only other member of the share is to get what the one that leaves would get.
    desk.batch(1, vec![subscribe(shared(9_000, "many.>", "one"))]);
    desk.batch(2, vec![subscribe(shared(1, "many.>", "one"))]);
    desk.detach(1);
    assert_eq!(desk.engine.poll_timeout(), Some(0), "nobody sees them off");
    for _ in 0..4 {
        let told = desk.batch(3, vec![say(&["many.17.a", "many.4999.b"])]);
        assert_eq!(
            heard(&told),
            [said(2, 1, "many.17.a"), said(2, 1, "many.4999.b")]
        );
    }
    desk.wait(0);
    assert_ne!(desk.engine.poll_timeout(), Some(0));
    assert_eq!(desk.engine.live.count, 1);
    // The slot is another's now.
    desk.engine.attach(SessionId(1), &name("/")).unwrap();
    desk.batch(1, vec![subscribe(listen(1, "many.1.*"))]);
    let told = desk.batch(3, vec![say(&["many.1.a"])]);
    assert_eq!(heard(&told).len(), 2);
}

#[test]
fn who_does_not_keep_up_is_cut_once_and_nobody_else() {
    let mut desk = Desk::with(Options {
        live_pending_max: 1_000,
        ..Options::default()
    });
    desk.batch(1, vec![subscribe(listen(1, ">"))]);
    desk.batch(2, vec![subscribe(listen(1, ">"))]);
    let cut = |told: &Told| -> Vec<u64> {
        let cut = told
            .iter()
            .filter(|(_, event)| matches!(event, Event::TooSlow { .. }));
        cut.map(|(session, _)| session.0).collect()
    };
    let mut all = Vec::new();
    for _ in 0..100 {
        let told = desk.batch(3, vec![say(&["a.key"; 10])]);
        all.extend(cut(&told));
        let drained = Request::Drained { bytes: 1_000 };
        desk.batch(2, vec![drained]);
        let one = Request::Publish(publish(message("amq.topic", "a", "")));
        let told = desk.batch(3, vec![one]);
        all.extend(cut(&told));
        desk.batch(2, vec![Request::Drained { bytes: 1_000 }]);
        assert!(heard(&told).contains(&said(2, 1, "a")));
    }
    assert_eq!(all, [1]);
    // It is not let in again.
    let told = desk.batch(1, vec![subscribe(listen(2, "a"))]);
    assert!(matches!(told[..], [(_, Event::LiveNotSubscribed { .. })]));
}

fn holds(desk: &mut Desk, session: u64, request: Request) -> Vec<(u64, bool)> {
    let mut batch = Batch {
        requests: vec![(Lane(0), request)],
    };
    let mut out = Effects::default();
    let now = desk.now;
    desk.engine.handle(
        SessionId(session),
        &mut batch,
        now,
        &mut desk.shelf,
        &mut out,
    );
    told_holds(&out.holds)
}

fn told_holds(holds: &[Hold]) -> Vec<(u64, bool)> {
    holds
        .iter()
        .map(|hold| (hold.session.0, hold.holds))
        .collect()
}

#[test]
fn publishers_of_single_messages_are_held_too() {
    let mut desk = Desk::new();
    desk.batch(1, vec![subscribe(listen(1, ">"))]);
    let body = "b".repeat(400_000);
    let one = || Request::Publish(publish(message("amq.topic", "a", &body)));
    assert_eq!(holds(&mut desk, 2, one()), []);
    assert_eq!(holds(&mut desk, 2, one()), []);
    assert_eq!(holds(&mut desk, 2, one()), [(2, true)]);
    // Who falls behind is not held for itself.
    assert_eq!(holds(&mut desk, 1, one()), []);
}

#[test]
fn a_publisher_is_held_for_who_falls_behind_and_let_go_soon() {
    let mut desk = Desk::new();
    desk.batch(1, vec![subscribe(listen(1, ">"))]);
    let large = "k".repeat(60_000);
    let keys = [large.as_str(); 20];
    assert_eq!(holds(&mut desk, 2, say(&keys)), [(2, true)]);
    // Not twice.
    assert_eq!(holds(&mut desk, 2, say(&["a"])), []);
    assert_eq!(holds(&mut desk, 1, Request::Drained { bytes: 100_000 }), []);
    let all = Request::Drained { bytes: 2_400_000 };
    assert_eq!(holds(&mut desk, 1, all), [(2, false)]);
    // Or when it has waited for long enough, or whom it waits for is gone.
    assert_eq!(holds(&mut desk, 2, say(&keys)), [(2, true)]);
    let due = desk.engine.poll_timeout().unwrap();
    assert!(due <= desk.now + 10);
    let mut out = Effects::default();
    desk.engine.handle_timeout(due, &mut desk.shelf, &mut out);
    assert_eq!(told_holds(&out.holds), [(2, false)]);
    assert_eq!(holds(&mut desk, 2, say(&keys)), [(2, true)]);
    let mut out = Effects::default();
    let now = desk.now;
    desk.engine
        .handle_detached(SessionId(1), now, &mut desk.shelf, &mut out);
    assert_eq!(told_holds(&out.holds), [(2, false)]);
    assert_eq!(desk.engine.poll_timeout(), None);
}
