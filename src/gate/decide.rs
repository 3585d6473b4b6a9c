//! Whether it may. In: a route and an identity. Out: a [`Permit`], the only thing that `upstream` takes, or a refusal. Must
//! never give a permit on an error, and nothing but this file can make one.
//!
//! A decision is remembered with the session that it was made for, for as long as configuration, claims and what the rules read stay the
//! same, and never past the moment at which the time alone could change it.

use super::device;
use super::identity::Identity;
use super::route::Routed;
use super::session::Recognized;
use super::signals::{self, Signals};
use super::target::Target;
use super::visit::{Circumstances, Visit};
use crate::model::{self, Reason, Refusal, StepUp, Timestamp};
use crate::policy::evidence::evidence;
use crate::policy::{Decision, Facts, Kind, Principal, RuleIndex, Ruleset};
use crate::snapshot::{Access, RouteIndex};
use arc_swap::ArcSwapOption;
use http::{Method, Request, header};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Proof that a request was let through. Consumed by the forwarding.
pub struct Permit {
    reason: Reason,
    session: Option<Rc<Recognized>>,
    /// What of the request itself held.
    asked: u128,
    basis: Basis,
}

/// What a decision depends on beside configuration, devices and risks; where it is the same, the decision is.
#[derive(Clone, Copy, Default)]
pub struct Basis {
    /// Which of the person's identities, as the sign-in counts them.
    version: u64,
    /// When it was made, and until when it holds: `None` where the time changes nothing.
    holds: Option<(Timestamp, Timestamp)>,
}

impl Permit {
    /// Why.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// What of the request itself held when it was let through.
    pub(super) const fn asked(&self) -> u128 {
        self.asked
    }

    /// What it depends on.
    pub(super) const fn basis(&self) -> Basis {
        self.basis
    }

    const fn for_anybody(reason: Reason) -> Self {
        Self { reason, session: None, asked: 0, basis: Basis { version: 0, holds: None } }
    }

    /// On whose behalf; nobody's on a public route.
    pub const fn session(&self) -> Option<&Rc<Recognized>> {
        self.session.as_ref()
    }
}

/// What was decided for one session; replaced whole, so that readers never wait.
#[derive(Default)]
pub struct Memo(ArcSwapOption<Decided>);

struct Decided {
    epoch: u64,
    identity: Arc<model::Identity>,
    principal: Arc<Principal>,
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    route: RouteIndex,
    signals: Signals,
    /// When it was made, and until when it holds: `None` where the time changes nothing.
    holds: Option<(Timestamp, Timestamp)>,
    settled: Settled,
}

/// A decision in little: what remembers it is copied at every request.
#[derive(Clone)]
struct Settled {
    outcome: Outcome,
    shadow: Option<Shadow>,
    step_up: Option<Arc<StepUp>>,
    /// What the trail says that it rests on.
    evidence: Option<Arc<str>>,
}

#[derive(Clone, Copy)]
enum Outcome {
    Allowed(RuleIndex),
    Denied(RuleIndex),
    NoRule,
}

/// What would have been decided if rules in the shadow counted, where that is the contrary.
#[derive(Clone, Copy)]
pub struct Shadow {
    pub(super) allows: bool,
    pub(super) rule: Option<RuleIndex>,
}

/// How many decisions a session remembers before it starts anew: more routes than a person uses in a while.
const REMEMBERED: usize = 64;
/// By how much a request can be older than a decision that it finds.
const SLACK: Duration = Duration::from_secs(1);
const FOR_EVER: Timestamp = Timestamp::from_millis(u64::MAX);

/// What can be decided without knowing who asks, and so without a session, a store or a provider; `None` where that matters.
pub fn for_anybody<B>(place: &Routed<'_>, request: &Request<B>) -> Option<Result<Permit, Refusal>> {
    match &place.route.access {
        Access::Public(methods) => Some(public(methods.as_deref(), request.method())),
        Access::Rules(_) if place.app.cors_preflight && is_preflight(request) => Some(Ok(Permit::for_anybody(Reason::Preflight))),
        Access::Rules(_) => None,
    }
}

