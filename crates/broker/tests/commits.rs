//! What someone waits for is written at once; what nobody waits for, with it or a little later.

#![expect(clippy::unwrap_used, reason = "tests")]

mod desk;

use std::time::{Duration, Instant};

use polybus_journal::MemoryIo;
use polybus_model::{Event, Outcome, Reply, Request, Settle};

use desk::{connect, events, name, open, publish, submit};

/// Longer than settlements wait, shorter than a test may take.
const SOON: Duration = Duration::from_secs(2);

#[test]
fn a_settlement_waits_for_the_next_publish_or_a_little() {
    let disk = MemoryIo::new();
    let (broker, mut steps) = open(&disk);
    let mut connection = connect(&broker, &mut steps);
    for number in 1..=2 {
        publish(&mut connection, "kept", number);
    }
    assert!(steps.is_commit_due(), "a confirm waits");
    while steps.commit().unwrap() {}
    assert!(!steps.is_commit_due());

    let mut settle = || {
        let queue = name("kept");
        let auto_settle = false;
        submit(&mut connection, Request::Take { queue, auto_settle });
        let lease = events(&mut connection)
            .into_iter()
            .find_map(|event| match event {
                Event::Reply {
                    result: Ok(Reply::Taken(taken)),
                    ..
                } => taken.and_then(|taken| taken.lease),
                _ => None,
            });
        let leases = vec![lease.unwrap()];
        let outcome = Outcome::Accept;
        let begin = Instant::now();
        submit(&mut connection, Request::Settle(Settle { leases, outcome }));
        begin
    };
    let begin = settle();
    let is_due_at_once = steps.is_commit_due();
    // Unless this thread was held up for long.
    assert!(!is_due_at_once || begin.elapsed() > Duration::from_millis(4));
    while !steps.is_commit_due() {
        assert!(begin.elapsed() < SOON, "the settlement is never written");
    }
    assert!(steps.commit().unwrap());
    assert!(!steps.is_commit_due());

    settle();
    publish(&mut connection, "kept", 3);
    assert!(steps.is_commit_due(), "a confirm waits");
    assert!(steps.commit().unwrap());
    assert!(!steps.is_commit_due());
    let told = events(&mut connection);
    assert!(
        matches!(told.last(), Some(Event::Confirmed { through: 3, .. })),
        "{told:?}"
    );
}
