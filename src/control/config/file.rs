//! The configuration file as it is written. In: YAML. Out: plain values; what they mean is checked in
//! [`super::compile`]. Also the source of the JSON Schema: every doc comment here is read by operators.
//!
//! Only texts, truth values, lists, mappings and plain enums: [`super::document`] relies on it.

mod audit;
mod denials;
mod devices;
mod limits;
pub mod rewriting;
pub mod rules;
pub mod scim;
pub mod servers;
pub mod signals;
pub mod transmitters;
pub mod upstream;
mod webhooks;

pub use audit::{Audit, WhenFull};
pub use denials::ExplainDenials;
pub use devices::Devices;
pub use limits::Limits;
pub use rules::Rule;
pub use webhooks::Webhook;

use crate::model::directory::ATTRIBUTES;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The configuration of Doorward.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Doorward")]
pub struct File {
    /// The addresses that Doorward listens on.
    pub listen: Listen,
    /// The administration listener.
    pub admin: Option<Admin>,
    /// The certificates.
    pub tls: Tls,
    /// Networks (`10.0.0.0/8`) or addresses whose `X-Forwarded-For`, `Forwarded` and PROXY header are believed; nobody's by
    /// default.
    #[serde(default)]
    pub trusted_proxies: Texts,
    /// How many connections are taken.
    pub limits: Option<Limits>,
    /// Where and for how long people are signed in.
    pub auth: Auth,
    /// The OpenID Connect providers that people sign in at, by a short name of letters, digits, `-` and `_`.
    #[serde(default)]
    pub identity_providers: BTreeMap<String, Provider>,
    /// The transmitters of security events, by a short name of letters, digits, `-` and `_`.
    #[serde(default)]
    pub signals: BTreeMap<String, transmitters::Transmitter>,
    /// Rules by name, for `rule` in other rules.
    #[serde(default)]
    pub rules: BTreeMap<String, Rule>,
    /// Lists by name, for `$name` in rules. An entry `file:PATH` stands for the lines of that file, which is read again when it
    /// changes.
    #[serde(default)]
    pub lists: BTreeMap<String, Texts>,
    /// Files with policies in Cedar's syntax, for every app; `*` may stand in the last part.
    #[serde(default)]
    pub policies: Texts,
    /// The same, evaluated and recorded, and never enforced.
    #[serde(default)]
    pub shadow_policies: Texts,
    /// Where addresses are.
    pub geo: Option<signals::Geo>,
    /// Where the state is kept: `sqlite:PATH`, or `postgres://USER@HOST/DATABASE` for replicas; a relative path starts at the
    /// directory of this file.
    pub store: String,
    /// The password for a PostgreSQL server.
    pub store_password: Option<Secret>,
    /// The file with the keys that seal tokens, a `NUMBER BASE64` a line: the same for all replicas. Beside an SQLite database,
    /// `PATH.keys` unless this says otherwise.
    pub store_keys: Option<String>,
    /// How long sessions that are known go on while the PostgreSQL server is out of reach: `5m`.
    pub store_grace: Option<String>,
    /// The devices that are known.
    pub devices: Option<Devices>,
    /// The apps, by a short name of letters, digits, `-` and `_`.
    #[serde(default)]
    pub apps: BTreeMap<String, App>,
    /// The audit trail.
    pub audit: Option<Audit>,
    /// Who is told of locks and revocations.
    #[serde(default)]
    pub webhooks: Vec<Webhook>,
}

/// The addresses that Doorward listens on, each as `address:port`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// For browsers, over TLS: `"[::]:443"`.
    pub https: String,
    /// For browsers that come without TLS, who are only redirected: `"[::]:80"`.
    pub http: Option<String>,
    /// For health, metrics and administration, never for browsers: `"127.0.0.1:9901"`.
    pub admin: Option<String>,
    /// Connections from `trusted_proxies` begin with a PROXY header (version 1 or 2) that says whose they are; `false` by
    /// default.
    #[serde(default)]
    pub proxy_protocol: bool,
}

