//! Connections to servers, kept by each worker for itself. In: an upstream. Out: a connection that is free. Must never give out
//! one on which an exchange is still going on, nor one that was made for another server or under another TLS configuration.

pub use super::connect::Error as ConnectError;

use super::connect::{Dial, in_time};
use super::endpoint::Endpoint;
use super::http2::{Multiplexed, Share};
use super::in_flight::Watch;
use super::retry::Budget;
use super::sender::Sender;
use crate::gate::body::RequestBody;
use crate::gate::visit::Gate;
use crate::snapshot::Upstream;
use crate::snapshot::upstream::{Pooling, Transport, UpstreamId};
use hyper::client::conn::http1::SendRequest;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::{Rc, Weak};
use std::time::Duration;

/// After how long a connection may well have been closed by the other end.
const RESTED: u64 = 1000;

/// The connections of one worker, and what goes on on them.
#[derive(Default)]
pub struct Pool {
    slots: RefCell<HashMap<UpstreamId, Rc<Slot>, BuildHasherDefault<Spread>>>,
    watch: Rc<Watch>,
}

/// The connections to one server.
#[derive(Default)]
pub struct Slot {
    watch: Rc<Watch>,
    endpoint: Rc<Endpoint>,
    /// HTTP/1.1: those that no request is on.
    idle: RefCell<Vec<Idle>>,
    /// HTTP/2: all.
    shared: RefCell<Vec<Rc<Multiplexed>>>,
    /// How many are being made that others may share.
    promised: Cell<usize>,
    /// The server had the choice, and chose HTTP/1.1.
    chose_http1: Cell<bool>,
    /// For which server new connections begin by saying what.
    announces: Option<(UpstreamId, Vec<u8>)>,
    /// The connections to the same server that are announced; each belongs to a client.
    announced: RefCell<Vec<Weak<Self>>>,
}

struct Idle {
    sender: SendRequest<RequestBody>,
    /// By the worker's watch.
    since: u64,
}

/// A connection in use; given back only when its answer was read to the end.
pub struct Lease {
    slot: Rc<Slot>,
    sender: Sender,
    was: Was,
}

/// What a connection went through before this request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Was {
    /// It was made for it.
    New,
    /// It was in use just now.
    Warm,
    /// Nothing has happened on it for a while.
    Rested,
}

/// Takes [`UpstreamId::spread`] for a hash.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, spread: u64) {
        self.0 = spread;
    }
}

impl Pool {
    /// What watches over the requests.
    pub const fn watch(&self) -> &Rc<Watch> {
        &self.watch
    }

    /// The connections to a server, kept on these terms from now on.
    pub fn slot(&self, upstream: &Upstream, terms: Pooling) -> Rc<Slot> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.entry(upstream.id()).or_insert_with(|| Rc::new(Slot::watched(&self.watch)));
        slot.endpoint.terms.set(terms);
        Rc::clone(slot)
    }

    /// Closes what has been idle for too long.
    pub fn sweep(&self) {
        self.slots.borrow_mut().retain(|_, slot| {
            slot.endpoint.budget.refill();
            let mut announced = slot.announced.borrow_mut();
            announced.retain(|slot| slot.upgrade().map(|slot| slot.sweep()).is_some());
            slot.sweep() || !announced.is_empty() || Rc::strong_count(slot) > 1
        });
    }
}

impl Slot {
    fn watched(watch: &Rc<Watch>) -> Self {
        Self { watch: Rc::clone(watch), ..Self::default() }
    }

    /// The connections to the same server that are announced like this.
    pub(super) fn announcing(&self, upstream: &Upstream, announcement: Vec<u8>) -> Rc<Self> {
        let (watch, endpoint) = (Rc::clone(&self.watch), Rc::clone(&self.endpoint));
        let slot = Rc::new(Self { watch, endpoint, announces: Some((upstream.id(), announcement)), ..Self::default() });
        self.announced.borrow_mut().push(Rc::downgrade(&slot));
        slot
    }

    /// Whether its connections are announced like this.
    pub(super) fn announces(&self, upstream: &Upstream, announcement: &[u8]) -> bool {
        self.announces.as_ref().is_some_and(|(id, own)| *id == upstream.id() && own == announcement)
    }

    fn dial<'a>(&'a self, upstream: &'a Upstream) -> Dial<'a> {
        Dial::new(upstream, &self.endpoint).announced(self.announces.as_ref().map(|(_, announcement)| &**announcement))
    }

    /// A connection for one request: one that is free, or a new one where there may be one more.
    pub async fn lease(self: &Rc<Self>, upstream: &Upstream, patience: Duration, gate: &Gate) -> Result<Lease, ConnectError> {
        match self.take() {
            Some(lease) => Ok(lease),
            None => Box::pin(in_time(patience, self.find(upstream, gate))).await.map_err(|error| self.explain(error)),
        }
    }

    /// The same for a WebSocket, which an HTTP/2 server takes only if it says so (RFC 8441, section 3).
    pub async fn lease_tunnel(
        self: &Rc<Self>,
        upstream: &Upstream,
        patience: Duration,
        gate: &Gate,
    ) -> Result<Lease, ConnectError> {
        let lease = self.lease(upstream, patience, gate).await?;
        match &lease.sender {
            Sender::Http1(_) => Ok(lease),
            Sender::Http2(share) if share.connection().takes_tunnels().await => Ok(lease),
            Sender::Http2(_) if matches!(upstream.transport(), Transport::Tls(_)) => {
                drop(lease);
                in_time(patience, self.by_http1(upstream, gate)).await.map_err(|error| self.explain(error))
            }
            Sender::Http2(_) => Err(ConnectError::NoTunnel),
        }
    }

