//! Bytes to and from a server, whatever carries them. In: a connected socket. Out: something to read from and write to. Must
//! never join what a writer hands over in parts: they go out in one system call.

use super::open::Opened;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// An open connection, counted until it is closed.
pub(super) struct Stream {
    pub(super) io: Io,
    pub(super) _opened: Opened,
}

/// What carries the bytes.
pub(super) enum Io {
    /// In clear text.
    Tcp(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
    /// On this machine.
    Unix(UnixStream),
}

/// Does the same with whatever it is.
macro_rules! on {
    ($stream:expr, $inner:ident => $then:expr) => {
        match &mut $stream.io {
            Io::Tcp($inner) => $then,
            Io::Tls($inner) => $then,
            Io::Unix($inner) => $then,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on!(self.get_mut(), inner => Pin::new(inner).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on!(self.get_mut(), inner => Pin::new(inner).poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self.get_mut(), inner => Pin::new(inner).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self.get_mut(), inner => Pin::new(inner).poll_shutdown(context))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Tcp(inner) => inner.is_write_vectored(),
            Io::Tls(inner) => inner.is_write_vectored(),
            Io::Unix(inner) => inner.is_write_vectored(),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        on!(self.get_mut(), inner => Pin::new(inner).poll_write_vectored(context, parts))
    }
}
