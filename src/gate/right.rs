//! The right by which something flows, for as long as it does. In: what a request was let through with, and how things are now.
//! Out: whether the same request would be let through now. Must never cost more than a few comparisons where nothing has changed.

use super::decide::{self, Basis, Permit};
use super::device::{self, Presented};
use super::route::{self, Place};
use super::session::Recognized;
use super::target::Target;
use super::visit::{Circumstances, Gate, InForce, Visit};
use crate::clock;
use crate::model::{AppIndex, Reason, Timestamp};
use crate::policy::Ruleset;
use crate::snapshot::{Access, RouteIndex};
use crate::store::Life;
use http::Method;
use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// For how long what flows may rest on claims that are known to be outdated. Within that time, a provider that fails is asked twice,
/// and one that does not answer once.
const OUTDATED: Duration = Duration::from_secs(15);

/// How things are when one worker looks at what flows.
pub struct Moment<'a> {
    /// What all workers share.
    pub gate: &'a Gate,
    /// The configuration in force.
    pub snapshot: Rc<InForce>,
    /// The time.
    pub now: Timestamp,
    /// What was told of devices and risks, as the worker counts that.
    pub told: u64,
}

impl Moment<'_> {
    /// Whether it has not been known for too long what other replicas have ended.
    fn lacks_store(&self) -> bool {
        self.gate.store.is_out_of_reach(self.snapshot.store_grace)
    }
}

/// What one request was let through with.
pub struct Right {
    permit: Permit,
    target: Target,
    method: Method,
    client: IpAddr,
    certificate: Option<Rc<Presented>>,
    /// The configuration by which it was let through, and to what.
    snapshot: Rc<InForce>,
    to: Option<(AppIndex, RouteIndex)>,
    judged: Cell<Judged>,
}

/// What it was judged by at last.
#[derive(Clone, Copy)]
struct Judged {
    epoch: u64,
    told: u64,
    basis: Basis,
}

impl Right {
    /// What this visit is let through with; nothing where it is not known what for.
    pub fn new(visit: &Visit, permit: Permit) -> Option<Self> {
        let target = visit.trail.target.clone()?;
        let judged = Judged { epoch: visit.snapshot.epoch, told: visit.told, basis: permit.basis() };
        Some(Self {
            permit,
            target,
            method: visit.trail.method.clone(),
            client: visit.client,
            certificate: visit.certificate.clone(),
            snapshot: Rc::clone(&visit.snapshot),
            to: visit.trail.app.zip(visit.trail.route),
            judged: Cell::new(judged),
        })
    }

    /// Something moves by the person's own doing: the session is in use.
    pub fn used(&self) {
        if let Some(session) = self.permit.session() {
            session.sign_in().seen(clock::now());
        }
    }

    /// When its session was ended by somebody, where it was.
    pub fn ended(&self) -> Option<Timestamp> {
        self.permit.session()?.known().session.ended()
    }

    /// Whether anything has changed on which it depends. Has claims renewed that are due, as a request would.
    pub fn is_in_doubt(&self, moment: &Moment<'_>) -> bool {
        let judged = self.judged.get();
        if judged.epoch != moment.snapshot.epoch || judged.told != moment.told {
            return true;
        }
        let Some(session) = self.permit.session() else { return false };
        if session.life(moment.now, moment.snapshot.lifetimes) != Life::Live {
            return true;
        }
        if moment.lacks_store() || is_outdated(session) {
            return true;
        }
        if session.sign_in().renewal_is_due(moment.now) {
            moment.gate.store.ask_renewal(session.sign_in());
        }
        !judged.basis.is_so(session, moment.now)
    }

    /// Whether the same request would be let through now; why not.
    pub fn judge(&self, moment: &Moment<'_>) -> Result<(), Reason> {
        match self.permit.session().map(|session| session.life(moment.now, moment.snapshot.lifetimes)) {
            Some(Life::Ended) => return Err(Reason::SessionInvalid),
            Some(Life::Expired) => return Err(Reason::SessionExpired),
            Some(Life::Live) if moment.lacks_store() => return Err(Reason::StoreUnavailable),
            Some(Life::Live) | None => {}
        }
        if self.permit.session().is_some_and(|session| is_outdated(session)) {
            return Err(Reason::ProviderUnavailable);
        }
        let basis = self.decide(moment)?;
        self.judged.set(Judged { epoch: moment.snapshot.epoch, told: moment.told, basis });
        Ok(())
    }

    fn decide(&self, moment: &Moment<'_>) -> Result<Basis, Reason> {
        let place = match route::find(&moment.snapshot, &self.target) {
            Ok(Place::Route(place)) => place,
            Ok(Place::Reserved(_)) | Err(_) => return Err(Reason::UnknownPath),
        };
        let (app, before) = self.to.ok_or(Reason::UnknownPath)?;
        if self.snapshot.app(app).is_none_or(|app| app.name != place.app.name) {
            return Err(Reason::UnknownPath);
        }
        let known = self.certificate.as_ref();
        let certificate = known.and_then(|known| device::again(known, moment.gate, &moment.snapshot, moment.now));
        let at = Circumstances {
            gate: moment.gate,
            snapshot: &moment.snapshot,
            now: moment.now,
            client: self.client,
            certificate: certificate.as_ref(),
        };
        device::admit(at)?;
        decide::again(at, &place, &self.permit, (&self.target, &self.method), |rules| self.asked(before, rules))
    }

    /// What these rules ask of the request, whose headers are gone.
    fn asked(&self, before: RouteIndex, rules: &Ruleset) -> Option<u128> {
        let before = match self.snapshot.route(before).map(|route| &route.access) {
            Some(Access::Rules(before)) => Some((before.reads(), self.permit.asked())),
            _ => None,
        };
        rules.reads().ask_again(before, || self.target.readings())
    }
}

/// Whether its claims are outdated, and could not be renewed in time.
fn is_outdated(session: &Recognized) -> bool {
    session.sign_in().outdated_for().is_some_and(|since| since >= OUTDATED)
}
