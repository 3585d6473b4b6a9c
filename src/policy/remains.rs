//! What is still to be asked when only some of a request is known: whose it is, perhaps its method and path, but nothing of its
//! circumstances. In: conditions, and what is known. Out: whether they hold, don't, or what they come down to. Must never say that
//! something holds, or doesn't, that a request could still turn.

use super::condition::{Condition, Test};
use super::files::Extra;
use super::rules::User;
use super::{Effect, Ruleset};
use crate::model::{Email, Identity, RuleId};
use cedar_policy::{Policy, ResourceConstraint};
use http::Method;
use std::fmt;
use std::sync::Arc;

/// What is known of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Everything.
    Person(Box<Identity>),
    /// By what name a rule knows them.
    Named(User),
    /// That they are in this group.
    Member(String),
    /// That their verified address is in this domain.
    Domain(String),
    /// That this claim of theirs has this value.
    Claim(String, String),
    /// That they have signed in.
    Anybody,
}

/// What is known of a request before it comes.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Whose it is.
    pub who: &'a Who,
    /// How it asks.
    pub method: Option<&'a Method>,
    /// What it asks for, decoded.
    pub path: Option<&'a str>,
}

/// What a rule comes down to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// It matches.
    Always,
    /// It matches where this holds.
    If(Condition),
    /// It is written in Cedar, which only a whole request can be asked of.
    Cedar,
}

/// A rule that can match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Which.
    pub rule: RuleId,
    /// File and line.
    pub place: Arc<str>,
    /// When.
    pub when: When,
}

/// How somebody can be let through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// Any of these allows it; none where they can't be.
    pub ways: Vec<Way>,
    /// Unless any of these denies it.
    pub unless: Vec<Way>,
}

impl Ruleset {
    /// By which rules such a request could be let through. What is in the shadow does not count.
    pub fn reach(&self, known: Known<'_>) -> Reach {
        let (mut reach, mut closed) = (Reach::default(), false);
        for rule in self.rules().filter(|rule| !rule.shadow) {
            let Some(when) = known.remains(&Condition::All(rule.parts())) else { continue };
            closed |= rule.effect == Effect::Deny && when == When::Always;
            reach.add(rule.effect, Way { rule: rule.id.clone(), place: Arc::clone(&rule.place), when });
        }
        let of_files = self.files().policies().iter().filter(|extra| !extra.shadow && self.concerns(extra));
        for extra in of_files {
            let way = Way { rule: extra.id.clone(), place: Arc::clone(&extra.place), when: When::Cedar };
            reach.add(extra.effect, way);
        }
        if closed { Reach::default() } else { reach }
    }

    /// Whether a policy can say anything of this app.
    fn concerns(&self, extra: &Extra) -> bool {
        let elsewhere = |policy: &Policy| match policy.resource_constraint() {
            ResourceConstraint::Eq(app) | ResourceConstraint::In(app) => app != *self.app(),
            _ => false,
        };
        !extra.policy.policies().any(elsewhere)
    }
}

impl Reach {
    fn add(&mut self, effect: Effect, way: Way) {
        match effect {
            Effect::Allow => self.ways.push(way),
            Effect::Deny => self.unless.push(way),
        }
    }
}

impl Known<'_> {
    /// What the condition comes down to; `None` where it can't hold.
    pub fn remains(self, condition: &Condition) -> Option<When> {
        match condition {
            Condition::Test(test) => match self.answer(test) {
                Some(holds) => holds.then_some(When::Always),
                None => Some(When::If(condition.clone())),
            },
            Condition::All(parts) => self.all(parts),
            Condition::Any(parts) => self.any(parts),
            Condition::Not(part) => match self.remains(part) {
                None => Some(When::Always),
                Some(When::If(rest)) => Some(When::If(Condition::Not(Box::new(rest)))),
                Some(When::Always | When::Cedar) => None,
            },
        }
    }

    fn all(self, parts: &[Condition]) -> Option<When> {
        let mut open = Vec::new();
        for part in parts {
            match self.remains(part)? {
                When::If(Condition::All(rest)) => open.extend(rest),
                When::If(rest) => open.push(rest),
                When::Always | When::Cedar => {}
            }
        }
        Some(match open.len() {
            0 => When::Always,
            1 => open.pop().map_or(When::Always, When::If),
            _ => When::If(Condition::All(open)),
        })
    }

    fn any(self, parts: &[Condition]) -> Option<When> {
        let mut open = Vec::new();
        for part in parts {
            match self.remains(part) {
                Some(When::If(Condition::Any(rest))) => open.extend(rest),
                Some(When::If(rest)) => open.push(rest),
                Some(When::Always | When::Cedar) => return Some(When::Always),
                None => {}
            }
        }
        match open.len() {
            0 | 1 => open.pop().map(When::If),
            _ => Some(When::If(Condition::Any(open))),
        }
    }

    /// Whether a test holds, where that is known.
    fn answer(self, test: &Test) -> Option<bool> {
        match test {
            Test::Users(users) => self.who.is_one_of(users),
            Test::Groups(groups) => self.who.is_member(groups),
            Test::Domains(domains) => self.who.is_of(domains),
            Test::Claim(name, values) => self.who.claims(name, values),
            Test::Methods(methods) => self.method.map(|method| methods.contains(method)),
            Test::Path(patterns) => self.path.map(|path| patterns.values.iter().any(|pattern| pattern.matches(path, false))),
            _ => None,
        }
    }
}

