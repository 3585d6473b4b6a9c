//! What recorded requests would meet now. In: a configuration, who is known, and the lines of an audit trail in their order. Out: a
//! [`Report`] of whom it lets in or keeps out that it did not before, or why one of them is decided as it is. Must never guess at what
//! was not recorded: it counts it.
//!
//! Requests that no rule can tell apart are decided once. What a rule can tell apart is what the rules of its route read.

mod people;
mod record;
mod report;

pub use report::{Change, Example, Report, Row};

use super::explain::{Answer, Outcome, Public};
use crate::model::{Identity, RuleId, Timestamp};
use crate::policy::{Authentication, Decision, Kind, Ruleset};
use crate::snapshot::hosts::Host;
use crate::snapshot::{Access, Route, RouteIndex, Snapshot};
use http::HeaderMap;
use people::{People, Person};
use record::Record;
use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;

/// Decides recorded requests again.
pub struct Replay<'a> {
    snapshot: &'a Snapshot,
    people: People,
    decided: HashMap<Box<str>, VecDeque<Held>>,
    /// What tells a request apart from others, made anew for each.
    key: String,
    report: Report,
}

/// A decision, and for requests of which time it holds.
struct Held {
    from: Timestamp,
    until: Option<Timestamp>,
    decided: Decided,
}

/// What a request would meet now.
#[derive(Clone)]
struct Decided {
    outcome: Outcome,
    why: Rc<str>,
    /// What its rules look at that was not recorded.
    lacks: [Option<&'static str>; 2],
}

/// One request, as it was and as it would be.
pub struct Explained {
    /// When it was.
    pub time: String,
    /// What was decided then.
    pub then: String,
    /// What would be decided now of the same circumstances, and why.
    pub now: Answer,
    /// What the rules look at that was not recorded.
    pub lacks: Vec<&'static str>,
}

/// Why a request can't be explained.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It has no record.
    #[error("the trail has no record of the request `{0}`")]
    Unknown(String),
    /// Rules had no part in it.
    #[error("the request was not decided by rules: {0}")]
    NotDecided(String),
    /// Nothing lives there any more.
    #[error("no app of this configuration lives at `{0}`")]
    Nowhere(String),
    /// Nobody knows who it was.
    #[error("nothing is known of `{0}`: neither the trail nor the store says what groups they have")]
    Nobody(String),
    /// It can't be evaluated.
    #[error("{0}")]
    Facts(&'static str),
}

/// Of how many moments a decision on the same circumstances is remembered.
const MOMENTS: usize = 8;
const AMBIGUOUS: &str = "the path can be read in more than one way";

impl<'a> Replay<'a> {
    /// Under this configuration; `people` are known beside those whom the trail tells of.
    pub fn new(snapshot: &'a Snapshot, people: Vec<Identity>) -> Self {
        Self { snapshot, people: People::new(people), decided: HashMap::new(), key: String::new(), report: Report::default() }
    }

    /// Takes the next line of the trail.
    pub fn read(&mut self, line: &[u8]) {
        let Some(record) = Record::parse(line) else {
            self.report.unreadable += 1;
            return;
        };
        if record.is_of_trail() {
            return;
        }
        self.report.requests += 1;
        self.people.learn(&record, self.snapshot);
        let Some((before, at)) = record.verdict().zip(record.time()) else {
            self.report.others += 1;
            return;
        };
        match self.decide(&record, at) {
            Some(now) => self.report.add(&record, before, &now),
            None => self.report.unknown(record.user()),
        }
    }

    /// What became of them all.
    pub fn report(self) -> Report {
        self.report
    }

