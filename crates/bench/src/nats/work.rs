//! The workloads, as data.

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Publish to live subscribers.
    Core,
    /// Requests to one service, one in flight on each connection.
    Request,
    /// Publish to a stream, each publish acknowledged.
    StreamPublish,
    /// Read a stream that was filled, pushed by the broker.
    StreamPush,
    /// The same, pulled in batches.
    StreamPull,
}

/// Which subjects are published to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Subjects {
    /// One, subscribed to by its name.
    One,
    /// One for each publisher, with a subscriber for each.
    Pairs,
    /// A hundred in turn, subscribed to by a wildcard.
    Wildcard,
    /// A thousand in turn, each one's subscription one of 100,000 with wildcards.
    Routed,
    /// The same, but each subject is new.
    RoutedFresh,
}

/// A workload.
#[derive(Clone, Debug)]
pub struct Work {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub about: String,
    /// What is done.
    pub kind: Kind,
    /// The size of each body.
    pub body_bytes: usize,
    /// Connections that publish or ask.
    pub publishers: usize,
    /// Connections that subscribe.
    pub subscribers: usize,
    /// Which subjects.
    pub subjects: Subjects,
    /// Publishes to a stream that are not acknowledged yet.
    pub window: usize,
    /// Is each message that is pulled acknowledged?
    pub is_acked: bool,
    /// What a stream is filled with before it is read.
    pub messages: u64,
    /// How many times the peer's rate is aimed at.
    pub target_ratio: Option<f64>,
}

/// How many subscriptions stand beside each other where many do.
pub(crate) const SUBSCRIPTIONS: usize = 100_000;

/// All of them.
#[must_use]
pub fn works() -> Vec<Work> {
    let base = Work {
        name: "",
        about: String::new(),
        kind: Kind::Core,
        body_bytes: 16,
        publishers: 1,
        subscribers: 1,
        subjects: Subjects::One,
        window: 1,
        is_acked: false,
        messages: 0,
        target_ratio: None,
    };
    let mut works = core(&base);
    works.extend(requests(&base));
    works.extend(stream_publishes(&base));
    works.extend(stream_reads(&base));
    works
}

fn core(base: &Work) -> Vec<Work> {
    let fans = [
        ("core-16b-1-1", 16, 1, 1),
        ("core-128b-1-1", 128, 1, 1),
        ("core-16b-1-4", 16, 1, 4),
        ("core-128b-1-4", 128, 1, 4),
        ("core-16b-4-1", 16, 4, 1),
        ("core-128b-4-1", 128, 4, 1),
        ("core-16b-4-4", 16, 4, 4),
        ("core-128b-4-4", 128, 4, 4),
    ];
    let fan = |(name, body_bytes, publishers, subscribers): (_, usize, usize, usize)| Work {
        name,
        about: format!(
            "{body_bytes} B, publishers to subscribers of one subject: {publishers} to {subscribers}"
        ),
        body_bytes,
        publishers,
        subscribers,
        target_ratio: Some(3.0),
        ..base.clone()
    };
    let others = [
        (
            "core-16b-pairs",
            4,
            Subjects::Pairs,
            "16 B, four publishers, each to a subscriber of its own",
        ),
        (
            "core-16b-wildcard",
            1,
            Subjects::Wildcard,
            "16 B, 100 subjects in turn to a subscriber with a wildcard",
        ),
        (
            "subs-100k",
            1,
            Subjects::Routed,
            "16 B, 1,000 subjects in turn, beside 100,000 subscriptions with wildcards",
        ),
        (
            "subs-100k-fresh",
            1,
            Subjects::RoutedFresh,
            "the same, each subject never seen before",
        ),
    ];
    let other = |(name, pairs, subjects, about): (_, usize, _, &str)| Work {
        name,
        about: about.into(),
        publishers: pairs,
        subscribers: pairs,
        subjects,
        target_ratio: Some(3.0),
        ..base.clone()
    };
    let fans = fans.into_iter().map(fan);
    fans.chain(others.into_iter().map(other)).collect()
}

fn requests(base: &Work) -> impl Iterator<Item = Work> {
    let all = [
        ("request-1", 1),
        ("request-16", 16),
        ("request-64", 64),
        ("request-256", 256),
    ];
    all.into_iter().map(|(name, publishers)| Work {
        name,
        about: format!("requests of 16 B to one service, one in flight on each of {publishers}"),
        kind: Kind::Request,
        publishers,
        target_ratio: Some(1.5),
        ..base.clone()
    })
}

fn stream_publishes(base: &Work) -> impl Iterator<Item = Work> {
    let all = [
        (
            "js-publish-16b",
            16,
            1,
            4096,
            "16 B, 4,096 not acknowledged yet",
        ),
        (
            "js-publish-1k",
            1024,
            1,
            4096,
            "1 KiB, 4,096 not acknowledged yet",
        ),
        (
            "js-publish-sync",
            16,
            1,
            1,
            "16 B, one after the other acknowledged",
        ),
        (
            "js-publish-sync-64",
            16,
            64,
            1,
            "16 B, one after the other on each of 64 connections",
        ),
    ];
    all.into_iter()
        .map(|(name, body_bytes, publishers, window, about)| Work {
            name,
            about: format!("to a stream on file: {about}"),
            kind: Kind::StreamPublish,
            body_bytes,
            publishers,
            window,
            target_ratio: Some(2.0),
            ..base.clone()
        })
}

fn stream_reads(base: &Work) -> impl Iterator<Item = Work> {
    let all = [
        ("js-push-16b", Kind::StreamPush, 16, false, 500_000),
        ("js-push-1k", Kind::StreamPush, 1024, false, 200_000),
        ("js-pull-16b", Kind::StreamPull, 16, false, 500_000),
        ("js-pull-1k", Kind::StreamPull, 1024, false, 200_000),
        ("js-pull-ack-16b", Kind::StreamPull, 16, true, 200_000),
    ];
    all.into_iter()
        .map(|(name, kind, body_bytes, is_acked, messages)| {
            let how = match (kind, is_acked) {
                (Kind::StreamPush, _) => "pushed, not acknowledged",
                (_, false) => "pulled in batches of 1,000, not acknowledged",
                (_, true) => "pulled in batches of 1,000, each acknowledged",
            };
            let thousand = messages / 1000;
            Work {
                name,
                about: format!("{thousand},000 messages of {body_bytes} B from a stream: {how}"),
                kind,
                body_bytes,
                is_acked,
                messages,
                ..base.clone()
            }
        })
}