/// Decides.
pub fn evaluate(visit: &mut Visit, place: &Routed<'_>, identity: Identity, signals: &Signals) -> Result<Permit, Refusal> {
    let Access::Rules(rules) = &place.route.access else { return Err(Reason::PolicyError.into()) };
    let session = match identity {
        Identity::Unknown(reason) => return Err(reason.into()),
        Identity::Known(session) => session,
    };
    let (settled, basis) = settle(visit.circumstances(), place, rules, &session, signals)?;
    visit.trail.evidence = settled.evidence;
    visit.trail.shadow = settled.shadow;
    let (reason, rule) = match settled.outcome {
        Outcome::Allowed(rule) => (Reason::Allowed, Some(rule)),
        Outcome::Denied(rule) => (Reason::DeniedByRule, Some(rule)),
        Outcome::NoRule => (Reason::NotAllowed, None),
    };
    visit.trail.rule = rule;
    match settled.step_up {
        _ if reason == Reason::Allowed => Ok(Permit { reason, session: Some(session), asked: signals.asked(), basis }),
        Some(step_up) => Err(Refusal { step_up: Some(Box::new((*step_up).clone())), ..Refusal::from(Reason::StepUpRequired) }),
        None => Err(complaint(visit, rules, reason).unwrap_or_else(|| reason.into())),
    }
}

/// Whether the same request of the same person would be let through now, of which is known what was asked of it (`None` where that
/// can't be known).
pub(super) fn again(
    at: Circumstances<'_>,
    place: &Routed<'_>,
    permit: &Permit,
    (target, method): (&Target, &Method),
    asked: impl FnOnce(&Ruleset) -> Option<u128>,
) -> Result<Basis, Reason> {
    let rules = match &place.route.access {
        Access::Public(methods) => {
            return public(methods.as_deref(), method).map(|_| Basis::default()).map_err(|refusal| refusal.reason);
        }
        Access::Rules(_) if permit.reason == Reason::Preflight && place.app.cors_preflight => return Ok(Basis::default()),
        Access::Rules(rules) => rules,
    };
    let session = permit.session().ok_or(Reason::NotSignedIn)?;
    if !place.app.providers.contains(&session.sign_in().identity().subject.provider) {
        return Err(Reason::ProviderNotAccepted);
    }
    let asked = asked(rules).ok_or(Reason::NotAllowed)?;
    let signals = signals::read(at, target, rules.reads(), session, (method, asked));
    let (settled, basis) = settle(at, place, rules, session, &signals).map_err(|refusal| refusal.reason)?;
    match settled.outcome {
        Outcome::Allowed(_) => Ok(basis),
        Outcome::Denied(_) if settled.step_up.is_none() => Err(Reason::DeniedByRule),
        Outcome::NoRule if settled.step_up.is_none() => Err(Reason::NotAllowed),
        _ => Err(Reason::StepUpRequired),
    }
}

/// What is wrong with the certificate of somebody whom no rule allows in, where rules ask for a device.
fn complaint(visit: &Visit, rules: &Ruleset, reason: Reason) -> Option<Refusal> {
    let asks = reason == Reason::NotAllowed && rules.reads().has(Kind::Device);
    if asks { device::complaint(visit) } else { None }
}

fn public(methods: Option<&[Method]>, method: &Method) -> Result<Permit, Refusal> {
    if methods.is_none_or(|methods| methods.contains(method)) {
        return Ok(Permit::for_anybody(Reason::PublicRoute));
    }
    Err(Reason::NotAllowed.into())
}

/// A CORS preflight (Fetch, section 3.2.2): it never carries cookies, so that no session could be asked of it.
fn is_preflight<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    *request.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Finds the decision, or makes it.
fn settle(
    at: Circumstances<'_>,
    place: &Routed<'_>,
    rules: &Ruleset,
    session: &Recognized,
    signals: &Signals,
) -> Result<(Settled, Basis), Refusal> {
    let version = session.sign_in().version();
    let identity = session.sign_in().identity();
    let epoch = at.snapshot.epoch;
    let memo = session.known().memo.0.load();
    let current = memo.as_ref().filter(|decided| decided.epoch == epoch && Arc::ptr_eq(&decided.identity, &identity));
    let found = current.and_then(|decided| decided.entries.iter().find(|entry| entry.is(place.index, signals)));
    if let Some(entry) = found.filter(|entry| holds_at(entry.holds, at.now)) {
        return Ok((entry.settled.clone(), Basis { version, holds: entry.holds }));
    }
    let started = Instant::now();
    let anew = decide_anew(at, place, rules, (current, &identity), signals);
    at.gate.metrics.decided(started.elapsed());
    let (fresh, settled, holds) = anew.map_err(|failure| match failure {
        Failure::Ambiguous => Reason::AmbiguousTarget,
        Failure::Policy(error) => {
            tracing::error!(%error, route = &*place.route.label, "a decision failed, which denies");
            Reason::PolicyError
        }
    })?;
    session.known().memo.0.store(Some(Arc::new(fresh)));
    Ok((settled, Basis { version, holds }))
}

