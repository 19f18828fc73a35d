//! Live subscribers against a naive model: random subscriptions, publishes and ends, and a filter that is matched word by
//! word for each.

use std::collections::BTreeMap;

use polybus_model::{Event, Request, SubscribeLive, SubscriberId};
use proptest::prelude::*;

use super::desk::{Desk, message, publish};
use super::live::{heard, listen, say, shared, subscribe};

#[derive(Clone, Debug)]
enum Step {
    Listen {
        session: u64,
        number: u32,
        filter: String,
        share: Option<u8>,
        echo: bool,
    },
    Unlisten {
        session: u64,
        number: u32,
        after: Option<u64>,
    },
    Say {
        session: u64,
        keys: Vec<String>,
    },
    /// By another protocol.
    Publish {
        session: u64,
        key: String,
    },
    Leave {
        session: u64,
    },
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![Just("a"), Just("b"), Just("c"), Just("#"), Just("")].prop_map(str::to_owned)
}

fn key() -> impl Strategy<Value = String> {
    prop::collection::vec(word(), 1..4).prop_map(|words| words.join("."))
}

fn pattern() -> impl Strategy<Value = String> {
    let word = prop_oneof![3 => word(), 2 => Just("*".to_owned())];
    let words = prop::collection::vec(word, 0..4);
    (words, any::<bool>()).prop_map(|(mut words, rest)| {
        if rest || words.is_empty() {
            words.push(">".to_owned());
        }
        words.join(".")
    })
}

fn step() -> impl Strategy<Value = Step> {
    let (session, number) = (1..4_u64, 0..6_u32);
    let listen = (
        session.clone(),
        number.clone(),
        pattern(),
        prop::option::of(0..2_u8),
        any::<bool>(),
    );
    let listen = listen.prop_map(|(session, number, filter, share, echo)| Step::Listen {
        session,
        number,
        filter,
        share,
        echo,
    });
    let after = prop::option::of(0..6_u64);
    let unlisten =
        (session.clone(), number, after).prop_map(|(session, number, after)| Step::Unlisten {
            session,
            number,
            after,
        });
    let say = (session.clone(), prop::collection::vec(key(), 1..12))
        .prop_map(|(session, keys)| Step::Say { session, keys });
    let publish =
        (session.clone(), key()).prop_map(|(session, key)| Step::Publish { session, key });
    let leave = session.prop_map(|session| Step::Leave { session });
    prop_oneof![6 => listen, 4 => unlisten, 6 => say, 2 => publish, 1 => leave]
}

#[derive(Debug)]
struct Known {
    wanted: SubscribeLive,
    had: u64,
    most: u64,
}

/// Who listens, by session and number.
#[derive(Debug, Default)]
struct Model {
    listeners: BTreeMap<(u64, u32), Known>,
}

impl Model {
    /// Holds what was heard of one message against who was to hear it.
    fn check(&mut self, from: u64, key: &str, by: &[(u64, u32)], live: bool) {
        let mut by = by.to_vec();
        let mut shares = BTreeMap::<_, Vec<_>>::new();
        for (at, known) in &mut self.listeners {
            let takes = known.wanted.filter.fits(key.as_bytes())
                && known.had < known.most
                && (known.wanted.echo || at.0 != from || !live);
            if !takes {
                continue;
            }
            if let Some(name) = &known.wanted.share {
                shares.entry(name.clone()).or_default().push(*at);
                continue;
            }
            let place = by.iter().position(|one| one == at);
            by.remove(place.unwrap_or_else(|| panic!("{at:?} did not hear {key}")));
            known.had += 1;
        }
        for (name, members) in &shares {
            let place = by.iter().position(|one| members.contains(one));
            let at = by.remove(place.unwrap_or_else(|| panic!("no {name:?} heard {key}")));
            self.listeners.get_mut(&at).unwrap().had += 1;
        }
        assert_eq!(by, [], "{key} was heard by others too");
        self.listeners
            .retain(|_, known| known.had < known.most || known.most == u64::MAX);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn all_hear_what_fits_and_nothing_else(steps in prop::collection::vec(step(), 1..80)) {
        let mut desk = Desk::new();
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Listen { session, number, filter, share, echo } => {
                    let wanted = match share {
                        Some(share) => shared(number, &filter, &share.to_string()),
                        None => listen(number, &filter),
                    };
                    let wanted = SubscribeLive { echo, ..wanted };
                    let told = desk.batch(session, vec![subscribe(wanted.clone())]);
                    let is_new = !model.listeners.contains_key(&(session, number));
                    prop_assert_eq!(told.is_empty(), is_new);
                    let known = Known { wanted, had: 0, most: u64::MAX };
                    model.listeners.entry((session, number)).or_insert(known);
                }
                Step::Unlisten { session, number, after } => {
                    let subscriber = SubscriberId(number);
                    desk.batch(session, vec![Request::UnsubscribeLive { subscriber, after }]);
                    let at = (session, number);
                    if let Some(known) = model.listeners.get_mut(&at) {
                        known.most = after.unwrap_or(0);
                        if known.had >= known.most {
                            model.listeners.remove(&at);
                        }
                    }
                }
                Step::Say { session, keys } => {
                    let words: Vec<_> = keys.iter().map(String::as_str).collect();
                    let told = desk.batch(session, vec![say(&words)]);
                    // By the messages' numbers, then as the model has it.
                    let mut by = vec![Vec::new(); keys.len()];
                    let mut unheard = Vec::new();
                    for (to, event) in &told {
                        match event {
                            Event::Live { targets, .. } => for (at, subscriber) in targets {
                                by[*at as usize].push((to.0, subscriber.0));
                            },
                            Event::Unheard { items, .. } => unheard.extend_from_slice(items),
                            _ => {}
                        }
                    }
                    for (at, key) in keys.iter().enumerate() {
                        prop_assert_eq!(by[at].is_empty(), unheard.contains(&(at as u32)));
                        model.check(session, key, &by[at], true);
                    }
                }
                Step::Publish { session, key } => {
                    let one = publish(message("amq.topic", &key, ""));
                    let told = desk.batch(session, vec![Request::Publish(one)]);
                    let by: Vec<_> = heard(&told).iter().map(|one| (one.0, one.1)).collect();
                    model.check(session, &key, &by, false);
                }
                Step::Leave { session } => {
                    desk.detach(session);
                    model.listeners.retain(|at, _| at.0 != session);
                    desk.engine.attach(polybus_model::SessionId(session), &super::desk::name("/")).unwrap();
                }
            }
        }
    }
}
