//! To the app and back. In: a permit and the rewritten request. Out: the app's answer, streaming. Must never send anything
//! without a permit, and never send a request twice that an app may have acted on.

pub mod announce;
pub mod balance;
mod connect;
mod endpoint;
pub mod health;
mod http2;
pub mod in_flight;
mod names;
mod open;
pub mod pool;
mod retry;
pub mod sender;
mod stream;
mod upgrade;

use super::body::{RequestBody, ResponseBody, Upload};
use super::decide::Permit;
use super::headers;
use super::right::Right;
use super::visit::Visit;
use super::websocket::{Misunderstood, Wanted};
use crate::model::{Reason, Refusal};
use crate::snapshot::servers::Servers;
use crate::snapshot::{App, Upstream};
use balance::{NoneHealthy, Way};
use http::{HeaderMap, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use in_flight::{Expired, InFlight};
use pool::{ConnectError, Lease, Slot, Was};
use retry::Spare;
use sender::Failure;
use std::pin::pin;
use std::rc::Rc;

/// Why there is no answer of the app.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// None of its servers works.
    #[error(transparent)]
    NoneHealthy(#[from] NoneHealthy),
    /// It can't be reached.
    #[error("the app can't be reached: {0}")]
    Connect(#[from] ConnectError),
    /// It took too long.
    #[error(transparent)]
    Expired(#[from] Expired),
    /// Where its answer ends, or what it switches to, is not clear.
    #[error("the app's answer can be read in more than one way")]
    Unclear,
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
            Self::Exchange(_) if upload.is_some_and(Upload::was_cut) => Reason::BodyTooLarge,
            Self::Exchange(_) if upload.is_some_and(Upload::broke) => Reason::BadRequest,
            Self::NoneHealthy(_) => Reason::NoHealthyUpstream,
            Self::Connect(ConnectError::Full(_)) => Reason::UpstreamBusy,
            Self::Connect(_) => Reason::UpstreamUnreachable,
            Self::Expired(Expired::Upload) => Reason::UploadTooSlow,
            Self::Expired(Expired::Refused(reason)) => *reason,
            Self::Expired(Expired::Access(_)) => Reason::AccessEnded,
            Self::Expired(_) => Reason::UpstreamTimeout,
            Self::Exchange(_) | Self::Misunderstood(_) | Self::Switched | Self::Unclear => Reason::UpstreamFailed,
        }
    }

    /// Whether it speaks against the server that was chosen: not where the client is to blame, or we are, nor where there was an
    /// answer after all.
    fn accuses(&self, upload: Option<&Upload>) -> bool {
        match self {
            Self::NoneHealthy(_) | Self::Misunderstood(_) | Self::Switched | Self::Unclear => false,
            Self::Connect(error) => !matches!(error, ConnectError::Full(_) | ConnectError::NoTunnel),
            Self::Expired(expired) => *expired == Expired::Answer || (*expired == Expired::Total && upload.is_none()),
            Self::Exchange(_) => !upload.is_some_and(|upload| upload.broke() || upload.was_cut()),
        }
    }
}

/// Forwards what was let through.
pub async fn forward(
    visit: &mut Visit,
    app: &App,
    permit: Permit,
    mut request: Box<Request<RequestBody>>,
) -> Result<Response<ResponseBody>, Refusal> {
    visit.trail.reason = Some(permit.reason());
    visit.trail.let_through = true;
    let wanted = Wanted::of(&mut request)?;
    let upload = request.body().upload();
    visit.trail.upload.clone_from(&upload);
    if let Some(index) = visit.trail.app {
        request.body_mut().pass_trailers(visit.snapshot.shared(), index);
    }
    let right = Right::new(visit, permit);
    let in_flight = InFlight::begin(visit.worker.pool.watch(), app.timeouts, upload.clone(), right);
    if upload.is_some() && may_talk(app, request.headers()) {
        in_flight.talks();
    }
    let answered = {
        let exchange = pin!(exchange(visit, app, &in_flight, request, wanted.is_some()));
        in_flight.in_time(exchange).await
    };
    let answered = answered.and_then(|(mut response, lease)| {
        if !headers::is_clear(&response) {
            return Err(Error::Unclear);
        }
        let switches = switches(wanted.as_ref(), &mut response, &lease)?;
        Ok((response, lease, switches))
    });
    let (mut response, lease, switches) = answered.map_err(|error| refuse(visit, app, &error, upload.as_deref()))?;
    headers::clean_response(visit, &mut response);
    if let Some(wanted) = wanted.filter(|_| switches) {
        return Ok(upgrade::join(visit, (in_flight, lease), wanted.client, response));
    }
    // What the client says of its request is not for the client to be spared by.
    let is_stream = ["application/grpc", "text/event-stream"].iter().any(|kind| says(response.headers(), kind));
    let is_grpc = is_stream && has_grpc_trailers(response.headers());
    let (parts, body) = response.into_parts();
    in_flight.answered(body, lease, is_stream, visit.reader());
    Ok(Response::from_parts(parts, ResponseBody::app(in_flight, is_grpc)))
}

/// What the client gets where there is no answer of the app.
fn refuse(visit: &mut Visit, app: &App, error: &Error, upload: Option<&Upload>) -> Refusal {
    match error {
        Error::Expired(Expired::Refused(_)) => visit.trail.let_through = false,
        Error::Expired(Expired::Access(reason)) => visit.trail.cause = Some(*reason),
        _ => tracing::warn!(%error, app = &*app.name, "an app failed"),
    }
    if error.accuses(upload) {
        balance::failed(visit, app);
    }
    error.refusal(upload).into()
}

/// Whether the client may go on talking at leisure before the app says anything: gRPC's streams of messages.
fn may_talk(app: &App, headers: &HeaderMap) -> bool {
    app.servers.as_ref().is_some_and(Servers::may_multiplex) && says(headers, "application/grpc")
}

/// Whether its status is in trailers: those of gRPC-Web are part of the body.
fn has_grpc_trailers(headers: &HeaderMap) -> bool {
    says(headers, "application/grpc") && !says(headers, "application/grpc-web")
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

/// Sends the request, to one server after the other, until it is answered or can't be sent again.
async fn exchange(
    visit: &mut Visit,
    app: &App,
    in_flight: &InFlight,
    mut request: Box<Request<RequestBody>>,
    tunnel: bool,
) -> Result<(Response<Incoming>, Lease), Error> {
    let (mut way, mut upstream) = Way::begin(visit, app)?;
    let (mut waited, mut left) = (false, retry::TIMES);
    loop {
        in_flight.connecting();
        let mut lease = connect(&mut way, app, &mut upstream, &mut waited, tunnel).await?;
        in_flight.ask_again(&way.visit().worker)?;
        lease.budget().earn();
        let spare = (left > 0).then(|| Spare::of(&request, &mut lease, tunnel || way.goes_on())).flatten();
        in_flight.sent();
        request = match lease.sender().send(request).await {
            Ok(response) => {
                balance::answered(way.visit(), app, response.status());
                return Ok((response, lease));
            }
            Err(Failure::Unsent(unsent)) => {
                if lease.was() == Was::New {
                    upstream = way.go_on(ConnectError::Closed)?;
                }
                unsent
            }
            Err(Failure::Sent(error)) => match spare.and_then(|spare| spare.again(&error, lease.budget())) {
                Some(again) => {
                    left -= 1;
                    // A server that says that it has not looked at a request has not failed. Where there is no other, the same
                    // one may do better over another connection.
                    if !retry::was_refused(&error) {
                        upstream = way.go_on(error).unwrap_or(upstream);
                    }
                    again
                }
                None => return Err(Error::Exchange(error)),
            },
        };
    }
}

/// A connection to this server, or to the first after it that has one.
async fn connect<'a>(
    way: &mut Way<'a>,
    app: &App,
    upstream: &mut &'a Upstream,
    waited: &mut bool,
    tunnel: bool,
) -> Result<Lease, ConnectError> {
    loop {
        let slot = announce::slot(way.visit(), upstream, app.pooling);
        if slot.is_taken()
            && let Some(other) = way.pass()
        {
            *upstream = other;
            continue;
        }
        match lease(way.visit(), app, &slot, upstream, tunnel).await {
            Err(error) if may_go_on(&error, waited) => *upstream = way.go_on(error)?,
            leased => return leased,
        }
    }
}

async fn lease(visit: &Visit, app: &App, slot: &Rc<Slot>, upstream: &Upstream, tunnel: bool) -> Result<Lease, ConnectError> {
    match tunnel {
        true => Box::pin(slot.lease_tunnel(upstream, app.timeouts.connect, visit.gate())).await,
        false => slot.lease(upstream, app.timeouts.connect, visit.gate()).await,
    }
}

/// Whether another server may be asked for a connection: that this one says no costs nothing, but one wait is enough.
fn may_go_on(error: &ConnectError, waited: &mut bool) -> bool {
    match error {
        ConnectError::Full(_) | ConnectError::NoTunnel => false,
        ConnectError::Timeout(_) => !std::mem::replace(waited, true),
        _ => true,
    }
}
