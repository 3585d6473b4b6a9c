//! What refused people are told, as it is written.

use schemars::JsonSchema;
use serde::Deserialize;

/// What refused people are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExplainDenials {
    /// Which conditions failed of the rules that are for them, and whom to ask.
    #[default]
    Full,
    /// Whom to ask.
    ContactOnly,
    /// Nothing.
    Off,
}
