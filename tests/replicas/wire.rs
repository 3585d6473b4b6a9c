//! A connection that can be cut, or swallow all that is sent. In: a port. Out: another port that leads to it. Must never end what it
//! was not asked to end.

use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::watch;

/// How it is with the connections.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// All that were there end, and no other one is made.
    Cut,
    /// Nothing arrives, and nobody is told.
    Swallows,
}

/// What is between a replica and its database.
pub(crate) struct Wire {
    port: u16,
    state: watch::Sender<State>,
}

impl Wire {
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let wire = Self { port: listener.local_addr().unwrap().port(), state: watch::Sender::new(State::Whole) };
        let state = wire.state.subscribe();
        tokio::spawn(async move {
            loop {
                let (inner, _) = listener.accept().await.unwrap();
                let state = state.clone();
                tokio::spawn(async move { join(inner, port, state).await });
            }
        });
        wire
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn cut(&self) {
        self.state.send_replace(State::Cut);
    }

    pub(crate) fn swallow(&self) {
        self.state.send_replace(State::Swallows);
    }

    pub(crate) fn mend(&self) {
        self.state.send_replace(State::Whole);
    }
}

async fn join(inner: TcpStream, port: u16, state: watch::Receiver<State>) {
    if *state.borrow() == State::Cut {
        return;
    }
    let Ok(outer) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    let ((inner_read, inner_write), (outer_read, outer_write)) = (inner.into_split(), outer.into_split());
    let mut cut = state.clone();
    tokio::select! {
        () = carry(inner_read, outer_write, state.clone()) => {}
        () = carry(outer_read, inner_write, state) => {}
        _ = cut.wait_for(|state| *state == State::Cut) => {}
    }
}

/// What was swallowed is lost: such a connection never comes back.
async fn carry(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, state: watch::Receiver<State>) {
    let (mut buffer, mut lost) = ([0; 8192], false);
    while let Ok(count) = from.read(&mut buffer).await {
        lost |= *state.borrow() == State::Swallows;
        if count == 0 || !lost && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
