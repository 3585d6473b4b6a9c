//! TLS: from a TCP connection to an encrypted one. In: a stream and a snapshot. Out: a TLS stream. Must never choose another
//! certificate than the one for the name that was asked for, where there is one.

use crate::snapshot::Snapshot;
use std::io;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// Shakes hands, with the certificate for the name that the client asks for (SNI). Takes as long as the client does.
pub(super) async fn accept(stream: TcpStream, snapshot: &Snapshot) -> io::Result<TlsStream<TcpStream>> {
    let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream).await?;
    let name = start.client_hello().server_name().map(str::to_ascii_lowercase);
    start.into_stream(snapshot.tls.find(name.as_deref()).clone()).await
}

/// Whether the client chose HTTP/2 (RFC 7301).
pub(super) fn speaks_h2(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}
