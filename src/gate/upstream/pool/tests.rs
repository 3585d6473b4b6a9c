//! What a worker keeps of its connections, and for how long.

use super::*;
use crate::snapshot::upstream::{Address, ProxyProtocol, Transport};
use prometheus::IntGauge;

#[test]
fn announced_connections_count_among_all_of_their_server_until_they_are_closed() {
    let (pool, terms) = (Pool::default(), Pooling { max_connections: 2, ..Pooling::default() });
    let address = Address::Tcp { host: "192.0.2.1".into(), port: 80 };
    let upstream = Upstream::new(String::new(), address, Transport::Http1).announced(Some(ProxyProtocol::V1));
    let clients = [b"one".to_vec(), b"two".to_vec()].map(|client| pool.slot(&upstream, terms).announcing(&upstream, client));
    let gauge = IntGauge::new("open", "open").unwrap();
    let open = clients.each_ref().map(|client| client.endpoint.open.one_more(&gauge));
    pool.sweep();
    let third = pool.slot(&upstream, terms).announcing(&upstream, b"three".to_vec());
    assert!(third.endpoint.is_full());
    drop((open, clients));
    pool.sweep();
    assert!(!third.endpoint.is_full());
    drop(third);
    pool.sweep();
    assert!(pool.slots.borrow().is_empty(), "nothing is kept for clients that have gone");
}
