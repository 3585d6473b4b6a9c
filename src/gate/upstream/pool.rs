//! Connections to servers, kept by each worker for itself. In: an upstream. Out: a connection that is free. Must never give out
//! one on which an exchange is still going on, nor one that was made for another server or under another TLS configuration.

pub use super::connect::{Error as ConnectError, connect};

use super::http2::{Multiplexed, Share};
use super::sender::Sender;
use crate::gate::body::RequestBody;
use crate::snapshot::Upstream;
use crate::snapshot::upstream::UpstreamId;
use hyper::client::conn::http1::SendRequest;
use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// How long an idle connection is kept: less than the minute or so that servers do.
const IDLE: Duration = Duration::from_secs(50);
/// How many idle connections a worker keeps for one upstream.
const KEPT: usize = 256;

/// The connections of one worker.
#[derive(Default)]
pub struct Pool(RefCell<HashMap<UpstreamId, Rc<Slot>, BuildHasherDefault<Spread>>>);

/// The connections to one server.
#[derive(Default)]
pub struct Slot {
    /// HTTP/1.1: those that no request is on.
    idle: RefCell<Vec<Idle>>,
    /// HTTP/2: all.
    shared: RefCell<Vec<Rc<Multiplexed>>>,
}

struct Idle {
    sender: SendRequest<RequestBody>,
    since: Instant,
}

/// A connection in use; given back only when its answer was read to the end.
pub struct Lease {
    slot: Rc<Slot>,
    sender: Sender,
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
    /// The connections to a server.
    pub fn slot(&self, upstream: &Upstream) -> Rc<Slot> {
        Rc::clone(self.0.borrow_mut().entry(upstream.id()).or_default())
    }

    /// Closes what has been idle for too long.
    pub fn sweep(&self) {
        self.0.borrow_mut().retain(|_, slot| slot.sweep() || Rc::strong_count(slot) > 1);
    }
}

impl Slot {
    /// The connection that was used last and is free.
    pub fn take(self: &Rc<Self>) -> Option<Lease> {
        if let Some(shared) = self.shared.borrow().iter().find(|shared| shared.has_room()) {
            return Some(self.lease(Sender::Http2(Share::of(shared))));
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(candidate) = idle.pop() {
            if candidate.sender.is_ready() && candidate.since.elapsed() < IDLE {
                return Some(self.lease(Sender::Http1(candidate.sender)));
            }
        }
        None
    }

    fn lease(self: &Rc<Self>, sender: Sender) -> Lease {
        Lease { slot: Rc::clone(self), sender }
    }

    /// Takes a new connection in, for one request to begin with.
    pub fn add(self: &Rc<Self>, sender: Sender) -> Lease {
        if let Sender::Http2(share) = &sender {
            self.shared.borrow_mut().push(Rc::clone(share.connection()));
        }
        self.lease(sender)
    }

    fn put(&self, sender: SendRequest<RequestBody>) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < KEPT {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }

    /// Whether anything is left.
    fn sweep(&self) -> bool {
        let (mut idle, mut shared) = (self.idle.borrow_mut(), self.shared.borrow_mut());
        idle.retain(|candidate| !candidate.sender.is_closed() && candidate.since.elapsed() < IDLE);
        shared.retain(|connection| !connection.is_closed() && connection.idle().is_none_or(|idle| idle < IDLE));
        !idle.is_empty() || !shared.is_empty()
    }
}

impl Lease {
    /// What the request goes by.
    pub const fn sender(&mut self) -> &mut Sender {
        &mut self.sender
    }

    /// The answer was read to the end: another request may have the connection.
    pub fn give_back(self) {
        if let Sender::Http1(sender) = self.sender
            && !sender.is_closed()
        {
            self.slot.put(sender);
        }
    }
}
