//! The time that a connection has. In: an exchange of HTTP. Out: its end: by itself, because nothing happens on it, or because the
//! process stops. Must never end a connection while a request of it is being answered.

use super::{DRAIN, HEAD};
use crate::gate::visit::Connection;
use std::pin::Pin;
use std::rc::Rc;
use tokio::sync::watch;

/// How many times [`HEAD`] a connection may be idle: two minutes.
const IDLE: u32 = 6;
/// Who holds a connection when no request does: the exchange, and its service.
const AT_REST: usize = 2;

/// An HTTP/1.1 or HTTP/2 connection: alike but for their types.
pub(super) trait Exchange: Future<Output = hyper::Result<()>> {
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
    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S, B> Exchange for hyper::server::conn::http2::Connection<I, S, super::OnThisThread>
where
    Self: Future<Output = hyper::Result<()>>,
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: 'static,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: hyper::body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn wind_down(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Lets the exchange go on until its time is over.
pub(super) async fn conduct(
    mut exchange: Pin<&mut impl Exchange>,
    connection: &Rc<Connection>,
    mut stopping: watch::Receiver<bool>,
) -> hyper::Result<()> {
    tokio::select! {
        ended = exchange.as_mut() => return ended,
        _ = stopping.wait_for(|stop| *stop) => {}
        () = idle(connection) => {}
    }
    if connection.visits.get() == 0 {
        return Ok(());
    }
    exchange.as_mut().wind_down();
    loop {
        match tokio::time::timeout(DRAIN, exchange.as_mut()).await {
            Ok(ended) => return ended,
            Err(_) if Rc::strong_count(connection) <= AT_REST => return Ok(()),
            // A request came in just before the end; when the process stops, it does not wait for longer than that anyway.
            Err(_) => {}
        }
    }
}

/// Ends when no request has ever come, or none for a while and none is being answered.
async fn idle(connection: &Rc<Connection>) {
    let (mut quiet, mut visits) = (0, 0);
    while quiet < IDLE {
        tokio::time::sleep(HEAD).await;
        let resting = Rc::strong_count(connection) <= AT_REST && connection.visits.get() == visits;
        quiet = if resting { quiet + 1 } else { 0 };
        visits = connection.visits.get();
        if visits == 0 {
            return;
        }
    }
}
