//! What is changed on the way to an app and back, what is answered without one, and how much an app takes, as the file says
//! it. In: YAML. Out: plain values, checked in `compile`.

use super::Texts;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Headers that are changed. Neither those that frame a message nor Doorward's own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Headers {
    /// Headers with the values that they get, whatever they had.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Headers that are taken out.
    pub remove: Option<Texts>,
}

/// Sends people elsewhere.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// `https://host/path`, or a path of the same host.
    pub to: String,
    /// `301`, `302`, `303`, `307` or `308`; `307` by default.
    pub status: Option<String>,
    /// Append what stands behind the app's prefix, query included; `false` by default.
    #[serde(default)]
    pub keep_path: bool,
}

/// Says always the same.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// `200` by default; any but a redirect.
    pub status: Option<String>,
    /// The type of the body; `text/plain; charset=utf-8` by default.
    pub content_type: Option<String>,
    /// The text; none by default.
    pub body: Option<String>,
}

/// How many requests an app takes. What is beyond is refused at once.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppLimits {
    /// Requests in flight, WebSockets and streams included.
    pub in_flight: Option<String>,
    /// Requests in flight of one session.
    pub in_flight_per_session: Option<String>,
    /// Requests of one session: `50/s` or `600/m`.
    pub rate_per_session: Option<String>,
    /// Requests of one address, or of one /64 where it is IPv6: `100/s` or `3000/m`.
    pub rate_per_address: Option<String>,
}
