//! Whether it may. In: a route and an identity. Out: a [`Permit`], the only thing that `upstream` takes, or a refusal. Must
//! never give a permit on an error, and nothing but this file can make one.
//!
//! A decision is remembered with the session that it was made for, for as long as configuration and claims stay the same.

use super::identity::Identity;
use super::route::Routed;
use super::session::Recognized;
use super::visit::Visit;
use crate::model::{self, Reason, Refusal};
use crate::policy::{Decision, Principal, RuleIndex, Ruleset};
use crate::snapshot::{Access, RouteIndex};
use arc_swap::ArcSwapOption;
use http::{Method, Request, header};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Proof that a request was let through. Consumed by the forwarding.
pub struct Permit {
    reason: Reason,
    session: Option<Rc<Recognized>>,
}

impl Permit {
    /// Why.
    pub const fn reason(&self) -> Reason {
        self.reason
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
    /// `None` where no rule of the route reads the method.
    method: Option<Method>,
    outcome: Outcome,
}

/// A decision in little: what remembers it is copied at every request.
#[derive(Clone, Copy)]
enum Outcome {
    Allowed(RuleIndex),
    Denied(RuleIndex),
    NoRule,
}

/// How many decisions a session remembers before it starts anew: more routes than a person uses in a while.
const REMEMBERED: usize = 64;

/// What can be decided without knowing who asks, and so without a session, a store or a provider; `None` where that matters.
pub fn for_anybody<B>(place: &Routed<'_>, request: &Request<B>) -> Option<Result<Permit, Refusal>> {
    match &place.route.access {
        Access::Public(methods) => Some(public(methods.as_deref(), request.method())),
        Access::Rules(_) if place.app.cors_preflight && is_preflight(request) => {
            Some(Ok(Permit { reason: Reason::Preflight, session: None }))
        }
        Access::Rules(_) => None,
    }
}

/// Decides.
pub fn evaluate<B>(visit: &mut Visit, place: &Routed<'_>, identity: Identity, request: &Request<B>) -> Result<Permit, Refusal> {
    let Access::Rules(rules) = &place.route.access else { return Err(Reason::PolicyError.into()) };
    let session = match identity {
        Identity::Unknown(reason) => return Err(reason.into()),
        Identity::Known(session) => session,
    };
    let (reason, rule) = match outcome(visit, place, rules, &session, request.method())? {
        Outcome::Allowed(rule) => (Reason::Allowed, Some(rule)),
        Outcome::Denied(rule) => (Reason::DeniedByRule, Some(rule)),
        Outcome::NoRule => (Reason::NotAllowed, None),
    };
    visit.trail.rule = rule;
    if reason == Reason::Allowed { Ok(Permit { reason, session: Some(session) }) } else { Err(reason.into()) }
}

fn public(methods: Option<&[Method]>, method: &Method) -> Result<Permit, Refusal> {
    if methods.is_none_or(|methods| methods.contains(method)) {
        return Ok(Permit { reason: Reason::PublicRoute, session: None });
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

fn outcome(visit: &Visit, place: &Routed<'_>, rules: &Ruleset, session: &Recognized, method: &Method) -> Result<Outcome, Refusal> {
    let identity = session.sign_in().identity();
    let epoch = visit.snapshot.epoch;
    let memo = session.known().memo.0.load();
    let current = memo.as_ref().filter(|decided| decided.epoch == epoch && Arc::ptr_eq(&decided.identity, &identity));
    let method_read = rules.reads_method().then_some(method);
    let found =
        current.and_then(|decided| decided.entries.iter().find(|e| e.route == place.index && e.method.as_ref() == method_read));
    if let Some(entry) = found {
        return Ok(entry.outcome);
    }
    let started = Instant::now();
    let anew = decide_anew(current, &identity, epoch, place.index, rules, method);
    visit.gate().metrics.decided(started.elapsed());
    let (fresh, outcome) = anew.map_err(|error| {
        tracing::error!(%error, route = &*place.route.label, "a decision failed, which denies");
        Reason::PolicyError
    })?;
    session.known().memo.0.store(Some(Arc::new(fresh)));
    Ok(outcome)
}

fn decide_anew(
    current: Option<&Arc<Decided>>,
    identity: &Arc<model::Identity>,
    epoch: u64,
    route: RouteIndex,
    rules: &Ruleset,
    method: &Method,
) -> Result<(Decided, Outcome), String> {
    let principal = match current {
        Some(decided) => Arc::clone(&decided.principal),
        None => Arc::new(Principal::new(identity).map_err(|error| error.to_string())?),
    };
    let position = |rule| rules.position(&rule).ok_or_else(|| "decided by no rule of the route".to_owned());
    let outcome = match rules.evaluate(&principal, method) {
        Decision::Allow(rule) => Outcome::Allowed(position(rule)?),
        Decision::Deny(rule) => Outcome::Denied(position(rule)?),
        Decision::NoRule => Outcome::NoRule,
        Decision::Error(error) => return Err(error),
    };
    let mut entries =
        current.map(|decided| decided.entries.clone()).filter(|entries| entries.len() < REMEMBERED).unwrap_or_default();
    entries.push(Entry { route, method: rules.reads_method().then(|| method.clone()), outcome });
    Ok((Decided { epoch, identity: Arc::clone(identity), principal, entries }, outcome))
}
