//! Which server of an app a request goes to. In: the app, who asks, and where the request has been. Out: a server; whether it
//! worked is told afterwards. Must never wait, lock or allocate, and never choose a server that the health checks found down.

use crate::clock;
use crate::gate::session::Recognized;
use crate::gate::visit::Visit;
use crate::snapshot::servers::live::{Grade, Live, Occupied};
use crate::snapshot::servers::turns::Turns;
use crate::snapshot::servers::{Affinity, Order, Server, Servers};
use crate::snapshot::{App, Upstream};
use http::StatusCode;
use std::net::IpAddr;

/// The server that a request went to.
pub struct Chosen {
    /// Its place in the list.
    pub index: usize,
    /// When it was chosen ([`clock::ticks`]); 0 where there was nothing to choose.
    at: u64,
    /// Counts the request, where the choice depends on that.
    _occupied: Option<Occupied>,
}

/// The way of one request from server to server.
pub struct Way<'a> {
    visit: &'a mut Visit,
    app: &'a App,
    servers: &'a Servers,
    tried: Tried,
}

/// The servers that a request has been to, by their places in the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried(u64);

/// The health checks found every server of the app down, or the request has been to all that are not.
#[derive(Debug, thiserror::Error)]
#[error("no server of the app is healthy")]
pub struct NoneHealthy;

/// What leads to the same server again.
type Key = [u8; 8];

impl<'a> Way<'a> {
    /// Chooses the first server.
    pub fn begin(visit: &'a mut Visit, app: &'a App) -> Result<(Self, &'a Upstream), NoneHealthy> {
        let servers = app.servers.as_ref().ok_or(NoneHealthy)?;
        let mut way = Self { visit, app, servers, tried: Tried::default() };
        let upstream = match servers.only() {
            Some(only) => {
                way.visit.chosen = Some(Chosen { index: 0, at: 0, _occupied: None });
                &*only.upstream
            }
            None => way.choose().ok_or(NoneHealthy)?,
        };
        Ok((way, upstream))
    }

    /// Chooses another server; where there is none, the error of the one before stands. Else its failure is counted.
    pub fn go_on<E>(&mut self, error: E) -> Result<&'a Upstream, E> {
        if !self.goes_on() {
            return Err(error);
        }
        failed(self.visit, self.app);
        self.choose().ok_or(error)
    }

    /// Chooses another server that is as good, where there is one; the one before has not failed.
    pub fn pass(&mut self) -> Option<&'a Upstream> {
        let now = clock::ticks();
        self.has_another(|live| live.grade(now, None, 0) == Grade::Good).then(|| self.choose()).flatten()
    }

    /// Whether there is another server that can be tried.
    pub fn goes_on(&self) -> bool {
        self.has_another(|live| !live.is_down())
    }

    fn has_another(&self, fits: impl Fn(&Live) -> bool) -> bool {
        let servers = self.servers;
        let mut left = servers.iter().enumerate().filter(|(index, _)| !self.tried.has(*index));
        servers.only().is_none() && left.any(|(_, server)| fits(&server.live))
    }

    /// The visit on its way.
    pub const fn visit(&self) -> &Visit {
        self.visit
    }

    fn choose(&mut self) -> Option<&'a Upstream> {
        let (servers, at) = (self.servers, clock::ticks());
        let index =
            pick(servers, self.tried, at, |affinity| key(affinity, self.visit.client, self.visit.trail.session.as_deref()))?;
        let server = servers.at(index)?;
        self.tried.0 |= 1 << index;
        let occupied = matches!(servers.order, Order::Least(_)).then(|| server.live.enter());
        self.visit.chosen = Some(Chosen { index, at, _occupied: occupied });
        Some(&server.upstream)
    }
}

impl Tried {
    const fn has(self, index: usize) -> bool {
        self.0 >> index & 1 == 1
    }
}

/// The server has answered. A status that says that it can't work now is a failure all the same.
pub fn answered(visit: &Visit, app: &App, status: StatusCode) {
    let Some((_, server)) = choice(visit, app) else { return };
    match status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => failed(visit, app),
        _ => server.live.succeeded(clock::ticks),
    }
}

