//! What is known of one server while it is configured. In: outcomes of requests and checks, and the time. Out: how good a choice
//! it is now. Must never lock, nor read a clock: every worker reads it for every request.
//!
//! It outlives the snapshot that it was made for: the next one that has the same server goes on with it. Times are milliseconds
//! of [`crate::clock::ticks`], where 0 is never. Nothing here orders other memory, so that every access is relaxed.

use super::Ejection;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// The longest ejection, unless the first is configured to be longer.
const LONGEST: u64 = 300_000;
/// What a server is given at the beginning of its slow start, of 256.
const FIRST_SHARE: u64 = 26;

/// What is known of one server.
#[derive(Debug, Default)]
pub struct Live {
    /// The health checks say that it does not work.
    down: AtomicBool,
    /// They have said something.
    checked: AtomicBool,
    /// When it joined, or when the health checks took it in again.
    since: AtomicU64,
    /// Failures with no success between them.
    failures: AtomicU32,
    /// When its last ejection ends, or did.
    ejected_until: AtomicU64,
    /// How long that was meant to be.
    ejected_for: AtomicU64,
    /// Requests that have no whole answer yet; counted only where the choice depends on it.
    in_flight: AtomicUsize,
}

/// How good a choice a server is; the best comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// It takes its turns.
    Good,
    /// It is starting slowly, and this turn is not for it.
    Warming,
    /// It failed too often; used only where no better one is left.
    Ejected,
    /// The health checks say that it does not work, or the request has been there: not used.
    Out,
}

/// A request that is counted; no longer when this is dropped.
#[derive(Debug)]
pub struct Occupied(Arc<Live>);

impl Live {
    /// How good a choice it is. `draw` decides who gets a turn while it starts slowly: of 256, a growing number do.
    pub fn grade(&self, now: u64, slow_start: Option<Duration>, draw: u8) -> Grade {
        if self.down.load(Relaxed) {
            return Grade::Out;
        }
        let until = self.ejected_until.load(Relaxed);
        if until > now {
            return Grade::Ejected;
        }
        match slow_start {
            Some(time) if u64::from(draw) >= self.share(now, until, time) => Grade::Warming,
            _ => Grade::Good,
        }
    }

    /// What it is given of its turns, of 256.
    fn share(&self, now: u64, ejected_until: u64, slow_start: Duration) -> u64 {
        let back = ejected_until.max(self.since.load(Relaxed));
        if back == 0 {
            return 256;
        }
        let share = now.saturating_sub(back).saturating_mul(256) / millis(slow_start).max(1);
        share.max(FIRST_SHARE)
    }

    /// It joins servers that are at work already.
    pub fn join(&self, now: u64) {
        self.since.store(now, Relaxed);
    }

    /// What the health checks have come to; whether that is new.
    pub fn set_down(&self, down: bool, now: u64) -> bool {
        let changed = self.down.swap(down, Relaxed) != down;
        if changed && !down {
            self.since.store(now, Relaxed);
        }
        changed
    }

    /// Whether nothing was known of it from checks before this one.
    pub fn is_first_check(&self) -> bool {
        !self.checked.swap(true, Relaxed)
    }

    /// Whether the health checks say that it does not work.
    pub fn is_down(&self) -> bool {
        self.down.load(Relaxed)
    }

    /// Whether it is left out because of failures.
    pub fn is_ejected(&self, now: u64) -> bool {
        self.ejected_until.load(Relaxed) > now
    }

    /// It answered, which ends an ejection: it was used because no better one was left, and it works.
    pub fn succeeded(&self, now: impl FnOnce() -> u64) {
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
        let until = self.ejected_until.load(Relaxed);
        if until == 0 {
            return;
        }
        let now = now();
        if until > now {
            self.ejected_until.store(now, Relaxed);
        }
    }

    /// It failed a request that was sent at `sent`. For how long it is ejected, when this was the failure that does it and
    /// `may` agrees. After an ejection one failure is enough for the next, until it succeeds once.
    pub fn failed(&self, sent: u64, now: u64, rule: &Ejection, may: impl FnOnce() -> bool) -> Option<Duration> {
        let until = self.ejected_until.load(Relaxed);
        // What was sent before the last ejection was over says nothing new.
        if sent < until || self.failures.fetch_add(1, Relaxed).saturating_add(1) < rule.failures || !may() {
            return None;
        }
        let time = self.sentence(now, until, millis(rule.time));
        self.ejected_until.compare_exchange(until, now.saturating_add(time), Relaxed, Relaxed).ok()?;
        self.ejected_for.store(time, Relaxed);
        self.failures.store(rule.failures.saturating_sub(1), Relaxed);
        Some(Duration::from_millis(time))
    }

