//! Patterns: RabbitMQ's own table of examples, a naive matcher, hostile patterns, the cache.

use proptest::prelude::*;

use super::super::hash::keyed;
use super::super::pattern::{Trie, steps};
use super::super::targets::{Hit, Target, Targets};
use super::*;

/// The patterns of RabbitMQ's own test of its topic exchange; `q1` is bound by the first.
const PATTERNS: [&str; 26] = [
    "a.b.c",
    "a.*.c",
    "a.#.b",
    "a.b.b.c",
    "#",
    "#.#",
    "#.b",
    "*.*",
    "a.*",
    "*.b.c",
    "a.#",
    "a.#.#",
    "b.b.c",
    "a.b.b",
    "a.b",
    "b.c",
    "",
    "*.*.*",
    "vodka.martini",
    "a.b.c",
    "*.#",
    "#.*.#",
    "*.#.#",
    "#.#.#",
    "*",
    "#.b.#",
];

const EXPECTED: [(&str, &[u32]); 11] = [
    (
        "a.b.c",
        &[1, 2, 5, 6, 10, 11, 12, 18, 20, 21, 22, 23, 24, 26],
    ),
    ("a.b", &[3, 5, 6, 7, 8, 9, 11, 12, 15, 21, 22, 23, 24, 26]),
    ("a.b.b", &[3, 5, 6, 7, 11, 12, 14, 18, 21, 22, 23, 24, 26]),
    ("", &[5, 6, 17, 24]),
    ("b.c.c", &[5, 6, 18, 21, 22, 23, 24, 26]),
    ("a.a.a.a.a", &[5, 6, 11, 12, 21, 22, 23, 24]),
    ("vodka.gin", &[5, 6, 8, 21, 22, 23, 24]),
    ("vodka.martini", &[5, 6, 8, 19, 21, 22, 23, 24]),
    ("b.b.c", &[5, 6, 10, 13, 18, 21, 22, 23, 24, 26]),
    ("nothing.here.at.all", &[5, 6, 21, 22, 23, 24]),
    ("oneword", &[5, 6, 21, 22, 23, 24, 25]),
];

#[test]
fn rabbitmq_examples() {
    let mut r = router(27);
    r.declare("t", TopicKind::Pattern);
    for (number, pattern) in PATTERNS.iter().enumerate() {
        r.must_bind(&to_queue("t", &format!("q{}", number + 1), pattern));
    }
    for _ in 0..4 {
        for (key, expected) in EXPECTED {
            assert_eq!(r.to("t", key), expected, "{key}");
        }
    }
    // Those that RabbitMQ's test takes away.
    let gone = [1, 5, 11, 19, 21];
    for number in gone {
        let pattern = PATTERNS[number as usize - 1];
        let binding = to_queue("t", &format!("q{number}"), pattern);
        assert!(r.unbind(&binding).is_some());
    }
    for (key, expected) in EXPECTED {
        let expected: Vec<_> = expected.iter().filter(|n| !gone.contains(n)).collect();
        assert_eq!(r.to("t", key).iter().collect::<Vec<_>>(), expected, "{key}");
    }
}

#[test]
fn documented_examples() {
    let mut r = router(2);
    r.declare("t", TopicKind::Pattern);
    r.must_bind(&to_queue("t", "q0", "*.orange.*"));
    r.must_bind(&to_queue("t", "q1", "*.*.rabbit"));
    r.must_bind(&to_queue("t", "q1", "lazy.#"));
    assert_eq!(r.to("t", "quick.orange.rabbit"), [0, 1]);
    assert_eq!(r.to("t", "lazy.orange.elephant"), [0, 1]);
    assert_eq!(r.to("t", "quick.orange.fox"), [0]);
    assert_eq!(r.to("t", "lazy.brown.fox"), [1]);
    assert_eq!(r.to("t", "lazy.pink.rabbit"), [1]);
    assert_eq!(r.to("t", "quick.brown.fox"), []);
    assert_eq!(r.to("t", "orange"), []);
    assert_eq!(r.to("t", "quick.orange.new.rabbit"), []);
    assert_eq!(r.to("t", "lazy.orange.new.rabbit"), [1]);
    assert_eq!(r.to("t", "lazy"), [1]);
}

#[test]
fn empty_words_count() {
    let mut r = router(4);
    r.declare("t", TopicKind::Pattern);
    r.must_bind(&to_queue("t", "q0", "*"));
    r.must_bind(&to_queue("t", "q1", "*.*"));
    r.must_bind(&to_queue("t", "q2", "a."));
    r.must_bind(&to_queue("t", "q3", "a.*"));
    assert_eq!(r.to("t", ""), []);
    assert_eq!(r.to("t", "."), [1]);
    assert_eq!(r.to("t", "a."), [1, 2, 3]);
    assert_eq!(r.to("t", "a"), [0]);
    // Wildcards are words by themselves only.
    r.must_bind(&to_queue("t", "q0", "b#.c*"));
    assert_eq!(r.to("t", "b#.c*"), [1, 0]);
    assert_eq!(r.to("t", "bx.cx"), [1]);
}

fn hit(rank: u64) -> Hit {
    Hit {
        rank,
        target: Target::queue(rank as u32),
    }
}

fn collected(trie: &mut Trie<Targets>, key: &str) -> Vec<u64> {
    let mut hits = Vec::new();
    trie.collect(key.as_bytes(), &mut hits);
    hits.iter().map(|hit| hit.rank).collect()
}

