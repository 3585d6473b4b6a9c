//! `devices`, as the file has it.

use schemars::JsonSchema;
use serde::Deserialize;

/// The devices that are known.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Devices {
    /// A file that lists them, `.csv` or `.yaml`; read again when it changes.
    pub file: String,
}
