//! Freed memory goes back to the system also where nothing happens any more.
//!
//! mimalloc keeps freed memory for a while and returns it when later frees come by; what another thread has freed of a
//! thread's blocks it returns only where that thread asks for more of that size. After a login (a password hash takes 19 MiB), a
//! purged queue or a drained backlog none may do so for hours, and an idle broker would look, and be, several times its size.
//! So each thread looks when it goes to sleep, and one is woken now and then for that.
#![allow(
    unsafe_code,
    reason = "the allocator's crate has no name for what it is asked here"
)]

use std::cell::Cell;
use std::time::{Duration, Instant};

// In mimalloc's own header; its crate has it only behind a feature that brings another crate.
unsafe extern "C" {
    /// Takes no pointer, may be called by any thread at any time, and returns to the system only what was freed before.
    safe fn mi_collect(force: bool);
}

/// A thread that goes to sleep does not look more often.
const THREAD_EVERY: Duration = Duration::from_secs(5);
/// How often a thread is woken to look.
const WAKE_EVERY: Duration = Duration::from_secs(2);

/// Pages stay small: memory is freed in pieces of a few KiB to some MiB, and a page of 2 MiB stays for whatever is left in it.
/// Under load that was three times what was used. Where the system knows no other pages, nothing is to be done.
#[cfg(target_os = "linux")]
pub(crate) fn use_small_pages() {
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Elsewhere the system decides.
#[cfg(not(target_os = "linux"))]
pub(crate) fn use_small_pages() {}

thread_local! {
    static LOOKED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Called by a thread that goes to sleep.
pub(crate) fn look_before_sleep() {
    let now = Instant::now();
    let is_early = |at: Instant| now.saturating_duration_since(at) < THREAD_EVERY;
    LOOKED.with(|looked| {
        if !looked.get().is_some_and(is_early) {
            looked.set(Some(now));
            mi_collect(false);
        }
    });
}

/// Looks now and then, for ever.
pub(crate) async fn give_back() {
    let mut ticks = tokio::time::interval(WAKE_EVERY);
    loop {
        ticks.tick().await;
        mi_collect(false);
    }
}
