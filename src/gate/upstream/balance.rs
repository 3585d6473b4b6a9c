//! Which server of an app a request goes to. In: the app, who asks, and where the request has been. Out: a [`Chosen`] server, told
//! afterwards whether it worked. Must never wait, lock or allocate, and never choose a server that the health checks found down.

use crate::clock;
use crate::gate::decide::Permit;
use crate::gate::visit::Visit;
use crate::snapshot::servers::live::{Grade, Occupied};
use crate::snapshot::servers::turns::Turns;
use crate::snapshot::servers::{Affinity, Order, Server, Servers};
use crate::snapshot::{App, Upstream};
use http::StatusCode;
use std::net::IpAddr;

/// The server that a request goes to.
pub struct Chosen<'a> {
    servers: &'a Servers,
    server: &'a Server,
    /// Its place in the list.
    pub index: usize,
    /// When it was chosen ([`clock::ticks`]); 0 where there was nothing to choose.
    at: u64,
    occupied: Option<Occupied>,
}

/// The servers that a request has been tried at, by their places in the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried(u64);

/// The health checks found every server of the app down.
#[derive(Debug, thiserror::Error)]
#[error("no server of the app is healthy")]
pub struct NoneHealthy;

/// What leads to the same server again.
type Key = [u8; 8];

/// Chooses. A server that the request has been tried at comes last, but before none at all.
pub fn choose<'a>(visit: &Visit, app: &'a App, permit: &Permit, tried: Tried) -> Result<Chosen<'a>, NoneHealthy> {
    let servers = &app.servers;
    if let Some(server) = servers.only() {
        return Ok(Chosen { servers, server, index: 0, at: 0, occupied: None });
    }
    let at = clock::ticks();
    let index = pick(servers, tried, at, |affinity| key(affinity, visit.client, permit)).ok_or(NoneHealthy)?;
    let server = servers.at(index).ok_or(NoneHealthy)?;
    let occupied = matches!(servers.order, Order::Least(_)).then(|| server.live.enter());
    Ok(Chosen { servers, server, index, at, occupied })
}

impl Tried {
    /// These, and one more.
    pub const fn and(self, chosen: &Chosen<'_>) -> Self {
        Self(self.0 | 1 << chosen.index)
    }

    /// Whether this one is among them.
    pub const fn has(self, chosen: &Chosen<'_>) -> bool {
        self.has_index(chosen.index)
    }

    const fn has_index(self, index: usize) -> bool {
        self.0 >> index & 1 == 1
    }
}

impl Chosen<'_> {
    /// Where it is.
    pub fn upstream(&self) -> &Upstream {
        &self.server.upstream
    }

    /// It answered. A status that says that it can't work now is a failure all the same.
    pub fn answered(&self, visit: &Visit, status: StatusCode) {
        match status {
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => self.failed(visit),
            _ if self.at != 0 => self.server.live.succeeded(clock::ticks()),
            _ => {}
        }
    }

    /// There is no connection to it, or no answer over it, and that is not the client's doing.
    pub fn failed(&self, visit: &Visit) {
        let (Some(rule), true) = (&self.servers.care.ejection, self.at != 0) else { return };
        let now = clock::ticks();
        if let Some(time) = self.server.live.failed(self.at, now, rule, || self.servers.can_spare_one(now)) {
            let (app, server) = (visit.app().map_or("", |app| &*app.name), self.upstream().name());
            tracing::warn!(app, server, seconds = time.as_secs(), "a server failed too often and is left out");
            visit.gate().metrics.ejected(app, server);
        }
    }

    /// What counts the request, to be held until its answer is over.
    pub const fn occupied(&mut self) -> Option<Occupied> {
        self.occupied.take()
    }
}

fn key(affinity: Affinity, client: IpAddr, permit: &Permit) -> Key {
    match (affinity, permit.session()) {
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

/// The place of the best server in the list; nothing where all are down.
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
        match server.live.grade(self.now, self.servers.care.slow_start, self.draw) {
            Grade::Down => Grade::Down,
            _ if self.tried.has_index(index) => Grade::Tried,
            grade => grade,
        }
    }

    /// The first of the best grade, with how many come before it.
    fn best(&self, order: impl Iterator<Item = usize>) -> Option<(usize, usize, Grade)> {
        let mut best = None;
        let mut limit = Grade::Down;
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
