//! `scim:` of a provider as it is written.

use super::Texts;
use schemars::JsonSchema;
use serde::Deserialize;

/// The provider's directory, which it tells of at `/scim/v2` of the sign-in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scim {
    /// The tokens that are taken. Several count at once, so that one can be replaced by the next.
    pub tokens: Vec<ScimToken>,
    /// Whether groups of the directory stand in place of those of the claims, come beside them, or don't count; `replace` by
    /// default.
    pub groups: Option<ScimGroups>,
    /// How a directory user is found for somebody who signs in: `external_id` by the `sub`, `email` by the verified address;
    /// `[external_id, email]` by default, one after the other.
    #[serde(rename = "match")]
    pub matches: Option<Texts>,
    /// Refuse whoever is not in the directory; `false` by default.
    #[serde(default)]
    pub required: bool,
}

/// A token. Exactly one of `env`, `file` and `sha256`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScimToken {
    /// An environment variable with the token.
    pub env: Option<String>,
    /// A file with the token; line breaks at its end do not count.
    pub file: Option<String>,
    /// The SHA-256 of the token, in hexadecimal digits.
    pub sha256: Option<String>,
    /// Until when it is taken: `2027-01-31T00:00:00Z`; for good by default.
    pub expires: Option<String>,
    /// It may look, and change nothing; `false` by default.
    #[serde(default)]
    pub read_only: bool,
}

/// What becomes of the groups of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ScimGroups {
    /// They stand in place of those of the claims.
    Replace,
    /// They come beside them.
    Add,
    /// They don't count.
    Ignore,
}
