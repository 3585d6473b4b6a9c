//! The bytes of an HTTP/1.1 connection as they arrive. In: a TLS stream. Out: the same stream, and a second opinion about where each
//! request ends (see `framing`): what a proxy before us may have read differently is refused. Must never let a request end
//! where that is not clear.

use super::framing::Framing;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What wire and service of one connection tell each other.
///
/// In atomics because hyper wants to be able to send an upgraded connection elsewhere; it never does.
#[derive(Default)]
pub(super) struct Opinion {
    /// How many requests hyper has read the head of.
    heads: AtomicU64,
    /// The first request whose end is not clear; 0 where there is none.
    unclear: AtomicU64,
}

impl Opinion {
    /// hyper has read the head of one more request: whether it is clear where that ends, as far as it has arrived.
    pub(super) fn next_is_clear(&self) -> bool {
        let number = self.heads.fetch_add(1, Ordering::Relaxed) + 1;
        let unclear = self.unclear.load(Ordering::Relaxed);
        unclear == 0 || number < unclear
    }

    /// Whether this request is being answered: too late to refuse it.
    fn has_begun(&self, number: u64) -> bool {
        number <= self.heads.load(Ordering::Relaxed)
    }
}

/// A stream whose incoming bytes are seen.
pub(super) struct Wire<S> {
    stream: S,
    framing: Framing,
    opinion: Arc<Opinion>,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, opinion: Arc<Opinion>) -> Self {
        Self { stream, framing: Framing::default(), opinion }
    }

    /// An error ends the body that is being read.
    fn arrived(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(number) = self.framing.read(bytes) else { return Ok(()) };
        let known = self.opinion.unclear.swap(number, Ordering::Relaxed) != 0;
        if known || !self.opinion.has_begun(number) { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.arrived(buffer.filled().get(before..).unwrap_or_default()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }
}