/// The administration listener.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// The bearer token of the administration API.
    pub token: Option<Secret>,
}

/// The certificates.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Chosen by the name that the browser asks for; the first is for everybody else.
    pub certificates: Vec<Certificate>,
    /// A PEM file with the authorities that vouch for devices: browsers are asked for a certificate, and may come without one.
    pub device_ca: Option<String>,
    /// A file with the lists of certificates that those authorities have revoked (CRL), PEM or DER. Once there is one, a
    /// certificate whose issuer has no list in it is not good, nor is any when the list is past its time.
    pub device_crl: Option<String>,
    /// The trusted proxies take `Client-Cert` and `Client-Cert-Chain` (RFC 9440) from nobody and say there which certificate
    /// their client has shown; `false` by default.
    #[serde(default)]
    pub client_cert_header: bool,
}

/// A certificate and its key. Both files are read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// A PEM file: the certificate, then those that vouch for it.
    pub cert: String,
    /// A PEM file: the private key.
    pub key: String,
}

/// Where and for how long people are signed in.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// `https://host[:port]` of the sign-in, a host of its own.
    pub url: String,
    /// How long sign-ins last.
    pub session: Option<Session>,
}

/// How long sign-ins last.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// Without a request; `1h` by default.
    pub idle: Option<String>,
    /// At most; `12h` by default.
    pub lifetime: Option<String>,
}

/// An OpenID Connect provider.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// What people call it; the key by default.
    pub name: Option<String>,
    /// The issuer, exactly as the provider spells it: `https://idp.corp.example`.
    pub issuer: String,
    /// Doorward's client id at the provider.
    pub client_id: String,
    /// Doorward's secret at the provider; a public client has none.
    pub client_secret: Option<Secret>,
    /// What to ask for; `[openid, email, profile]` by default.
    pub scopes: Option<Texts>,
    /// Our word for a claim: the provider's name for it. `groups`, `email` and `name` can be renamed here too.
    #[serde(default)]
    pub claims: BTreeMap<String, String>,
    /// Take e-mail addresses for verified when the provider does not say whether they are; `false` by default.
    #[serde(default)]
    pub assume_email_verified: bool,
    /// What its `acr` and `amr` mean; their registered values by default.
    pub strength: Option<signals::Strength>,
    /// Lets the provider end all sign-ins of one of its people at `/.doorward/global-token-revocation`; not at all by default.
    pub global_token_revocation: Option<transmitters::GlobalRevocation>,
    /// The provider's directory of users and groups, which it tells of by SCIM; none by default.
    pub scim: Option<scim::Scim>,
    /// How far the provider's clock may be off; `60s` by default, `5m` at most.
    pub leeway: Option<String>,
    /// A PEM file with the certificate authorities to trust for this provider, in place of the system's.
    pub ca: Option<String>,
}

impl Provider {
    /// Our words for what it can say of a person: claims that are mapped, and what its directory has.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        let directory = self.scim.iter().flat_map(|_| ATTRIBUTES);
        self.claims.keys().map(String::as_str).chain(directory)
    }
}

/// Where a secret is. Exactly one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Secret {
    /// An environment variable.
    pub env: Option<String>,
    /// A file; line breaks at its end do not count.
    pub file: Option<String>,
}

