//! The window against a model that has one entry per record, with failures in between from which it is recovered.

mod model;

use polybus_model::Lent;

use super::{Failure, Settlement, Window};

const BACK: Settlement = Settlement::Release {
    counted: true,
    due: None,
};

fn lend(window: &mut Window, range: std::ops::Range<u64>, holder: u64, until: u64) -> Vec<Lent> {
    let mut lent = Vec::new();
    window.lend(range, holder, until, &mut lent);
    lent
}

const fn lent(first: u64, end: u64, attempts: u32) -> Lent {
    Lent {
        first,
        end,
        attempts,
    }
}

#[test]
fn what_is_leased_is_not_lent_again_until_it_comes_back() {
    let mut window = Window::new(10);
    assert_eq!(lend(&mut window, 10..20, 1, 100), [lent(10, 20, 1)]);
    assert_eq!(lend(&mut window, 10..20, 2, 100), []);
    assert_eq!(window.candidate(0), lent(20, u64::MAX, 0));
    assert!(window.holds(10..20, 1) && !window.holds(10..20, 2));
    assert_eq!(window.settle(12..14, Some(1), BACK), 2);
    assert_eq!(window.candidate(0), lent(12, 14, 1));
    assert_eq!(lend(&mut window, 10..20, 2, 100), [lent(12, 14, 2)]);
    assert_eq!(window.settle(10..20, Some(1), Settlement::Accept), 8);
    assert_eq!(
        (window.floor(), window.unsettled(), window.leased()),
        (12, 2, 2)
    );
    assert_eq!(window.settle(12..14, Some(2), Settlement::Accept), 2);
    assert_eq!((window.floor(), window.unsettled()), (20, 0));
    window.check();
}

#[test]
fn a_lease_breaks_off_when_its_time_is_over() {
    let mut window = Window::new(0);
    lend(&mut window, 0..3, 1, 100);
    assert_eq!(window.extend(1..2, Some(1), 200), 1);
    assert_eq!(window.deadline(), Some(100));
    assert!(!window.tick(99) && window.tick(100));
    assert_eq!(window.candidate(0), lent(0, 1, 1));
    assert_eq!(window.candidate(1), lent(2, 3, 1));
    assert_eq!(window.deadline(), Some(200));
    // Whoever comes too late is not heard by its name, but it may be known that the work is done.
    assert_eq!(window.settle(0..1, Some(1), Settlement::Accept), 0);
    assert_eq!(window.settle(0..1, None, Settlement::Accept), 1);
    window.check();
}

#[test]
fn a_return_waits_as_long_as_it_is_told() {
    let mut window = Window::new(0);
    lend(&mut window, 0..1, 1, 100);
    let later = Settlement::Release {
        counted: false,
        due: Some(50),
    };
    assert_eq!(window.settle(0..1, Some(1), later), 1);
    assert_eq!(window.candidate(0), lent(1, u64::MAX, 0));
    assert!(window.tick(50));
    assert_eq!(window.candidate(0), lent(0, 1, 0));
}

#[test]
fn attempts_are_limited_and_what_failed_is_reported_once() {
    let mut window = Window::new(0);
    window.set_attempts_max(Some(2));
    lend(&mut window, 0..4, 1, 10);
    assert_eq!(window.settle(0..1, Some(1), Settlement::Reject), 1);
    window.tick(10);
    lend(&mut window, 0..3, 1, 20);
    window.tick(20);
    assert_eq!(
        window.take_failed(),
        Some((lent(0, 1, 1), Failure::Rejected))
    );
    assert_eq!(
        window.take_failed(),
        Some((lent(1, 3, 2), Failure::Exhausted))
    );
    assert_eq!(window.take_failed(), None);
    assert_eq!(window.floor(), 0, "nobody has buried them yet");
    window.fail_again(0..1);
    assert_eq!(
        window.take_failed(),
        Some((lent(0, 1, 1), Failure::Rejected))
    );
    window.bury(0..3);
    assert_eq!((window.floor(), window.unsettled()), (3, 1));
    window.check();
}

#[test]
fn what_nobody_wants_and_what_is_gone_is_settled() {
    let mut window = Window::new(0);
    assert_eq!(lend(&mut window, 5..6, 1, 10), [lent(5, 6, 1)]);
    window.pass_over(6..8);
    assert_eq!((window.floor(), window.next()), (5, 8));
    window.trim(7);
    assert_eq!((window.floor(), window.unsettled()), (8, 0));
    window.trim(20);
    assert_eq!(window.candidate(0), lent(20, u64::MAX, 0));
    assert_eq!(lend(&mut window, 20..23, 1, 10), [lent(20, 23, 1)]);
    assert_eq!(window.release_all(1, false), 3);
    assert_eq!(window.candidate(0), lent(20, 23, 0));
    window.check();
}
