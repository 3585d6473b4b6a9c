//! The short form: one entry under `allow:` or `deny:`. In: checked values from the configuration. Out: a [`Rule`].

use crate::model::{Email, RuleId};
use http::Method;
use std::collections::BTreeMap;

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
}

/// How a rule names a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum User {
    /// A verified e-mail address.
    Email(Email),
    /// `provider:subject`.
    Subject(String),
}
