//! Bodies on their way through: never buffered, counted as they pass. In: frames. Out: the same frames. Must never let a
//! trailer pass that could be taken for a header of ours.

mod upload;

pub use upload::{RequestBody, Upload};

use super::audit::Ending;
use super::headers;
use super::upstream::in_flight::{Expired, InFlight};
use super::visit::Visit;
use crate::model::Reason;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

/// What a client gets.
pub struct ResponseBody {
    source: Source,
    /// Writes the audit record when the body is over or let go.
    pub(super) ending: Option<Ending>,
    tunnel: Option<Rc<Tunnel>>,
    /// It is the answer of a gRPC call.
    is_grpc: bool,
    /// What is said in place of an error where the right to it ends.
    farewell: Option<Farewell>,
}

/// The trailers of an answer that ends for this reason.
pub(super) type Farewell = fn(Reason) -> HeaderMap;

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
    /// The tunnel is over, after this many bytes to the client; where its right ended, why.
    pub(super) fn ended(&self, bytes_out: u64, lost_by: Option<Reason>) {
        if let Some(ending) = self.0.borrow_mut().as_mut() {
            ending.bytes_out = bytes_out;
            ending.complete = lost_by.is_none();
            ending.trail.lost(lost_by);
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
        Self { source: Source::Full(Full::new(bytes.into())), ending: None, tunnel: None, is_grpc: false, farewell: None }
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
    pub(super) const fn app(in_flight: InFlight, is_grpc: bool) -> Self {
        Self { source: Source::App(in_flight), ending: None, tunnel: None, is_grpc, farewell: None }
    }

    /// A gRPC call whose right ends before it does ends with these trailers; what is cut otherwise breaks off.
    pub(super) const fn grpc_ends_with(&mut self, farewell: Farewell) {
        if self.is_grpc {
            self.farewell = Some(farewell);
        }
    }

    /// Whether it is our own, and its reader is all that it waits for.
    pub(super) fn waits(&self) -> bool {
        matches!(self.source, Source::Full(_)) && self.tunnel.is_none() && !self.is_end_stream()
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

    /// Says so where that is because the right to it has ended.
    fn broken_off(&mut self) {
        if let (Source::App(in_flight), Some(ending)) = (&self.source, &mut self.ending) {
            ending.trail.lost(in_flight.lost_by());
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
        let Self { source, ending, farewell, .. } = &mut *self;
        let polled = match source {
            Source::Full(body) => {
                Pin::new(body).poll_frame(context).map(|frame| frame.map(|frame| frame.map_err(|never| match never {})))
            }
            Source::App(in_flight) => in_flight.poll_frame(context).map(|frame| match frame? {
                Ok(frame) => Some(Ok(told(frame, ending.as_deref()))),
                Err(broken) => Some(last_words(in_flight, farewell).ok_or(broken)),
            }),
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

/// What is said, once, where the right to it has ended.
fn last_words(in_flight: &InFlight, farewell: &mut Option<Farewell>) -> Option<Frame<Bytes>> {
    let reason = in_flight.lost_by()?;
    farewell.take().map(|farewell| Frame::trailers(farewell(reason)))
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
            None => self.broken_off(),
        }
    }
}
