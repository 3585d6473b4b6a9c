//! To the app and back. In: a permit and the rewritten request. Out: the app's answer, streaming. Must never send anything
//! without a permit, and never send a request twice that an app may have seen.

pub mod balance;
mod connect;
pub mod health;
mod http2;
pub mod pool;
pub mod sender;
mod stream;
mod upgrade;

use super::body::{RequestBody, ResponseBody};
use super::decide::Permit;
use super::headers;
use super::visit::Visit;
use crate::model::{Reason, Refusal};
use crate::snapshot::{App, Upstream};
use balance::{Chosen, Tried};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use pool::{ConnectError, Lease};
use sender::Failure;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long to try to connect.
const CONNECT: Duration = Duration::from_secs(5);
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
            Error::Exchange(_) => Reason::UpstreamFailed.into(),
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
    let mut chosen = balance::choose(visit, app, &permit, Tried::default()).map_err(|_| Reason::NoHealthyUpstream)?;
    visit.trail.server = Some(chosen.index);
    visit.occupied = chosen.occupied();
    let sent = request.body().counter();
    visit.trail.bytes_in = Some(Arc::clone(&sent));
    let client = headers::wants_websocket(&request).then(|| hyper::upgrade::on(&mut request));
    let (mut response, lease) =
        in_time(&sent, exchange(visit, chosen.upstream(), request)).await.inspect_err(|error| blame(&chosen, visit, error))?;
    chosen.answered(visit, response.status());
    headers::clean_response(visit, &mut response);
    match client {
        Some(client) if response.status() == StatusCode::SWITCHING_PROTOCOLS => Ok(upgrade::join(visit, permit, client, response)),
        None if response.status() == StatusCode::SWITCHING_PROTOCOLS => Err(Reason::UpstreamFailed.into()),
        _ => Ok(response.map(|body| ResponseBody::upstream(body, Some(lease)))),
    }
}

/// What the client broke off is not the server's fault.
fn blame(chosen: &Chosen<'_>, visit: &Visit, error: &Error) {
    if !matches!(error, Error::Exchange(error) if error.is_user()) {
        chosen.failed(visit);
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
    upstream: &Upstream,
    mut request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Lease), Error> {
    let slot = visit.worker.pool.slot(upstream);
    while let Some(mut lease) = slot.take() {
        match lease.sender().send(request).await {
            Ok(response) => return Ok((response, lease)),
            Err(Failure::Unsent(unsent)) => request = *unsent,
            Err(Failure::Sent(error)) => return Err(Error::Exchange(error)),
        }
    }
    let mut lease = slot.add(pool::connect(upstream, CONNECT, visit.gate()).await?);
    match lease.sender().send(request).await {
        Ok(response) => Ok((response, lease)),
        Err(Failure::Unsent(_)) => Err(Error::Connect(ConnectError::Closed)),
        Err(Failure::Sent(error)) => Err(Error::Exchange(error)),
    }
}
