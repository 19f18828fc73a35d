//! After a failure of the disk nothing is confirmed any more.

#![expect(clippy::unwrap_used, reason = "tests")]

mod desk;

use polybus_journal::MemoryIo;

use desk::{connect, events, open, publish};

/// What the journal refuses to take must not pass for something that is on disk already.
#[test]
fn what_comes_after_a_failed_sync_is_not_confirmed() {
    let disk = MemoryIo::new();
    let (broker, mut steps) = open(&disk);
    let mut connection = connect(&broker, &mut steps);
    disk.fail_sync(0);
    publish(&mut connection, "kept", 1);
    assert!(steps.commit().is_err());
    publish(&mut connection, "kept", 2);
    // Needs no disk, but its confirm would cover those before it.
    publish(&mut connection, "not kept", 3);
    assert!(steps.commit().is_err());
    let told = events(&mut connection);
    assert!(told.is_empty(), "{told:?}");
}

/// A failure of the upkeep ends the broker too: it says so, and confirms nothing behind its own back.
#[test]
fn what_comes_after_a_failed_upkeep_is_not_confirmed() {
    let disk = MemoryIo::new();
    let (broker, mut steps) = open(&disk);
    let mut connection = connect(&broker, &mut steps);
    disk.fail_sync(0);
    let failed = (0..20).any(|_| steps.upkeep().is_err());
    assert!(failed);
    publish(&mut connection, "kept", 1);
    assert!(steps.commit().is_err());
    let told = events(&mut connection);
    assert!(told.is_empty(), "{told:?}");
}
