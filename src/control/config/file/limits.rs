//! The block `limits` of the whole file. In: YAML. Out: plain values. Must never decide what they mean.

use schemars::JsonSchema;
use serde::Deserialize;

/// How many connections are taken, and how much Doorward itself answers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// How many connections of clients may be open; `50000` by default. One more is closed at once.
    #[schemars(with = "Option<u32>")]
    pub connections: Option<String>,
    /// How many of them may come from one address, or from one /64 network of IPv6; no limit by default.
    #[schemars(with = "Option<u32>")]
    pub connections_per_address: Option<String>,
    /// How much one address, or one /64 network of IPv6, may ask of Doorward itself, under `/.doorward/`.
    #[serde(default)]
    pub reserved: Reserved,
}

/// How much one address may ask of Doorward itself.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reserved {
    /// Requests in flight; `500` by default.
    #[schemars(with = "Option<u32>")]
    pub in_flight_per_address: Option<String>,
    /// Requests; `200/s` by default. Of what is proved by a token (`events`, `backchannel-logout`, `global-token-revocation`), only
    /// those where the proof fails.
    pub rate_per_address: Option<String>,
}
