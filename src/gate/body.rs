//! Bodies on their way through: never buffered, counted as they pass. In: frames. Out: the same frames. Must never let a
//! trailer pass that could be taken for a header of ours.

use super::audit::Ending;
use super::upstream::pool::Lease;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// What a client sends.
pub struct RequestBody {
    /// `None` once it was cut.
    inner: Option<Incoming>,
    bytes: Arc<AtomicU64>,
    limit: u64,
}

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

/// How long the rest of a body that nobody wants is read, so that the client gets to read the answer: a connection that is
/// closed before that is reset, with the answer in it.
const LINGER: Duration = Duration::from_secs(5);

impl RequestBody {
    /// The body of a request.
    pub fn new(inner: Incoming) -> Self {
        Self { inner: Some(inner), bytes: Arc::default(), limit: u64::MAX }
    }

    /// How many bytes have passed; goes on counting after the body was moved away.
    pub fn counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes)
    }

    /// Has it cut where it becomes longer than this.
    pub(super) const fn limit(&mut self, bytes: u64) {
        self.limit = bytes;
    }

    /// Nobody wants what is still to come: reads it away for a while.
    pub(super) fn linger(&mut self) {
        if let Some(mut rest) = self.inner.take() {
            tokio::task::spawn_local(async move {
                let read = async { while let Some(Ok(_)) = rest.frame().await {} };
                drop(tokio::time::timeout(LINGER, read).await);
            });
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(Some(Err(Error::TooLarge))) };
        let polled = Pin::new(inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let length = u64::try_from(frame.data_ref().map_or(0, Bytes::len)).unwrap_or(0);
            if self.bytes.fetch_add(length, Ordering::Relaxed) + length > self.limit {
                self.linger();
                return Poll::Ready(Some(Err(Error::TooLarge)));
            }
        }
        // An app that folds trailers into its headers would take them for what the gate has set.
        let without = |frame: Frame<Bytes>| if frame.is_trailers() { Frame::trailers(HeaderMap::new()) } else { frame };
        polled.map(|frame| frame.map(|frame| frame.map(without).map_err(Error::Client)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_some_and(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

/// What a client gets.
pub struct ResponseBody {
    source: Source,
    /// Writes the audit record when the body is over or let go.
    pub(super) ending: Option<Ending>,
    tunnel: Option<Rc<Tunnel>>,
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
    Upstream { body: Incoming, lease: Option<Lease> },
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

    /// An app's body; the connection goes back to its pool when the body has ended.
    pub(super) const fn upstream(body: Incoming, lease: Option<Lease>) -> Self {
        Self { source: Source::Upstream { body, lease }, ending: None, tunnel: None }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = match &mut self.source {
            Source::Full(body) => {
                Pin::new(body).poll_frame(context).map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
            Source::Upstream { body, .. } => Pin::new(body).poll_frame(context),
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.passed(frame.data_ref().map_or(0, Bytes::len)),
            Poll::Ready(Some(Err(_))) => self.broke(),
            Poll::Ready(None) => self.over(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Full(body) => body.is_end_stream(),
            Source::Upstream { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Full(body) => body.size_hint(),
            Source::Upstream { body, .. } => body.size_hint(),
        }
    }
}

impl ResponseBody {
    fn passed(&mut self, length: usize) {
        if let Some(ending) = &mut self.ending {
            ending.bytes_out += u64::try_from(length).unwrap_or(0);
        }
        // The last frame is often known to be the last: hyper then does not ask again.
        if self.is_end_stream() {
            self.over();
        }
    }

    fn over(&mut self) {
        if let Source::Upstream { lease, .. } = &mut self.source
            && let Some(lease) = lease.take()
        {
            lease.give_back();
        }
        if let Some(ending) = &mut self.ending {
            ending.complete = true;
        }
    }

    fn broke(&mut self) {
        if let Source::Upstream { lease, .. } = &mut self.source {
            *lease = None;
        }
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
