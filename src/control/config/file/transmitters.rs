//! `signals:` as it is written. In: YAML. Out: plain values.

use super::{Secret, Texts};
use schemars::JsonSchema;
use serde::Deserialize;

/// A transmitter of security events (OpenID Shared Signals Framework 1.0).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transmitter {
    /// The transmitter, exactly as it spells itself: `https://idp.corp.example`.
    pub issuer: String,
    /// The provider whose people it speaks of: one of `identity_providers`.
    pub provider: String,
    /// What its tokens call us, one or a list; our `client_id` at the provider by default.
    pub audience: Option<Texts>,
    /// How its events get here.
    pub deliver: Deliver,
    /// What its API knows us by: to set the stream up, to have it verified, and to fetch events.
    pub token: Option<Secret>,
    /// What it sends as `Authorization` with events that it pushes, word for word.
    pub authorization: Option<Secret>,
    /// The events that count, by their short names; all by default.
    pub events: Option<Texts>,
    /// The tenant that its subjects have to be of, where they name one.
    pub tenant: Option<String>,
    /// How long it may say nothing before what it said is stale; `1h` by default.
    pub silent_after: Option<String>,
    /// How far its clock may be off; `60s` by default, `5m` at most.
    pub leeway: Option<String>,
    /// A PEM file with the certificate authorities to trust for it, in place of the system's.
    pub ca: Option<String>,
}

/// How events get here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Deliver {
    /// It posts them to `/.doorward/events` on the host of the sign-in (RFC 8935).
    Push,
    /// Doorward fetches them (RFC 8936).
    Poll,
}

/// The provider may end all sign-ins of one of its people, by a token that it signs (Okta's Universal Logout).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GlobalRevocation {
    /// In place of the provider's signature: whoever has this bearer token.
    pub token: Option<Secret>,
}
