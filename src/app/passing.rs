//! Sockets passed from one process to another, over a socket between the two (`SCM_RIGHTS`, unix(7)). In: listeners. Out: the same
//! listeners, in the other process. Must never take for a listener what is none.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use socket2::SockRef;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// How many go in one message; the system takes 253.
const AT_ONCE: usize = 64;
/// What a message says: that another follows, or that it is the last.
const MORE: u8 = 1;
const LAST: u8 = 0;

/// Passes all of them.
pub(super) fn send(channel: &UnixStream, sockets: &[TcpListener]) -> io::Result<()> {
    let mut batches = sockets.chunks(AT_ONCE).peekable();
    while let Some(batch) = batches.next() {
        let descriptors: Vec<BorrowedFd<'_>> = batch.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(ErrorKind::InvalidInput.into());
        }
        let says = [if batches.peek().is_some() { MORE } else { LAST }];
        sendmsg(channel, &[IoSlice::new(&says)], &mut control, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}

/// Takes all that are passed.
pub(super) fn receive(channel: &UnixStream) -> io::Result<Vec<TcpListener>> {
    let mut sockets = Vec::new();
    loop {
        let mut says = [LAST];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(AT_ONCE))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let message = recvmsg(channel, &mut [IoSliceMut::new(&mut says)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        if message.bytes == 0 || message.flags.contains(ReturnFlags::CTRUNC) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        for part in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = part {
                for descriptor in descriptors {
                    sockets.push(listener(descriptor)?);
                }
            }
        }
        if says == [LAST] {
            return Ok(sockets);
        }
    }
}

fn listener(descriptor: OwnedFd) -> io::Result<TcpListener> {
    let listener = TcpListener::from(descriptor);
    if !SockRef::from(&listener).is_listener()? {
        return Err(io::Error::new(ErrorKind::InvalidData, "a socket that was passed does not listen"));
    }
    listener.local_addr().map(|_| listener)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn every_socket_arrives_with_the_connections_that_wait_in_it() {
        let (one, other) = UnixStream::pair().unwrap();
        let sockets: Vec<_> = (0..AT_ONCE + 3).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let _waiting: Vec<_> = addresses.iter().map(|address| TcpStream::connect(address).unwrap()).collect();
        send(&one, &sockets).unwrap();
        drop(sockets);
        let passed = receive(&other).unwrap();
        assert_eq!(passed.iter().map(|socket| socket.local_addr().unwrap()).collect::<Vec<_>>(), addresses);
        passed.iter().for_each(|socket| drop(socket.accept().unwrap()));
    }

    #[test]
    fn what_is_no_listener_is_refused() {
        let (one, other) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        send(&one, &[TcpListener::from(OwnedFd::from(stream))]).unwrap();
        assert!(receive(&other).is_err());
    }

    #[test]
    fn a_process_that_ends_before_it_has_passed_them_is_an_error() {
        let (one, other) = UnixStream::pair().unwrap();
        drop(one);
        assert!(receive(&other).is_err());
    }
}
