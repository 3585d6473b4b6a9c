//! What was forwarded and is not over, and for how long it may go on. In: terms, and the right by which it flows. Out: an end for
//! whatever nothing moves in any more, or has lost its right. Must never cost a request a timer: one look at all of them, a few times a second, is enough.
//!
//! The rooms only count bytes. The look finds what has moved since the last one, so that nobody reads a clock.

mod rights;

use super::pool::Lease;
use crate::gate::body::{Broken, Upload};
use crate::gate::right::Right;
use crate::gate::visit::Worker;
use crate::gate::visit::unread::Reader;
use crate::model::Reason;
use crate::snapshot::upstream::Timeouts;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use prometheus::IntGauge;
use std::cell::{Cell, OnceCell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How often everything is looked at, in milliseconds, and so how late an end may come.
const LOOK: u64 = 100;
/// How soon after one look the next may come, in milliseconds, where access has ended.
const SOONEST: u64 = 10;
/// The least that an upload must bring on average while its answer has not begun, in bytes a second. Whoever is slower holds a
/// connection for next to nothing.
const PACE: u64 = 500;

/// Everything that one worker has forwarded and that is not over.
pub struct Watch {
    begun: Instant,
    /// Milliseconds since `begun`, at the last look.
    now: Cell<u64>,
    all: RefCell<Vec<Rc<State>>>,
    told: rights::Told,
    /// How many streams were open at the last look.
    streams: Cell<i64>,
}

/// One request that was forwarded; watched until this is dropped.
pub struct InFlight {
    watch: Rc<Watch>,
    state: Rc<State>,
}

/// Why something had to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Expired {
    /// The app did not begin to answer.
    #[error("the app did not answer in time")]
    Answer,
    /// The client sends too slowly.
    #[error("the client sends too slowly")]
    Upload,
    /// Nothing moved.
    #[error("nothing moved for too long")]
    Idle,
    /// It takes too long.
    #[error("the exchange took too long")]
    Total,
    /// It would not be let through any more, for this reason, and was not sent yet.
    #[error("it may not be sent any more: {}", .0.code())]
    Refused(Reason),
    /// The same when it was sent.
    #[error("the right to it has ended: {}", .0.code())]
    Access(Reason),
}

struct State {
    right: Option<Right>,
    /// It had to wait for a connection.
    waited: Cell<bool>,
    /// Where it stands in [`Watch::all`].
    place: Cell<usize>,
    terms: Timeouts,
    phase: Cell<Phase>,
    started: u64,
    upload: Option<Arc<Upload>>,
    /// The client sends messages as it has them, and has no pace to keep.
    talks: Cell<bool>,
    /// Bytes that came down.
    down: Cell<u64>,
    /// Bytes in both directions at the last look.
    seen: Cell<u64>,
    /// When bytes were last seen to have moved.
    moved: Cell<u64>,
    expired: Cell<Option<Expired>>,
    /// The answer ended before its end.
    broken: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    /// The answer's body and the connection that it comes by. Held here so that they can be let go while nobody reads.
    answer: RefCell<Option<(Incoming, Lease)>>,
    /// Who reads the answer, once it has begun.
    reader: OnceCell<Reader>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No connection yet.
    Connecting,
    /// No answer yet.
    Head,
    /// The answer has begun.
    Body,
    /// It is a stream: silence means nothing.
    Stream,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            now: Cell::new(0),
            all: RefCell::default(),
            told: rights::Told::default(),
            streams: Cell::new(0),
        }
    }
}

impl Watch {
    /// Looks at everything that this worker has forwarded, for ever.
    pub async fn run(&self, worker: &Worker) {
        let mut endings = worker.gate.store.endings();
        loop {
            tokio::time::sleep(Duration::from_millis(SOONEST)).await;
            drop(tokio::time::timeout(Duration::from_millis(LOOK - SOONEST), endings.changed()).await);
            self.look();
            self.count(&worker.gate.metrics.streams);
            self.judge(worker).await;
        }
    }

    fn look(&self) {
        let now = milliseconds(self.begun.elapsed());
        self.now.set(now);
        self.all.borrow().iter().for_each(|state| state.look(now));
    }

    /// Adds this worker's streams to those of the others.
    fn count(&self, all: &IntGauge) {
        let open = self.all.borrow().iter().filter(|state| state.phase.get() == Phase::Stream).count();
        let open = i64::try_from(open).unwrap_or(i64::MAX);
        all.add(open - self.streams.replace(open));
    }

    /// Milliseconds since this worker began, late by a look at most.
    pub const fn now(&self) -> u64 {
        self.now.get()
    }

    /// The same, early by a look at most: what begins now is not over before its time.
    const fn soon(&self) -> u64 {
        self.now.get() + LOOK
    }

    fn add(&self, state: &Rc<State>) {
        let mut all = self.all.borrow_mut();
        state.place.set(all.len());
        all.push(Rc::clone(state));
    }

