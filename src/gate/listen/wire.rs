//! The bytes of an HTTP/1.1 connection as they arrive. In: a TLS stream. Out: the same stream, and an answer to one question that
//! the parser can't answer: did a request with Transfer-Encoding have a Content-Length too? hyper drops that header silently
//! (RFC 9112, section 6.1 lets it), but a proxy before us may have gone by it. Must never miss it: a body that looks like such a
//! head counts as one.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is remembered: the largest head, and as much as can arrive together with its end.
const REMEMBERED: usize = super::HEAD_SIZE + super::READ_SIZE;

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
    /// Whether a head among the bytes has both headers. Heads end at blank lines, and so does what a body could pass for one.
    pub(super) fn has_two_lengths(&self) -> bool {
        let (mut length, mut coding) = (false, false);
        for line in self.lock().bytes.split(|b| *b == b'\n') {
            let begins = |name: &[u8]| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
            let blank = matches!(line, b"" | b"\r");
            length = !blank && (length || begins(b"content-length"));
            coding = !blank && (coding || begins(b"transfer-encoding"));
            if length && coding {
                return true;
            }
        }
        false
    }

    /// A request was read: with what arrives next, all is forgotten but what may be the beginning of another head.
    pub(super) fn next(&self) {
        self.lock().answered = true;
    }

    fn lock(&self) -> MutexGuard<'_, Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(&self, new: &[u8]) {
        let mut seen = self.lock();
        if std::mem::take(&mut seen.answered) {
            let ended = end_of_last_head(&seen.bytes);
            seen.bytes.drain(..ended);
        }
        let bytes = &mut seen.bytes;
        let new = new.get(new.len().saturating_sub(REMEMBERED)..).unwrap_or(new);
        let excess = (bytes.len() + new.len()).saturating_sub(REMEMBERED).min(bytes.len());
        bytes.drain(..excess);
        bytes.extend_from_slice(new);
    }
}

/// Behind the last blank line; the start where there is none.
fn end_of_last_head(bytes: &[u8]) -> usize {
    let proper = bytes.windows(3).rposition(|three| three == b"\n\r\n").map(|at| at + 3);
    let bare = bytes.windows(2).rposition(|two| two == b"\n\n").map(|at| at + 2);
    proper.max(bare).unwrap_or(0)
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

    const TWO: &[u8] = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-LENGTH: 4\r\n\r\n";

    #[test]
    fn two_lengths_are_seen_in_any_order_and_case_and_across_reads() {
        let reversed = b"POST / HTTP/1.1\ncontent-length: 4\ntransfer-encoding: chunked\n\n";
        for head in [TWO, reversed] {
            for cut in 0..head.len() {
                let seen = Seen::default();
                let (one, other) = head.split_at(cut);
                seen.arrived(one);
                seen.arrived(other);
                assert!(seen.has_two_lengths());
            }
        }
    }

    #[test]
    fn a_head_that_began_with_the_request_before_it_is_seen_whole() {
        let (one, other) = TWO.split_at(50);
        let seen = Seen::default();
        seen.arrived(&[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", one].concat());
        seen.next();
        seen.arrived(other);
        assert!(seen.has_two_lengths());
    }

    #[test]
    fn a_length_of_another_request_or_in_a_body_is_none_of_this_one() {
        let seen = Seen::default();
        seen.arrived(b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd");
        seen.next();
        seen.arrived(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n\r\n--part\r\nContent-Length: 3\r\n\r\nabc");
        assert!(!seen.has_two_lengths());
    }

    #[test]
    fn a_length_is_not_pushed_out_by_what_arrives_with_the_end_of_its_head() {
        let padding = vec![b'x'; super::super::HEAD_SIZE - 200];
        let head =
            [b"POST / HTTP/1.1\r\nContent-Length: 5\r\nX-Pad: ", &*padding, b"\r\nTransfer-Encoding: chunked\r\n\r"].concat();
        let seen = Seen::default();
        seen.arrived(&head);
        seen.arrived(&[b"\n".to_vec(), vec![b'y'; super::super::READ_SIZE - 1]].concat());
        assert!(seen.has_two_lengths());
    }

    #[test]
    fn no_more_is_remembered_than_a_head_can_have() {
        let seen = Seen::default();
        seen.arrived(&vec![b'x'; REMEMBERED * 3]);
        seen.arrived(TWO);
        assert!(seen.has_two_lengths());
        assert!(seen.lock().bytes.len() <= REMEMBERED);
    }
}
