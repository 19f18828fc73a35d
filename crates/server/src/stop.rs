//! Telling every connection that the server stops, and counting them. A connection checks a flag when it runs anyway;
//! only the stop itself touches the wakers, so that a turn costs one relaxed load.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Every connection of the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    stopping: AtomicBool,
    next: AtomicU64,
    /// One entry per open connection; the waker once it waits.
    open: Mutex<HashMap<u64, Option<Waker>>>,
}

/// One connection's entry; dropping it takes it out.
#[derive(Debug)]
pub(crate) struct Slot {
    all: Connections,
    number: u64,
    is_registered: bool,
}

impl Connections {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, Option<Waker>>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An entry for one more, unless there are `most` already or the server stops.
    pub(crate) fn enter(&self, most: u64) -> Option<Slot> {
        let mut open = self.open();
        if open.len() as u64 >= most || self.is_stopping() {
            return None;
        }
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        open.insert(number, None);
        Some(Slot {
            all: self.clone(),
            number,
            is_registered: false,
        })
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.open().len()
    }

    fn is_stopping(&self) -> bool {
        self.0.stopping.load(Ordering::Relaxed)
    }

    /// Tells all of them to stop and waits until they have, or for so long.
    pub(crate) async fn stop(&self, patience: Duration) {
        let wakers: Vec<Waker> = {
            let open = self.open();
            self.0.stopping.store(true, Ordering::Relaxed);
            open.values().flatten().cloned().collect()
        };
        wakers.into_iter().for_each(Waker::wake);
        let give_up = tokio::time::Instant::now() + patience;
        while self.count() > 0 && tokio::time::Instant::now() < give_up {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Slot {
    /// Whether the server stops; if it does not yet, the task is woken when it does. A task's waker stays the same for its life.
    pub(crate) fn is_stopping(&mut self, context: &Context<'_>) -> bool {
        if !self.is_registered {
            self.is_registered = true;
            self.all
                .open()
                .insert(self.number, Some(context.waker().clone()));
        }
        self.all.is_stopping()
    }

    /// Waits until the server stops.
    pub(crate) async fn stopping(&mut self) {
        let poll = |context: &mut Context<'_>| match self.is_stopping(context) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        };
        std::future::poll_fn(poll).await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.all.open().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_and_counts() {
        let all = Connections::default();
        let first = all.enter(1).unwrap();
        assert!(all.enter(1).is_none());
        drop(first);
        assert_eq!(all.count(), 0);
        assert!(all.enter(1).is_some());
    }

    #[tokio::test]
    async fn a_stop_wakes_and_waits() {
        let all = Connections::default();
        let mut slot = all.enter(9).unwrap();
        let task = tokio::spawn(async move { slot.stopping().await });
        tokio::task::yield_now().await;
        all.stop(Duration::from_secs(5)).await;
        assert_eq!(all.count(), 0);
        task.await.unwrap();
        assert!(all.enter(9).is_none());
    }
}
