//! The short form: one entry under `allow:` or `deny:`. In: checked values from the configuration. Out: a [`Rule`].

use super::condition::{Condition, Test};
use crate::model::{Email, RuleId};
use http::Method;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// What a rule does when it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Lets through, unless something denies.
    Allow,
    /// Refuses, whatever allows.
    Deny,
}

/// One rule. Every part that is there must match (and); a part matches when any of its values does (or). A rule
/// with no parts matches every signed-in person.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Where it stands in the configuration.
    pub id: RuleId,
    /// Allow or deny.
    pub effect: Effect,
    /// People, by verified e-mail address or by `provider:subject`.
    pub users: Option<Vec<User>>,
    /// Member of any of these groups.
    pub groups: Option<Vec<String>>,
    /// The verified e-mail address is in one of these domains, exactly; lower case.
    pub domains: Option<Vec<String>>,
    /// Each named claim has one of these values.
    pub claims: BTreeMap<String, Vec<String>>,
    /// The request's method is one of these.
    pub methods: Option<Vec<Method>>,
    /// What else must hold.
    pub conditions: Vec<Condition>,
    /// Only looked at, never enforced.
    pub shadow: bool,
    /// Where it stands: `doorward.yaml:12`.
    pub place: Arc<str>,
}

impl Rule {
    /// A rule with no parts.
    pub fn new(id: RuleId, effect: Effect) -> Self {
        Self {
            id,
            effect,
            users: None,
            groups: None,
            domains: None,
            claims: BTreeMap::new(),
            methods: None,
            conditions: Vec::new(),
            shadow: false,
            place: "".into(),
        }
    }

    /// Its parts, all of which must hold.
    pub fn parts(&self) -> Vec<Condition> {
        let tests = [
            self.users.clone().map(Test::Users),
            self.groups.clone().map(Test::Groups),
            self.domains.clone().map(Test::Domains),
            self.methods.clone().map(Test::Methods),
        ];
        let claims = self.claims.iter().map(|(name, values)| Test::Claim(name.clone(), values.clone()));
        let own = tests.into_iter().flatten().chain(claims).map(Condition::Test);
        own.chain(self.conditions.iter().cloned()).collect()
    }
}

/// How a rule names a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// A verified e-mail address.
    Email(Email),
    /// `provider:subject`.
    Subject(String),
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Email(email) => f.write_str(email.as_str()),
            Self::Subject(subject) => f.write_str(subject),
        }
    }
}
