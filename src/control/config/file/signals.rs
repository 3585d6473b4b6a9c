//! What is asked of the circumstances of a request, as it is written. In: YAML. Out: plain values.

use super::Texts;
use schemars::JsonSchema;
use serde::Deserialize;

/// What a provider's words for the strength of a sign-in mean. A kind that is not here keeps its registered values.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Strength {
    /// More than one factor; by default `amr: [mfa]`.
    pub mfa: Option<Means>,
    /// A method that does not work at a false site; by default `acr: [phr, phrh]`.
    pub phishing_resistant: Option<Means>,
}

/// Any of these values means it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Means {
    /// Authentication methods.
    pub amr: Option<Texts>,
    /// Authentication context classes, the preferred one first: they are also what a step-up asks for.
    pub acr: Option<Texts>,
}

/// Databases of addresses, in MaxMind's format.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Geo {
    /// A file that knows the country of an address.
    pub country: Option<String>,
    /// A file that knows the autonomous system of an address.
    pub asn: Option<String>,
    /// How old a database may be before what it says counts as stale; `45d` by default.
    pub max_age: Option<String>,
}
