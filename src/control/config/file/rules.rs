//! Rules as they are written. In: YAML. Out: plain values.

use super::Texts;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A rule: every part that is there must match, each by any of its values. `{}` matches everybody who is signed in.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Verified e-mail addresses, or `provider:subject`.
    pub users: Option<Texts>,
    /// Groups.
    pub groups: Option<Texts>,
    /// Domains of verified e-mail addresses, exactly.
    pub domains: Option<Texts>,
    /// Mapped claims, each with the values that match.
    pub claims: Option<BTreeMap<String, Texts>>,
    /// Methods of HTTP, in capitals.
    pub methods: Option<Texts>,
    /// The circumstances.
    pub when: Option<When>,
    /// Any of these must match.
    pub any: Option<Vec<Rule>>,
    /// All of these must match.
    pub all: Option<Vec<Rule>>,
    /// This must not match.
    pub not: Option<Box<Rule>>,
    /// Names under the `rules` of the file; all of them must match.
    pub rule: Option<Texts>,
    /// Evaluated and recorded, and never enforced; `false` by default.
    #[serde(default)]
    pub shadow: bool,
}

/// Circumstances, all of which must hold, each by any of its values.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Whether the person signed in with more than one factor.
    pub mfa: Option<bool>,
    /// Whether the person signed in by a method that does not work at a false site.
    pub phishing_resistant: Option<bool>,
    /// How long ago the person may have signed in at the provider: `4h`.
    pub auth_age: Option<String>,
    /// Authentication context classes of the sign-in.
    pub acr: Option<Texts>,
    /// Networks of the client's address: `10.0.0.0/8`, or `$name` of a list.
    pub network: Option<Texts>,
    /// Countries of the client's address, as ISO 3166 has them: `DE`.
    pub country: Option<Texts>,
    /// Autonomous systems of the client's address: `3320`.
    pub asn: Option<Texts>,
    /// Hours of the week in a named zone: `Mon-Fri 07:00-19:00 Europe/Berlin`.
    pub hours: Option<Texts>,
    /// Dates in a named zone, both ends included: `2026-12-24..2027-01-06 Europe/Berlin`.
    pub dates: Option<Texts>,
    /// The device: `managed`, `known` or `certified`, or more about it.
    #[schemars(with = "Option<DeviceForm>")]
    pub device: Option<DeviceRule>,
    /// Levels of risk: `low`, `medium`, `high`. What is not known is none of them.
    pub risk: Option<Texts>,
    /// Headers of the request, each with the values that match. Clients can send what they like.
    pub header: Option<BTreeMap<String, Texts>>,
    /// Patterns for the path: `/admin/**`.
    pub path: Option<Texts>,
    /// `browser` or `program`, by the client's own word.
    pub user_agent: Option<UserAgent>,
}

/// What must be known of the device. A text alone is its standing.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceRule {
    /// `managed`: in the inventory, managed, and the person's own or shared; `known`: that or not managed; `certified`: that, or with
    /// a certificate alone.
    pub standing: Option<String>,
    /// Platforms: `macos`, `windows`, `linux`, `ios`, `android`.
    pub platform: Option<Texts>,
    /// At least this version: `14.6`.
    pub os_version: Option<String>,
    /// Whether the disk is encrypted.
    pub disk_encryption: Option<bool>,
    /// Whether the screen locks.
    pub screen_lock: Option<bool>,
    /// Whether it keeps the rules for devices.
    pub compliant: Option<bool>,
    /// Tags, any of them.
    pub tags: Option<Texts>,
}

/// A standing, or more to say.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "describes what editors may offer")]
enum DeviceForm {
    Standing(String),
    More(DeviceRule),
}

/// What kind of client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UserAgent {
    /// A browser.
    Browser,
    /// Anything else.
    Program,
}
