//! Who gets in: bounds on open connections, in all and by address, and on handshakes. In: connections. Out: places, or none. Must
//! never lose count: a place is given back when it is dropped.

use crate::snapshot::entrance::Entrance;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many handshakes may be under way, and how many of one client.
const HANDSHAKES: (u32, u32) = (4096, 512);
/// How long a handshake may take, with what comes before it, and how long when there are many.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3));

/// The connections of all workers.
#[derive(Debug)]
pub(super) struct Door {
    /// How many connections there are files for, whatever the configuration says.
    most: u32,
    open: AtomicU32,
    /// Counted only where they are bounded.
    open_by_client: ByClient,
    handshakes: AtomicU32,
    handshakes_by_client: ByClient,
}

/// Counts by what one client has for itself.
#[derive(Debug, Default)]
struct ByClient(Mutex<HashMap<IpAddr, u32>>);

/// A connection that is let in.
#[derive(Debug)]
pub(super) struct Place {
    door: Arc<Door>,
    client: Option<IpAddr>,
}

/// A handshake that is under way.
#[derive(Debug)]
pub(super) struct Handshake {
    door: Arc<Door>,
    client: Option<IpAddr>,
    /// How long it may take.
    pub(super) patience: Duration,
}

impl Door {
    /// With this many open files: one in five is for connections to apps, and for everything else.
    pub(super) fn new(files: u64) -> Self {
        let most = u32::try_from(files / 5 * 4).unwrap_or(u32::MAX);
        Self {
            most,
            open: AtomicU32::new(0),
            open_by_client: ByClient::default(),
            handshakes: AtomicU32::new(0),
            handshakes_by_client: ByClient::default(),
        }
    }

    /// A place for one more connection.
    pub(super) fn enter(self: &Arc<Self>, entrance: &Entrance) -> Option<Place> {
        let place = Place { door: Arc::clone(self), client: None };
        (self.open.fetch_add(1, Ordering::Relaxed) < entrance.connections.min(self.most)).then_some(place)
    }

    /// A place for one more handshake, of this client where it is one.
    pub(super) fn handshake(self: &Arc<Self>, client: Option<IpAddr>) -> Option<Handshake> {
        let (most, of_client) = HANDSHAKES;
        let under_way = self.handshakes.fetch_add(1, Ordering::Relaxed);
        let patience = if under_way < most / 2 { PATIENCE.0 } else { PATIENCE.1 };
        let client = client.map(network);
        let handshake = Handshake { door: Arc::clone(self), client, patience };
        let fits = client.is_none_or(|client| self.handshakes_by_client.enter(client) <= of_client);
        (under_way < most && fits).then_some(handshake)
    }
}

impl Place {
    /// Whether there is room for one more connection of this client.
    pub(super) fn belongs_to(&mut self, client: IpAddr, entrance: &Entrance) -> bool {
        let Some(most) = entrance.per_address else { return true };
        let client = network(client);
        self.client = Some(client);
        self.door.open_by_client.enter(client) <= most.get()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.door.open.fetch_sub(1, Ordering::Relaxed);
        self.door.open_by_client.leave(self.client);
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.door.handshakes.fetch_sub(1, Ordering::Relaxed);
        self.door.handshakes_by_client.leave(self.client);
    }
}

impl ByClient {
    /// One more of this client; how many there are now.
    fn enter(&self, client: IpAddr) -> u32 {
        let mut counts = self.counts();
        let count = counts.entry(client).or_default();
        *count += 1;
        *count
    }

    fn leave(&self, client: Option<IpAddr>) {
        let Some(client) = client else { return };
        let mut counts = self.counts();
        if let Some(count) = counts.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&client);
            }
        }
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert!(door.open_by_client.counts().is_empty());
        assert_eq!(door.open.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn handshakes_are_bounded_and_hurried_when_there_are_many() {
        let door = door();
        let all: Vec<_> = (0..HANDSHAKES.0).map(|_| door.handshake(None).unwrap()).collect();
        assert!(door.handshake(None).is_none());
        assert!(all.first().unwrap().patience > all.last().unwrap().patience);
        drop(all);
        assert_eq!(door.handshake(None).unwrap().patience, PATIENCE.0);
    }

    #[test]
    fn one_client_can_not_have_all_handshakes() {
        let door = door();
        let shake = |client| door.handshake(Some(address(client)));
        let all: Vec<_> = (0..HANDSHAKES.1).map(|_| shake("2001:db8::1").unwrap()).collect();
        assert!(shake("2001:db8::2").is_none(), "one network of IPv6 is one client");
        assert!(shake("192.0.2.1").is_some());
        drop(all);
        assert!(shake("2001:db8::2").is_some());
        assert!(door.handshakes_by_client.counts().is_empty());
        assert_eq!(door.handshakes.load(Ordering::Relaxed), 0);
    }
}
