//! Who gets in: bounds on open connections, in all and by address, and on handshakes. In: connections. Out: places, or none. Must
//! never lose count: a place is given back when it is dropped.

use crate::snapshot::entrance::Entrance;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many handshakes may be under way.
const HANDSHAKES: u32 = 4096;
/// How long a handshake may take, with what comes before it, and how long when there are many.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3));

/// The connections of all workers.
#[derive(Debug)]
pub(super) struct Door {
    /// How many connections there are files for, whatever the configuration says.
    most: u32,
    open: AtomicU32,
    handshakes: AtomicU32,
    /// Counted only where they are bounded.
    by_address: Mutex<HashMap<IpAddr, u32>>,
}

/// A connection that is let in.
#[derive(Debug)]
pub(super) struct Place {
    door: Arc<Door>,
    address: Option<IpAddr>,
}

/// A handshake that is under way.
#[derive(Debug)]
pub(super) struct Handshake {
    door: Arc<Door>,
    /// How long it may take.
    pub(super) patience: Duration,
}

impl Door {
    /// With this many open files: one in five is for connections to apps, and for everything else.
    pub(super) fn new(files: u64) -> Self {
        let most = u32::try_from(files / 5 * 4).unwrap_or(u32::MAX);
        Self { most, open: AtomicU32::new(0), handshakes: AtomicU32::new(0), by_address: Mutex::default() }
    }

    /// A place for one more connection.
    pub(super) fn enter(self: &Arc<Self>, entrance: &Entrance) -> Option<Place> {
        let place = Place { door: Arc::clone(self), address: None };
        (self.open.fetch_add(1, Ordering::Relaxed) < entrance.connections.min(self.most)).then_some(place)
    }

    /// A place for one more handshake.
    pub(super) fn handshake(self: &Arc<Self>) -> Option<Handshake> {
        let under_way = self.handshakes.fetch_add(1, Ordering::Relaxed);
        let patience = if under_way < HANDSHAKES / 2 { PATIENCE.0 } else { PATIENCE.1 };
        let handshake = Handshake { door: Arc::clone(self), patience };
        (under_way < HANDSHAKES).then_some(handshake)
    }

    fn by_address(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whether there is room for one more connection of this client.
    pub(super) fn belongs_to(&mut self, client: IpAddr, entrance: &Entrance) -> bool {
        let Some(most) = entrance.per_address else { return true };
        let client = network(client);
        let mut by_address = self.door.by_address();
        let open = by_address.entry(client).or_default();
        *open += 1;
        let fits = *open <= most.get();
        drop(by_address);
        self.address = Some(client);
        fits
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.door.open.fetch_sub(1, Ordering::Relaxed);
        let Some(address) = self.address else { return };
        let mut by_address = self.door.by_address();
        if let Some(open) = by_address.get_mut(&address) {
            *open -= 1;
            if *open == 0 {
                by_address.remove(&address);
            }
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.door.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one client has for itself: an address, or a /64 network of IPv6.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::num::NonZeroU32;

    fn door() -> Arc<Door> {
        Arc::new(Door::new(100_000))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn there_is_room_for_as_many_connections_as_the_limit_says_and_again_when_one_goes() {
        let (door, entrance) = (door(), Entrance { connections: 2, ..Entrance::default() });
        let first = door.enter(&entrance).unwrap();
        let _second = door.enter(&entrance).unwrap();
        assert!(door.enter(&entrance).is_none() && door.enter(&entrance).is_none());
        drop(first);
        let _third = door.enter(&entrance).unwrap();
        assert!(door.enter(&entrance).is_none());
    }

    #[test]
    fn there_is_never_more_room_than_files() {
        let (door, entrance) = (Arc::new(Door::new(10)), Entrance::default());
        let held: Vec<_> = (0..8).map(|_| door.enter(&entrance).unwrap()).collect();
        assert!(door.enter(&entrance).is_none());
        drop(held);
        assert!(door.enter(&entrance).is_some());
    }

    #[test]
    fn one_address_can_not_take_the_places_of_others() {
        let entrance = Entrance { per_address: NonZeroU32::new(2), ..Entrance::default() };
        let door = door();
        let enter = |client: &str| {
            let mut place = door.enter(&entrance).unwrap();
            place.belongs_to(address(client), &entrance).then_some(place)
        };
        let (first, _second) = (enter("2001:db8::1").unwrap(), enter("2001:db8::2").unwrap());
        assert!(enter("2001:db8::3").is_none(), "one network of IPv6 is one client");
        let _others = (enter("2001:db8:0:1::1").unwrap(), enter("192.0.2.1").unwrap(), enter("::ffff:192.0.2.1").unwrap());
        assert!(enter("192.0.2.1").is_none());
        drop(first);
        let _again = enter("2001:db8::3").unwrap();
        assert!(enter("2001:db8::3").is_none());
    }

    #[test]
    fn nothing_is_kept_of_those_who_have_left() {
        let entrance = Entrance { per_address: NonZeroU32::new(1), ..Entrance::default() };
        let door = door();
        for _ in 0..3 {
            let mut place = door.enter(&entrance).unwrap();
            assert!(place.belongs_to(address("192.0.2.1"), &entrance));
        }
        assert!(door.by_address().is_empty());
        assert_eq!(door.open.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn handshakes_are_bounded_and_hurried_when_there_are_many() {
        let door = door();
        let all: Vec<_> = (0..HANDSHAKES).map(|_| door.handshake().unwrap()).collect();
        assert!(door.handshake().is_none());
        assert!(all.first().unwrap().patience > all.last().unwrap().patience);
        drop(all);
        assert_eq!(door.handshake().unwrap().patience, PATIENCE.0);
    }
}
