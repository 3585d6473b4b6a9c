//! Why a decision is what it is, for people. In: the rules of a route, a person, what is known of a request. Out: an
//! [`Explanation`]: the rule that decided, each rule with each of its conditions, and what would help. Must never say of a condition
//! what the decision itself did not find: it asks the same engine.

use super::cedar::{Reading, behind_not, probe};
use super::compile::{matches, parse};
use super::condition::{Condition, DeviceTest, Test};
use super::facts::Seen;
use super::{Decision, Effect, Facts, Principal, Rule, Ruleset};
use crate::model::{Identity, RuleId, StepUp, Strength};
use cedar_policy::{PolicySet, Request};
use std::sync::Arc;

/// Why a decision is what it is.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What counts.
    pub decision: Decision,
    /// What would count, where it is the contrary.
    pub shadow: Option<Decision>,
    /// The sign-in that would turn it, where one would.
    pub step_up: Option<StepUp>,
    /// Every rule, in the order of the file; those that match before those that don't.
    pub rules: Vec<Explained>,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Which.
    pub id: RuleId,
    /// File and line.
    pub place: Arc<str>,
    /// What it does.
    pub effect: Effect,
    /// Not enforced.
    pub shadow: bool,
    /// Whether it matches, or why that can't be said.
    pub matches: Result<bool, String>,
    /// Its conditions; none where it is written in Cedar.
    pub parts: Vec<Part>,
}

/// One condition of a rule.
#[derive(Clone, Debug)]
pub struct Part {
    /// As the configuration has it; `any of`, `all of`, `not` for those with parts.
    pub text: String,
    /// Whether it holds, as the rule reads it.
    pub holds: bool,
    /// What it looks at; `None` for the person, and for those with parts.
    pub seen: Option<Seen>,
    /// What the person could do, where it keeps them out.
    pub help: Option<&'static str>,
    /// What it is made of.
    pub parts: Vec<Part>,
}

impl Ruleset {
    /// Explains the decision of this person in these circumstances; `strength` is the words of their provider.
    pub fn explain(&self, principal: &Principal, identity: &Identity, facts: &Facts, strength: &Strength) -> Explanation {
        let verdict = self.evaluate(principal, facts);
        let mut rules = match self.request(principal, facts) {
            Ok(request) => self.explained(&Asking { request, principal, facts }),
            Err(_) => Vec::new(),
        };
        rules.sort_by_key(|rule| rule.matches != Ok(true));
        let refused = !verdict.decision.allows();
        let step_up = if refused { self.step_up(principal, identity, facts, strength) } else { None };
        Explanation { decision: verdict.decision, shadow: verdict.shadow, step_up, rules }
    }

    fn explained(&self, asking: &Asking<'_>) -> Vec<Explained> {
        let own = self.rules().map(|rule| asking.rule(rule));
        let of_files = self.files().policies().iter().map(|extra| Explained {
            id: extra.id.clone(),
            place: Arc::clone(&extra.place),
            effect: extra.effect,
            shadow: extra.shadow,
            matches: matches(&asking.request, &extra.policy, asking.principal),
            parts: Vec::new(),
        });
        own.chain(of_files).collect()
    }
}

/// A request that rules are asked of.
pub(super) struct Asking<'a> {
    pub(super) request: Request,
    pub(super) principal: &'a Principal,
    pub(super) facts: &'a Facts,
}

impl Asking<'_> {
    fn rule(&self, rule: &Rule) -> Explained {
        let reading = Reading::of(rule.effect);
        let parts = rule.parts();
        let matches = self.holds(&Condition::All(parts.clone()), reading, rule.effect);
        Explained {
            id: rule.id.clone(),
            place: Arc::clone(&rule.place),
            effect: rule.effect,
            shadow: rule.shadow,
            matches,
            parts: parts.iter().map(|part| self.part(part, reading, rule.effect, rule.effect == Effect::Allow)).collect(),
        }
    }

    pub(super) fn holds(&self, condition: &Condition, reading: Reading, effect: Effect) -> Result<bool, String> {
        let policy = parse(&probe(condition, reading, effect)).map_err(|error| error.to_string())?;
        matches(&self.request, &policy, self.principal)
    }

    /// Whether a policy says something of it.
    pub(super) fn matches(&self, policy: &PolicySet) -> bool {
        matches(&self.request, policy, self.principal) == Ok(true)
    }

    /// `wanted`: whether the person is let in by its holding, or kept out.
    fn part(&self, condition: &Condition, reading: Reading, effect: Effect, wanted: bool) -> Part {
        let holds = self.holds(condition, reading, effect) == Ok(true);
        let of = |parts: &[Condition]| parts.iter().map(|part| self.part(part, reading, effect, wanted)).collect();
        let made = |text: &str, parts| Part { text: text.to_owned(), holds, seen: None, help: None, parts };
        match condition {
            Condition::Test(test) => Part {
                text: test.to_string(),
                holds,
                seen: self.facts.seen(test),
                help: help(test).filter(|_| holds != wanted),
                parts: Vec::new(),
            },
            Condition::All(parts) => made("all of", of(parts)),
            Condition::Any(parts) => made("any of", of(parts)),
            Condition::Not(part) => made("not", vec![self.part(part, behind_not(reading, effect), effect, !wanted)]),
        }
    }
}

/// What a person can do about a test that keeps them out.
const fn help(test: &Test) -> Option<&'static str> {
    Some(match test {
        Test::Mfa(_) => "sign in with a second factor",
        Test::PhishingResistant(_) => "sign in with a security key or a passkey",
        Test::Acr(_) => "sign in in the stronger way that this app asks for",
        Test::AuthAge(_) => "sign in again: the last time is too long ago",
        Test::Network(_) => "come from a network of the organisation",
        Test::Country(_) | Test::Asn(_) => "come from another place",
        Test::Hours(_) | Test::Dates(_) => "come back at another time",
        Test::Device(DeviceTest::Standing(_)) => "use the managed device that is yours",
        Test::Device(DeviceTest::OsVersion(_)) => "update the device",
        Test::Device(DeviceTest::DiskEncryption(_)) => "have the disk of the device encrypted",
        Test::Device(DeviceTest::ScreenLock(_)) => "have the screen of the device lock itself",
        Test::Device(_) => "use another device",
        Test::Risk(_) => "ask the owner of the app: something speaks against this account or device",
        Test::Browser(_) => "ask with another kind of client",
        Test::Users(_) | Test::Groups(_) | Test::Domains(_) | Test::Claim(..) => "ask the owner of the app for access",
        Test::Methods(_) | Test::Header(..) | Test::Path(_) => return None,
    })
}
