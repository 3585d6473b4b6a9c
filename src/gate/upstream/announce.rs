//! The PROXY protocol, versions 1 and 2, as a sender: <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>. In: whose
//! request it is. Out: connections that begin by saying so. Must never let a client have a request on a connection that
//! announced another.

use super::pool::Slot;
use crate::gate::visit::Visit;
use crate::snapshot::Upstream;
use crate::snapshot::upstream::{Pooling, ProxyProtocol};
use ppp::{v1, v2};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// How many kinds of announced connections are kept for one connection of a client: each has an app and a client's address, which
/// a trusted proxy may change from request to request.
const KINDS: usize = 8;

/// The two ends of a client's connection.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// Who connected.
    pub peer: SocketAddr,
    /// Where to.
    pub local: SocketAddr,
}

/// The connections to a server that this visit may use: those of the worker, or where they are announced, those of its own
/// connection.
pub(super) fn slot(visit: &Visit, upstream: &Upstream, terms: Pooling) -> Rc<Slot> {
    let common = visit.worker.pool.slot(upstream, terms);
    let Some(version) = upstream.proxy_protocol() else { return common };
    let announcement = header(version, visit.connection.ends.map(|ends| addresses(ends, visit.client)));
    let mut own = visit.connection.announced.borrow_mut();
    if let Some(slot) = own.iter().find(|slot| slot.announces(upstream, &announcement)) {
        return Rc::clone(slot);
    }
    if own.len() >= KINDS {
        own.clear();
    }
    let slot = common.announcing(upstream, announcement);
    own.push(Rc::clone(&slot));
    slot
}

/// Source and destination, of the same family. The port is known of the one who connected.
fn addresses(ends: Ends, client: IpAddr) -> (SocketAddr, SocketAddr) {
    let peer = ends.peer.ip().to_canonical();
    let source = SocketAddr::new(client, if client == peer { ends.peer.port() } else { 0 });
    let destination = SocketAddr::new(ends.local.ip().to_canonical(), ends.local.port());
    match source.is_ipv4() == destination.is_ipv4() {
        true => (source, destination),
        false => (mapped(source), mapped(destination)),
    }
}

fn mapped(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    SocketAddr::new(ip.into(), address.port())
}

/// What is written before anything else; without addresses, that the connection is the proxy's own.
pub(super) fn header(version: ProxyProtocol, addresses: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    match (version, addresses) {
        (ProxyProtocol::V1, Some(addresses)) => v1::Addresses::from(addresses).to_string().into_bytes(),
        (ProxyProtocol::V1, None) => v1::Addresses::Unknown.to_string().into_bytes(),
        (ProxyProtocol::V2, Some(addresses)) => binary(v2::Command::Proxy, addresses.into()),
        (ProxyProtocol::V2, None) => binary(v2::Command::Local, v2::Addresses::Unspecified),
    }
}

fn binary(command: v2::Command, addresses: v2::Addresses) -> Vec<u8> {
    let protocol = if command == v2::Command::Proxy { v2::Protocol::Stream } else { v2::Protocol::Unspecified };
    // Addresses always fit into a header.
    v2::Builder::with_addresses(v2::Version::Two | command, protocol, addresses).build().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::gate::listen::proxy;

    fn ends(peer: &str, local: &str) -> Ends {
        Ends { peer: peer.parse().unwrap(), local: local.parse().unwrap() }
    }

    #[test]
    fn addresses_are_told_as_they_are_known() {
        let text = |ends, client: &str| {
            String::from_utf8(header(ProxyProtocol::V1, Some(addresses(ends, client.parse().unwrap())))).unwrap()
        };
        let v4 = ends("192.0.2.7:4711", "10.0.0.1:443");
        assert_eq!(text(v4, "192.0.2.7"), "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n");
        assert_eq!(text(v4, "198.51.100.9"), "PROXY TCP4 198.51.100.9 10.0.0.1 0 443\r\n", "the port is the other proxy's");
        let v6 = ends("[2001:db8::7]:4711", "[2001:db8::1]:443");
        assert_eq!(text(v6, "2001:db8::7"), "PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n");
        let both = ends("[::ffff:192.0.2.7]:4711", "[::ffff:10.0.0.1]:443");
        assert_eq!(text(both, "192.0.2.7"), "PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n");
        assert_eq!(text(v4, "2001:db8::7"), "PROXY TCP6 2001:db8::7 ::ffff:10.0.0.1 0 443\r\n");
        assert_eq!(header(ProxyProtocol::V1, None), b"PROXY UNKNOWN\r\n");
    }

    #[test]
    fn what_is_sent_can_be_received() {
        for version in [ProxyProtocol::V1, ProxyProtocol::V2] {
            for (peer, local) in [("192.0.2.7:4711", "10.0.0.1:443"), ("[2001:db8::7]:4711", "[2001:db8::1]:443")] {
                let ends = ends(peer, local);
                let sent = header(version, Some(addresses(ends, ends.peer.ip())));
                let received = proxy::parse(&sent).unwrap().unwrap();
                assert_eq!((received.length, received.client), (sent.len(), Some(ends.peer.ip())));
            }
            let own = header(version, None);
            let received = proxy::parse(&own).unwrap().unwrap();
            assert_eq!((received.length, received.client), (own.len(), None), "{version:?}");
        }
    }
}
