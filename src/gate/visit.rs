//! One request's circumstances. In: the worker and the connection. Out: a [`Visit`], which every room reads. Must never
//! change its snapshot on the way.

mod circumstances;
pub mod client;
pub mod unread;

pub(super) use circumstances::Circumstances;

use super::audit::{self, Trail};
use super::body::{RequestBody, ResponseBody};
use super::device::{Presented, Shown, Told};
use super::route::{self, Site};
use super::session::{Cache, Recognized};
use super::target::Target;
use super::upstream::announce::Ends;
use super::upstream::balance::Chosen;
use super::upstream::pool::{Pool, Slot};
use super::{device, headers, limit};
use crate::assertion::Keys;
use crate::clock;
use crate::model::{Reason, Refusal, RequestId, Timestamp};
use crate::snapshot::{App, Snapshot, Upstream};
use crate::store::Store;
use crate::telemetry::metrics;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use rustls::pki_types::CertificateDer;
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::IpAddr;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;
use unread::{Reader, Unread};

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
    /// Who is on the other end, as far as proxies are trusted.
    pub client: IpAddr,
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
    /// The records that it has made and not yet given away.
    pub records: audit::Buffer,
    /// What it knows of certificates that proxies tell of.
    pub(super) told: Told,
    current: RefCell<Rc<InForce>>,
    next_id: Cell<u128>,
}

/// A configuration as one worker holds it. Its visits count their references to this: a count that all workers share would be
/// fought over at every request.
pub struct InForce(Arc<Snapshot>);

impl InForce {
    /// For what is not this worker's alone.
    pub(super) const fn shared(&self) -> &Arc<Snapshot> {
        &self.0
    }
}

impl Deref for InForce {
    type Target = Snapshot;
    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

impl Worker {
    /// A worker; `seed` makes its request ids its own.
    pub fn new(gate: Arc<Gate>, seed: u128) -> Self {
        Self {
            pool: Rc::default(),
            counters: metrics::gate::Counters::default(),
            records: audit::Buffer::new(gate.audit.clone(), gate.metrics.lost_records.clone()),
            told: Told::default(),
            current: RefCell::new(Rc::new(InForce(gate.snapshot.load_full()))),
            next_id: Cell::new(seed),
            gate,
        }
    }

    /// A name for one more visit.
    pub fn request_id(&self) -> RequestId {
        // A Weyl sequence through a multiplication: no two alike in a worker, and they don't look like a count.
        let next = self.next_id.get().wrapping_add(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        self.next_id.set(next);
        RequestId((next ^ (next >> 64)).wrapping_mul(0xDA94_2042_E4DD_58B5_A17D_6FBD_7C6B_9F85))
    }

    /// The configuration in force.
    pub(super) fn snapshot(&self) -> Rc<InForce> {
        let latest = self.gate.snapshot.load();
        let mut current = self.current.borrow_mut();
        if !Arc::ptr_eq(&current.0, &latest) {
            *current = Rc::new(InForce(Arc::clone(&latest)));
        }
        Rc::clone(&current)
    }

    /// Gives what was counted and recorded to those who collect it.
    pub fn settle(&self) {
        self.counters.flush();
        self.records.flush();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.settle();
    }
}

/// A client's connection, as its visits and tunnels hold it: while they do, it is in use.
pub struct Connection {
    /// The other end.
    pub peer: IpAddr,
    /// The same as an app is told it.
    peer_text: HeaderValue,
    /// Its two ends, where they are known.
    pub ends: Option<Ends>,
    /// The certificate that the client has shown.
    pub(super) shown: Shown,
    /// Connections to servers that were told of this one.
    pub(super) announced: RefCell<Vec<Rc<Slot>>>,
    /// How many requests have come by it.
    pub visits: Cell<u64>,
    /// How many of them were given up by the client before they were answered; forgotten little by little.
    pub given_up: Cell<u32>,
    /// The number of the visit that has just begun, for whoever runs it on.
    pub begun: Cell<Option<u64>>,
    /// Answers that wait to be read.
    pub unread: Unread,
    /// Whether something of the body of the last request may still come.
    pub has_body: Cell<bool>,
    /// What counts it as open, for limits, metrics and the end of the process: until its last visit and tunnel has gone.
    _open: Box<dyn Any>,
    /// The session that its last request had.
    pub(super) recognized: RefCell<Option<Rc<Recognized>>>,
}

impl Connection {
    /// A connection from this address; while it is there, it holds `open`.
    pub fn new(peer: IpAddr, open: Box<dyn Any>) -> Self {
        let peer = peer.to_canonical();
        Self {
            peer,
            peer_text: text(&peer),
            ends: None,
            shown: Shown::default(),
            announced: RefCell::default(),
            visits: Cell::new(0),
            given_up: Cell::new(0),
            begun: Cell::new(None),
            unread: Unread::default(),
            has_body: Cell::new(false),
            _open: open,
            recognized: RefCell::default(),
        }
    }
}

impl Connection {
    /// The same with its two ends.
    pub fn between(self, ends: Option<Ends>) -> Self {
        Self { ends, ..self }
    }

