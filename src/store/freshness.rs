//! Whether what is held in memory may be relied on. In: looks at the outbox, and when each began. Out: current, or not known, or cut
//! off for so long. Must never take a process that has slept for one that is up to date: the clock is read at every question, and
//! goes on while a process or its machine is stopped.

use super::{Error, Store};
use crate::clock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How old the last look may be; what another replica has acknowledged is not contradicted here for longer.
const LEASE: u64 = 1000;
/// How lately a failed look must have begun to know that the database is out of reach: one fails after four seconds at most.
const FAILED_LATELY: u64 = 5000;
/// How long to wait for looks.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after an outage the others may need to write down what was used meanwhile.
const SETTLED: u64 = 30_000;

/// What is known of the last looks, in milliseconds of [`clock::elapsed`].
pub(super) struct Freshness {
    looked: AtomicU64,
    failed: AtomicU64,
    recovered: AtomicU64,
    is_cut: AtomicBool,
    /// Counts looks that are over.
    over: watch::Sender<u64>,
}

/// The database has been out of reach for longer than what is held may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfReach;

impl Default for Freshness {
    fn default() -> Self {
        let never = || AtomicU64::new(0);
        Self { looked: never(), failed: never(), recovered: never(), is_cut: AtomicBool::new(false), over: watch::Sender::new(0) }
    }
}

impl Freshness {
    /// A look has succeeded that began then.
    pub(super) fn looked(&self, began: u64) {
        self.looked.store(began, Ordering::Release);
        self.failed.store(0, Ordering::Release);
        if self.is_cut.swap(false, Ordering::AcqRel) {
            self.recovered.store(clock::elapsed(), Ordering::Release);
            tracing::info!("the database is back, and this replica has caught up");
        }
        self.over.send_modify(|count| *count += 1);
    }

    /// A look has failed that began then: what it says of a time in which this process was stopped, nobody knows.
    pub(super) fn failed(&self, began: u64, error: &Error) {
        self.failed.store(began, Ordering::Release);
        if !self.is_cut.swap(true, Ordering::AcqRel) {
            tracing::error!(%error, "the database is out of reach: what others end is not known here");
        }
        self.over.send_modify(|count| *count += 1);
    }

    pub(super) fn age(&self) -> Duration {
        Duration::from_millis(clock::elapsed().saturating_sub(self.looked.load(Ordering::Acquire)))
    }

    fn is_current(&self) -> bool {
        let looked = self.looked.load(Ordering::Acquire);
        looked > 0 && clock::elapsed().saturating_sub(looked) <= LEASE
    }

    /// Whether no look has ever succeeded: that the machine was started a moment ago says nothing.
    fn has_never_looked(&self) -> bool {
        self.looked.load(Ordering::Acquire) == 0
    }

    fn is_known_to_fail(&self) -> bool {
        let failed = self.failed.load(Ordering::Acquire);
        failed > 0 && clock::elapsed().saturating_sub(failed) <= FAILED_LATELY
    }

    fn has_settled(&self) -> bool {
        let recovered = self.recovered.load(Ordering::Acquire);
        !self.is_cut.load(Ordering::Acquire) && (recovered == 0 || clock::elapsed().saturating_sub(recovered) > SETTLED)
    }
}

impl Store {
    /// Whether other replicas share the database.
    pub const fn is_shared(&self) -> bool {
        self.database.shared().is_some()
    }

    /// Whether something may have been ended or changed elsewhere longer ago than the lease, and is not known here. To be asked
    /// before something that is held is used; when so, [`Self::come_up_to_date`].
    pub fn is_behind(&self) -> bool {
        self.is_shared() && !self.follower.freshness.is_current()
    }

    /// Waits until what is held is up to date, or the database is known to be out of reach: then it may be used for `grace`.
    pub async fn come_up_to_date(&self, grace: Duration) -> Result<(), OutOfReach> {
        let looks = async {
            let mut over = self.follower.freshness.over.subscribe();
            while self.is_behind() && !self.follower.freshness.is_known_to_fail() {
                self.follower.wake.notify_one();
                // The sender lives in self.
                let _ = over.changed().await;
            }
        };
        let ended = tokio::time::timeout(PATIENCE, looks).await;
        if ended.is_err() || self.is_out_of_reach(grace) { Err(OutOfReach) } else { Ok(()) }
    }

    /// Whether the database has been out of reach for longer than this.
    pub fn is_out_of_reach(&self, grace: Duration) -> bool {
        self.is_behind() && (self.follower.freshness.has_never_looked() || self.follower.freshness.age() > grace)
    }

    /// Whether no outage is so recent that others may not have written down yet what was used meanwhile.
    pub(super) fn has_settled(&self) -> bool {
        !self.is_shared() || self.follower.freshness.has_settled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_that_is_over_is_no_reason_not_to_look() {
        let freshness = Freshness::default();
        freshness.failed(clock::elapsed(), &Error::Late);
        assert!(freshness.is_known_to_fail());
        freshness.looked(clock::elapsed());
        assert!(!freshness.is_known_to_fail());
    }

    #[test]
    fn a_look_that_failed_across_a_stop_of_the_process_says_nothing() {
        let freshness = Freshness::default();
        freshness.failed(clock::elapsed().saturating_sub(60_000).max(1), &Error::Late);
        assert!(!freshness.is_known_to_fail());
    }

    #[test]
    fn who_has_never_looked_is_not_up_to_date_on_a_machine_that_has_just_started() {
        let freshness = Freshness::default();
        assert!(freshness.has_never_looked() && !freshness.is_current());
        freshness.looked(clock::elapsed());
        assert!(!freshness.has_never_looked() && freshness.is_current());
    }
}