/// Why nothing was decided.
enum Failure {
    /// A rule could not be evaluated.
    Policy(String),
    /// Two readings of the path lead to different decisions.
    Ambiguous,
}

impl From<String> for Failure {
    fn from(error: String) -> Self {
        Self::Policy(error)
    }
}

impl Entry {
    fn is(&self, route: RouteIndex, signals: &Signals) -> bool {
        self.route == route && self.signals == *signals
    }
}

impl Basis {
    /// Whether it is still so.
    pub(super) fn is_so(&self, session: &Recognized, now: Timestamp) -> bool {
        session.sign_in().version() == self.version && holds_at(self.holds, now)
    }
}

/// Clocks are set back, too; what two workers take for now differs by a few milliseconds.
fn holds_at(holds: Option<(Timestamp, Timestamp)>, now: Timestamp) -> bool {
    holds.is_none_or(|(from, until)| now < until && now.plus(SLACK) >= from)
}

type Anew = (Decided, Settled, Option<(Timestamp, Timestamp)>);

fn decide_anew(
    at: Circumstances<'_>,
    place: &Routed<'_>,
    rules: &Ruleset,
    (current, identity): (Option<&Arc<Decided>>, &Arc<model::Identity>),
    signals: &Signals,
) -> Result<Anew, Failure> {
    let principal = match current {
        Some(decided) => Arc::clone(&decided.principal),
        None => Arc::new(Principal::new(identity).map_err(|error| error.to_string())?),
    };
    let facts = signals.facts(at, rules, identity);
    let settled = settle_anew(at, place, rules, (&principal, identity), (signals, &facts))?;
    let until = rules.reads().until(&facts);
    let holds = if rules.reads().nothing() { None } else { Some((at.now, until.unwrap_or(FOR_EVER))) };
    let entries = current.map_or(&[][..], |decided| &decided.entries);
    let mut entries = if entries.len() < REMEMBERED { entries.to_vec() } else { Vec::new() };
    entries.retain(|entry| !entry.is(place.index, signals) && holds_at(entry.holds, at.now));
    entries.push(Entry { route: place.index, signals: signals.clone(), holds, settled: settled.clone() });
    Ok((Decided { epoch: at.snapshot.epoch, identity: Arc::clone(identity), principal, entries }, settled, holds))
}

fn settle_anew(
    at: Circumstances<'_>,
    place: &Routed<'_>,
    rules: &Ruleset,
    (principal, identity): (&Principal, &model::Identity),
    (signals, facts): (&Signals, &Facts),
) -> Result<Settled, Failure> {
    let position = |rule| rules.position(rule).ok_or_else(|| "decided by no rule of the route".to_owned());
    let verdict = rules.evaluate(principal, facts);
    let allows = |path: &str| rules.evaluate(principal, &Facts { path: path.into(), ..facts.clone() }).decision.allows();
    if signals.other_readings().any(|path| allows(path) != verdict.decision.allows()) {
        return Err(Failure::Ambiguous);
    }
    let outcome = match &verdict.decision {
        Decision::Allow(rule) => Outcome::Allowed(position(rule)?),
        Decision::Deny(rule) => Outcome::Denied(position(rule)?),
        Decision::NoRule => Outcome::NoRule,
        Decision::Error(error) => return Err(Failure::Policy(error.clone())),
    };
    let step_up = match outcome {
        Outcome::Allowed(_) => None,
        _ => rules.step_up(principal, identity, facts, &signals::strength(at, identity)).map(Arc::new),
    };
    let shadow = verdict.shadow.map(|shadow| in_the_shadow(place, rules, &shadow));
    Ok(Settled { outcome, shadow, step_up, evidence: evidence(facts, rules.reads()).map(Arc::from) })
}

fn in_the_shadow(place: &Routed<'_>, rules: &Ruleset, decision: &Decision) -> Shadow {
    let rule = decision.rule();
    let (route, allows) = (&*place.route.label, decision.allows());
    tracing::info!(route, rule = rule.map(|rule| &*rule.0), allows, "a rule in the shadow would turn a decision");
    Shadow { allows, rule: rule.and_then(|rule| rules.position(rule)) }
}
