//! The bytes of an HTTP/1.1 connection as they arrive. In: a TLS stream. Out: the same stream, and an answer to one question that
//! the parser can't answer: did a request with Transfer-Encoding have a Content-Length too? hyper drops that header silently
//! (RFC 9112, section 6.1 lets it), but a proxy before us may have gone by it.
//!
//! Must never miss it: where heads and bodies can't be told apart the answer is yes.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The largest head, and so all that is remembered.
const REMEMBERED: usize = super::HEAD_SIZE;

/// What arrived since the request before.
///
/// Behind a mutex because hyper wants to be able to send an upgraded connection elsewhere; nobody ever waits for it.
#[derive(Default)]
pub(super) struct Seen(Mutex<Bytes>);

#[derive(Default)]
struct Bytes {
    bytes: Vec<u8>,
    answered: bool,
}

impl Seen {
    /// Whether a line among the bytes of this request's head begins with `Content-Length`.
    pub(super) fn has_content_length(&self) -> bool {
        let is_length = |line: &[u8]| line.get(..14).is_some_and(|name| name.eq_ignore_ascii_case(b"content-length"));
        self.lock().bytes.split(|b| *b == b'\n').any(is_length)
    }

    /// A request was read: what arrives from now on belongs to the next one. Requests that arrived together stay together.
    pub(super) fn next(&self) {
        self.lock().answered = true;
    }

    fn lock(&self) -> MutexGuard<'_, Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(&self, new: &[u8]) {
        let mut seen = self.lock();
        if std::mem::take(&mut seen.answered) {
            seen.bytes.clear();
        }
        let bytes = &mut seen.bytes;
        let new = new.get(new.len().saturating_sub(REMEMBERED)..).unwrap_or(new);
        let excess = (bytes.len() + new.len()).saturating_sub(REMEMBERED).min(bytes.len());
        bytes.drain(..excess);
        bytes.extend_from_slice(new);
    }
}

/// A stream whose incoming bytes are seen.
pub(super) struct Wire<S> {
    stream: S,
    seen: Arc<Seen>,
}

impl<S> Wire<S> {
    pub(super) const fn new(stream: S, seen: Arc<Seen>) -> Self {
        Self { stream, seen }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.seen.arrived(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_seen_in_any_case_and_across_reads() {
        let seen = Seen::default();
        seen.arrived(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ncontent-LEN");
        assert!(!seen.has_content_length());
        seen.arrived(b"GTH: 4\r\n\r\n");
        assert!(seen.has_content_length());
    }

    #[test]
    fn a_length_of_the_request_before_is_forgotten() {
        let seen = Seen::default();
        seen.arrived(b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd");
        seen.next();
        seen.arrived(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert!(!seen.has_content_length());
    }

    #[test]
    fn the_end_of_what_arrived_is_what_is_remembered() {
        let seen = Seen::default();
        seen.arrived(&vec![b'x'; REMEMBERED * 3]);
        seen.arrived(b"\r\ncontent-length: 1\r\n");
        assert!(seen.has_content_length());
        assert!(seen.lock().bytes.len() <= REMEMBERED);
    }
}