    /// A connection for a tunnel alone, once there may be one more.
    async fn by_http1(self: &Rc<Self>, upstream: &Upstream, gate: &Gate) -> Result<Lease, ConnectError> {
        while self.endpoint.is_full() {
            self.endpoint.open.changed().await;
        }
        Ok(self.leased(self.dial(upstream).by_http1().connect(gate).await?, Was::New))
    }

    /// Whether a request would have to wait until another one is over.
    pub fn is_taken(&self) -> bool {
        self.endpoint.is_full()
            && !self.shared.borrow().iter().any(|shared| shared.has_room())
            && !self.idle.borrow().iter().any(|idle| idle.sender.is_ready())
    }

    /// Waiting in vain may have been for nothing but a connection to become free.
    fn explain(&self, error: ConnectError) -> ConnectError {
        match error {
            ConnectError::Timeout(patience) if self.endpoint.is_full() => ConnectError::Full(patience),
            error => error,
        }
    }

    fn leased(self: &Rc<Self>, sender: Sender, was: Was) -> Lease {
        Lease { slot: Rc::clone(self), sender, was }
    }

    /// The connection that was used last and is free.
    fn take(self: &Rc<Self>) -> Option<Lease> {
        if self.endpoint.terms.get().max_idle == 0 {
            self.close_shared(Duration::ZERO);
        }
        if let Some(shared) = self.shared.borrow().iter().find(|shared| shared.has_room()) {
            return Some(self.leased(Sender::Http2(Share::of(shared)), Was::Warm));
        }
        let (mut idle, now) = (self.idle.borrow_mut(), self.watch.now());
        while let Some(candidate) = idle.pop() {
            let rested = now.saturating_sub(candidate.since);
            if candidate.sender.is_ready() && !self.is_over(rested) {
                let was = if rested < RESTED { Was::Warm } else { Was::Rested };
                return Some(self.leased(Sender::Http1(candidate.sender), was));
            }
        }
        None
    }

    async fn find(self: &Rc<Self>, upstream: &Upstream, gate: &Gate) -> Result<Lease, ConnectError> {
        loop {
            if !self.is_promised(upstream) && !self.endpoint.is_full() {
                return self.connect(upstream, gate).await;
            }
            self.endpoint.open.changed().await;
            if let Some(lease) = self.take() {
                return Ok(lease);
            }
        }
    }

    /// One connection is for all, where the server speaks HTTP/2; that, and for how many, is not known before there is one.
    fn is_promised(&self, upstream: &Upstream) -> bool {
        let being_made = self.promised.get() > 0 && upstream.may_multiplex() && !self.chose_http1.get();
        being_made || self.shared.borrow().iter().any(|shared| shared.is_settling())
    }

    async fn connect(self: &Rc<Self>, upstream: &Upstream, gate: &Gate) -> Result<Lease, ConnectError> {
        let promise = Promise::of(self);
        let sender = self.dial(upstream).connect(gate).await?;
        drop(promise);
        Ok(self.add(sender))
    }

    /// Takes a new connection in, for one request to begin with.
    fn add(self: &Rc<Self>, sender: Sender) -> Lease {
        match &sender {
            Sender::Http1(_) => self.chose_http1.set(true),
            Sender::Http2(share) => self.shared.borrow_mut().push(Rc::clone(share.connection())),
        }
        self.leased(sender, Was::New)
    }

    fn put(&self, sender: SendRequest<RequestBody>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.endpoint.terms.get().max_idle {
            idle.push(Idle { sender, since: self.watch.now() });
        }
        self.endpoint.open.notify();
    }

    fn is_over(&self, rested: u64) -> bool {
        u128::from(rested) >= self.endpoint.terms.get().idle.as_millis()
    }

    /// Closes what is over; whether anything is left.
    fn sweep(&self) -> bool {
        let (mut idle, now, terms) = (self.idle.borrow_mut(), self.watch.now(), self.endpoint.terms.get());
        idle.retain(|candidate| !candidate.sender.is_closed() && !self.is_over(now.saturating_sub(candidate.since)));
        self.close_shared(if terms.max_idle == 0 { Duration::ZERO } else { terms.idle });
        !idle.is_empty() || !self.shared.borrow().is_empty()
    }

    /// Closes those for many that no request has been on for this long.
    fn close_shared(&self, idle: Duration) {
        self.shared.borrow_mut().retain(|shared| !shared.is_closed() && shared.idle().is_none_or(|rested| rested < idle));
    }
}

/// Others wait for the connection that is being made.
struct Promise(Rc<Slot>);

impl Promise {
    fn of(slot: &Rc<Slot>) -> Self {
        slot.promised.set(slot.promised.get() + 1);
        Self(Rc::clone(slot))
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.0.promised.set(self.0.promised.get().saturating_sub(1));
        self.0.endpoint.open.notify_all();
    }
}

impl Lease {
    /// What the request goes by.
    pub const fn sender(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// Whether others may have requests on the same connection.
    pub const fn is_multiplexed(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// What retries to its server are paid from.
    pub(super) fn budget(&self) -> &Budget {
        &self.slot.endpoint.budget
    }

    /// What the connection went through before.
    pub const fn was(&self) -> Was {
        self.was
    }

    /// The answer was read to the end: another request may have the connection.
    pub fn give_back(self) {
        let Self { slot, sender, .. } = self;
        match sender {
            Sender::Http1(sender) if !sender.is_closed() => slot.put(sender),
            _ => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
