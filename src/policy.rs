//! What is allowed. In: rules from the configuration, a principal, what is known of a request. Out: a [`Decision`] that names its
//! rule. Pure: no clock, no I/O, no state. Must never allow on an error.

mod advice;
mod cedar;
pub mod compile;
pub mod condition;
mod context;
pub mod evidence;
pub mod explain;
pub mod facts;
pub mod files;
pub mod hours;
pub mod principal;
pub mod reads;
pub mod remains;
pub mod rules;
pub mod schema;
mod step_up;

pub use compile::{CompileError, Compiler, RuleIndex, Ruleset};
pub use condition::{Condition, Test};
pub use facts::{Authentication, Facts};
pub use files::Files;
pub use principal::Principal;
pub use reads::{Kind, Reads};
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

/// What counts, and what would count if rules in the shadow did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What counts.
    pub decision: Decision,
    /// What would count, where it is the contrary.
    pub shadow: Option<Decision>,
}

impl Decision {
    /// Whether it lets through.
    pub const fn allows(&self) -> bool {
        matches!(self, Self::Allow(_))
    }

    /// The rule that made it.
    pub const fn rule(&self) -> Option<&RuleId> {
        match self {
            Self::Allow(rule) | Self::Deny(rule) => Some(rule),
            Self::NoRule | Self::Error(_) => None,
        }
    }
}
