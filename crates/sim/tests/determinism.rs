//! The same seed gives the same run, to the last line of its trace.

#![allow(clippy::unwrap_used)] // Also outside of test functions, for tests only.

use polybus_sim::{Plan, run};

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 1..25 {
        let first = run(&Plan::new(seed)).unwrap();
        let second = run(&Plan::new(seed)).unwrap();
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn another_seed_gives_another_trace() {
    let hashes: std::collections::BTreeSet<u64> = (1..25)
        .map(|seed| run(&Plan::new(seed)).unwrap().trace_hash)
        .collect();
    assert_eq!(hashes.len(), 24);
}
