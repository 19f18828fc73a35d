//! Freed memory goes back to the system also where nothing happens any more.
//!
//! mimalloc keeps freed memory for a while and returns it when later frees come by. After a login (a password hash takes 19 MiB) or
//! a drained backlog nothing may come by for hours, and an idle broker would look, and be, several times its size.

#![allow(
    unsafe_code,
    reason = "the allocator's crate has no name for what it is asked here"
)]

use std::time::Duration;

unsafe extern "C" {
    /// mimalloc's own (`mimalloc.h`): takes no pointer, may be called by any thread at any time, and returns to the system only
    /// what was freed before.
    safe fn mi_collect(force: bool);
}

/// How often freed memory is looked for.
const EVERY: Duration = Duration::from_secs(2);

/// Gives memory back now and then, for ever.
pub(crate) async fn give_back() {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        ticks.tick().await;
        mi_collect(false);
    }
}
