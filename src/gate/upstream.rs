//! To the app and back. In: a permit and the rewritten request. Out: the app's answer, streaming. Must never send anything
//! without a permit, and never send a request twice that an app may have acted on.

mod connect;
mod http2;
pub mod in_flight;
mod open;
pub mod pool;
mod retry;
pub mod sender;
mod stream;
mod upgrade;

use super::body::{RequestBody, ResponseBody, Upload};
use super::decide::Permit;
use super::headers;
use super::visit::Visit;
use super::websocket::{Misunderstood, Wanted};
use crate::model::{Reason, Refusal};
use crate::snapshot::App;
use http::{HeaderMap, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use in_flight::{Expired, InFlight};
use pool::{ConnectError, Lease, Was};
use retry::Spare;
use sender::Failure;
use std::sync::Arc;

/// Why there is no answer of the app.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It can't be reached.
    #[error("the app can't be reached: {0}")]
    Connect(#[from] ConnectError),
    /// It took too long.
    #[error(transparent)]
    Expired(#[from] Expired),
    /// It answered something else than HTTP, or broke off.
    #[error("the app did not answer properly: {0}")]
    Exchange(hyper::Error),
    /// It answered something else than was asked.
    #[error(transparent)]
    Misunderstood(#[from] Misunderstood),
    /// It switched protocols, unasked.
    #[error("the app switches protocols, unasked")]
    Switched,
}

impl Error {
    /// What the client is told.
    fn refusal(&self, upload: Option<&Upload>) -> Reason {
        match self {
            Self::Exchange(_) if upload.is_some_and(Upload::broke) => Reason::BadRequest,
            Self::Connect(ConnectError::Full(_)) => Reason::UpstreamBusy,
            Self::Connect(_) => Reason::UpstreamUnreachable,
            Self::Expired(Expired::Upload) => Reason::UploadTooSlow,
            Self::Expired(_) => Reason::UpstreamTimeout,
            Self::Exchange(_) | Self::Misunderstood(_) | Self::Switched => Reason::UpstreamFailed,
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
    let wanted = Wanted::of(&mut request)?;
    let upload = request.body().upload();
    visit.trail.upload.clone_from(&upload);
    request.body_mut().pass_trailers(visit.snapshot.shared());
    let is_grpc = says(request.headers(), "application/grpc");
    let in_flight = InFlight::begin(visit.worker.pool.watch(), app.timeouts, upload.clone());
    let answered = in_flight.in_time(exchange(visit, app, &in_flight, request, wanted.is_some())).await;
    let answered = answered.and_then(|(mut response, lease)| {
        let switches = switches(wanted.as_ref(), &mut response, &lease)?;
        Ok((response, lease, switches))
    });
    let (mut response, lease, switches) = answered.map_err(|error| {
        tracing::warn!(%error, app = &*app.name, "an app failed");
        error.refusal(upload.as_deref())
    })?;
    headers::clean_response(visit, &mut response);
    if let Some(wanted) = wanted.filter(|_| switches) {
        return Ok(upgrade::join(visit, (permit, lease), wanted.client, response));
    }
    let is_stream = is_grpc || says(response.headers(), "text/event-stream");
    let (parts, body) = response.into_parts();
    in_flight.answered(body, lease, is_stream);
    Ok(Response::from_parts(parts, ResponseBody::app(in_flight)))
}

/// Whether this is the type of the content.
fn says(headers: &HeaderMap, kind: &str) -> bool {
    let start = headers.get(header::CONTENT_TYPE).and_then(|value| value.as_bytes().get(..kind.len()));
    start.is_some_and(|start| start.eq_ignore_ascii_case(kind.as_bytes()))
}

/// Whether a tunnel is open now.
fn switches(wanted: Option<&Wanted>, response: &mut Response<Incoming>, lease: &Lease) -> Result<bool, Error> {
    match wanted {
        Some(wanted) => Ok(wanted.answered(response, lease.is_multiplexed())?),
        None if response.status() == StatusCode::SWITCHING_PROTOCOLS => Err(Error::Switched),
        None => Ok(false),
    }
}

/// Sends the request until it is answered, or can't be sent again.
async fn exchange(
    visit: &mut Visit,
    app: &App,
    in_flight: &InFlight,
    mut request: Request<RequestBody>,
    tunnel: bool,
) -> Result<(Response<Incoming>, Lease), Error> {
    loop {
        let upstream = &app.upstream;
        visit.trail.upstream = Some(Arc::clone(upstream));
        in_flight.connecting();
        let slot = visit.worker.pool.slot(upstream, app.pooling);
        slot.budget.earn();
        let mut lease = match tunnel {
            true => slot.lease_tunnel(upstream, app.timeouts.connect, visit.gate()).await?,
            false => slot.lease(upstream, app.timeouts.connect, visit.gate()).await?,
        };
        let spare = Spare::of(&request, &mut lease, tunnel);
        in_flight.sent();
        request = match lease.sender().send(request).await {
            Ok(response) => return Ok((response, lease)),
            Err(Failure::Unsent(_)) if lease.was() == Was::New => return Err(ConnectError::Closed.into()),
            Err(Failure::Unsent(unsent)) => *unsent,
            Err(Failure::Sent(error)) => match spare.map(|spare| spare.again(&error, &slot.budget)) {
                Some(Some(again)) => again,
                _ => return Err(Error::Exchange(error)),
            },
        };
    }
}
