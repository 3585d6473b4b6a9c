//! A new connection to a server. In: an upstream. Out: something that takes requests, driven by a task of this worker. Must
//! never speak to a server over TLS that was not verified.

use super::announce;
use super::endpoint::Endpoint;
use super::http2::{Multiplexed, Share};
use super::sender::Sender;
use super::stream::{Io, Stream};
use crate::gate::visit::Gate;
use crate::snapshot::Upstream;
use crate::snapshot::upstream::{Address, Tls, Transport};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
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
    /// There are as many as there may be, and none became free.
    #[error("no connection became free within {} ms", .0.as_millis())]
    Full(Duration),
    /// HTTP can't begin.
    #[error("{0}")]
    Handshake(#[from] hyper::Error),
    /// It was closed before it took a request.
    #[error("the connection was closed at once")]
    Closed,
    /// The server takes no WebSockets over the only protocol that it can be spoken to in.
    #[error("the server takes no WebSockets over HTTP/2")]
    NoTunnel,
}

/// A connection that is to be made.
pub(super) struct Dial<'a> {
    upstream: &'a Upstream,
    endpoint: &'a Endpoint,
    /// What to say first.
    announcement: Option<&'a [u8]>,
    /// Do without HTTP/2.
    http1: bool,
}

/// A new connection outside of the pool, within this time.
pub(super) async fn connect(upstream: &Upstream, endpoint: &Endpoint, patience: Duration, gate: &Gate) -> Result<Sender, Error> {
    in_time(patience, Dial::new(upstream, endpoint).connect(gate)).await
}

/// What comes of looking for a connection, in time.
pub(super) async fn in_time<T>(patience: Duration, looking: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(patience, looking).await.unwrap_or(Err(Error::Timeout(patience)))
}

impl<'a> Dial<'a> {
    /// To a server.
    pub(super) const fn new(upstream: &'a Upstream, endpoint: &'a Endpoint) -> Self {
        Self { upstream, endpoint, announcement: None, http1: false }
    }

    /// The same on behalf of a client; else the connection is announced as our own, where it is at all.
    pub(super) const fn announced(self, announcement: Option<&'a [u8]>) -> Self {
        Self { announcement, ..self }
    }

    /// The same, by HTTP/1.1 even where HTTP/2 could be had.
    pub(super) const fn by_http1(self) -> Self {
        Self { http1: true, ..self }
    }

    /// Connects, and begins to speak HTTP.
    pub(super) async fn connect(&self, gate: &Gate) -> Result<Sender, Error> {
        let opened = self.endpoint.open.one_more(&gate.metrics.upstream_connections);
        let (io, http2) = self.dial().await.inspect_err(|_| gate.metrics.upstream_failures.inc())?;
        let stream = Stream { io, _opened: opened };
        if http2 {
            let connection = Multiplexed::open(self.upstream, stream, Arc::clone(&self.endpoint.open)).await?;
            return Ok(Sender::Http2(Share::of(&connection)));
        }
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BUFFER);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        tokio::task::spawn_local(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to an app ended");
            }
        });
        Ok(Sender::Http1(sender))
    }

    /// The bytes, and whether HTTP/2 is to be spoken in them.
    async fn dial(&self) -> io::Result<(Io, bool)> {
        let (host, port) = match self.upstream.address() {
            Address::Unix(path) => {
                let mut stream = UnixStream::connect(path).await?;
                self.announce(&mut stream).await?;
                return Ok((Io::Unix(stream), false));
            }
            Address::Tcp { host, port } => (&**host, *port),
        };
        let mut stream = TcpStream::connect(&*self.endpoint.names.find(host, port).await?).await?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
        self.announce(&mut stream).await?;
        match self.upstream.transport() {
            Transport::Http1 => Ok((Io::Tcp(stream), false)),
            Transport::Http2 => Ok((Io::Tcp(stream), true)),
            Transport::Tls(tls) => self.encrypt(tls, stream).await,
        }
    }

    async fn announce(&self, stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        match (self.upstream.proxy_protocol(), self.announcement) {
            (None, _) => Ok(()),
            (Some(_), Some(announcement)) => stream.write_all(announcement).await,
            (Some(version), None) => stream.write_all(&announce::header(version, None)).await,
        }
    }

    async fn encrypt(&self, tls: &Tls, stream: TcpStream) -> io::Result<(Io, bool)> {
        let config = tls.http2.as_ref().filter(|_| !self.http1).unwrap_or(&tls.http1);
        let stream = TlsConnector::from(Arc::clone(config)).connect(tls.name.clone(), stream).await?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Io::Tls(Box::new(stream)), http2))
    }
}
