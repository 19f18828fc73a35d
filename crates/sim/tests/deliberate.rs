//! Bugs put in on purpose are found, each by the invariant that is there for it.

#![allow(clippy::panic, clippy::print_stdout)] // Also outside of test functions, for tests only.

use polybus_sim::{Plan, Tamper, run};

/// Seeds that are tried before a bug counts as not found.
const SEEDS: u64 = 40;

/// The invariants that find a bug, over some seeds.
fn found_by(tamper: Tamper, logs: bool) -> Vec<&'static str> {
    let seeds = if logs { SEEDS / 2 } else { SEEDS };
    let mut found: Vec<_> = (1..=seeds)
        .filter_map(|seed| {
            let plan = Plan {
                tamper: Some(tamper),
                logs,
                ..Plan::new(seed)
            };
            Some(run(&plan).err()?.violation.invariant)
        })
        .collect();
    found.sort_unstable();
    let times = found.len();
    found.dedup();
    println!("{tamper:?}: in {times} of {seeds} seeds, by {found:?}");
    found
}

#[track_caller]
fn assert_found(tamper: Tamper, invariant: &str) {
    let of_logs = [
        "log_",
        "group_",
        "transactions_",
        "keyed_",
        "reader_",
        "lease_",
        "compacted_",
        "live_",
    ];
    let of_logs = of_logs.iter().any(|part| invariant.starts_with(part));
    let found = found_by(tamper, of_logs);
    assert!(found.contains(&invariant), "{tamper:?}: {found:?}");
}

#[test]
fn a_confirm_before_the_sync_is_found() {
    assert_found(Tamper::ConfirmBeforeSync, "confirmed_kept");
}

/// The journal knows how far it was durable, and does not open with less.
#[test]
fn a_disk_that_lies_about_its_syncs_is_found() {
    assert_found(Tamper::LyingDisk, "opens");
}

#[test]
fn a_lost_requeue_is_found() {
    assert_found(Tamper::LostRequeue, "counts");
}

#[test]
fn a_lost_accept_is_found() {
    assert_found(Tamper::LostAccept, "settled_gone");
}

#[test]
fn a_swapped_order_is_found() {
    assert_found(Tamper::SwappedOrder, "order");
}

#[test]
fn a_forgotten_mark_is_found() {
    assert_found(Tamper::ForgottenMark, "redelivered");
}

#[test]
fn a_changed_body_is_found() {
    assert_found(Tamper::ChangedBody, "nothing_invented");
}

#[test]
fn a_consumer_that_gets_too_much_is_found() {
    assert_found(Tamper::MoreCredit, "credit");
}

#[test]
fn a_confirm_that_never_comes_is_found() {
    assert_found(Tamper::DroppedConfirm, "confirms");
}

/// The broker itself notices what a decaying disk reads wrong: it stops or does not open, and never hands it on.
#[test]
fn a_flipped_bit_is_noticed_by_the_broker() {
    let found = found_by(Tamper::DecayingDisk, true);
    assert!(!found.is_empty());
    for invariant in found {
        assert!(["opens", "healthy"].contains(&invariant), "{invariant}");
    }
}

/// The same bug as `a_confirm_before_the_sync_is_found`: a partition's end moves before its records are durable.
#[test]
fn an_end_that_moves_before_the_sync_is_found() {
    assert_found(Tamper::ConfirmBeforeSync, "log_kept");
}

#[test]
fn a_producer_that_is_not_recognised_after_a_restart_is_found() {
    assert_found(Tamper::ForgottenWriters, "log_once");
}

#[test]
fn a_run_that_is_left_out_is_found() {
    assert_found(Tamper::LostRun, "log_dense");
}

#[test]
fn a_changed_run_is_found() {
    assert_found(Tamper::ChangedRun, "log_kept");
}

#[test]
fn a_run_that_is_elsewhere_than_was_said_is_found() {
    assert_found(Tamper::MisplacedRun, "log_dense");
}

#[test]
fn appends_that_overtake_each_other_are_found() {
    assert_found(Tamper::ReorderedAppends, "log_order");
}

#[test]
fn an_end_that_goes_back_is_found() {
    assert_found(Tamper::OldEnd, "log_durable");
}

#[test]
fn what_was_given_up_and_is_there_is_found() {
    assert_found(Tamper::LostTrim, "log_start");
}

#[test]
fn an_older_offset_of_a_group_is_found() {
    assert_found(Tamper::OldGroupOffset, "group_offsets");
}

#[test]
fn a_commit_that_aborts_is_found() {
    assert_found(Tamper::LostCommit, "transactions_whole");
}

#[test]
fn an_abort_that_commits_is_found() {
    assert_found(Tamper::LostAbort, "transactions_whole");
}

#[test]
fn what_arrives_twice_is_found() {
    assert_found(Tamper::DoubledRun, "transactions_arrive");
}

#[test]
fn an_id_that_is_forgotten_is_found() {
    assert_found(Tamper::ForgottenId, "keyed_kept");
}

#[test]
fn a_message_that_is_not_where_it_was_said_to_be_is_found() {
    assert_found(Tamper::MisplacedMessage, "keyed_kept");
}

#[test]
fn a_settlement_of_a_reader_that_is_lost_is_found() {
    assert_found(Tamper::LostSettlement, "reader_settled");
}

#[test]
fn a_settlement_of_a_group_that_is_lost_is_found() {
    assert_found(Tamper::LostSettlement, "lease_settled");
}

#[test]
fn a_latest_record_that_is_lost_is_found() {
    assert_found(Tamper::LostLatest, "compacted_latest");
}

#[test]
fn a_tombstone_that_goes_early_is_found() {
    assert_found(Tamper::EarlyTombstones, "compacted_tombstones");
}

#[test]
fn who_leaves_and_goes_on_listening_is_found() {
    assert_found(Tamper::LostLeave, "live_heard");
}

#[test]
fn what_listeners_do_not_hear_is_found() {
    assert_found(Tamper::LostSaying, "live_heard");
}
