//! What is allowed. In: rules from the configuration, a principal, a request. Out: a [`Decision`] that names its rule.
//! Pure: no clock, no I/O, no state. Must never allow on an error.

pub mod compile;
pub mod principal;
pub mod rules;
pub mod schema;

pub use compile::{CompileError, RuleIndex, Ruleset};
pub use principal::Principal;
pub use rules::{Effect, Rule};

use crate::model::RuleId;

/// What a rule set says of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// This rule allows it and none denies it.
    Allow(RuleId),
    /// This rule denies it, whatever else allows it.
    Deny(RuleId),
    /// No rule allows it.
    NoRule,
    /// Evaluation failed; counts as a denial.
    Error(String),
}
