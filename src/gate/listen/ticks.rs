//! Time for connections. In: a stroke several times a second, and the end of the process. Out: wake-ups of those whose time has come.
//! One clock for all connections of a worker: none of them has a timer or a lock of its own, and none pays at a request. Must
//! never keep a connection alive.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How long a stroke is after the one before it.
pub(super) const STROKE: Duration = Duration::from_millis(500);

/// How many strokes this time has, rounded up.
pub(super) const fn strokes(time: Duration) -> u32 {
    // Far below the bounds of u32: no time here is longer than minutes.
    time.as_millis().div_ceil(STROKE.as_millis()) as u32
}

/// The clock of a worker.
#[derive(Default)]
pub(super) struct Ticks(RefCell<Vec<Weak<Alarm>>>);

/// The alarm of one connection.
#[derive(Default)]
pub(super) struct Alarm {
    left: Cell<u32>,
    rings: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Ticks {
    /// An alarm that has not been set.
    pub(super) fn alarm(&self) -> Rc<Alarm> {
        let alarm = Rc::<Alarm>::default();
        self.0.borrow_mut().push(Rc::downgrade(&alarm));
        alarm
    }

    /// A stroke: rings where it was the last of those to wait for.
    pub(super) fn strike(&self) {
        self.all(|alarm| match alarm.left.get() {
            0 => {}
            1 => alarm.ring(),
            left => alarm.left.set(left - 1),
        });
    }

    /// Rings everywhere.
    pub(super) fn ring(&self) {
        self.all(Alarm::ring);
    }

    /// All that are still there; the others are forgotten.
    fn all(&self, act: impl Fn(&Alarm)) {
        self.0.borrow_mut().retain(|alarm| {
            alarm.upgrade().is_some_and(|alarm| {
                act(&alarm);
                true
            })
        });
    }
}

impl Alarm {
    /// Rings after this many strokes, once; never, where that is none.
    pub(super) fn set(&self, strokes: u32) {
        self.left.set(strokes);
    }

    /// Rings now.
    pub(super) fn ring(&self) {
        self.left.set(0);
        self.rings.set(true);
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// What comes of `future`; `None` when the alarm rings before that. The future is asked first, always.
    pub(super) async fn or<T>(&self, mut future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
        std::future::poll_fn(|context| {
            if let Poll::Ready(done) = future.as_mut().poll(context) {
                return Poll::Ready(Some(done));
            }
            if self.rings.take() {
                return Poll::Ready(None);
            }
            self.listen(context);
            Poll::Pending
        })
        .await
    }

    fn listen(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn an_alarm_rings_once_after_as_many_strokes_as_it_was_set_to() {
        let ticks = Ticks::default();
        let alarm = ticks.alarm();
        alarm.set(2);
        let rung = || alarm.or(std::pin::pin!(std::future::pending::<()>())).now_or_never().is_some();
        assert!(!rung());
        ticks.strike();
        assert!(!rung());
        ticks.strike();
        assert!(rung() && !rung());
        ticks.strike();
        assert!(!rung());
    }

    #[test]
    fn a_future_that_is_ready_comes_before_the_alarm() {
        let ticks = Ticks::default();
        let alarm = ticks.alarm();
        ticks.ring();
        assert_eq!(alarm.or(std::pin::pin!(std::future::ready(1))).now_or_never(), Some(Some(1)));
        assert_eq!(alarm.or(std::pin::pin!(std::future::pending::<()>())).now_or_never(), Some(None));
    }

    #[test]
    fn a_connection_that_is_gone_is_forgotten() {
        let ticks = Ticks::default();
        drop(ticks.alarm());
        let alarm = ticks.alarm();
        ticks.strike();
        assert_eq!(ticks.0.borrow().len(), 1);
        drop(alarm);
        ticks.ring();
        assert!(ticks.0.borrow().is_empty());
    }

    #[test]
    fn times_are_rounded_up() {
        let one = Duration::from_millis(1);
        assert_eq!([one, STROKE, STROKE + one].map(strokes), [1, 1, 2]);
    }
}
