//! What a client sends, on its way to the app. In: frames. Out: the same frames, and how far they have come. Must never leave
//! unread what is in the way of an answer, nor go on when nobody wants it any more.

use crate::gate::headers;
use crate::model::AppIndex;
use crate::snapshot::Snapshot;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::Request;
use http::header::EXPECT;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// What a client sends; nothing for most requests.
pub struct RequestBody(Option<Sent>);

struct Sent {
    /// `None` once it was cut.
    body: Option<Incoming>,
    /// Where it is cut.
    limit: u64,
    upload: Arc<Upload>,
    /// What may not be a trailer; until that is known, nothing may.
    whose: Option<(Arc<Snapshot>, AppIndex)>,
    rest: Rest,
}

/// What becomes of the rest of a body that nobody wants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// It is left where it is.
    Left,
    /// It is read for a while, so that the client gets to read the answer: a connection that is closed before that is reset,
    /// with the answer in it. Over HTTP/2, where a stream can end alone, many small frames would end the connection too.
    Read,
    /// The same, once the client was told to send it.
    ReadIfAsked,
}

/// How far a request's body has come.
#[derive(Default)]
pub struct Upload {
    bytes: AtomicU64,
    state: AtomicU8,
    /// Who waits for more of it.
    waker: AtomicWaker,
}

/// The app does not want more of the body now, or there is no more.
const RESTS: u8 = 0;
/// The app wants more than the client has sent.
const WAITS: u8 = 1;
/// The client broke off.
const BROKE: u8 = 2;
/// It became longer than the app takes.
const CUT: u8 = 3;
/// It was over, in whatever way, before anything went wrong.
const OVER: u8 = 4;
/// The exchange is over: nobody wants the rest.
const UNWANTED: u8 = 5;
/// All of it has been read.
const ENDED: u8 = 6;
/// How long the rest is read.
const LINGER: Duration = Duration::from_secs(5);

/// Why a client's body does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It broke off.
    #[error(transparent)]
    Client(#[from] hyper::Error),
    /// It is longer than the app takes.
    #[error("the body is longer than the app takes")]
    TooLarge,
    /// The exchange ended before it.
    #[error("the exchange is over before the body")]
    Unwanted,
}

impl Upload {
    /// How many bytes have passed.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether it is the client that is waited for.
    pub fn waits(&self) -> bool {
        self.is(WAITS)
    }

    /// More bytes have passed; whether it is the client that is waited for.
    #[cfg(test)]
    pub(in crate::gate) fn set(&self, more: u64, waits: bool) {
        self.bytes.fetch_add(more, Ordering::Relaxed);
        self.state.store(if waits { WAITS } else { RESTS }, Ordering::Relaxed);
    }

    /// Whether it became longer than the app takes.
    pub fn was_cut(&self) -> bool {
        self.is(CUT)
    }

    /// The exchange is over: has the rest cut off. Whether there was any.
    pub fn stop(&self) -> bool {
        let goes_on = self.is(RESTS) || self.is(WAITS);
        if goes_on {
            self.state.store(UNWANTED, Ordering::Relaxed);
            self.waker.wake();
        }
        goes_on
    }

    /// Whether all of it has been read, to the last byte of its framing.
    pub fn has_ended(&self) -> bool {
        self.is(ENDED)
    }

    /// Whether the client broke off.
    pub fn broke(&self) -> bool {
        self.is(BROKE)
    }

    fn is(&self, state: u8) -> bool {
        self.state.load(Ordering::Relaxed) == state
    }
}

impl RequestBody {
    /// The request with its body, which stays on this thread.
    pub fn of(request: Request<Incoming>) -> Request<Self> {
        if request.body().is_end_stream() {
            return request.map(|_| Self(None));
        }
        // Who waits to be told to go on has sent nothing that would be in the way of an answer.
        let rest = if request.headers().contains_key(EXPECT) { Rest::ReadIfAsked } else { Rest::Read };
        let sent = |body| Sent { body: Some(body), limit: u64::MAX, upload: Arc::default(), whose: None, rest };
        request.map(|body| Self(Some(sent(body))))
    }