#[test]
fn hostile_patterns_cost_nodes_times_words() {
    let mut trie = Trie::<Targets>::new(&keyed(1));
    let hashes = vec!["#"; 127].join(".");
    let mixed = vec!["#.a"; 63].join(".");
    let stars = vec!["#.*"; 63].join(".");
    for (rank, pattern) in [&hashes, &mixed, &stars].into_iter().enumerate() {
        trie.change(steps(pattern.as_bytes()), |here| {
            here.push(hit(rank as u64))
        });
    }
    let key = vec!["a"; 127].join(".");
    let dots = ".".repeat(254);
    let start = std::time::Instant::now();
    for _ in 0..10 {
        assert_eq!(collected(&mut trie, &key), [0, 1, 2]);
        assert_eq!(collected(&mut trie, &dots), [0, 2]);
        assert_eq!(collected(&mut trie, "b"), [0]);
    }
    assert!(start.elapsed().as_secs() < 5);
    for (rank, pattern) in [&hashes, &mixed, &stars].into_iter().enumerate() {
        trie.change(steps(pattern.as_bytes()), |here: &mut Targets| {
            here.remove(rank as u64)
        });
    }
    assert_eq!(trie.sizes(), (1, 0, 0));
}

#[test]
fn keys_as_long_as_they_can_be_need_no_stack() {
    let mut trie = Trie::<Targets>::new(&keyed(1));
    let long = "a.".repeat(32_000);
    for (rank, pattern) in [long.as_str(), "#", "#.a.#", "*.a"].into_iter().enumerate() {
        trie.change(steps(pattern.as_bytes()), |here| {
            here.push(hit(rank as u64))
        });
    }
    assert_eq!(collected(&mut trie, &long), [0, 1, 2]);
    trie.change(steps(long.as_bytes()), |here: &mut Targets| here.remove(0));
    assert_eq!(collected(&mut trie, &long), [1, 2]);
}

#[test]
fn the_cache_is_bounded_and_follows_bindings() {
    let mut r = router(3);
    r.declare("t", TopicKind::Pattern);
    r.declare("u", TopicKind::Pattern);
    r.must_bind(&to_queue("t", "q0", "a.*"));
    r.must_bind(&to_queue("u", "q2", "a.*"));
    for _ in 0..5 {
        assert_eq!(r.to("t", "a.b"), [0]);
        assert_eq!(r.to("u", "a.b"), [2]);
    }
    assert!(r.cache.bytes() > 0);
    r.must_bind(&to_queue("t", "q1", "#"));
    for _ in 0..5 {
        assert_eq!(r.to("t", "a.b"), [0, 1]);
    }
    r.remove_queue(100);
    assert_eq!(r.to("t", "a.b"), [1]);
    // Keys seen once leave nothing behind.
    let before = r.cache.bytes();
    for number in 0..3_000 {
        r.to("t", &format!("once.{number}"));
    }
    assert!(r.cache.bytes() <= before + 200);
    // Keys seen often fill it no further than its bounds.
    let mut more = router(1_000);
    more.declare("t", TopicKind::Pattern);
    for number in 0..1_000 {
        more.must_bind(&to_queue("t", &format!("q{number}"), "#"));
    }
    let mut out = Vec::new();
    let mut most = 0;
    for number in 0..1_500 {
        let message = message_with("t", &number.to_string(), b"");
        for _ in 0..2 {
            let readers = HeaderReaders::new();
            let _ = more.route(b"t", &message, &[], CLIENT, &readers, &mut out);
            assert_eq!(out.len(), 1_000);
        }
        most = most.max(more.cache.bytes());
    }
    assert!((3 << 20..=4 << 20).contains(&most), "{most}");
}

fn naive(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, None) => true,
        (Some((&"#", rest)), None) => naive(rest, key),
        (Some((&"#", rest)), Some((_, key_rest))) => naive(rest, key) || naive(pattern, key_rest),
        (Some((&"*", rest)), Some((_, key_rest))) => naive(rest, key_rest),
        (Some((word, rest)), Some((key_word, key_rest))) => {
            word == key_word && naive(rest, key_rest)
        }
        _ => false,
    }
}

fn split(text: &str) -> Vec<&str> {
    if text.is_empty() {
        Vec::new()
    } else {
        text.split('.').collect()
    }
}

fn words(of: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(of), 0..7).prop_map(|words| words.join("."))
}

proptest! {
    #[test]
    fn the_trie_matches_as_a_naive_matcher(
        patterns in prop::collection::vec((words(&["a", "b", "", "*", "#"]), any::<bool>()), 1..20),
        keys in prop::collection::vec(words(&["a", "b", "c", ""]), 1..10),
    ) {
        let mut trie = Trie::<Targets>::new(&keyed(1));
        for (rank, (pattern, _)) in patterns.iter().enumerate() {
            trie.change(steps(pattern.as_bytes()), |here: &mut Targets| here.push(hit(rank as u64)));
        }
        let check = |trie: &mut Trie<Targets>, are_gone: bool| {
            for key in &keys {
                let expected: Vec<_> = (0_u64..).zip(&patterns)
                    .filter(|(_, (_, goes))| !(are_gone && *goes))
                    .filter(|(_, (pattern, _))| naive(&split(pattern), &split(key)))
                    .map(|(rank, _)| rank)
                    .collect();
                assert_eq!(collected(trie, key), expected, "{key:?} {patterns:?}");
            }
        };
        check(&mut trie, false);
        for (rank, (pattern, goes)) in patterns.iter().enumerate() {
            if *goes {
                trie.change(steps(pattern.as_bytes()), |here: &mut Targets| here.remove(rank as u64));
            }
        }
        check(&mut trie, true);
        for (rank, (pattern, goes)) in patterns.iter().enumerate() {
            if !*goes {
                trie.change(steps(pattern.as_bytes()), |here: &mut Targets| here.remove(rank as u64));
            }
        }
        prop_assert_eq!(trie.sizes(), (1, 0, 0));
    }
}
