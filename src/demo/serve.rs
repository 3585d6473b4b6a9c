//! Serves one of the demo's own HTTP servers for as long as its guard lives.
//!
//! In: a bound loopback listener and an axum router. Out: a [`Server`] that stops serving when dropped.
//! It must never serve on an address that another machine can reach.

use std::io;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A running server. Dropping it closes the listener and the idle connections.
pub(super) struct Server {
    _stop: oneshot::Sender<()>,
}

/// Starts serving `router` on `listener`, which must be bound to a loopback address.
pub(super) fn start(listener: TcpListener, router: Router) -> io::Result<Server> {
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("the demo serves on loopback only, not on {address}")));
    }
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = axum::serve(listener, router).with_graceful_shutdown(async {
        // The sender is never used: what counts is that it is gone.
        let _ = stopped.await;
    });
    tokio::spawn(async move { serving.await });
    Ok(Server { _stop: stop })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[tokio::test]
    async fn refuses_an_address_that_others_can_reach() {
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let error = start(listener, Router::new()).err().unwrap();
        assert!(error.to_string().contains("loopback only"), "{error}");
    }

    #[tokio::test]
    async fn stops_when_dropped() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(start(listener, Router::new()).unwrap());
        for _ in 0..100 {
            if TcpListener::bind(address).await.is_ok() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{address} is still taken");
    }
}
