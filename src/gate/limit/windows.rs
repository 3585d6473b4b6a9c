//! How many in the last second, or minute. In: keys as they come. Out: whether one more is too many. Must never count what it
//! refuses, else whoever goes on asking would never get in again.
//!
//! Two windows stand for the time that has just passed: all of the current one, and of the one before as much as still lies in it.

use pingora_limits::estimator::Estimator;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many rows a sketch has, and how many counters a row: two keys share all of their counters once in 10^15 times.
const SKETCH: (usize, usize) = (4, 8192);

/// Counts by key, in windows of one length.
pub(super) struct Windows {
    /// In milliseconds.
    length: u64,
    begun: Instant,
    /// The number of the window in which the last request came.
    current: AtomicU64,
    /// The current window, the one before, and an empty one for the next.
    sketches: [Estimator; 3],
}

impl Windows {
    pub(super) fn new(length: Duration) -> Self {
        let (rows, columns) = SKETCH;
        Self {
            length: u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1),
            begun: Instant::now(),
            current: AtomicU64::default(),
            sketches: std::array::from_fn(|_| Estimator::new(rows, columns)),
        }
    }

    /// Counts one more, or says in how many seconds to try again.
    pub(super) fn admit(&self, key: &impl Hash, limit: NonZeroU32, now: Instant) -> Result<(), u32> {
        let elapsed = u64::try_from(now.saturating_duration_since(self.begun).as_millis()).unwrap_or(u64::MAX);
        let window = self.turn(elapsed / self.length);
        let passed = elapsed.saturating_sub(window * self.length).min(self.length);
        let (Some(current), Some(before)) = (self.sketch(window), self.sketch(window + 2)) else { return Ok(()) };
        let count = weigh(current.incr(key, 1)) * self.length + weigh(before.get(key)) * (self.length - passed);
        if count <= u64::from(limit.get()) * self.length {
            return Ok(());
        }
        current.decr(key, 1);
        Err(u32::try_from((self.length - passed).div_ceil(1000)).unwrap_or(1).max(1))
    }

    /// Goes on to a window, and makes its sketch and the next one's empty.
    fn turn(&self, to: u64) -> u64 {
        let from = self.current.load(Ordering::Acquire);
        if to <= from {
            // Another worker is a moment ahead.
            return from;
        }
        if self.current.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            // The sketch of a window was made empty when the one before it began; but for windows in which nobody came.
            let passed = to - from;
            for (window, stale) in [(to - 1, passed > 2), (to, passed > 1), (to + 1, true)] {
                if stale && let Some(sketch) = self.sketch(window) {
                    sketch.reset();
                }
            }
        }
        to
    }

    fn sketch(&self, window: u64) -> Option<&Estimator> {
        self.sketches.get(usize::try_from(window % 3).unwrap_or(0))
    }
}

fn weigh(count: isize) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