/// There is no connection to the server, or no answer over it.
pub fn failed(visit: &Visit, app: &App) {
    let (Some((chosen, server)), Some(servers)) = (choice(visit, app), &app.servers) else { return };
    let Some(rule) = &servers.care.ejection else { return };
    let now = clock::ticks();
    if let Some(time) = server.live.failed(chosen.at, now, rule, || servers.can_spare_one(now)) {
        let (app, server) = (&*app.name, server.upstream.name());
        tracing::warn!(app, server, seconds = time.as_secs(), "a server failed too often and is left out");
        visit.gate().metrics.ejected(app, server);
    }
}

/// The server that was chosen; nothing where there was no choice.
fn choice<'a>(visit: &'a Visit, app: &'a App) -> Option<(&'a Chosen, &'a Server)> {
    let chosen = visit.chosen.as_ref().filter(|chosen| chosen.at != 0)?;
    Some((chosen, app.servers.as_ref()?.at(chosen.index)?))
}

fn key(affinity: Affinity, client: IpAddr, session: Option<&Recognized>) -> Key {
    match (affinity, session) {
        (Affinity::Session, Some(known)) => known.known().session.cookie.as_bytes().first_chunk().copied().unwrap_or_default(),
        _ => of_address(client),
    }
}

/// Of IPv6 the network: its hosts change their addresses within it.
fn of_address(client: IpAddr) -> Key {
    match client {
        IpAddr::V4(address) => u64::from(address.to_bits()).to_be_bytes(),
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or(0).to_be_bytes(),
    }
}

/// The place of the best server in the list; nothing where all are down or have been tried.
pub fn pick(servers: &Servers, tried: Tried, now: u64, key: impl FnOnce(Affinity) -> Key) -> Option<usize> {
    match &servers.order {
        Order::Turns(turns) => Candidates::new(servers, tried, now, turns.take()).in_turn(turns).map(|(index, _)| index),
        Order::Least(turns) => Candidates::new(servers, tried, now, turns.take()).least(turns),
        Order::Ring(ring, affinity) => {
            let key = key(*affinity);
            let draw = usize::try_from(u64::from_be_bytes(key)).unwrap_or(0);
            Candidates::new(servers, tried, now, draw).best(ring.from(&key)).map(|(_, index, _)| index)
        }
    }
}

/// The servers as one request sees them.
struct Candidates<'a> {
    servers: &'a Servers,
    tried: Tried,
    now: u64,
    number: usize,
    draw: u8,
}

impl<'a> Candidates<'a> {
    fn new(servers: &'a Servers, tried: Tried, now: u64, number: usize) -> Self {
        // Multiples of the golden ratio are spread evenly, whatever steps they are taken in.
        let [draw, ..] = number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
        Self { servers, tried, now, number, draw }
    }

    fn grade(&self, index: usize, server: &Server) -> Grade {
        match self.tried.has(index) {
            true => Grade::Out,
            false => server.live.grade(self.now, self.servers.care.slow_start, self.draw),
        }
    }

    /// The first of the best grade, with how many come before it.
    fn best(&self, order: impl Iterator<Item = usize>) -> Option<(usize, usize, Grade)> {
        let mut best = None;
        let mut limit = Grade::Out;
        for (before, index) in order.enumerate() {
            let grade = self.grade(index, self.servers.at(index)?);
            if grade < limit {
                (best, limit) = (Some((before, index, grade)), grade);
            }
            if grade == Grade::Good {
                break;
            }
        }
        best
    }

    fn in_turn(&self, turns: &Turns) -> Option<(usize, Grade)> {
        let (before, index, grade) = self.best(turns.from(self.number))?;
        turns.pass(before);
        Some((index, grade))
    }

    /// Who is in turn, or the next after it that is as good and has less to do for its weight than any before.
    fn least(&self, turns: &Turns) -> Option<usize> {
        let (first, grade) = self.in_turn(turns)?;
        let (mut best, mut server) = (first, self.servers.at(first)?);
        for index in (first + 1..self.servers.count()).chain(0..first) {
            let next = self.servers.at(index)?;
            if is_less_busy(next, server) && self.grade(index, next) <= grade {
                (best, server) = (index, next);
            }
        }
        Some(best)
    }
}

/// Whether it has less to do, both measured by their weights.
fn is_less_busy(one: &Server, other: &Server) -> bool {
    let load = |server: &Server| u64::try_from(server.live.load()).unwrap_or(u64::MAX);
    load(one).saturating_mul(other.weight.into()) < load(other).saturating_mul(one.weight.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
