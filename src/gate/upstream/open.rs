//! How many connections to one server are open. In: connections, as they come and go. Out: a number, and a sign whenever it
//! may be worth looking again. Must never count one that has ended.

use prometheus::IntGauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// The connections to one server. Shared with the connections themselves: a tunnel outlives the request that opened it.
#[derive(Debug, Default)]
pub(super) struct Open {
    count: AtomicUsize,
    waiting: AtomicUsize,
    changed: Notify,
}

/// Counts one connection for as long as it is there.
#[derive(Debug)]
pub(super) struct Opened {
    open: Arc<Open>,
    all: IntGauge,
}

impl Open {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// One more; `all` counts those of all servers.
    pub(super) fn one_more(self: &Arc<Self>, all: &IntGauge) -> Opened {
        self.count.fetch_add(1, Ordering::Relaxed);
        all.inc();
        Opened { open: Arc::clone(self), all: all.clone() }
    }

    /// Waits until one may be free, or may be made.
    pub(super) async fn changed(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waits = Waits(self);
        self.changed.notified().await;
    }

    /// One is free.
    pub(super) fn notify(&self) {
        if self.waiting.load(Ordering::Relaxed) > 0 {
            self.changed.notify_one();
        }
    }

    /// One that takes many requests is free, or could not be made.
    pub(super) fn notify_all(&self) {
        self.changed.notify_waiters();
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.open.count.fetch_sub(1, Ordering::Relaxed);
        self.open.notify();
        self.all.dec();
    }
}

struct Waits<'a>(&'a Open);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
