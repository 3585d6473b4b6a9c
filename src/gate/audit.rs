//! The trail: exactly one record a visit, finished when the answer's body ends. In: what the rooms noted. Out: JSON lines,
//! written by a thread of its own. Must never block a worker, never record a query (it may hold secrets), and never let a
//! request through that could leave no trace, unless the operator chose that.

use super::body::ResponseBody;
use super::limit::Held;
use super::route::Routed;
use super::session::Known;
use super::target::Target;
use super::visit::{Connection, Visit, Worker};
use crate::model::identity::Acted;
use crate::model::{AppIndex, Reason, Refusal, RequestId, RuleId, Timestamp};
use crate::snapshot::Upstream;
use http::{Method, Response};
use prometheus::IntCounter;
use serde::Serialize;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

pub mod writer;

/// What the rooms note as a request passes.
pub struct Trail {
    pub(super) method: Method,
    pub(super) target: Option<Target>,
    pub(super) app: Option<(AppIndex, Arc<str>)>,
    pub(super) route: Option<Arc<str>>,
    pub(super) session: Option<Arc<Known>>,
    pub(super) acted: Option<Acted>,
    pub(super) rule: Option<RuleId>,
    pub(super) reason: Option<Reason>,
    pub(super) upstream: Option<Arc<Upstream>>,
    pub(super) bytes_in: Option<Arc<AtomicU64>>,
}

impl Trail {
    pub(super) const fn new(method: Method) -> Self {
        Self {
            method,
            target: None,
            app: None,
            route: None,
            session: None,
            acted: None,
            rule: None,
            reason: None,
            upstream: None,
            bytes_in: None,
        }
    }

    /// Notes where it goes.
    pub(super) fn place(&mut self, place: &Routed<'_>) {
        self.app = Some((place.app_index, Arc::clone(&place.app.name)));
        self.route = Some(Arc::clone(&place.route.label));
    }
}

/// One record, before it is written.
pub struct Record {
    pub(super) begun: Timestamp,
    pub(super) request_id: RequestId,
    pub(super) client: IpAddr,
    pub(super) trail: Trail,
    pub(super) status: u16,
    pub(super) bytes_out: u64,
    pub(super) complete: bool,
    pub(super) took: Duration,
}

/// The words of `decision`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Forwarded.
    Allow,
    /// Refused.
    Deny,
    /// Sent to sign in.
    Challenge,
    /// Answered by Doorward itself.
    Own,
}

impl Verdict {
    /// The word, for metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Challenge => "challenge",
            Self::Own => "own",
        }
    }

    pub(super) const fn of(reason: Reason) -> Self {
        match reason {
            Reason::Allowed | Reason::PublicRoute | Reason::Preflight => Self::Allow,
            Reason::UpstreamFailed | Reason::UpstreamTimeout | Reason::UpstreamUnreachable => Self::Allow,
            Reason::Reserved => Self::Own,
            Reason::NotSignedIn | Reason::SessionInvalid | Reason::SessionExpired | Reason::ProviderNotAccepted => Self::Challenge,
            _ => Self::Deny,
        }
    }
}

/// Where records go; one for the whole process.
#[derive(Clone)]
pub struct Sender {
    records: mpsc::Sender<Box<Record>>,
    queued: Arc<AtomicUsize>,
}

/// The other end of a [`Sender`].
pub struct Receiver {
    records: mpsc::Receiver<Box<Record>>,
    queued: Arc<AtomicUsize>,
}

/// How many records may wait to be written.
const CAPACITY: usize = 65_536;
/// How long and how often a request waits for the queue to drain before it is refused.
const PATIENCE: (Duration, u32) = (Duration::from_millis(20), 50);

/// A queue for records.
pub fn channel() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::channel();
    let queued = Arc::<AtomicUsize>::default();
    (Sender { records: sender, queued: Arc::clone(&queued) }, Receiver { records: receiver, queued })
}

/// Lets a visit begin when its record will find room.
pub async fn admit(visit: &Visit) -> Result<(), Refusal> {
    let full = || visit.gate().audit.queued.load(Ordering::Relaxed) >= CAPACITY;
    if !full() || visit.snapshot.audit_sheds {
        return Ok(());
    }
    let (pause, times) = PATIENCE;
    for _ in 0..times {
        tokio::time::sleep(pause).await;
        if !full() {
            return Ok(());
        }
    }
    Err(Reason::AuditUnavailable.into())
}

/// The end of a visit: when this is dropped, the record is on its way.
pub struct Ending {
    worker: Rc<Worker>,
    _connection: Rc<Connection>,
    _held: Option<Box<Held>>,
    record: Option<Box<Record>>,
    epoch: u64,
    started: Instant,
    /// How many bytes of the answer have passed.
    pub(super) bytes_out: u64,
    /// Whether the answer went out whole.
    pub(super) complete: bool,
}

/// Has the answer's body carry the record to its end.
pub fn follow(mut visit: Visit, response: Response<ResponseBody>) -> Response<ResponseBody> {
    let ending = Ending::new(&mut visit, response.status().as_u16());
    response.map(|mut body| {
        body.ending = Some(ending);
        body
    })
}

/// The client went away before there was an answer: the record says so, with the status that nginx made known for it.
pub(super) fn abandon(visit: &mut Visit) {
    visit.trail.reason.get_or_insert(Reason::Abandoned);
    drop(Ending::new(visit, 499));
}

impl Ending {
    fn new(visit: &mut Visit, status: u16) -> Self {
        visit.answered = true;
        let trail = std::mem::replace(&mut visit.trail, Trail::new(Method::GET));
        let Visit { now: begun, client, request_id, .. } = *visit;
        let record = Record { begun, request_id, client, trail, status, bytes_out: 0, complete: false, took: Duration::ZERO };
        let (worker, epoch, started) = (Rc::clone(&visit.worker), visit.snapshot.epoch, visit.started);
        Self {
            worker,
            _connection: Rc::clone(&visit.connection),
            _held: visit.held.take(),
            record: Some(Box::new(record)),
            epoch,
            started,
            bytes_out: 0,
            complete: false,
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Some(mut record) = self.record.take() else { return };
        record.took = self.started.elapsed();
        record.bytes_out = self.bytes_out;
        record.complete = self.complete;
        let verdict = record.trail.reason.map_or(Verdict::Deny, Verdict::of);
        self.worker.counters.count(
            &self.worker.gate.metrics,
            self.epoch,
            record.trail.app.as_ref(),
            verdict.as_str(),
            record.status,
            record.took,
        );
        self.worker.gate.audit.send(record, &self.worker.gate.metrics.lost_records);
    }
}

impl Sender {
    fn send(&self, record: Box<Record>, lost: &IntCounter) {
        // Beyond the bound only what was let in before the queue was full, or an operator who chose to shed.
        let before = self.queued.fetch_add(1, Ordering::Relaxed);
        if before >= CAPACITY * 2 || self.records.send(record).is_err() {
            self.queued.fetch_sub(1, Ordering::Relaxed);
            lost.inc();
        }
    }
}
