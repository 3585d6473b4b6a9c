//! One request's circumstances. In: the worker and the connection. Out: a [`Visit`], which every room reads. Must never
//! change its snapshot on the way.

use super::audit::{self, Trail};
use super::body::{RequestBody, ResponseBody};
use super::route::Site;
use super::session::Cache;
use super::target::Target;
use super::upstream::pool::Pool;
use super::{headers, limit};
use crate::assertion::Keys;
use crate::clock;
use crate::model::{Reason, Refusal, RequestId, Timestamp};
use crate::snapshot::Snapshot;
use crate::store::Store;
use crate::telemetry::metrics;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use ipnet::IpNet;
use std::cell::Cell;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// What all workers share.
pub struct Gate {
    /// The configuration in force.
    pub snapshot: Arc<ArcSwap<Snapshot>>,
    /// Sessions, on a cache miss.
    pub store: Arc<Store>,
    /// Keys that sign assertions.
    pub keys: Arc<Keys>,
    /// Sessions, on a hit.
    pub sessions: Cache,
    /// Where audit records go.
    pub audit: audit::Sender,
    /// What is counted.
    pub metrics: metrics::Gate,
    /// How often things were asked for.
    pub limits: limit::Counts,
    /// Who answers under `/.doorward/`.
    pub reserved: Reserved,
}

/// A request under `/.doorward/`, for whoever answers those.
pub struct ReservedRequest {
    /// The request.
    pub request: Request<RequestBody>,
    /// The configuration in force.
    pub snapshot: Arc<Snapshot>,
    /// The host, lower case, no port.
    pub host: String,
    /// `host` or `host:port`.
    pub authority: String,
    /// Whose host it is.
    pub site: Site,
}

/// The future of an answer.
pub type Answer = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Refusal>> + Send>>;
/// Answers requests under `/.doorward/`, on another runtime.
pub type Reserved = Box<dyn Fn(ReservedRequest) -> Answer + Send + Sync>;

/// What one worker has for itself.
pub struct Worker {
    /// What all workers share.
    pub gate: Arc<Gate>,
    /// Connections to upstreams.
    pub pool: Rc<Pool>,
    /// The counters that it uses.
    pub counters: metrics::gate::Counters,
    next_id: Cell<u128>,
}

impl Worker {
    /// A worker; `seed` makes its request ids its own.
    pub fn new(gate: Arc<Gate>, seed: u128) -> Self {
        Self { gate, pool: Rc::default(), counters: metrics::gate::Counters::default(), next_id: Cell::new(seed) }
    }

    /// A name for one more visit.
    pub fn request_id(&self) -> RequestId {
        // A Weyl sequence through a multiplication: no two alike in a worker, and they don't look like a count.
        let next = self.next_id.get().wrapping_add(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        self.next_id.set(next);
        RequestId((next ^ (next >> 64)).wrapping_mul(0xDA94_2042_E4DD_58B5_A17D_6FBD_7C6B_9F85))
    }
}

/// A client's connection, as its visits and tunnels hold it: while they do, it is in use.
pub struct Connection {
    /// The other end.
    pub peer: IpAddr,
    /// How many requests have come by it.
    pub visits: Cell<u64>,
    /// Held for as long as the process must wait for this connection when it drains.
    pub open: Rc<()>,
}

impl Connection {
    /// A connection from this address.
    pub const fn new(peer: IpAddr, open: Rc<()>) -> Self {
        Self { peer, visits: Cell::new(0), open }
    }
}

/// One request's circumstances.
pub struct Visit {
    /// The worker that answers it.
    pub worker: Rc<Worker>,
    /// The connection that it came by.
    pub connection: Rc<Connection>,
    /// The configuration that it is judged by.
    pub snapshot: Arc<Snapshot>,
    /// When it began, by the coarse clock.
    pub now: Timestamp,
    /// When it began, for durations.
    pub started: Instant,
    /// Who is on the other end, as far as proxies are trusted.
    pub client: IpAddr,
    /// Its name.
    pub request_id: RequestId,
    /// What audit will say of it.
    pub trail: Trail,
    /// Its place among the requests in flight, where they are limited.
    pub(super) held: Option<Box<limit::Held>>,
    /// Whether its record is in the hands of an answer.
    pub(super) answered: bool,
}

impl Visit {
    /// A visit begins.
    pub fn begin(worker: Rc<Worker>, connection: Rc<Connection>, headers: &HeaderMap, method: &http::Method) -> Self {
        let snapshot = worker.gate.snapshot.load_full();
        let client = client(connection.peer, headers, &snapshot.trusted_proxies);
        let request_id = worker.request_id();
        let now = clock::now();
        connection.visits.set(connection.visits.get() + 1);
        Self {
            connection,
            snapshot,
            now,
            started: Instant::now(),
            client,
            request_id,
            trail: Trail::new(method.clone()),
            held: None,
            answered: false,
            worker,
        }
    }

    /// What all workers share.
    pub fn gate(&self) -> &Gate {
        &self.worker.gate
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if !self.answered {
            audit::abandon(self);
        }
    }
}

/// The nearest address that is not a trusted proxy: from the connection inwards, `X-Forwarded-For` from the right.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: &IpAddr| trusted.iter().any(|net| net.contains(address));
    let mut client = peer.to_canonical();
    if trusted.is_empty() || !is_trusted(&client) {
        return client;
    }
    let lines: Vec<&str> = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok()).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
        client = address.to_canonical();
        if !is_trusted(&client) {
            break;
        }
    }
    client
}

/// Has a request under `/.doorward/` answered.
pub async fn hand_over(
    visit: &mut Visit,
    target: &Target,
    site: Site,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Refusal> {
    let snapshot = Arc::clone(&visit.snapshot);
    let (host, authority) = (target.host().to_owned(), target.authority().to_owned());
    let request = request.map(RequestBody::new);
    let asked = ReservedRequest { request, snapshot, host, authority, site };
    let mut response = (visit.gate().reserved)(asked).await?;
    visit.trail.reason = Some(Reason::Reserved);
    visit.trail.acted = response.extensions_mut().remove();
    headers::name(visit, response.headers_mut());
    headers::response::secure(response.headers_mut(), visit.snapshot.security(target.host()));
    Ok(response.map(ResponseBody::full))
}
