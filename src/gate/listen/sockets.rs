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

/// Binds as many sockets to one address, which nobody else may listen on.
pub fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
    let all = || -> io::Result<Vec<TcpListener>> {
        // Sockets that share a port would share it with another Doorward too, which would get a part of the connections.
        if address.port() != 0 {
            open(address)?.bind(&address.into())?;
        }
        (0..count).map(|_| bind_one(address)).collect()
    };
    all().map_err(named)
}

fn bind_one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` is meant to take IPv4 too, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    Ok(socket)
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

    #[test]
    fn nobody_joins_another_process_at_its_address() {
        let theirs = bind("127.0.0.1:0".parse().unwrap(), 1).unwrap();
        let address = theirs.first().unwrap().local_addr().unwrap();
        assert_eq!(bind(address, 2).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        let everywhere = SocketAddr::new([0, 0, 0, 0].into(), address.port());
        assert_eq!(bind(everywhere, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(theirs);
        assert_eq!(bind(address, 2).unwrap().len(), 2);
    }
}
