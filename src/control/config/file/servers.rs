//! The servers of an app and how they are chosen and looked after, as the file says it. In: YAML. Out: plain values, checked in
//! `compile::servers`.

use super::Texts;
use super::upstream::Number;
use crate::control::config::document::SERVERS;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;

/// The servers of an app; one stands for a list of one.
#[derive(Debug, Default)]
pub struct Servers(pub Vec<Server>);

/// A server of an app; its URL stands for it where nothing else is said of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Server {
    /// Where it is, as in `upstream` itself.
    pub url: String,
    /// How much it takes, compared to the others: 1 to 100; 1 by default.
    pub weight: Option<Number>,
}

/// How one of several servers is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// In turn.
    RoundRobin,
    /// The one with the fewest requests in progress.
    LeastInFlight,
    /// The same one for a session; by address for who is not signed in.
    BySession,
    /// The same one for a client's address.
    ByAddress,
}

/// A request that says from time to time whether a server works.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// What is asked for, with `GET`: `/healthz`.
    pub path: String,
    /// The host that is asked for; by default that of `url`.
    pub host: Option<String>,
    /// How long between two checks; `10s` by default.
    pub interval: Option<String>,
    /// How long a check may take; `2s` by default.
    pub timeout: Option<String>,
    /// After how many good answers in a row a server that was down is used again; 2 by default.
    pub healthy: Option<Number>,
    /// After how many bad ones in a row a server is not used any more; 3 by default.
    pub unhealthy: Option<Number>,
    /// Which answers are good: statuses or ranges of them; `200-399` by default.
    #[schemars(with = "Option<Statuses>")]
    pub status: Option<Texts>,
}

/// When a server that fails requests is left out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ejection {
    /// After how many failures in a row, or `off` for never; 5 by default.
    #[schemars(with = "Option<Failures>")]
    pub failures: Option<String>,
    /// For how long the first time, and twice as long each time that this did not help; `10s` by default.
    #[serde(rename = "for")]
    pub time: Option<String>,
}

/// A number, or `off`.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "describes what editors may offer")]
enum Failures {
    Number(u32),
    Text(String),
}

/// A status or a range of them, or a list of those.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "describes what editors may offer")]
enum Statuses {
    One(Status),
    List(Vec<Status>),
}

/// `200`, or `200-399`.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "describes what editors may offer")]
enum Status {
    Number(u16),
    Range(String),
}

impl<'de> Deserialize<'de> for Servers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Servers;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a server or a list of servers")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Servers, A::Error> {
                let mut servers = Vec::new();
                while let Some(server) = items.next_element()? {
                    servers.push(server);
                }
                Ok(Servers(servers))
            }
        }
        deserializer.deserialize_newtype_struct(SERVERS, List)
    }
}

impl JsonSchema for Servers {
    fn schema_name() -> Cow<'static, str> {
        "Servers".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = || json_schema!({ "type": "string" });
        let (url, server) = (one(), generator.subschema_for::<Server>());
        let each = json_schema!({ "anyOf": [url, server] });
        json_schema!({
            "description": "A server or a list of servers, each by its URL or with more to say.",
            "anyOf": [one(), server, { "type": "array", "items": each }],
        })
    }
}
