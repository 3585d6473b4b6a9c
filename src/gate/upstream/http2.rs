//! HTTP/2 towards a server: one connection that takes many requests at a time. In: a stream of bytes. Out: a
//! [`Multiplexed`]. Must never open more streams than the server allows.

use super::open::Open;
use super::stream::Stream;
use crate::gate::body::RequestBody;
use crate::gate::listen::OnThisThread;
use crate::gate::websocket;
use crate::snapshot::Upstream;
use crate::snapshot::upstream::Transport;
use http::uri::{Authority, Parts, Scheme};
use http::{HeaderValue, Method, Request, Response, Uri, Version, header};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

/// What stands for the number of streams until the server has said how many it takes: a number that hardly any server says.
const UNTOLD: usize = 97;
/// How often, and for how long, to look whether it has.
const TOLD: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));
/// The most that is read ahead of one client, in bytes.
const WINDOW: u32 = 128 * 1024;
/// The most requests at a time, whatever a server says.
const STREAMS: u8 = 128;
/// How often a connection with requests on it is asked whether it is still there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// The largest head of an answer, in bytes.
const HEAD_SIZE: u32 = 64 * 1024;

/// An open connection.
pub(super) struct Multiplexed {
    sender: SendRequest<RequestBody>,
    scheme: Scheme,
    /// How many requests are on it.
    streams: Cell<usize>,
    /// How many the server takes; one, until it has said so.
    limit: Cell<usize>,
    /// The server has yet to say what it takes.
    settling: Cell<bool>,
    /// When the last request on it ended.
    since: Cell<Instant>,
    /// Whether the server takes WebSockets.
    tunnels: Cell<bool>,
    /// Has the connection looked after, which is when `limit` and `tunnels` are brought up to date.
    driver: Cell<Option<Waker>>,
    open: Arc<Open>,
}

/// A stream of a connection, for one request.
pub struct Share(Rc<Multiplexed>);

impl Multiplexed {
    /// Begins to speak HTTP/2; `open` is told when there is room again.
    pub(super) async fn open(upstream: &Upstream, stream: Stream, open: Arc<Open>) -> hyper::Result<Rc<Self>> {
        let mut builder = Builder::new(OnThisThread);
        builder
            .timer(TokioTimer::new())
            .initial_max_send_streams(UNTOLD)
            .initial_stream_window_size(WINDOW)
            // Room for all of them: clients that don't read must not be in the way of those that do.
            .initial_connection_window_size(WINDOW * u32::from(STREAMS))
            .max_header_list_size(HEAD_SIZE)
            .max_send_buf_size(64 * 1024)
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        let multiplexed = Rc::new(Self {
            sender,
            scheme: if matches!(upstream.transport(), Transport::Tls(_)) { Scheme::HTTPS } else { Scheme::HTTP },
            streams: Cell::new(0),
            limit: Cell::new(1),
            settling: Cell::new(true),
            since: Cell::new(Instant::now()),
            tunnels: Cell::new(false),
            driver: Cell::new(None),
            open,
        });
        tokio::task::spawn_local(drive(connection, Rc::downgrade(&multiplexed)));
        tokio::task::spawn_local(settle(Rc::clone(&multiplexed)));
        Ok(multiplexed)
    }

    /// Whether it takes one more request now.
    pub(super) fn has_room(&self) -> bool {
        !self.sender.is_closed() && self.streams.get() < self.limit.get()
    }

    /// Whether it takes no more requests for good.
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// For how long no request has been on it.
    pub(super) fn idle(&self) -> Option<Duration> {
        (self.streams.get() == 0).then(|| self.since.get().elapsed())
    }

    /// Whether it may take more requests in a moment.
    pub(super) fn is_settling(&self) -> bool {
        self.settling.get() && !self.sender.is_closed()
    }

    /// Whether the server takes WebSockets: it says so when the connection begins.
    pub(super) async fn takes_tunnels(&self) -> bool {
        while self.is_settling() {
            tokio::time::sleep(TOLD.0).await;
        }
        self.tunnels.get()
    }
}

impl Share {
    /// One more request begins.
    pub(super) fn of(connection: &Rc<Multiplexed>) -> Self {
        connection.streams.set(connection.streams.get() + 1);
        Self(Rc::clone(connection))
    }

    /// What it is a stream of.
    pub(super) const fn connection(&self) -> &Rc<Multiplexed> {
        &self.0
    }

