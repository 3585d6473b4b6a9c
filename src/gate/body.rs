//! Bodies on their way through: never buffered, counted as they pass. In: frames. Out: the same frames. Must never let a
//! trailer pass that could be taken for a header of ours.

use super::audit::Ending;
use super::headers;
use super::upstream::in_flight::{Expired, InFlight};
use super::visit::Visit;
use crate::model::AppIndex;
use crate::snapshot::Snapshot;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
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
}

/// How far a request's body has come.
#[derive(Default)]
pub struct Upload {
    bytes: AtomicU64,
    state: AtomicU8,
}

/// The app does not want more of the body now, or there is no more.
const RESTS: u8 = 0;
/// The app wants more than the client has sent.
const WAITS: u8 = 1;
/// The client broke off.
const BROKE: u8 = 2;
/// It became longer than the app takes.
const CUT: u8 = 3;
/// How long the rest of a body that nobody wants is read, so that the client gets to read the answer: a connection that is
/// closed before that is reset, with the answer in it.
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
}

impl Upload {
    /// How many bytes have passed.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether it is the client that is waited for.
    pub fn waits(&self) -> bool {
        self.state.load(Ordering::Relaxed) == WAITS
    }

    /// More bytes have passed; whether it is the client that is waited for.
    #[cfg(test)]
    pub(super) fn set(&self, more: u64, waits: bool) {
        self.bytes.fetch_add(more, Ordering::Relaxed);
        self.state.store(if waits { WAITS } else { RESTS }, Ordering::Relaxed);
    }

    /// Whether it became longer than the app takes.
    pub fn was_cut(&self) -> bool {
        self.state.load(Ordering::Relaxed) == CUT
    }

    /// Whether the client broke off.
    pub fn broke(&self) -> bool {
        self.state.load(Ordering::Relaxed) == BROKE
    }
}

impl RequestBody {
    /// The body of a request.
    pub fn new(body: Incoming) -> Self {
        let sent = (!body.is_end_stream()).then(|| Sent { body: Some(body), limit: u64::MAX, upload: Arc::default(), whose: None });
        Self(sent)
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
    pub(super) const fn limit(&mut self, bytes: u64) {
        if let Some(sent) = &mut self.0 {
            sent.limit = bytes;
        }
    }

    /// Nobody wants what is still to come: reads it away for a while.
    pub(super) fn linger(&mut self) {
        if let Some(sent) = &mut self.0 {
            sent.linger();
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
    fn linger(&mut self) {
        if let Some(mut rest) = self.body.take() {
            tokio::task::spawn_local(async move {
                let read = async { while let Some(Ok(_)) = rest.frame().await {} };
                drop(tokio::time::timeout(LINGER, read).await);
            });
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(Some(Err(Error::TooLarge))) };
        let polled = std::task::ready!(Pin::new(body).poll_frame(context));
        let frame = polled.map(|frame| frame.map(|frame| self.passed(frame)).map_err(Error::Client));
        if self.upload.bytes() > self.limit {
            self.linger();
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
            Poll::Pending => WAITS,
            Poll::Ready(Some(Err(Error::TooLarge))) => CUT,
            Poll::Ready(Some(Err(Error::Client(_)))) => BROKE,
            Poll::Ready(_) => RESTS,
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

/// What a client gets.
pub struct ResponseBody {
    source: Source,
    /// Writes the audit record when the body is over or let go.
    pub(super) ending: Option<Ending>,
    tunnel: Option<Rc<Tunnel>>,
}

/// Why an answer breaks off.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The app broke off.
    #[error("the app broke off: {0}")]
    App(hyper::Error),
    /// It took too long.
    #[error(transparent)]
    Expired(#[from] Expired),
}

/// A connection that goes on after its answer: the audit record waits for its end.
#[derive(Default)]
pub(super) struct Tunnel(RefCell<Option<Ending>>);

impl Tunnel {
    /// The tunnel is over, after this many bytes to the client.
    pub(super) fn ended(&self, bytes_out: u64) {
        if let Some(ending) = self.0.borrow_mut().as_mut() {
            ending.bytes_out = bytes_out;
            ending.complete = true;
        }
    }
}

enum Source {
    Full(Full<Bytes>),
    App(InFlight),
}

impl ResponseBody {
    /// A body of our own.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self { source: Source::Full(Full::new(bytes.into())), ending: None, tunnel: None }
    }

    /// Takes our own body off an answer to HEAD, and says how long it would have been (RFC 9110, section 9.3.2): over HTTP/2
    /// nobody else does.
    pub(super) fn head_only(response: &mut Response<Self>) {
        let Source::Full(full) = &mut response.body_mut().source else { return };
        let length = std::mem::take(full).size_hint().lower();
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    }

    /// The empty body of an answer that a tunnel follows.
    pub(super) fn tunnel() -> (Self, Rc<Tunnel>) {
        let (mut body, tunnel) = (Self::full(""), Rc::<Tunnel>::default());
        body.tunnel = Some(Rc::clone(&tunnel));
        (body, tunnel)
    }

    /// An app's body.
    pub(super) const fn app(in_flight: InFlight) -> Self {
        Self { source: Source::App(in_flight), ending: None, tunnel: None }
    }

    fn passed(&mut self, length: usize) {
        if let Some(ending) = &mut self.ending {
            ending.bytes_out += u64::try_from(length).unwrap_or(0);
        }
        // The last frame is often known to be the last: hyper then does not ask again.
        if self.is_end_stream() {
            self.over();
        }
    }

    const fn over(&mut self) {
        if let Some(ending) = &mut self.ending {
            ending.complete = true;
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Self { source, ending, .. } = &mut *self;
        let polled = match source {
            Source::Full(body) => {
                Pin::new(body).poll_frame(context).map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
            Source::App(in_flight) => {
                in_flight.poll_frame(context).map(|frame| frame.map(|frame| frame.map(|frame| told(frame, ending.as_deref()))))
            }
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.passed(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Ready(None) => self.over(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Full(body) => body.is_end_stream(),
            Source::App(in_flight) => in_flight.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Full(body) => body.size_hint(),
            Source::App(in_flight) => in_flight.size_hint(),
        }
    }
}

/// A frame of an app as the client gets it.
fn told(frame: Frame<Bytes>, visit: Option<&Visit>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(trailers) => Frame::trailers(headers::trailers_of_answer(trailers, visit.and_then(Visit::app))),
        Err(frame) => frame,
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        match &self.tunnel {
            Some(tunnel) => *tunnel.0.borrow_mut() = self.ending.take(),
            None if self.is_end_stream() => self.over(),
            None => {}
        }
    }
}