/// An app behind Doorward.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// What people type: `https://host[:port][/prefix]`; the host may start with `*.`, for any one name.
    pub url: String,
    /// What people call it; the key by default.
    pub name: Option<String>,
    /// Where the app really is: `http://host:port`, `https://host:port`, `h2c://host:port` or `unix:/path/to.sock`; one or a list.
    pub upstream: Option<servers::Servers>,
    /// Whom `https` servers are trusted as, and what they are shown.
    pub upstream_tls: Option<upstream::UpstreamTls>,
    /// How long it may take.
    pub timeouts: Option<upstream::Timeouts>,
    /// The version of the PROXY protocol that its servers are told about the client's connection by; not at all by default.
    pub send_proxy_protocol: Option<upstream::SendProxyProtocol>,
    /// How many connections to it are kept.
    pub pool: Option<upstream::Pool>,
    /// How one of several servers is chosen; `round_robin` by default.
    pub balance: Option<servers::Balance>,
    /// A request that says from time to time whether a server works.
    pub health: Option<servers::Health>,
    /// When one of several servers that fails requests is left out.
    pub ejection: Option<servers::Ejection>,
    /// How long a server that came back is spared, getting more of its turns little by little; not at all by default.
    pub slow_start: Option<String>,
    /// In place of an upstream: send people elsewhere.
    pub redirect: Option<rewriting::Redirect>,
    /// In place of an upstream: say always the same.
    pub respond: Option<rewriting::Respond>,
    /// The `Host` that the app gets: `keep` for the public one, which is the default, or a name.
    pub host: Option<String>,
    /// Take the prefix of `url` off the path that the app gets; `false` by default.
    #[serde(default)]
    pub strip_prefix: bool,
    /// Put this before the path that the app gets: `/base`.
    pub add_prefix: Option<String>,
    /// Headers that are changed on the way to the app.
    pub request_headers: Option<rewriting::Headers>,
    /// Headers that are changed in its answers.
    pub response_headers: Option<rewriting::Headers>,
    /// Send `Forwarded` (RFC 7239) beside `X-Forwarded-*`; `false` by default.
    #[serde(default)]
    pub forwarded: bool,
    /// The longest body that the app takes: `100MB`; as long as it likes by default.
    pub max_body: Option<String>,
    /// How many requests the app takes; all by default.
    pub limits: Option<rewriting::AppLimits>,
    /// Headers for the app, each with what it carries: `user`, `email`, `name`, `groups`, `provider`, or a mapped claim.
    #[serde(default)]
    pub identity: BTreeMap<String, String>,
    /// The providers whose sign-ins the app takes; all by default.
    pub providers: Option<Texts>,
    /// Let CORS preflights through without a session; `false` by default.
    #[serde(default)]
    pub cors_preflight: bool,
    /// Who may use the app: whoever any of these rules matches. Without any, nobody.
    pub allow: Option<Vec<Rule>>,
    /// Who may not, whatever allows it; for every path of the app.
    pub deny: Option<Vec<Rule>>,
    /// Whom refused people can ask: an address, an `https` URL or a text.
    pub contact: Option<String>,
    /// What people are told whom these rules refuse; `full` by default.
    pub explain_denials: Option<ExplainDenials>,
    /// Paths with rules of their own; the most specific match decides.
    pub paths: Option<Vec<PathEntry>>,
}

/// Paths with rules of their own. Without `allow` and `public`, the app's `allow` counts; the app's `deny` always does.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathEntry {
    /// `/health`, `/users/*/keys`, `/admin/**`; one or a list.
    #[serde(rename = "match")]
    pub matches: Texts,
    /// Open to everybody, without signing in.
    #[serde(default)]
    pub public: bool,
    /// By these methods only; others are refused.
    pub methods: Option<Texts>,
    /// Who may, in place of the app's `allow`.
    pub allow: Option<Vec<Rule>>,
    /// Who may not, beside the app's `deny`.
    pub deny: Option<Vec<Rule>>,
    /// In place of the app: send people elsewhere.
    pub redirect: Option<rewriting::Redirect>,
    /// In place of the app: say always the same.
    pub respond: Option<rewriting::Respond>,
}

/// A list of texts; a single text stands for a list of one.
#[derive(Debug, Default)]
pub struct Texts(pub Vec<String>);

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Texts;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text or a list of texts")
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = items.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }
        deserializer.deserialize_newtype_struct(super::document::ONE_OR_MANY, Visitor)
    }
}

impl JsonSchema for Texts {
    fn schema_name() -> Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A text or a list of texts.",
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }],
        })
    }
}