    /// The same with the certificate that its client has shown, and those that are said to vouch for it.
    pub fn showing(self, certificates: Option<Box<[CertificateDer<'static>]>>) -> Self {
        Self { shown: Shown::from(certificates), ..self }
    }
}

/// One request's circumstances. When it is dropped, its record is written: exactly one a visit, whatever became of it.
pub struct Visit {
    /// The worker that answers it.
    pub worker: Rc<Worker>,
    /// The connection that it came by.
    pub connection: Rc<Connection>,
    /// Which of the visits of its connection it is.
    number: u64,
    /// The configuration that it is judged by.
    pub snapshot: Rc<InForce>,
    /// When it began, by the coarse clock.
    pub now: Timestamp,
    /// When it began, for durations.
    pub started: Instant,
    /// Who is on the other end, as far as proxies are trusted; the proxy itself where that is not clear.
    pub client: IpAddr,
    /// The same as an app is told it.
    pub client_text: HeaderValue,
    /// What was told of devices and risks when it began, as its worker counts that.
    pub(super) told: u64,
    /// Whether trusted proxies say one thing of who is on the other end. Nothing is decided for anybody else.
    pub(super) client_is_clear: bool,
    /// The certificate that the client has shown; nothing where it has shown none.
    pub certificate: Option<Rc<Presented>>,
    /// Its name.
    pub request_id: RequestId,
    /// The same as a header says it.
    pub name: HeaderValue,
    /// What audit will say of it.
    pub trail: Trail,
    /// The server that it went to, the last one where there were several. Counts it there until its answer is over.
    pub(super) chosen: Option<Chosen>,
    /// Its place among the requests in flight, where they are limited.
    pub(super) held: Option<Box<limit::Held>>,
    /// The status of its answer, or what stands for one where the client went away before.
    pub(super) status: u16,
    /// Whether there was an answer.
    pub(super) answered: bool,
    /// How many bytes of the answer have passed.
    pub(super) bytes_out: u64,
    /// Whether the answer went out whole.
    pub(super) complete: bool,
}

/// The status of a visit that got no answer, because the client went away: the one that nginx made known for it.
const ABANDONED: u16 = 499;

impl Visit {
    /// A visit begins.
    pub fn begin(worker: Rc<Worker>, connection: Rc<Connection>, headers: &HeaderMap, method: &http::Method) -> Box<Self> {
        let snapshot = worker.snapshot();
        let vouched = client::client(connection.peer, headers, &snapshot.trusted_proxies);
        let client = vouched.unwrap_or(connection.peer);
        let client_text = if client == connection.peer { connection.peer_text.clone() } else { text(&client) };
        let now = clock::now();
        let told = worker.pool.watch().told();
        let certificate = device::certificate(&worker, &connection, &snapshot, headers, now);
        let request_id = worker.request_id();
        let number = connection.visits.get() + 1;
        connection.visits.set(number);
        connection.begun.set(Some(number));
        Box::new(Self {
            connection,
            number,
            snapshot,
            now,
            started: Instant::now(),
            client,
            client_text,
            told,
            client_is_clear: vouched.is_some(),
            certificate,
            request_id,
            name: request_id.header(),
            trail: Trail::new(method.clone()),
            chosen: None,
            held: None,
            status: ABANDONED,
            answered: false,
            bytes_out: 0,
            complete: false,
            worker,
        })
    }

    /// What all workers share.
    pub fn gate(&self) -> &Gate {
        &self.worker.gate
    }

    /// Whoever its answer is for.
    pub(super) fn reader(&self) -> Reader {
        Reader::new(Rc::clone(&self.connection), self.number)
    }

    /// The answer is our own and made: it takes nobody's place any more, and waits for its reader.
    pub(super) fn waits(&mut self) {
        self.held = None;
        self.connection.unread.begin(self.number);
    }

    /// The app that it goes to, once that is known.
    pub fn app(&self) -> Option<&App> {
        self.snapshot.app(self.trail.app?)
    }

    /// The server that it went to.
    pub fn upstream(&self) -> Option<&Upstream> {
        Some(&*self.app()?.servers.as_ref()?.at(self.chosen.as_ref()?.index)?.upstream)
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        if !self.answered {
            self.connection.given_up.set(self.connection.given_up.get() + 1);
        }
        self.connection.unread.end(self.number);
        if self.trail.upload.as_ref().is_some_and(|upload| upload.has_ended()) {
            self.connection.has_body.set(false);
        }
        audit::record(self);
    }
}

/// An address as a header says it.
fn text(address: &IpAddr) -> HeaderValue {
    // The digits, dots and colons of an address are fit for a header.
    HeaderValue::from_str(&address.to_string()).unwrap_or(HeaderValue::from_static("unknown"))
}

/// Has a request under `/.doorward/` answered.
pub async fn hand_over(
    visit: &mut Visit,
    target: &Target,
    site: Site,
    request: Request<RequestBody>,
) -> Result<Response<ResponseBody>, Refusal> {
    let own = limit::enter_own(visit, target.path())?;
    if !route::is_for_any_device(target.path()) {
        device::admit(visit.circumstances())?;
    }
    let snapshot = Arc::clone(visit.snapshot.shared());
    let (host, authority) = (target.host().to_owned(), target.authority().to_owned());
    let (upload, request) = (request.body().upload(), request.map(RequestBody::moved));
    let asked = ReservedRequest { request, snapshot, host, authority, site, client: visit.client };
    let answered = own.wait(upload.as_deref(), (visit.gate().reserved)(asked)).await;
    let mut response = limit::proved(visit, target.path(), answered)?;
    visit.trail.reason = Some(Reason::Reserved);
    visit.trail.acted = response.extensions_mut().remove();
    headers::name(visit, response.headers_mut());
    headers::response::secure(response.headers_mut(), visit.snapshot.security(target.host()));
    Ok(response.map(ResponseBody::full))
}
