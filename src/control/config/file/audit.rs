//! The keys of the audit trail, as people write them.

use schemars::JsonSchema;
use serde::Deserialize;

/// The audit trail.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Audit {
    /// Where records go, one JSON object a line.
    pub file: Option<String>,
    /// When the file is put aside for a new one; never by default.
    pub rotate: Option<Rotate>,
    /// What happens to requests when records can't be written fast enough; `refuse` by default.
    pub when_full: Option<WhenFull>,
}

/// When the audit file is put aside.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rotate {
    /// Once it has this size: `100MB`.
    pub size: String,
    /// How many files that were put aside are kept; all of them by default.
    pub keep: Option<String>,
}

/// What happens when the audit trail can't keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// Requests wait a little and are then refused.
    Refuse,
    /// Requests go on and their records are lost.
    Shed,
}
