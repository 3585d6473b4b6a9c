//! A new connection to a server. In: an upstream. Out: something that takes requests, driven by a task of this worker. Must
//! never speak to a server over TLS that was not verified.

use super::http2::{Multiplexed, Share};
use super::sender::Sender;
use super::stream::Stream;
use crate::gate::visit::Gate;
use crate::snapshot::Upstream;
use crate::snapshot::upstream::{Address, Tls, Transport};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// After how long without a byte the system asks whether a server is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// The most that is read ahead of a client, in bytes.
const BUFFER: usize = 64 * 1024;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system says no, or the server is not who it should be.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It takes too long.
    #[error("no connection within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// HTTP can't begin.
    #[error("{0}")]
    Handshake(#[from] hyper::Error),
    /// It was closed before it took a request.
    #[error("the connection was closed at once")]
    Closed,
}

/// A new connection, within this time.
pub async fn connect(upstream: &Upstream, patience: Duration, gate: &Gate) -> Result<Sender, Error> {
    let connecting = async {
        let (stream, http2) = dial(upstream).await?;
        shake_hands(upstream, stream, http2, gate).await
    };
    let connected = tokio::time::timeout(patience, connecting).await.unwrap_or(Err(Error::Timeout(patience)));
    connected.inspect_err(|_| gate.metrics.upstream_failures.inc())
}

/// A connection, and whether HTTP/2 is to be spoken on it.
async fn dial(upstream: &Upstream) -> io::Result<(Stream, bool)> {
    let (host, port) = match upstream.address() {
        Address::Unix(path) => return Ok((Stream::Unix(UnixStream::connect(path).await?), false)),
        Address::Tcp { host, port } => (&**host, *port),
    };
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    match upstream.transport() {
        Transport::Http1 => Ok((Stream::Tcp(stream), false)),
        Transport::Http2 => Ok((Stream::Tcp(stream), true)),
        Transport::Tls(tls) => encrypt(tls, stream).await,
    }
}

async fn encrypt(tls: &Tls, stream: TcpStream) -> io::Result<(Stream, bool)> {
    let config = tls.http2.as_ref().unwrap_or(&tls.http1);
    let stream = TlsConnector::from(config.clone()).connect(tls.name.clone(), stream).await?;
    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok((Stream::Tls(Box::new(stream)), http2))
}

async fn shake_hands(upstream: &Upstream, stream: Stream, http2: bool, gate: &Gate) -> Result<Sender, Error> {
    let open = gate.metrics.upstream_connections.clone();
    if http2 {
        let connection = Multiplexed::open(upstream, stream, open).await?;
        return Ok(Sender::Http2(Share::of(&connection)));
    }
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(async move {
        open.inc();
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to an app ended");
        }
        open.dec();
    });
    Ok(Sender::Http1(sender))
}
