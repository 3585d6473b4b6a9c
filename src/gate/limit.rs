//! How much of what an app takes. In: who asks how often. Out: a refusal where it is too much. Must never wait, and never take a
//! lock: counts are shared by all workers, and outlive configurations because they are kept by the names of apps.
//!
//! Nobody is ever taken for more than they asked: where very many ask at once, some that ask seldom may be taken for less.

mod own;
mod table;
mod windows;

pub use own::{enter_own, proved};

use super::body::RequestBody;
use super::decide::Permit;
use super::visit::Visit;
use crate::model::{Reason, Refusal, TokenHash};
use crate::snapshot::App;
use crate::snapshot::limits::{Limits, Period, Rate};
use http::Request;
use http_body::Body as _;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use table::Table;
use windows::Windows;

/// What all workers have counted; takes no memory before something has a limit.
pub struct Counts {
    hasher: RandomState,
    in_flight: LazyLock<Arc<Table>>,
    second: LazyLock<Windows>,
    minute: LazyLock<Windows>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            in_flight: LazyLock::new(Arc::default),
            second: LazyLock::new(|| Windows::new(Duration::from_secs(1))),
            minute: LazyLock::new(|| Windows::new(Duration::from_secs(60))),
        }
    }
}

/// The places of a request among those in flight; given back when this is dropped.
#[derive(Default)]
pub struct Held {
    _of_session: Option<Place>,
    _of_app: Option<Place>,
}

/// One of them.
pub struct Place {
    of: Arc<Table>,
    key: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.of.take(self.key);
    }
}

/// What is counted.
#[derive(Hash)]
enum Key<'a> {
    App(&'a str),
    Session(&'a str, TokenHash),
    Address(&'a str, u128),
    /// What an address asks of Doorward itself.
    Own(u128),
    /// The same of what is yet to be proved by a token.
    Unproved(u128),
    /// What it got wrong there.
    Wrong(u128),
}

/// How often this address asks: before anybody is looked up, so that guesses do not reach the store.
pub fn address(visit: &Visit, app: &App) -> Result<(), Refusal> {
    match app.limits.as_ref().and_then(|limits| limits.rate_per_address) {
        Some(rate) => visit.gate().limits.rate(visit, &Key::Address(&app.name, network(visit.client)), rate),
        None => Ok(()),
    }
}

/// How often this session asks, and how much is in flight. Until the visit ends, it is.
pub fn enter(visit: &mut Visit, app: &App, permit: &Permit) -> Result<(), Refusal> {
    let Some(limits) = &app.limits else { return Ok(()) };
    let session = permit.session().map(|session| session.known().session.cookie);
    let held = visit.gate().limits.enter(visit, &app.name, limits, session)?;
    visit.held = Some(Box::new(held));
    Ok(())
}

impl Counts {
    fn enter(&self, visit: &Visit, app: &str, limits: &Limits, session: Option<TokenHash>) -> Result<Held, Refusal> {
        let mut held = Held::default();
        if let Some(session) = session {
            let key = Key::Session(app, session);
            limits.rate_per_session.map_or(Ok(()), |rate| self.rate(visit, &key, rate))?;
            held._of_session = self.hold(&key, limits.in_flight_per_session, Reason::SessionBusy)?;
        }
        held._of_app = self.hold(&Key::App(app), limits.in_flight, Reason::AppBusy)?;
        Ok(held)
    }

    fn hold(&self, key: &Key<'_>, limit: Option<NonZeroU32>, reason: Reason) -> Result<Option<Place>, Refusal> {
        let Some(limit) = limit else { return Ok(None) };
        let place = Place { of: Arc::clone(&self.in_flight), key: self.hasher.hash_one(key) };
        if place.of.add(place.key) > u64::from(limit.get()) { Err(reason.into()) } else { Ok(Some(place)) }
    }

    fn rate(&self, visit: &Visit, key: &Key<'_>, rate: Rate) -> Result<(), Refusal> {
        self.windows(rate).admit(self.hasher.hash_one(key), rate.count, visit.started).map_err(too_often)
    }

    fn windows(&self, rate: Rate) -> &Windows {
        match rate.per {
            Period::Second => &self.second,
            Period::Minute => &self.minute,
        }
    }
}

fn too_often(wait: u32) -> Refusal {
    Refusal { retry_after: Some(wait), ..Refusal::from(Reason::RateLimited) }
}

/// Whoever has one IPv6 address has its whole /64.
fn network(client: IpAddr) -> u128 {
    match client {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits() & !u128::from(u64::MAX),
    }
}

/// Refuses a body that says that it is too long, and has any other cut where it becomes so.
pub fn body(app: &App, request: &mut Request<RequestBody>) -> Result<(), Refusal> {
    let Some(limit) = app.limits.as_ref().and_then(|limits| limits.body) else { return Ok(()) };
    let body = request.body_mut();
    if body.size_hint().lower() > limit {
        return Err(Reason::BodyTooLarge.into());
    }
    body.limit(limit);
    Ok(())
}
