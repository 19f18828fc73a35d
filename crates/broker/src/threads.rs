//! The broker's own threads. Each takes one of the shard's steps again and again; a step that fails ends the broker.
//!
//! | thread | step |
//! |---|---|
//! | commit-N | seal and write a frame, release what waited for it |
//! | load-N | read messages back that consumers have reached; one that reads far behind, or compaction, does not hold up all others |
//! | timer | expire, retry, delay: what the engine's deadlines ask for |
//! | sync | at `interval` durability, sync |
//! | upkeep | snapshots, old segments, disk space |
//! | login | password hashes |

use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use polybus_journal::Durability;

use crate::broker::{Inner, Login};
use crate::upkeep::Upkeep;

/// The longest sleep of the timer thread: it bounds how late a jump of the clock is noticed.
const TIMER_SLEEP_MS_MAX: u64 = 1000;
/// How many read back.
const LOADERS: usize = 2;
/// How often old segments and disk space are looked at.
const UPKEEP_EVERY: Duration = Duration::from_millis(500);
/// When a file is first zeroed for later; the start has the disk for itself until then.
const UPKEEP_FIRST: Duration = Duration::from_millis(50);

/// Starts them all.
pub(crate) fn start(
    inner: &Arc<Inner>,
    logins: Receiver<Login>,
) -> io::Result<Vec<JoinHandle<()>>> {
    let mut started = Vec::new();
    for number in 0..inner.options.committers.max(1) {
        started.push(spawn(inner, &format!("commit-{number}"), commit)?);
    }
    for number in 0..LOADERS {
        started.push(spawn(inner, &format!("load-{number}"), load)?);
    }
    started.push(spawn(inner, "timer", timer)?);
    started.push(spawn(inner, "upkeep", upkeep)?);
    started.push(spawn(inner, "login", move |inner| login(inner, &logins))?);
    if inner.options.durability == Durability::Interval {
        started.push(spawn(inner, "sync", sync)?);
    }
    Ok(started)
}

fn spawn(
    inner: &Arc<Inner>,
    name: &str,
    run: impl FnOnce(&Inner) -> Result<(), String> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let inner = Arc::clone(inner);
    Builder::new().name(name.to_owned()).spawn(move || {
        if let Err(reason) = run(&inner) {
            inner.fail(reason);
        }
    })
}

fn commit(inner: &Inner) -> Result<(), String> {
    while inner.shard.wait_for_commit() {
        inner.commit()?;
    }
    Ok(())
}

fn load(inner: &Inner) -> Result<(), String> {
    while inner.shard.wait_for_load() {
        inner.shard.load_one(inner.clock.now())?;
    }
    Ok(())
}

fn timer(inner: &Inner) -> Result<(), String> {
    while inner
        .shard
        .wait_for_timer(inner.clock.now(), TIMER_SLEEP_MS_MAX)
    {
        inner.shard.run_timers(inner.clock.now());
    }
    Ok(())
}

fn sync(inner: &Inner) -> Result<(), String> {
    while !inner
        .shard
        .sleep(Duration::from_millis(inner.options.sync_interval_ms))
    {
        inner.shard.sync()?;
    }
    Ok(())
}

fn upkeep(inner: &Inner) -> Result<(), String> {
    let mut upkeep = Upkeep::new(inner.options.segment_bytes, inner.options.durability);
    // Soon: writes to a fresh folder's first segment take longer than to one that was zeroed.
    if inner.shard.sleep(UPKEEP_FIRST) {
        return Ok(());
    }
    upkeep.prepare(&inner.shard, inner.look_at_disk()?)?;
    while !inner.shard.sleep(UPKEEP_EVERY) {
        inner.shard.reader.rest();
        let free = inner.look_at_disk()?;
        upkeep.step(&inner.shard, free)?;
    }
    Ok(())
}

fn login(inner: &Inner, logins: &Receiver<Login>) -> Result<(), String> {
    while let Ok(login) = logins.recv() {
        inner.log_in(&login);
    }
    Ok(())
}