    fn remove(&self, state: &State) {
        let (mut all, place) = (self.all.borrow_mut(), state.place.get());
        if place < all.len() {
            all.swap_remove(place);
        }
        if let Some(moved) = all.get(place) {
            moved.place.set(place);
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl InFlight {
    /// A request is about to be forwarded.
    pub fn begin(watch: &Rc<Watch>, terms: Timeouts, upload: Option<Arc<Upload>>, right: Option<Right>) -> Self {
        let started = watch.soon();
        let state = Rc::new(State {
            right,
            waited: Cell::new(false),
            place: Cell::new(0),
            terms,
            phase: Cell::new(Phase::Connecting),
            started,
            upload,
            talks: Cell::new(false),
            down: Cell::new(0),
            seen: Cell::new(0),
            moved: Cell::new(started),
            expired: Cell::new(None),
            broken: Cell::new(false),
            waker: RefCell::new(None),
            answer: RefCell::new(None),
            reader: OnceCell::new(),
        });
        watch.add(&state);
        Self { watch: Rc::clone(watch), state }
    }

    /// What the client sends are messages, as it has them: it may be slow, though not silent.
    pub fn talks(&self) {
        self.state.talks.set(true);
    }

    /// A connection is being looked for: that has a limit of its own.
    pub fn connecting(&self) {
        self.state.phase.set(Phase::Connecting);
    }

    /// The request is on its way: from now on the app is waited for.
    pub fn sent(&self) {
        self.state.phase.set(Phase::Head);
        self.state.moved.set(self.watch.soon());
    }

    /// What comes of forwarding, in time.
    pub async fn in_time<T, E: From<Expired>>(&self, mut exchange: Pin<&mut impl Future<Output = Result<T, E>>>) -> Result<T, E> {
        poll_fn(|context| {
            if let Some(expired) = self.state.expired.get() {
                return Poll::Ready(Err(expired.into()));
            }
            let polled = exchange.as_mut().poll(context);
            if polled.is_pending() {
                self.state.waited.set(self.state.waited.get() || self.state.phase.get() == Phase::Connecting);
                self.state.wake_with(context);
            }
            polled
        })
        .await
    }

    /// The answer has begun, for this reader; a stream may be silent for as long as it likes.
    pub fn answered(&self, body: Incoming, lease: Lease, is_stream: bool, reader: Reader) {
        drop(self.state.reader.set(reader));
        *self.state.answer.borrow_mut() = Some((body, lease));
        self.state.phase.set(if is_stream { Phase::Stream } else { Phase::Body });
        self.state.moved.set(self.watch.soon());
        self.state.give_back_if_over();
    }

    /// More of the answer.
    pub fn poll_frame(&self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let polled = match self.state.answer.borrow_mut().as_mut() {
            Some((body, _)) => Pin::new(body).poll_frame(context),
            None => return Poll::Ready(self.state.expired.get().map(|expired| Err(expired.into()))),
        };
        match &polled {
            Poll::Pending => self.state.wake_with(context),
            Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.state.down.set(self.state.down.get() + u64::try_from(length).unwrap_or(0));
                self.state.give_back_if_over();
            }
            Poll::Ready(None) => self.state.give_back(),
            Poll::Ready(Some(Err(_))) => self.state.break_off(),
        }
        polled.map(|frame| frame.map(|frame| frame.map_err(Broken::App)))
    }

    /// Whether the whole answer has passed.
    pub fn is_end_stream(&self) -> bool {
        match &*self.state.answer.borrow() {
            Some((body, _)) => body.is_end_stream(),
            None => !self.state.broken.get(),
        }
    }

    /// How long the rest of the answer is.
    pub fn size_hint(&self) -> SizeHint {
        match &*self.state.answer.borrow() {
            Some((body, _)) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.watch.remove(&self.state);
    }
}

impl State {
    fn wake_with(&self, context: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        match &*waker {
            Some(waker) if waker.will_wake(context.waker()) => {}
            _ => *waker = Some(context.waker().clone()),
        }
    }

    /// Another request may have the connection as soon as this one has had all of its answer.
    fn give_back_if_over(&self) {
        if self.answer.borrow().as_ref().is_some_and(|(body, _)| body.is_end_stream()) {
            self.give_back();
        }
    }

    fn give_back(&self) {
        if let Some((_, lease)) = self.answer.take()
            && !self.stop_upload()
        {
            lease.give_back();
        }
    }

    /// Nobody looks after an upload any more once its exchange is over. Whether there was one: it ends its connection.
    fn stop_upload(&self) -> bool {
        self.upload.as_ref().is_some_and(|upload| upload.stop())
    }

    fn break_off(&self) {
        self.broken.set(true);
        self.answer.take();
        self.stop_upload();
    }

    fn look(&self, now: u64) {
        let uploaded = self.upload.as_ref().map_or(0, |upload| upload.bytes());
        let bytes = self.down.get() + uploaded;
        if self.seen.replace(bytes) != bytes {
            self.moved.set(now);
            self.is_used();
        }
        if let Some(expired) = self.verdict(now, uploaded) {
            self.end(expired);
        }
    }

    fn end(&self, expired: Expired) {
        if let (None, Some(reader)) = (self.expired.replace(Some(expired)), self.reader.get()) {
            reader.is_late();
        }
        self.break_off();
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn verdict(&self, now: u64, uploaded: u64) -> Option<Expired> {
        let over =
            |limit: Option<Duration>, since: u64| limit.is_some_and(|limit| now >= since.saturating_add(milliseconds(limit)));
        let starves = || self.upload.as_ref().is_some_and(|upload| upload.waits());
        match self.phase.get() {
            Phase::Stream => None,
            _ if over(self.terms.total, self.started) => Some(Expired::Total),
            Phase::Connecting => None,
            Phase::Head if over(self.terms.first_byte, self.moved.get()) => {
                Some(if starves() { Expired::Upload } else { Expired::Answer })
            }
            Phase::Head => {
                let crawls = !self.talks.get() && uploaded < (now.saturating_sub(self.started)) / 1000 * PACE;
                (over(self.terms.first_byte, self.started) && crawls && starves()).then_some(Expired::Upload)
            }
            Phase::Body => over(self.terms.idle, self.moved.get()).then_some(Expired::Idle),
        }
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests;
