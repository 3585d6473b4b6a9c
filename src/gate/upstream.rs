//! To the app and back. In: a permit and the rewritten request. Out: the app's answer, streaming. Must never send anything
//! without a permit, and never send a request twice that an app may have seen.

pub mod pool;
mod upgrade;

use super::body::{RequestBody, ResponseBody};
use super::decide::Permit;
use super::headers;
use super::visit::Visit;
use crate::model::{Reason, Refusal};
use crate::snapshot::{App, Upstream};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use pool::{ConnectError, Lease};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long an app may take to begin its answer while nothing comes from the client; up to twice that after its last byte.
const FIRST_BYTE: Duration = Duration::from_secs(60);

/// Why there is no answer of the app.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be reached.
    #[error("the app can't be reached: {0}")]
    Connect(#[from] ConnectError),
    /// It did not begin to answer.
    #[error("the app did not answer in time")]
    Timeout,
    /// Where its answer ends, or what it switches to, is not clear.
    #[error("the app's answer can be read in more than one way")]
    Unclear,
    /// It answered something else than HTTP, or broke off.
    #[error("the app did not answer properly: {0}")]
    Exchange(hyper::Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        tracing::warn!(%error, "an app failed");
        match error {
            Error::Connect(_) => Reason::UpstreamUnreachable.into(),
            Error::Timeout => Reason::UpstreamTimeout.into(),
            // The one user of hyper's client is the body of the client's request: that is what broke off.
            Error::Exchange(error) if error.is_user() => Reason::BadRequest.into(),
            Error::Exchange(_) | Error::Unclear => Reason::UpstreamFailed.into(),
        }
    }
}

/// Forwards what was let through.
pub async fn forward(
    visit: &mut Visit,
    app: &App,
    permit: Permit,
    mut request: Request<RequestBody>,
) -> Result<Response<ResponseBody>, Refusal> {
    visit.trail.reason = Some(permit.reason());
    let upstream = app.upstream.as_ref().ok_or(Reason::UpstreamUnreachable)?;
    visit.trail.upstream = Some(Arc::clone(upstream));
    let sent = request.body().counter();
    visit.trail.bytes_in = Some(Arc::clone(&sent));
    announce_content(&mut request);
    let client = headers::wants_websocket(&request).then(|| hyper::upgrade::on(&mut request));
    let (mut response, lease) = in_time(&sent, exchange(visit, upstream, request)).await?;
    if !headers::is_clear(&response) {
        return Err(Error::Unclear.into());
    }
    headers::clean_response(visit, &mut response);
    match client {
        Some(client) if response.status() == StatusCode::SWITCHING_PROTOCOLS => Ok(upgrade::join(visit, permit, client, response)),
        None if response.status() == StatusCode::SWITCHING_PROTOCOLS => Err(Reason::UpstreamFailed.into()),
        _ => Ok(response.map(|body| ResponseBody::upstream(body, Some(lease)))),
    }
}

/// Over HTTP/2 content needs no header. hyper's client would drop that of a GET, which tells nobody that it has any.
fn announce_content(request: &mut Request<RequestBody>) {
    if !request.body().is_end_stream() && !request.headers().contains_key(CONTENT_LENGTH) {
        request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// The app's patience is tried only while nothing comes from the client: a long upload is not a slow app.
async fn in_time<T>(sent: &AtomicU64, exchange: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let mut exchange = std::pin::pin!(exchange);
    let mut before = sent.load(Ordering::Relaxed);
    loop {
        if let Ok(outcome) = tokio::time::timeout(FIRST_BYTE, exchange.as_mut()).await {
            return outcome;
        }
        let now = sent.load(Ordering::Relaxed);
        if std::mem::replace(&mut before, now) == now {
            return Err(Error::Timeout);
        }
    }
}

/// Sends the request over a pooled connection, or a new one where the pooled one has gone before it took anything.
async fn exchange(
    visit: &Visit,
    upstream: &Arc<Upstream>,
    mut request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Lease), Error> {
    let pool = &visit.worker.pool;
    while let Some(sender) = pool.take(upstream) {
        match send(sender, request).await {
            Ok((response, sender)) => return Ok((response, Lease::new(Rc::clone(pool), Arc::clone(upstream), sender))),
            Err(Failure::Unsent(unsent)) => request = *unsent,
            Err(Failure::Sent(error)) => return Err(Error::Exchange(error)),
        }
    }
    let sender = pool::connect(upstream, visit.gate()).await?;
    match send(sender, request).await {
        Ok((response, sender)) => Ok((response, Lease::new(Rc::clone(pool), Arc::clone(upstream), sender))),
        Err(Failure::Unsent(_)) => Err(Error::Connect(ConnectError::Closed)),
        Err(Failure::Sent(error)) => Err(Error::Exchange(error)),
    }
}

enum Failure {
    /// Nothing of it left: it may be sent again.
    Unsent(Box<Request<RequestBody>>),
    /// The app may have seen it.
    Sent(hyper::Error),
}

async fn send(
    mut sender: SendRequest<RequestBody>,
    request: Request<RequestBody>,
) -> Result<(Response<Incoming>, SendRequest<RequestBody>), Failure> {
    match sender.try_send_request(request).await {
        Ok(response) => Ok((response, sender)),
        Err(mut error) => Err(match error.take_message() {
            Some(unsent) => Failure::Unsent(Box::new(unsent)),
            None => Failure::Sent(error.into_error()),
        }),
    }
}
