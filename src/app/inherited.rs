//! What a process is given at its start: sockets, by systemd (`LISTEN_FDS`, sd_listen_fds(3)) or by the process that it takes over
//! from. In: the environment. Out: listeners by address. Must be asked before there are threads: it takes variables out of the
//! environment.

use super::passing;
use listenfd::ListenFd;
use std::env;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use tokio::io::AsyncReadExt as _;

/// Says that standard input is a socket to the process before this one.
pub(super) const VARIABLE: &str = "DOORWARD_TAKES_OVER";
/// What is said over it once requests are answered.
pub(super) const SERVING: u8 = b'!';

/// What this process was given.
#[derive(Default)]
pub struct Inherited {
    sockets: Vec<TcpListener>,
    /// The process that it takes over from.
    pub(super) predecessor: Option<Predecessor>,
}

/// The process that this one takes over from.
pub(super) struct Predecessor(UnixStream);

impl Inherited {
    /// Takes what there is.
    pub fn take() -> io::Result<Self> {
        // By systemd's own rule, a variable that names another process is not meant for this one.
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            sockets.extend(passed.take_tcp_listener(index)?);
        }
        if env::var_os(VARIABLE).is_none() {
            return Ok(Self { sockets, predecessor: None });
        }
        let channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let sockets = passing::receive(&channel)?;
        Ok(Self { sockets, predecessor: Some(Predecessor(channel)) })
    }

    /// The sockets that are bound to this address.
    pub(super) fn claim(&mut self, address: SocketAddr) -> Vec<TcpListener> {
        let is_it = |socket: &mut TcpListener| socket.local_addr().is_ok_and(|bound| bound == address);
        self.sockets.extract_if(.., is_it).collect()
    }

    /// The addresses of those that nobody has claimed.
    pub(super) fn unclaimed(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok())
    }
}

impl Predecessor {
    /// Tells it that it can go.
    pub(super) fn relieve(&mut self) -> io::Result<()> {
        self.0.write_all(&[SERVING])
    }

    /// Waits until it has gone.
    pub(super) async fn gone(self) -> io::Result<()> {
        self.0.set_nonblocking(true)?;
        let mut channel = tokio::net::UnixStream::from_std(self.0)?;
        while channel.read(&mut [0; 16]).await? > 0 {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn sockets_are_claimed_by_their_address_once() {
        let sockets: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let address = sockets.last().unwrap().local_addr().unwrap();
        let mut inherited = Inherited { sockets, predecessor: None };
        assert_eq!(inherited.claim(address).len(), 1);
        assert!(inherited.claim(address).is_empty());
        assert_eq!(inherited.unclaimed().count(), 2);
    }
}