    /// The same body on another thread, which must not be the one to read what nobody wants.
    pub fn moved(mut self) -> Self {
        if let Some(sent) = &mut self.0 {
            sent.rest = Rest::Left;
        }
        self
    }

    /// The body of a request of our own: nothing.
    pub const fn empty() -> Self {
        Self(None)
    }

    /// How far it has come; `None` where there is nothing to come.
    pub fn upload(&self) -> Option<Arc<Upload>> {
        self.0.as_ref().map(|sent| Arc::clone(&sent.upload))
    }

    /// Has it cut where it becomes longer than this.
    pub(in crate::gate) const fn limit(&mut self, bytes: u64) {
        if let Some(sent) = &mut self.0 {
            sent.limit = bytes;
        }
    }

    /// Lets trailers pass to this app, except what no client may send it.
    pub fn pass_trailers(&mut self, snapshot: &Arc<Snapshot>, app: AppIndex) {
        if let Some(sent) = &mut self.0 {
            sent.whose = Some((Arc::clone(snapshot), app));
        }
    }
}

impl Sent {
    /// Nobody wants what is still to come.
    fn leave(&mut self) {
        if let Some(mut rest) = self.body.take()
            && self.rest == Rest::Read
            && !rest.is_end_stream()
        {
            tokio::task::spawn_local(async move {
                let read = async { while let Some(Ok(_)) = rest.frame().await {} };
                drop(tokio::time::timeout(LINGER, read).await);
            });
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.upload.is(UNWANTED) {
            self.leave();
            return Poll::Ready(Some(Err(Error::Unwanted)));
        }
        let Some(body) = &mut self.body else { return Poll::Ready(Some(Err(Error::TooLarge))) };
        if self.rest == Rest::ReadIfAsked {
            self.rest = Rest::Read;
        }
        let polled = std::task::ready!(Pin::new(body).poll_frame(context));
        let frame = polled.map(|frame| frame.map(|frame| self.passed(frame)).map_err(Error::Client));
        if self.upload.bytes() > self.limit {
            self.leave();
            return Poll::Ready(Some(Err(Error::TooLarge)));
        }
        Poll::Ready(frame)
    }

    fn passed(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_trailers() {
            Ok(trailers) => Frame::trailers(match &self.whose {
                Some((snapshot, app)) => headers::trailers(trailers, snapshot, snapshot.app(*app)),
                None => http::HeaderMap::new(),
            }),
            Err(frame) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.upload.bytes.fetch_add(u64::try_from(length).unwrap_or(0), Ordering::Relaxed);
                frame
            }
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(sent) = &mut self.0 else { return Poll::Ready(None) };
        let polled = sent.poll(context);
        let state = match &polled {
            Poll::Pending => {
                sent.upload.waker.register(context.waker());
                WAITS
            }
            Poll::Ready(Some(Err(Error::TooLarge))) => CUT,
            Poll::Ready(Some(Err(Error::Client(_)))) => BROKE,
            Poll::Ready(Some(Err(Error::Unwanted))) => UNWANTED,
            Poll::Ready(None) => ENDED,
            Poll::Ready(Some(Ok(_))) if sent.body.as_ref().is_some_and(Incoming::is_end_stream) => ENDED,
            Poll::Ready(Some(Ok(_))) => RESTS,
        };
        sent.upload.state.store(state, Ordering::Relaxed);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|sent| sent.body.as_ref().is_some_and(Incoming::is_end_stream))
    }

    fn size_hint(&self) -> SizeHint {
        let hint = |sent: &Sent| sent.body.as_ref().map_or_else(SizeHint::default, Incoming::size_hint);
        self.0.as_ref().map_or(SizeHint::with_exact(0), hint)
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.leave();
        if self.upload.is(RESTS) || self.upload.is(WAITS) {
            self.upload.state.store(OVER, Ordering::Relaxed);
        }
    }
}