    /// Sends a request that is written for HTTP/1.1.
    pub(super) fn send(
        &self,
        mut request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<> {
        adapt(&mut request, &self.0.scheme);
        self.0.sender.clone().try_send_request(request)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.0.streams.set(self.0.streams.get().saturating_sub(1));
        if self.0.streams.get() == 0 {
            self.0.since.set(Instant::now());
        }
        self.0.open.notify();
    }
}

/// Makes an HTTP/2 request of one for HTTP/1.1: the host moves into the URI (RFC 9113, section 8.3.1).
fn adapt<B>(request: &mut Request<B>, scheme: &Scheme) {
    if websocket::wants(request) {
        websocket::ask_by_connect(request);
    }
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove(header::CONNECTION);
    let Some(host) = request.headers_mut().remove(header::HOST) else { return };
    let Ok(authority) = Authority::from_maybe_shared(host) else { return };
    let mut parts = Parts::default();
    parts.path_and_query = request.uri().path_and_query().cloned();
    (parts.scheme, parts.authority) = (Some(scheme.clone()), Some(authority));
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// Makes one for HTTP/1.1 of it again: the next connection may speak that.
pub(super) fn restore<B>(request: &mut Request<B>) {
    if request.version() != Version::HTTP_2 {
        return;
    }
    *request.version_mut() = Version::HTTP_11;
    let parts = std::mem::take(request.uri_mut()).into_parts();
    if let Some(host) = parts.authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok()) {
        request.headers_mut().insert(header::HOST, host);
    }
    *request.uri_mut() = parts.path_and_query.map_or_else(Uri::default, Uri::from);
    if request.method() == Method::CONNECT {
        websocket::ask_by_upgrade(request);
    }
}

/// Reads and writes until the connection ends, and keeps what the server has said of it.
async fn drive(connection: Connection<TokioIo<Stream>, RequestBody, OnThisThread>, of: Weak<Multiplexed>) {
    let mut connection = pin!(connection);
    let ended = poll_fn(|context| {
        let polled = connection.as_mut().poll(context);
        if let Some(multiplexed) = of.upgrade() {
            let limit = connection.current_max_send_streams();
            if limit != UNTOLD {
                multiplexed.limit.set(limit.min(STREAMS.into()));
                multiplexed.settling.set(false);
            }
            multiplexed.tunnels.set(connection.is_extended_connect_protocol_enabled());
            multiplexed.driver.set(Some(context.waker().clone()));
        }
        polled
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "a connection to an app ended");
    }
}

/// Waits until the server has said what it takes, and tells those who wait for it; hyper has no sign for it.
async fn settle(multiplexed: Rc<Multiplexed>) {
    let looking = async {
        while multiplexed.is_settling() {
            tokio::time::sleep(TOLD.0).await;
            if let Some(driver) = multiplexed.driver.take() {
                driver.wake();
                tokio::task::yield_now().await;
            }
        }
    };
    // Whether it has is seen below.
    let _ = tokio::time::timeout(TOLD.1, looking).await;
    if multiplexed.settling.replace(false) {
        // It has had the time: it says nothing, or this very number.
        multiplexed.limit.set(UNTOLD);
    }
    multiplexed.open.notify_all();
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use http::header::{CONNECTION, HOST, SEC_WEBSOCKET_KEY, UPGRADE};

    #[test]
    fn what_was_written_for_http2_and_did_not_leave_can_still_be_sent_by_http1() {
        let plain = [(HOST, "a.example:8443"), (header::ACCEPT, "*/*")];
        let tunnel = [(HOST, "a.example"), (CONNECTION, "upgrade"), (UPGRADE, "websocket"), (SEC_WEBSOCKET_KEY, "abc")];
        for headers in [&plain[..], &tunnel] {
            let mut request = Request::get("/a%2Fb?c=%20").body(()).unwrap();
            for (name, value) in headers {
                request.headers_mut().insert(name, HeaderValue::from_static(value));
            }
            let before = (request.method().clone(), request.uri().clone(), request.version(), request.headers().clone());
            for _ in 0..2 {
                adapt(&mut request, &Scheme::HTTPS);
                assert_eq!((request.version(), request.headers().get(HOST)), (Version::HTTP_2, None));
                restore(&mut request);
                let after = (request.method().clone(), request.uri().clone(), request.version(), request.headers().clone());
                assert_eq!(after, before);
            }
        }
    }
}
