//! The sockets that connections come by. In: addresses, or sockets that somebody else has bound. Out: listeners, dealt out to the
//! workers. Must never leave a socket without a worker: the connections that wait in it would wait for ever.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// How many connections may wait to be taken.
const BACKLOG: i32 = 4096;

/// The sockets of both ports.
#[derive(Debug, Default)]
pub struct Sockets {
    /// TLS.
    pub https: Vec<TcpListener>,
    /// Redirects to TLS, nothing else.
    pub http: Vec<TcpListener>,
}

/// Binds as many sockets to one address.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
    (0..count).map(|_| bind_one(address).map_err(named)).collect()
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` is meant to take IPv4 too, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Deals sockets out: every socket has a worker, and every worker a socket, shared with another where there are too few.
pub(super) fn deal(sockets: &[TcpListener], workers: usize) -> io::Result<Vec<Vec<TcpListener>>> {
    let mut hands: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    let hand = |(hand, socket): (&mut Vec<TcpListener>, &TcpListener)| {
        let socket = socket.try_clone()?;
        socket.set_nonblocking(true)?;
        hand.push(socket);
        io::Result::Ok(())
    };
    if sockets.len() < workers {
        hands.iter_mut().zip(sockets.iter().cycle()).try_for_each(hand)?;
    } else {
        for some in sockets.chunks(workers.max(1)) {
            hands.iter_mut().zip(some).try_for_each(hand)?;
        }
    }
    Ok(hands)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_socket_has_a_worker_and_every_worker_a_socket() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 5).unwrap();
        for (count, workers, expected) in
            [(5, 5, vec![1; 5]), (5, 2, vec![3, 2]), (2, 5, vec![1; 5]), (1, 1, vec![1]), (0, 3, vec![0; 3]), (3, 1, vec![3])]
        {
            let some = sockets.get(..count).unwrap();
            let dealt = deal(some, workers).unwrap();
            assert_eq!(dealt.iter().map(Vec::len).collect::<Vec<_>>(), expected, "{count} {workers}");
            let ports = |sockets: &mut dyn Iterator<Item = &TcpListener>| {
                let ports = sockets.map(|socket| socket.local_addr().unwrap().port());
                ports.collect::<std::collections::BTreeSet<_>>()
            };
            assert_eq!(ports(&mut dealt.iter().flatten()), ports(&mut some.iter()));
        }
    }

    #[test]
    fn an_address_that_is_taken_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        assert!(bind(address, 1).unwrap_err().to_string().contains(&address.to_string()));
    }
}