    /// Twice as long as the last time, unless it has worked for longer than it was out.
    fn sentence(&self, now: u64, until: u64, first: u64) -> u64 {
        let last = self.ejected_for.load(Relaxed);
        if now.saturating_sub(until) > last { first } else { last.saturating_mul(2).clamp(first, LONGEST.max(first)) }
    }

    /// How many requests are counted.
    pub fn load(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Counts one more request.
    pub fn enter(self: &Arc<Self>) -> Occupied {
        self.in_flight.fetch_add(1, Relaxed);
        Occupied(Arc::clone(self))
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Ejection = Ejection { failures: 3, time: Duration::from_secs(10) };

    fn fail(live: &Live, now: u64) -> Option<u64> {
        live.failed(now, now, &RULE, || true).map(|time| time.as_secs())
    }

    #[test]
    fn only_failures_without_a_success_between_them_eject() {
        let live = Live::default();
        for _ in 0..10 {
            assert_eq!((fail(&live, 1000), fail(&live, 1000)), (None, None));
            live.succeeded(|| 1000);
        }
        assert_eq!((fail(&live, 1000), fail(&live, 1000), fail(&live, 1000)), (None, None, Some(10)));
        assert!(live.is_ejected(10_999) && !live.is_ejected(11_000));
    }

    #[test]
    fn each_ejection_that_did_not_help_is_twice_as_long_up_to_a_bound() {
        let (live, mut now) = (Live::default(), 1000);
        fail(&live, now);
        fail(&live, now);
        for expected in [10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(fail(&live, now), Some(expected));
            now += expected * 1000;
        }
        live.succeeded(|| now);
        now += 301_000;
        assert_eq!([fail(&live, now), fail(&live, now), fail(&live, now)], [None, None, Some(10)], "it had worked for long enough");
    }

    #[test]
    fn what_was_sent_before_an_ejection_was_over_does_not_count() {
        let live = Live::default();
        assert_eq!((0..3).filter_map(|_| fail(&live, 1000)).count(), 1);
        for now in [2000, 11_000, 70_000] {
            assert_eq!(live.failed(1500, now, &RULE, || true), None, "{now}");
        }
        assert_eq!(fail(&live, 11_000), Some(20));
    }

    #[test]
    fn a_server_that_may_not_be_ejected_stays_and_one_that_answers_comes_back() {
        let live = Live::default();
        for _ in 0..9 {
            assert_eq!(live.failed(1000, 1000, &RULE, || false), None);
        }
        assert_eq!(live.grade(1000, None, 0), Grade::Good);
        assert_eq!(fail(&live, 1000), Some(10));
        assert_eq!(live.grade(2000, None, 0), Grade::Ejected);
        live.succeeded(|| 2000);
        assert_eq!(live.grade(2000, None, 0), Grade::Good);
    }

    #[test]
    fn slow_start_gives_a_growing_share_of_turns() {
        let (live, time) = (Live::default(), Some(Duration::from_secs(30)));
        let turns = |now| (0..=255).filter(|draw| live.grade(now, time, *draw) == Grade::Good).count();
        assert_eq!(turns(100_000), 256, "what was there from the beginning is warm");
        live.set_down(true, 100_000);
        assert_eq!(turns(100_000), 0);
        assert!(live.set_down(false, 100_000) && !live.set_down(false, 105_000));
        let shares: Vec<usize> = [100_000, 103_000, 115_000, 122_500, 130_000, 900_000].into_iter().map(turns).collect();
        assert_eq!(shares, [26, 26, 128, 192, 256, 256]);
        assert_eq!((0..3).filter_map(|_| fail(&live, 900_000)).count(), 1);
        assert_eq!((turns(909_999), turns(910_000), turns(925_000)), (0, 26, 128), "an ejection that ended is such a start too");
    }

    #[test]
    fn requests_count_until_they_are_dropped() {
        let live = Arc::<Live>::default();
        let (one, two) = (live.enter(), live.enter());
        assert_eq!(live.load(), 2);
        drop(one);
        assert_eq!(live.load(), 1);
        drop(two);
        assert_eq!(live.load(), 0);
    }
}
