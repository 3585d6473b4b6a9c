//! The block `limits`. In: YAML. Out: plain values. Must never decide what they mean.

use schemars::JsonSchema;
use serde::Deserialize;

/// How many connections are taken.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// How many connections of clients may be open; `50000` by default. One more is closed at once.
    #[schemars(with = "Option<u32>")]
    pub connections: Option<String>,
    /// How many of them may come from one address, or from one /64 network of IPv6; no limit by default.
    #[schemars(with = "Option<u32>")]
    pub connections_per_address: Option<String>,
}
