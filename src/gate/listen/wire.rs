//! The bytes of an HTTP/1.1 connection as they pass. In: a TLS stream, and what was read of it before. Out: the same stream, and
//! answers to two questions that the parser can't answer. Is it clear where each request ends (see [`Framing`])? What a proxy
//! before us may have read differently is refused. And has everything that was written left the process? Must never let a
//! request end where that is not clear, and never copy what passes.

use super::framing::Framing;
use bytes::{Buf as _, Bytes};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What wire and service of one connection tell each other. Atomic because hyper wants to be able to send an upgraded connection
/// elsewhere; all of it happens on one thread.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// How many requests hyper has read the head of.
    heads: AtomicU64,
    /// The first request whose end is not clear; 0 where there is none.
    unclear: AtomicU64,
    unflushed: AtomicBool,
}

impl Seen {
    /// hyper has read the head of one more request: whether it is clear where that ends, as far as it has arrived.
    pub(super) fn next_is_clear(&self) -> bool {
        let number = self.heads.load(Ordering::Relaxed) + 1;
        self.heads.store(number, Ordering::Relaxed);
        let unclear = self.unclear.load(Ordering::Relaxed);
        unclear == 0 || number < unclear
    }

    /// Whether everything that was written is on its way.
    pub(super) fn is_flushed(&self) -> bool {
        !self.unflushed.load(Ordering::Relaxed)
    }

    /// Whether this request is being answered: too late to refuse it.
    fn has_begun(&self, number: u64) -> bool {
        number <= self.heads.load(Ordering::Relaxed)
    }
}

/// A stream whose bytes are seen.
pub(super) struct Wire<S> {
    stream: S,
    /// What was read before, to be read again.
    before: Bytes,
    framing: Framing,
    seen: Arc<Seen>,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, before: Bytes, seen: Arc<Seen>) -> Self {
        Self { stream, before, framing: Framing::default(), seen }
    }

    /// The stream alone; to be asked for when all that it had is read.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// An error ends the body that is being read.
    fn arrived(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(number) = self.framing.read(bytes) else { return Ok(()) };
        let known = self.seen.unclear.swap(number, Ordering::Relaxed) != 0;
        if known || !self.seen.has_begun(number) { Ok(()) } else { Err(io::ErrorKind::InvalidData.into()) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wire = &mut *self;
        let filled = buffer.filled().len();
        if wire.before.is_empty() {
            std::task::ready!(Pin::new(&mut wire.stream).poll_read(context, buffer))?;
        } else {
            let length = wire.before.len().min(buffer.remaining());
            buffer.put_slice(wire.before.get(..length).unwrap_or_default());
            wire.before.advance(length);
        }
        Poll::Ready(wire.arrived(buffer.filled().get(filled..).unwrap_or_default()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.seen.unflushed.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::task::ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.seen.unflushed.store(false, Ordering::Relaxed);
        Poll::Ready(Ok(()))
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
        self.seen.unflushed.store(true, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const TWO: &[u8] = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-LENGTH: 4\r\n\r\n";

    #[tokio::test]
    async fn what_was_read_before_is_read_and_seen_again() {
        let (mut client, server) = tokio::io::duplex(64);
        let seen = Arc::<Seen>::default();
        let mut wire = Wire::new(server, Bytes::from_static(&TWO[..50]), Arc::clone(&seen));
        client.write_all(&TWO[50..]).await.unwrap();
        let mut read = vec![0; TWO.len()];
        for part in read.chunks_mut(7) {
            wire.read_exact(part).await.unwrap();
        }
        assert_eq!(read, TWO);
        assert!(!seen.next_is_clear());
    }

    #[tokio::test]
    async fn a_write_is_on_its_way_once_it_is_flushed() {
        let (_client, server) = tokio::io::duplex(64);
        let seen = Arc::<Seen>::default();
        let mut wire = Wire::new(server, Bytes::new(), Arc::clone(&seen));
        assert!(seen.is_flushed());
        wire.write_all(b"answer").await.unwrap();
        assert!(!seen.is_flushed());
        wire.flush().await.unwrap();
        assert!(seen.is_flushed());
    }
}
