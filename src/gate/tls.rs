//! TLS: from a TCP connection to an encrypted one. In: a stream and a snapshot. Out: a TLS stream, within ten seconds. Must never
//! hold a worker up for a client that is slow to shake hands.

use crate::snapshot::Snapshot;
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Shakes hands, with the certificate for the name that the client asks for (SNI).
pub(super) async fn accept(stream: TcpStream, snapshot: &Snapshot) -> io::Result<TlsStream<TcpStream>> {
    let handshake = async {
        let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
        let name = start.client_hello().server_name().map(str::to_ascii_lowercase);
        start.into_stream(snapshot.tls.find(name.as_deref()).clone()).await
    };
    tokio::time::timeout(HANDSHAKE, handshake).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

/// Whether the client chose HTTP/2 (RFC 7301).
pub(super) fn speaks_h2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}
