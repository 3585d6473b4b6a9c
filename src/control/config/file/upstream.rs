//! How the servers of an app are spoken to, as the file says it. In: YAML. Out: plain values, checked in
//! `compile::upstream`.

use schemars::JsonSchema;
use serde::Deserialize;

/// TLS towards the `https` servers of an app. All files are read again when they change.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamTls {
    /// A PEM file with the certificate authorities to trust, in place of the system's.
    pub ca: Option<String>,
    /// The name or address that the certificate must be for, and that the server is asked for; by default the host in
    /// `upstream`.
    pub name: Option<String>,
    /// A PEM file with a certificate to show to the servers, then those that vouch for it.
    pub cert: Option<String>,
    /// A PEM file with the private key of `cert`.
    pub key: Option<String>,
    /// Offer HTTP/2; `false` by default.
    #[serde(default)]
    pub http2: bool,
}
