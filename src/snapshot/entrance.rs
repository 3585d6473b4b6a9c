//! What connections are asked before there is a request. In: compiled limits. Out: answers to "may this one in?". Must never
//! know a connection: it only says what holds for all of them.

use std::num::NonZeroU32;

/// What holds for every connection of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entrance {
    /// Whether trusted proxies say in a PROXY header whom they speak for.
    pub proxy_protocol: bool,
    /// How many connections may be open.
    pub connections: u32,
    /// How many of them may come from one address (IPv6: one /64 network); no limit when `None`.
    pub per_address: Option<NonZeroU32>,
}

impl Default for Entrance {
    fn default() -> Self {
        Self { proxy_protocol: false, connections: 50_000, per_address: None }
    }
}
