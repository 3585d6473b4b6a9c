//! How many in the last second, or minute. In: keys as they come. Out: whether one more is too many. Must never count what it
//! refuses, else whoever goes on asking would never get in again.
//!
//! Two windows stand for the time that has just passed: all of the current one, and of the one before as much as still lies in it.

use super::table::Table;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counts by key, in windows of one length.
pub(super) struct Windows {
    /// In milliseconds.
    length: u64,
    begun: Instant,
    /// The number of the window in which the last request came.
    current: AtomicU64,
    /// The current window, the one before, and an empty one for the next.
    tables: [Table; 3],
}

impl Windows {
    pub(super) fn new(length: Duration) -> Self {
        Self {
            length: u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1),
            begun: Instant::now(),
            current: AtomicU64::default(),
            tables: Default::default(),
        }
    }

    /// Counts one more, or says in how many seconds to try again.
    pub(super) fn admit(&self, key: u64, limit: NonZeroU32, now: Instant) -> Result<(), u32> {
        let elapsed = u64::try_from(now.saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX);
        let window = self.turn(elapsed / self.length);
        let passed = elapsed.saturating_sub(window * self.length).min(self.length);
        let (Some(current), Some(before)) = (self.table(window), self.table(window + 2)) else { return Ok(()) };
        let count = current.add(key) * self.length + before.count(key) * (self.length - passed);
        if count <= u64::from(limit.get()) * self.length {
            return Ok(());
        }
        current.take(key);
        Err(u32::try_from((self.length - passed).div_ceil(1000)).unwrap_or(1).max(1))
    }

    /// Goes on to a window, and makes its table and the next one's empty.
    fn turn(&self, to: u64) -> u64 {
        let from = self.current.load(Ordering::Acquire);
        if to <= from {
            // Another worker is a moment ahead.
            return from;
        }
        if self.current.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            // The table of a window was made empty when the one before it began; but for windows in which nobody came.
            let passed = to - from;
            for (window, stale) in [(to - 1, passed > 2), (to, passed > 1), (to + 1, true)] {
                if stale && let Some(table) = self.table(window) {
                    table.clear();
                }
            }
        }
        to
    }

    fn table(&self, window: u64) -> Option<&Table> {
        self.tables.get(usize::try_from(window % 3).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

    fn key(name: impl std::hash::Hash) -> u64 {
        BuildHasherDefault::<DefaultHasher>::default().hash_one(name)
    }

    /// Ten a second; how many of so many get in at once at these milliseconds.
    fn admitted(windows: &Windows, name: &str, tries: usize, at: u64) -> usize {
        let now = windows.begun + Duration::from_millis(at);
        (0..tries).filter(|_| windows.admit(key(name), NonZeroU32::new(10).unwrap(), now).is_ok()).count()
    }

    #[test]
    fn no_second_has_more_than_the_limit_wherever_it_begins() {
        let windows = Windows::new(Duration::from_secs(1));
        let mut times = Vec::new();
        for at in (0..20_000).step_by(37) {
            times.extend(std::iter::repeat_n(at, admitted(&windows, "eve", 3, at)));
        }
        // Two windows estimate what a list of times would know.
        let most = times.iter().map(|from| times.iter().filter(|at| (*from..from + 1000).contains(*at)).count()).max();
        assert!(most.unwrap() <= 11, "{most:?}");
        assert!(times.len() >= 180, "who asks for more gets what there is: {}", times.len());
    }

    #[test]
    fn a_pause_gives_everything_back_and_a_burst_is_not_had_twice() {
        let windows = Windows::new(Duration::from_secs(1));
        assert_eq!(admitted(&windows, "eve", 25, 990), 10);
        assert_eq!(admitted(&windows, "eve", 25, 1010), 0, "the window before still weighs");
        assert_eq!(admitted(&windows, "eve", 25, 1500), 5);
        for (pause, at) in [(2, 3500), (3, 6500), (4, 10_500), (1000, 1_010_500)] {
            assert_eq!(admitted(&windows, "eve", 25, at), 10, "{pause}");
        }
    }

    #[test]
    fn keys_count_for_themselves() {
        let windows = Windows::new(Duration::from_secs(1));
        assert_eq!(admitted(&windows, "eve", 25, 0), 10);
        assert_eq!(admitted(&windows, "bob", 25, 0), 10);
    }

    #[test]
    fn however_many_ask_they_lock_nobody_out() {
        let windows = Windows::new(Duration::from_secs(60));
        let limit = NonZeroU32::new(5).unwrap();
        let ask = |name: u32| windows.admit(key(name), limit, windows.begun).is_ok();
        let mut passed = 0;
        for name in 0..65_536 {
            passed += (0..5).filter(|_| ask(name)).count();
        }
        assert_eq!(passed, 65_536 * 5, "each asks no more than it may");
        assert!((70_000..70_100).all(ask), "who has not asked yet gets in");
    }

    #[test]
    fn whoever_is_refused_hears_when_the_window_ends() {
        let windows = Windows::new(Duration::from_secs(60));
        let ask = |at| windows.admit(key("eve"), NonZeroU32::new(1).unwrap(), windows.begun + Duration::from_secs(at));
        assert_eq!((ask(10), ask(10), ask(59)), (Ok(()), Err(50), Err(1)));
    }

    #[test]
    fn workers_share_the_count() {
        let windows = Windows::new(Duration::from_secs(3600));
        let limit = NonZeroU32::new(1000).unwrap();
        let passed: usize = std::thread::scope(|scope| {
            let worker = || (0..1000).filter(|_| windows.admit(key("eve"), limit, Instant::now()).is_ok()).count();
            let workers = [(); 4].map(|()| scope.spawn(worker));
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        // Who is counted and found to be too many is in the way of another for a moment.
        assert!((990..=1003).contains(&passed), "{passed}");
    }
}