impl Who {
    fn is_one_of(&self, users: &[User]) -> Option<bool> {
        let unless = |could_be: fn(&User) -> bool| if users.iter().any(could_be) { None } else { Some(false) };
        match self {
            Self::Person(identity) => {
                let subject = identity.subject.to_string();
                Some(users.iter().any(|user| match user {
                    User::Email(email) => identity.profile.email.as_ref() == Some(email),
                    User::Subject(name) => *name == subject,
                }))
            }
            Self::Named(user) if users.contains(user) => Some(true),
            // One person can be known by an address and by a subject.
            Self::Named(User::Email(_)) => unless(|user| matches!(user, User::Subject(_))),
            Self::Named(User::Subject(_)) => unless(|user| matches!(user, User::Email(_))),
            _ if users.is_empty() => Some(false),
            _ => None,
        }
    }

    fn is_member(&self, groups: &[String]) -> Option<bool> {
        match self {
            Self::Person(identity) => Some(identity.profile.groups.iter().any(|group| groups.contains(group))),
            Self::Member(group) if groups.contains(group) => Some(true),
            _ if groups.is_empty() => Some(false),
            _ => None,
        }
    }

    fn is_of(&self, domains: &[String]) -> Option<bool> {
        let within = |email: &Email| domains.iter().any(|domain| domain == email.domain());
        match self {
            Self::Person(identity) => Some(identity.profile.email.as_ref().is_some_and(within)),
            Self::Named(User::Email(email)) => Some(within(email)),
            Self::Domain(domain) => Some(domains.contains(domain)),
            _ if domains.is_empty() => Some(false),
            _ => None,
        }
    }

    fn claims(&self, name: &str, values: &[String]) -> Option<bool> {
        match self {
            Self::Person(identity) => {
                Some(identity.profile.claims.get(name).is_some_and(|own| own.iter().any(|value| values.contains(value))))
            }
            Self::Claim(claim, value) if claim == name && values.contains(value) => Some(true),
            _ if values.is_empty() => Some(false),
            _ => None,
        }
    }
}

impl Condition {
    /// Every test in it.
    pub fn tests(&self) -> Vec<&Test> {
        match self {
            Self::Test(test) => vec![test],
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::tests).collect(),
            Self::Not(part) => part.tests(),
        }
    }

    /// Whether it holds for nobody but whom it names.
    pub fn is_for_some(&self) -> bool {
        match self {
            Self::Test(test) => matches!(test, Test::Users(_) | Test::Groups(_) | Test::Domains(_) | Test::Claim(..)),
            Self::All(parts) => parts.iter().any(Self::is_for_some),
            Self::Any(parts) => parts.iter().all(Self::is_for_some),
            Self::Not(_) => false,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let join = |parts: &[Self], word: &str| {
            let written = |part: &Self| match part {
                Self::All(_) | Self::Any(_) => format!("({part})"),
                Self::Test(_) | Self::Not(_) => part.to_string(),
            };
            parts.iter().map(written).collect::<Vec<_>>().join(word)
        };
        match self {
            Self::Test(test) => test.fmt(f),
            Self::All(parts) => f.write_str(&join(parts, " and ")),
            Self::Any(parts) => f.write_str(&join(parts, " or ")),
            Self::Not(part) => write!(f, "not ({part})"),
        }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person(identity) => match &identity.profile.email {
                Some(email) if identity.subject.subject.is_empty() => f.write_str(email.as_str()),
                Some(email) => write!(f, "{} ({})", email.as_str(), identity.subject),
                None => identity.subject.fmt(f),
            },
            Self::Named(user) => user.fmt(f),
            Self::Member(group) => write!(f, "group {group}"),
            Self::Domain(domain) => write!(f, "domain {domain}"),
            Self::Claim(name, value) => write!(f, "claim {name}={value}"),
            Self::Anybody => f.write_str("anybody who signs in"),
        }
    }
}
