//! How the servers of an app are spoken to, as the file says it. In: YAML. Out: plain values, checked in
//! `compile::upstream`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use std::borrow::Cow;

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

/// How long an app may take; a duration, or `off` except for `connect`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// Until there is a connection to it; `5s` by default.
    pub connect: Option<String>,
    /// From the last byte of the request to the first of the answer; `60s` by default.
    pub first_byte: Option<String>,
    /// Without a byte in either direction once the answer has begun, except for streams; `60s` by default.
    pub idle: Option<String>,
    /// For everything, except for streams; `off` by default.
    pub total: Option<String>,
}

/// How many connections each worker (there is one a core) has to each server of an app.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// How long one is kept that no request is on; `50s` by default.
    pub idle: Option<String>,
    /// How many of those are kept; `256` by default.
    pub max_idle: Option<Number>,
    /// How many there may be at a time; any number by default.
    pub max_connections: Option<Number>,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SendProxyProtocol {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// A whole number.
#[derive(Debug, Deserialize)]
pub struct Number(pub String);

impl JsonSchema for Number {
    fn schema_name() -> Cow<'static, str> {
        "Number".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "A whole number.", "type": "integer", "minimum": 0 })
    }
}
