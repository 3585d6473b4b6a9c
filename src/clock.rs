//! The time of day, cheaply. In: nothing. Out: a [`Timestamp`]. Must never make a system call on the hot path.
//!
//! `CLOCK_REALTIME_COARSE` is read through the vDSO: a few nanoseconds, about 4 ms of resolution, and right at once
//! after the process was stopped and resumed, which a clock kept by a timer of ours would not be.

use crate::model::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// The time now, to about 4 ms.
pub fn now() -> Timestamp {
    Timestamp::from_millis(milliseconds(ClockId::RealtimeCoarse))
}

/// Milliseconds since the machine was started, those included in which it, or this process, was stopped; never 0.
pub fn elapsed() -> u64 {
    milliseconds(ClockId::Boottime).max(1)
}

/// Milliseconds of a clock that nobody sets, to about 4 ms; never 0.
pub fn ticks() -> u64 {
    milliseconds(ClockId::MonotonicCoarse).max(1)
}

fn milliseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let milliseconds = u64::try_from(time.tv_nsec / 1_000_000).unwrap_or(0);
    seconds.saturating_mul(1000).saturating_add(milliseconds)
}
