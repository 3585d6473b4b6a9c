//! `webhooks`, as the file has them.

use super::{Secret, Texts};
use schemars::JsonSchema;
use serde::Deserialize;

/// Somebody who is told of locks and revocations.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where to post: `https://…`, or `http://…` on this machine. Redirects are not followed.
    pub url: String,
    /// What signs: `whsec_` and base64 of 24 to 64 random bytes.
    pub secret: Secret,
    /// `lock.set`, `lock.lifted`, `sessions.revoked`; all by default.
    pub events: Option<Texts>,
}
