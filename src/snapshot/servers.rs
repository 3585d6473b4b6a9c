//! The servers of one app, and how one of them is chosen. In: what `control::config` compiled. Out: an order to try them in, and
//! what is known of each. Must never be without a server.
//!
//! What changes while requests go on ([`Live`]) is not the configuration's: a snapshot only leads to it.

pub mod live;
pub mod ring;
pub mod turns;

use super::Upstream;
use http::HeaderValue;
use http::uri::PathAndQuery;
use live::Live;
use ring::Ring;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use turns::Turns;

/// How many servers an app can have.
pub const MOST: usize = 64;

/// The servers of one app: at least one, at most [`MOST`].
pub struct Servers {
    first: Server,
    rest: Vec<Server>,
    may_multiplex: bool,
    /// In which order they are tried.
    pub order: Order,
    /// How they are looked after.
    pub care: Care,
}

/// One server.
pub struct Server {
    /// Where it is and what it speaks.
    pub upstream: Arc<Upstream>,
    /// How much it takes, compared to the others; from 1.
    pub weight: u32,
    /// What is known of it.
    pub live: Arc<Live>,
}

/// How servers are looked after.
#[derive(Clone, Debug, Default)]
pub struct Care {
    /// What is asked of them from time to time.
    pub health: Option<HealthCheck>,
    /// When one that fails requests is left out.
    pub ejection: Option<Ejection>,
    /// How long one that came back is spared.
    pub slow_start: Option<Duration>,
}

/// How a server is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// In turn.
    RoundRobin,
    /// The one with the fewest requests that have no whole answer yet, for its weight.
    LeastInFlight,
    /// The same one for a session; by address for who has none.
    BySession,
    /// The same one for a client's address.
    ByAddress,
}

/// The order in which servers are tried.
pub enum Order {
    /// In turn.
    Turns(Turns),
    /// The least busy; who is in turn, of equals.
    Least(Turns),
    /// By a key.
    Ring(Ring, Affinity),
}

/// What leads to the same server again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affinity {
    /// The session; the address for who has none.
    Session,
    /// The client's address.
    Address,
}

/// A request that says whether a server works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked for.
    pub path: PathAndQuery,
    /// The `Host` that is asked.
    pub host: HeaderValue,
    /// From the end of one check to the beginning of the next.
    pub interval: Duration,
    /// How long a check may take as a whole.
    pub timeout: Duration,
    /// After how many good answers in a row a server that was down is used again.
    pub healthy: u32,
    /// After how many bad ones in a row it is not used any more.
    pub unhealthy: u32,
    /// Which statuses are good.
    pub statuses: Vec<RangeInclusive<u16>>,
}

/// When a server is left out because requests failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ejection {
    /// After how many failures in a row; from 1.
    pub failures: u32,
    /// For how long the first time.
    pub time: Duration,
}

impl Servers {
    /// The servers of an app with their weights; `None` where there is none, or more than [`MOST`].
    pub fn new(servers: Vec<(Upstream, u32)>, balance: Balance, care: Care) -> Option<Self> {
        let order = Order::new(&servers, balance);
        let may_multiplex = servers.iter().any(|(upstream, _)| upstream.may_multiplex());
        let mut servers = servers.into_iter().map(|(upstream, weight)| Server {
            upstream: upstream.into(),
            weight: weight.max(1),
            live: Arc::default(),
        });
        let first = servers.next()?;
        let rest: Vec<Server> = servers.collect();
        (rest.len() < MOST).then_some(Self { first, rest, may_multiplex, order, care })
    }

    /// A single server that nothing is asked of.
    pub fn single(upstream: Upstream) -> Self {
        let (order, may_multiplex) = (Order::Turns(Turns::new(&[1])), upstream.may_multiplex());
        let first = Server { upstream: upstream.into(), weight: 1, live: Arc::default() };
        Self { first, rest: Vec::new(), may_multiplex, order, care: Care::default() }
    }

    /// The one server, where there is nothing to choose: it has no others beside it, and no check can say that it is down.
    pub fn only(&self) -> Option<&Server> {
        (self.rest.is_empty() && self.care.health.is_none()).then_some(&self.first)
    }

    /// Whether a connection to one of them may turn out to take many requests at a time.
    pub const fn may_multiplex(&self) -> bool {
        self.may_multiplex
    }

    /// The server at this place in the list.
    pub fn at(&self, index: usize) -> Option<&Server> {
        index.checked_sub(1).map_or(Some(&self.first), |index| self.rest.get(index))
    }

    /// All, in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Server> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// How many there are.
    pub const fn count(&self) -> usize {
        self.rest.len().saturating_add(1)
    }

    /// Whether one more can be ejected: at most half of those that are not down are, at a time.
    pub fn can_spare_one(&self, now: u64) -> bool {
        let up = self.iter().filter(|server| !server.live.is_down());
        let (mut all, mut ejected) = (0_usize, 1_usize);
        for server in up {
            all += 1;
            ejected += usize::from(server.live.is_ejected(now));
        }
        ejected * 2 <= all
    }

    /// Goes on with what is known of servers that were there before; the others join them.
    pub fn take_over(&mut self, before: &Self, now: u64) {
        let checked = self.care.health.is_some();
        for server in std::iter::once(&mut self.first).chain(&mut self.rest) {
            match before.iter().find(|known| known.upstream == server.upstream) {
                Some(known) => server.live = Arc::clone(&known.live),
                None => server.live.join(now),
            }
            if !checked {
                // Nobody is left who would say that it works again.
                server.live.set_down(false, now);
            }
        }
    }
}

impl Order {
    fn new(servers: &[(Upstream, u32)], balance: Balance) -> Self {
        let turns = || Turns::new(&servers.iter().map(|(_, weight)| *weight).collect::<Vec<_>>());
        let ring = || Ring::new(servers.iter().map(|(upstream, weight)| (upstream.name(), *weight)));
        match balance {
            Balance::RoundRobin => Self::Turns(turns()),
            Balance::LeastInFlight => Self::Least(turns()),
            Balance::BySession => Self::Ring(ring(), Affinity::Session),
            Balance::ByAddress => Self::Ring(ring(), Affinity::Address),
        }
    }
}