    /// `None` where nobody knows who it was.
    fn decide(&mut self, record: &Record<'_>, at: Timestamp) -> Option<Decided> {
        let Some((index, route)) = place(self.snapshot, record) else {
            return Some(Decided::new(Outcome::Deny, "no app lives there"));
        };
        let rules = match &route.access {
            Access::Public(methods) => {
                let allows = methods.as_ref().is_none_or(|methods| methods.contains(&record.method()));
                let outcome = if allows { Outcome::Allow } else { Outcome::Deny };
                return Some(Decided::new(
                    outcome,
                    if allows { "the path is public" } else { "the path is public, by other methods" },
                ));
            }
            Access::Rules(rules) => rules,
        };
        let Some(user) = record.user() else { return Some(Decided::new(Outcome::Challenge, "nobody is signed in")) };
        let person = self.people.find(user, self.snapshot)?;
        let accepted = self.snapshot.app(route.app).is_some_and(|app| app.providers.contains(&person.identity.subject.provider));
        if !accepted {
            return Some(Decided::new(Outcome::Challenge, "the app does not take sign-ins of this provider"));
        }
        self.report.by_store += u64::from(person.of_store);
        name(&mut self.key, record, rules, index, &person);
        let moments = self.decided.get(&*self.key);
        if let Some(held) = moments.and_then(|moments| moments.iter().find(|held| held.holds_at(at))) {
            return Some(held.decided.clone());
        }
        let held = decide_anew(self.snapshot, rules, record, &person, at);
        let decided = held.decided.clone();
        let moments = self.decided.entry(self.key.as_str().into()).or_default();
        moments.push_front(held);
        moments.truncate(MOMENTS);
        Some(decided)
    }
}

/// Everything that the rules of the route could tell this request apart by, but the time.
fn name(key: &mut String, record: &Record<'_>, rules: &Ruleset, index: RouteIndex, person: &Person) {
    let reads = rules.reads();
    key.clear();
    // Writing to a String can't fail.
    let _ = write!(key, "{} {}", index.0, person.number);
    if reads.nothing() {
        return;
    }
    if reads.has(Kind::Method) {
        let _ = write!(key, " {}", record.method());
    }
    if reads.has(Kind::Path) {
        let _ = write!(key, "\n{}", record.path());
    }
    if reads.asks() {
        // Headers are in the evidence.
        let path = record.decoded_path();
        let asked = reads.ask(&HeaderMap::new(), || std::iter::once(&*path));
        let _ = write!(key, "\n{:?}", asked.ok());
    }
    if reads.has_address() {
        let _ = write!(key, "\n{}", record.peer());
    }
    let _ = write!(key, "\n{}", record.evidence());
}

fn decide_anew(snapshot: &Snapshot, rules: &Ruleset, record: &Record<'_>, person: &Person, at: Timestamp) -> Held {
    let authentication = Authentication::of(&person.identity, &person.strength);
    let Some((facts, lacks)) = record.facts(snapshot, rules, authentication, at) else {
        return Held { from: at, until: None, decided: Decided::new(Outcome::Deny, AMBIGUOUS) };
    };
    let decision = rules.evaluate(&person.principal, &facts).decision;
    let step_up = || rules.step_up(&person.principal, &person.identity, &facts, &person.strength).is_some();
    let outcome = match decision {
        Decision::Allow(_) => Outcome::Allow,
        _ if step_up() => Outcome::Challenge,
        _ => Outcome::Deny,
    };
    let (from, until) = if rules.reads().nothing() { (Timestamp::default(), None) } else { (at, rules.reads().until(&facts)) };
    Held { from, until, decided: Decided { outcome, why: why(&decision), lacks } }
}

fn why(decision: &Decision) -> Rc<str> {
    match decision {
        Decision::Allow(RuleId(rule)) => format!("allowed by {rule}").into(),
        Decision::Deny(RuleId(rule)) => format!("denied by {rule}").into(),
        Decision::NoRule => "no rule allows it".into(),
        Decision::Error(_) => "a rule fails, which denies".into(),
    }
}

/// Says why one request is decided as it is.
pub fn explain<L: AsRef<[u8]>>(
    snapshot: &Snapshot,
    people: Vec<Identity>,
    lines: impl Iterator<Item = L>,
    request: &str,
) -> Result<Explained, Error> {
    let mut people = People::new(people);
    for line in lines {
        let Some(record) = Record::parse(line.as_ref()) else { continue };
        people.learn(&record, snapshot);
        if record.request_id() == request {
            return explained(snapshot, &mut people, &record);
        }
    }
    Err(Error::Unknown(request.to_owned()))
}

fn explained(snapshot: &Snapshot, people: &mut People, record: &Record<'_>) -> Result<Explained, Error> {
    let at = record.verdict().and_then(|_| record.time()).ok_or_else(|| Error::NotDecided(record.said()))?;
    let (_, route) = place(snapshot, record).ok_or_else(|| Error::Nowhere(record.url()))?;
    let made = |explained, lacks: [Option<&'static str>; 2]| Explained {
        time: record.time_text().to_owned(),
        then: record.said(),
        now: Answer { route: Arc::clone(&route.label), locked: None, explained },
        lacks: lacks.into_iter().flatten().collect(),
    };
    let rules = match &route.access {
        Access::Public(methods) => {
            let allows = methods.as_ref().is_none_or(|methods| methods.contains(&record.method()));
            return Ok(made(Err(Public { allows }), [None; 2]));
        }
        Access::Rules(rules) => rules,
    };
    let user = record.user().unwrap_or("nobody");
    let person = people.find(user, snapshot).ok_or_else(|| Error::Nobody(user.to_owned()))?;
    let authentication = Authentication::of(&person.identity, &person.strength);
    let (facts, lacks) = record.facts(snapshot, rules, authentication, at).ok_or(Error::Facts(AMBIGUOUS))?;
    Ok(made(Ok(rules.explain(&person.principal, &person.identity, &facts, &person.strength)), lacks))
}

/// Where the request would go now.
fn place<'a>(snapshot: &'a Snapshot, record: &Record<'_>) -> Option<(RouteIndex, &'a Route)> {
    let Host::Apps(apps) = snapshot.hosts.find(record.host())? else { return None };
    let path = record.decoded_path();
    let app = snapshot.app(apps.find(&path)?)?;
    let index = app.paths.find(&path)?;
    Some((index, snapshot.route(index)?))
}

impl Held {
    fn holds_at(&self, at: Timestamp) -> bool {
        self.from <= at && self.until.is_none_or(|until| at < until)
    }
}

impl Decided {
    fn new(outcome: Outcome, why: &str) -> Self {
        Self { outcome, why: why.into(), lacks: [None; 2] }
    }
}
