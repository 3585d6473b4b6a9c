//! The time that a connection has. In: an exchange of HTTP. Out: its end: by itself, because nothing happens on it, because it
//! floods us or does not read, or because the process stops; or the news that it rests. Must never end a connection while a
//! request of it is being answered to somebody who reads.

use super::local::{Guest, Phase};
use super::streams::Streams;
use super::ticks::strokes;
use super::{DRAIN, HEAD, IDLE};
use crate::gate::visit::Connection;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

/// How long a connection on which nothing is going on may take to close.
const CLOSING: Duration = Duration::from_secs(2);
/// After how many strokes a connection ends of which an answer has waited for too long: a stream that can end by itself does so
/// before that.
const UNREAD: u32 = 2;
/// How many requests a client may have given up lately, before they were answered; every stroke forgets one in eight.
const GIVEN_UP: u32 = 500;

/// An HTTP/1.1 or HTTP/2 connection: alike but for their types.
pub(super) trait Exchange: Future<Output = hyper::Result<()>> {
    /// Whether its end may lose a request that is on its way. HTTP/2 can say which it will not answer, HTTP/1.1 can't.
    const MUST_LINGER: bool;
    /// How many hold a connection when no request does.
    const AT_REST: usize;

    /// Takes no more requests, answers those that it has.
    fn wind_down(self: Pin<&mut Self>);
}

impl<I, S, B> Exchange for hyper::server::conn::http1::UpgradeableConnection<I, S>
where
    Self: Future<Output = hyper::Result<()>>,
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    const MUST_LINGER: bool = true;
    /// Its guest, and its service.
    const AT_REST: usize = 2;

    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, B> Exchange for hyper::server::conn::http2::Connection<I, S, Streams>
where
    Self: Future<Output = hyper::Result<()>>,
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: 'static,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    const MUST_LINGER: bool = false;
    /// Whoever runs its streams, too.
    const AT_REST: usize = 3;

    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// What is left to do for a connection whose requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ease {
    /// Nobody knows.
    Unknown,
    /// Nothing: all of the last answer is on its way.
    Flushed,
    /// Nothing, and nothing of its last request can be left: its bytes could as well be read by somebody else.
    Rests,
}

/// How an exchange went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is over.
    Ended,
    /// It rests, and can be taken apart.
    Rests,
}

enum Turn {
    GoOn,
    Rest,
    WindDown,
    End,
}

/// Lets the exchange go on until its time is over.
pub(super) async fn conduct<E: Exchange>(
    mut exchange: Pin<&mut E>,
    guest: &Guest,
    ease: impl Fn() -> Ease,
) -> hyper::Result<Outcome> {
    let mut quiet = Quiet { strokes: 0, unread: 0, visits: guest.connection.visits.get() };
    loop {
        guest.alarm.set(1);
        if let Some(ended) = guest.alarm.or(exchange.as_mut()).await {
            return ended.map(|()| Outcome::Ended);
        }
        quiet.heed::<E>(&guest.connection);
        match quiet.turn::<E>(guest, ease()) {
            Turn::GoOn => {}
            Turn::Rest => return Ok(Outcome::Rests),
            Turn::WindDown => break,
            Turn::End => return Ok(Outcome::Ended),
        }
    }
    exchange.as_mut().wind_down();
    loop {
        let is_resting = || is_resting::<E>(&guest.connection);
        let patience = if is_resting() && ease() != Ease::Unknown { CLOSING } else { DRAIN };
        match tokio::time::timeout(patience, exchange.as_mut()).await {
            Ok(ended) => return ended.map(|()| Outcome::Ended),
            Err(_) if is_resting() || guest.connection.unread.any_is_over() => return Ok(Outcome::Ended),
            // A request came in just before the end; when the process stops, it does not wait for longer than that anyway.
            Err(_) => {}
        }
    }
}

/// How long nothing has happened.
struct Quiet {
    strokes: u32,
    /// How long an answer has waited beyond its time.
    unread: u32,
    visits: u64,
}

impl Quiet {
    fn heed<E: Exchange>(&mut self, connection: &Rc<Connection>) {
        let before = std::mem::replace(&mut self.visits, connection.visits.get());
        self.strokes = if is_resting::<E>(connection) && before == self.visits { self.strokes + 1 } else { 0 };
        self.unread = if connection.unread.any_is_over() { self.unread + 1 } else { 0 };
    }

    fn turn<E: Exchange>(&self, guest: &Guest, ease: Ease) -> Turn {
        let phase = guest.local.phase.get();
        let rests = self.strokes > 0 && ease == Ease::Rests;
        // Bytes of a head may have come, and the rest of it takes too long.
        let stalls = self.strokes >= strokes(HEAD) && (ease != Ease::Unknown || self.visits == 0);
        let given_up = guest.connection.given_up.get();
        guest.connection.given_up.set(given_up - given_up.div_ceil(8));
        if given_up > GIVEN_UP {
            tracing::warn!(client = %guest.connection.peer, "a client gives up its requests by the hundred: its connection is closed");
            return Turn::End;
        }
        match phase {
            _ if self.unread >= UNREAD => Turn::End,
            Phase::Closing if self.visits == 0 => Turn::End,
            Phase::Closing => Turn::WindDown,
            Phase::Lingering if !E::MUST_LINGER => Turn::WindDown,
            Phase::Serving | Phase::Lingering if rests => Turn::Rest,
            // Nobody has begun anything; HTTP/2 says so.
            _ if stalls && self.visits == 0 && E::MUST_LINGER => Turn::End,
            _ if stalls || self.strokes >= strokes(IDLE) => Turn::WindDown,
            _ => Turn::GoOn,
        }
    }
}

fn is_resting<E: Exchange>(connection: &Rc<Connection>) -> bool {
    Rc::strong_count(connection) <= E::AT_REST
}
