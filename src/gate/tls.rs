//! TLS: from a TCP connection to an encrypted one. In: a stream and a snapshot. Out: a TLS stream. Must never choose another
//! certificate than the one for the name that was asked for, where there is one.

use crate::snapshot::Snapshot;
use rustls::server::Acceptor;
use std::io::{self, ErrorKind};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

mod outgoing;
mod session;
mod stream;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

pub(super) use stream::TlsStream;

/// The longest ClientHello, with whatever comes with it.
const LONGEST_HELLO: usize = 64 * 1024;

/// Shakes hands, with the certificate for the name that the client asks for (SNI). Takes as long as the client does.
pub(super) async fn accept(mut stream: TcpStream, snapshot: &Snapshot) -> io::Result<TlsStream> {
    let mut hello = Vec::with_capacity(2048);
    let name = name(&mut stream, &mut hello).await?;
    let config = snapshot.tls.find(name.as_deref()).clone();
    TlsStream::shake_hands(stream, config, hello).await
}

/// The name that the client asks for, in lower case. What was read for it is in `hello`, for whoever answers it.
async fn name(stream: &mut TcpStream, hello: &mut Vec<u8>) -> io::Result<Option<String>> {
    let mut acceptor = Acceptor::default();
    while hello.len() < LONGEST_HELLO {
        let before = hello.len();
        if stream.read_buf(hello).await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut new = hello.get(before..).unwrap_or_default();
        while !new.is_empty() {
            acceptor.read_tls(&mut new)?;
            match acceptor.accept() {
                Ok(Some(accepted)) => return Ok(accepted.client_hello().server_name().map(str::to_ascii_lowercase)),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let mut bytes = Vec::new();
                    alert.write_all(&mut bytes)?;
                    stream.write_all(&bytes).await?;
                    return Err(io::Error::new(ErrorKind::InvalidData, error));
                }
            }
        }
    }
    Err(ErrorKind::InvalidData.into())
}
