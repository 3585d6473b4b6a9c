//! How much an app takes. In: what `control::config` compiled. Out: numbers. Must never hold a count: what has happened is
//! not part of a configuration.

use std::num::NonZeroU32;

/// The limits of one app; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body: Option<u64>,
    /// Requests in flight.
    pub in_flight: Option<NonZeroU32>,
    /// Requests in flight of one session.
    pub in_flight_per_session: Option<NonZeroU32>,
    /// Requests of one session.
    pub rate_per_session: Option<Rate>,
    /// Requests of one address; of one /64 where it is IPv6.
    pub rate_per_address: Option<Rate>,
}

/// How much one address may ask of Doorward itself, under `/.doorward/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    /// Requests in flight, and as many again of what is yet to be proved by a token.
    pub in_flight_per_address: NonZeroU32,
    /// Requests; of what is proved by a token, only those where the proof fails.
    pub rate_per_address: Rate,
}

impl Default for Reserved {
    /// A whole office that signs in at nine behind one address stays far below.
    fn default() -> Self {
        let count = |count: u32| NonZeroU32::MIN.saturating_add(count - 1);
        Self { in_flight_per_address: count(500), rate_per_address: Rate { count: count(200), per: Period::Second } }
    }
}

/// So many in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: NonZeroU32,
    /// In how long.
    pub per: Period,
}

/// The time that a rate is counted over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// One second.
    Second,
    /// One minute.
    Minute,
}
