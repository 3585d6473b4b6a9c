//! The trail: exactly one record a visit, written when the visit is dropped: at the end of its answer's body, or when its client
//! goes away. In: what the rooms noted. Out: JSON lines, gathered by each worker and written by a thread of its own. Must never
//! block a worker, never record a query (it may hold secrets), and never let a request through that could leave no trace, unless
//! the operator chose that.

pub mod buffer;
mod file;
mod line;
mod which;
pub mod writer;

pub use buffer::Buffer;

use super::body::{ResponseBody, Upload};
use super::decide::Shadow;
use super::route::Routed;
use super::session::Recognized;
use super::signals::Signals;
use super::target::Target;
use super::visit::Visit;
use crate::clock;
use crate::model::identity::Acted;
use crate::model::{AppIndex, Reason, Refusal};
use crate::policy::RuleIndex;
use crate::snapshot::RouteIndex;
use http::{Method, Response};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// What the rooms note as a request passes.
pub struct Trail {
    pub(super) method: Method,
    pub(super) target: Option<Target>,
    pub(super) app: Option<AppIndex>,
    pub(super) route: Option<RouteIndex>,
    pub(super) session: Option<Rc<Recognized>>,
    pub(super) acted: Option<Acted>,
    /// Which rule of the route.
    pub(super) rule: Option<RuleIndex>,
    /// What the decision rests on, as JSON.
    pub(super) evidence: Option<Arc<str>>,
    pub(super) shadow: Option<Shadow>,
    /// What a refusal by rules was made from.
    pub(super) refused: Option<Box<Signals>>,
    pub(super) reason: Option<Reason>,
    /// Why the right to it ended ([`Reason::AccessEnded`]).
    pub(super) cause: Option<Reason>,
    pub(super) upload: Option<Arc<Upload>>,
    /// The policy let it through: whatever becomes of it, that is what was decided.
    pub(super) let_through: bool,
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
            evidence: None,
            shadow: None,
            refused: None,
            reason: None,
            cause: None,
            upload: None,
            let_through: false,
        }
    }

    /// Notes that it was cut, where the right to it has ended.
    pub(super) const fn lost(&mut self, cause: Option<Reason>) {
        if cause.is_some() {
            self.reason = Some(Reason::AccessEnded);
            self.cause = cause;
        }
    }

    /// Notes where it goes.
    pub(super) const fn place(&mut self, place: &Routed<'_>) {
        self.app = Some(place.app_index);
        self.route = Some(place.index);
    }
}

/// The words of `decision`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Challenge => "challenge",
            Self::Own => "own",
        }
    }

    /// What was decided of a visit that ended like this.
    fn of(trail: &Trail, reason: Reason) -> Self {
        match reason {
            _ if trail.let_through => Self::Allow,
            Reason::Allowed | Reason::PublicRoute | Reason::Preflight => Self::Allow,
            Reason::Reserved => Self::Own,
            Reason::NotSignedIn | Reason::SessionInvalid | Reason::SessionExpired => Self::Challenge,
            Reason::ProviderNotAccepted | Reason::StepUpRequired => Self::Challenge,
            _ => Self::Deny,
        }
    }
}

/// Where records go; one for the whole process.
#[derive(Clone)]
pub struct Sender {
    batches: mpsc::Sender<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
}

/// The other end of a [`Sender`].
pub struct Receiver {
    batches: mpsc::Receiver<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    /// How many records found no room, and have not been written of yet.
    lost: Arc<AtomicU64>,
}

/// How many bytes may wait to be written: those of about 65,000 records.
const CAPACITY: usize = 32 << 20;
/// How long and how often a request waits for the queue to drain before it is refused.
const PATIENCE: (Duration, u32) = (Duration::from_millis(20), 50);

/// A queue for records.
pub fn channel() -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::channel();
    let (queued, lost) = (Arc::<AtomicUsize>::default(), Arc::<AtomicU64>::default());
    let sender = Sender { batches: sender, queued: Arc::clone(&queued), lost: Arc::clone(&lost) };
    (sender, Receiver { batches: receiver, queued, lost })
}

/// Lets a visit begin when its record will find room.
pub async fn admit(visit: &mut Visit) -> Result<(), Refusal> {
    let is_full = |visit: &Visit| visit.gate().audit.queued.load(Ordering::Relaxed) >= CAPACITY;
    if !is_full(visit) || visit.snapshot.audit_sheds {
        return Ok(());
    }
    let (pause, times) = PATIENCE;
    for _ in 0..times {
        tokio::time::sleep(pause).await;
        if !is_full(visit) {
            // What is judged by the time is judged by this one.
            visit.now = clock::now();
            return Ok(());
        }
    }
    Err(Reason::AuditUnavailable.into())
}

/// The end of a visit: when this is dropped, the record is on its way.
pub type Ending = Box<Visit>;

/// Has the answer's body carry the visit to its end.
pub fn follow(mut visit: Box<Visit>, response: Response<ResponseBody>) -> Response<ResponseBody> {
    visit.status = response.status().as_u16();
    if response.body().waits() {
        visit.waits();
    }
    visit.answered = true;
    response.map(|mut body| {
        body.ending = Some(visit);
        body
    })
}

/// Records and counts a visit that is over.
pub(super) fn record(visit: &Visit) {
    let (worker, took) = (&visit.worker, visit.started.elapsed());
    let reason = visit.trail.reason.unwrap_or(Reason::Abandoned);
    let verdict = Verdict::of(&visit.trail, reason);
    let app = visit.trail.app.zip(visit.app().map(|app| &*app.name));
    if let (Some(shadow), Some((_, app))) = (&visit.trail.shadow, app) {
        worker.gate.metrics.shadowed(app, if shadow.allows { Verdict::Allow } else { Verdict::Deny }.as_str());
    }
    worker.counters.count(&worker.gate.metrics, visit.snapshot.epoch, app, verdict.as_str(), visit.status, took);
    worker.records.append(|line, time| line::append(line, visit, (verdict, reason), time, took), visit.now);
}

impl Sender {
    /// Whether a record that is not a visit's would find room.
    pub fn has_room(&self) -> bool {
        self.queued.load(Ordering::Relaxed) < CAPACITY
    }

    /// Takes a record that is not a visit's: a line. It was asked for room before.
    pub fn take(&self, line: Vec<u8>) {
        if self.send(line, 1).is_err() {
            tracing::error!("a record found no room in the audit trail");
        }
    }

    /// Beyond the bound only what was let in before the queue was full, or an operator who chose to shed. What finds no room even there
    /// is counted, and an empty batch marks the place where the trail has to say so: behind what is queued already.
    fn send(&self, batch: Vec<u8>, records: u64) -> Result<(), Full> {
        let length = batch.len();
        let before = self.queued.fetch_add(length, Ordering::Relaxed);
        if before >= CAPACITY * 2 || self.batches.send(batch).is_err() {
            self.queued.fetch_sub(length, Ordering::Relaxed);
            if self.lost.fetch_add(records, Ordering::Relaxed) == 0 {
                // Where nobody writes any more, nobody can say it.
                let _ = self.batches.send(Vec::new());
            }
            return Err(Full);
        }
        Ok(())
    }
}

/// There is no room for a batch.
struct Full;
