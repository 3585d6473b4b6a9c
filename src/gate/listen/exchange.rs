//! HTTP over one connection. In: a TLS stream. Out: visits, one a request. Must never keep buffers for a connection on which
//! nothing happens: a client may hold thousands of those open.

use super::conduct::{Ease, Outcome, conduct};
use super::local::{Guest, Phase};
use super::streams::Streams;
use super::ticks::{STROKE, strokes};
use super::wire::{Seen, Wire};
use super::{HEAD, HEAD_SIZE, IDLE, READ_SIZE};
use crate::gate::body::ResponseBody;
use crate::gate::serve;
use crate::gate::target::Unclear;
use crate::gate::tls::TlsStream;
use crate::gate::visit::Visit;
use crate::model::Reason;
use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

/// On the heap, so that it moves from one state of a connection to the next as a pointer.
type Stream = Box<TlsStream>;

/// How much of the time for a head is left when it is known to have begun a stroke or two ago.
const REST_OF_HEAD: Duration = HEAD.saturating_sub(STROKE);
/// How long a client may take to hear that it is over.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves a connection until it ends.
pub(super) async fn exchange(mut stream: Stream, guest: Guest) -> hyper::Result<()> {
    if stream.speaks_h2() {
        return if is_spoken_to(&mut stream, &guest).await { Box::pin(http2(stream, &guest)).await } else { Ok(()) };
    }
    let mut before = Bytes::new();
    while !before.is_empty() || is_spoken_to(&mut stream, &guest).await {
        match Box::pin(http1(stream, before, &guest)).await? {
            Some(rested) => (stream, before) = rested,
            None => break,
        }
    }
    Ok(())
}

/// Waits for the beginning of a request, with nothing but the TLS session in memory; false when it is not to be waited for.
async fn is_spoken_to(stream: &mut Stream, guest: &Guest) -> bool {
    let mut left = strokes(IDLE);
    while guest.local.phase.get() != Phase::Closing {
        guest.alarm.set(left);
        let filled = std::future::poll_fn(|context| stream.poll_filled(context));
        match guest.alarm.or(std::pin::pin!(filled)).await {
            Some(filled) => return filled.unwrap_or(false),
            // It did not ring because the time was over, but because the process stops.
            None if guest.local.phase.get() == Phase::Lingering && left > 0 => left = 0,
            None => break,
        }
    }
    // That the client has gone is as good as that it was told.
    let _ = tokio::time::timeout(FAREWELL, stream.shutdown()).await;
    false
}

/// HTTP/1.1 until the connection is over or rests; then the stream, and what was read of the next request.
async fn http1(stream: Stream, before: Bytes, guest: &Guest) -> hyper::Result<Option<(Stream, Bytes)>> {
    let begun = !before.is_empty();
    let (seen, visits) = (Arc::<Seen>::default(), guest.connection.visits.get());
    let mut builder = h1_builder();
    if begun {
        builder.header_read_timeout(REST_OF_HEAD);
    }
    let wire = TokioIo::new(Wire::new(stream, before, Arc::clone(&seen)));
    let (of_service, of_answer) = (Rc::clone(&guest.connection), Rc::clone(&guest.local));
    let of_wire = Arc::clone(&seen);
    let service = service_fn(move |mut request: Request<Incoming>| {
        if !of_wire.next_is_clear() {
            request.extensions_mut().insert(Unclear);
        }
        of_service.has_body.set(!request.body().is_end_stream());
        let local = Rc::clone(&of_answer);
        let visit = Visit::begin(Rc::clone(&local.worker), Rc::clone(&of_service), request.headers(), request.method());
        let answer = serve(visit, request);
        async move { Ok::<_, Infallible>(last(answer.await, local.phase.get())) }
    });
    let mut exchange = builder.serve_connection(wire, service).with_upgrades();
    // A body that is still on its way is not the next request: such a connection is never taken apart.
    let can_rest = || !guest.connection.has_body.get() && (!begun || guest.connection.visits.get() > visits);
    let ease = || match seen.is_flushed() {
        true if can_rest() => Ease::Rests,
        true => Ease::Flushed,
        false => Ease::Unknown,
    };
    match conduct(std::pin::Pin::new(&mut exchange), guest, ease).await.inspect_err(|error| record_unread(error, guest))? {
        Outcome::Ended => Ok(None),
        Outcome::Rests => {
            // The headers of an identity are a part of it.
            guest.connection.recognized.take();
            Ok(exchange.into_parts().map(|parts| {
                // Nothing read is a part of a buffer too, and would keep all of it.
                let before = Some(parts.read_buf).filter(|read| !read.is_empty());
                (parts.io.into_inner().into_inner(), before.unwrap_or_default())
            }))
        }
    }
}

/// hyper answers a head that it can't read by itself: a record tells of it all the same, with neither method nor target.
fn record_unread(error: &hyper::Error, guest: &Guest) {
    if !error.is_parse() {
        return;
    }
    let (worker, connection) = (Rc::clone(&guest.local.worker), Rc::clone(&guest.connection));
    let method = Method::from_bytes(b"-").unwrap_or_default();
    let mut visit = Visit::begin(worker, connection, &HeaderMap::new(), &method);
    visit.trail.reason = Some(Reason::BadRequest);
    visit.status = if error.is_parse_too_large() { 431 } else { 400 };
    visit.answered = true;
}

/// While the process stops, an answer is the last of its connection, and says so.
fn last(mut response: Response<ResponseBody>, phase: Phase) -> Response<ResponseBody> {
    if phase != Phase::Serving && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn http2(stream: Stream, guest: &Guest) -> hyper::Result<()> {
    let (connection, worker) = (Rc::clone(&guest.connection), Rc::clone(&guest.local.worker));
    let service = service_fn(move |request: Request<Incoming>| {
        let visit = Visit::begin(Rc::clone(&worker), Rc::clone(&connection), request.headers(), request.method());
        serve(visit, request).map(Ok::<_, Infallible>)
    });
    let exchange = h2_builder(Streams::of(Rc::clone(&guest.connection))).serve_connection(TokioIo::new(stream), service);
    conduct(std::pin::pin!(exchange), guest, || Ease::Unknown).await.map(drop)
}

fn h1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The alarm of the connection keeps the time of heads: a timer for each request would cost.
    builder.timer(TokioTimer::new()).header_read_timeout(None);
    builder.max_header_size(HEAD_SIZE).max_buf_size(READ_SIZE);
    builder
}

fn h2_builder(streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_header_list_size(u32::try_from(HEAD_SIZE).unwrap_or(u32::MAX))
        .max_concurrent_streams(128)
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}
