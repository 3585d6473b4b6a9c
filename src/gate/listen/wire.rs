//! The bytes of an HTTP/1.1 connection as they pass. In: a TLS stream, and what was read of it before. Out: the same stream, and
//! answers to two questions that the parser can't answer. Did a request with Transfer-Encoding have a Content-Length too? hyper
//! drops that header silently (RFC 9112, section 6.1 lets it), but a proxy before us may have gone by it. And has everything
//! that was written left the process? Must never miss two lengths: a body that looks like such a head counts as one. Must never
//! copy what passes.

use bytes::{Buf as _, Bytes};
use std::io::{self, BufRead as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is known of the bytes. Atomic because hyper wants to be able to send an upgraded connection elsewhere; all of it happens
/// on one thread.
#[derive(Debug, Default)]
pub(super) struct Seen {
    two_lengths: AtomicBool,
    answered: AtomicBool,
    unflushed: AtomicBool,
}

impl Seen {
    /// Whether a head among the bytes has both headers.
    pub(super) fn has_two_lengths(&self) -> bool {
        self.two_lengths.load(Ordering::Relaxed)
    }

    /// A request was read: with what arrives next, all is forgotten but what may be the beginning of another head. The parser
    /// reads on only when it has used up all that is whole, so that nothing else can be left.
    pub(super) fn next(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether everything that was written is on its way.
    pub(super) fn is_flushed(&self) -> bool {
        !self.unflushed.load(Ordering::Relaxed)
    }
}

/// The lines of heads, as they arrive in pieces. A blank line ends a head, and so does what a body could pass for one.
#[derive(Debug, Default)]
struct Lines {
    /// How a line begins that has not ended yet.
    begun: [u8; LONGEST],
    kept: usize,
    length: bool,
    coding: bool,
}

const CONTENT_LENGTH: &[u8] = b"content-length";
const TRANSFER_ENCODING: &[u8] = b"transfer-encoding";
/// As much of a line as can tell what it is.
const LONGEST: usize = TRANSFER_ENCODING.len();

impl Lines {
    /// Reads on; whether there was a head with both headers.
    fn read(&mut self, mut bytes: &[u8]) -> bool {
        let mut both = false;
        while !bytes.is_empty() {
            let mut rest = bytes;
            let taken = rest.skip_until(b'\n').unwrap_or(bytes.len());
            let (line, _) = bytes.split_at(taken);
            bytes = rest;
            if self.kept == 0 && line.ends_with(b"\n") {
                self.line(line);
            } else {
                self.part(line);
            }
            both |= self.has_both();
        }
        both
    }

    /// Whether the head that has not ended yet has both headers.
    const fn has_both(&self) -> bool {
        self.length && self.coding
    }

    fn part(&mut self, part: &[u8]) {
        let free = self.begun.get_mut(self.kept..).unwrap_or_default();
        free.iter_mut().zip(part).for_each(|(free, byte)| *free = *byte);
        self.kept = (self.kept + part.len()).min(LONGEST);
        if part.ends_with(b"\n") {
            let (begun, kept) = (self.begun, std::mem::take(&mut self.kept));
            self.line(begun.get(..kept).unwrap_or_default());
        }
    }

    fn line(&mut self, line: &[u8]) {
        let begins = |name: &[u8]| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        match line {
            [b'c' | b'C', ..] => self.length |= begins(CONTENT_LENGTH),
            [b't' | b'T', ..] => self.coding |= begins(TRANSFER_ENCODING),
            b"\n" | b"\r\n" => (self.length, self.coding) = (false, false),
            _ => {}
        }
    }
}

/// A stream whose bytes are seen.
pub(super) struct Wire<S> {
    stream: S,
    /// What was read before, to be read again.
    before: Bytes,
    lines: Lines,
    seen: Arc<Seen>,
}

impl<S> Wire<S> {
    pub(super) fn new(stream: S, before: Bytes, seen: Arc<Seen>) -> Self {
        Self { stream, before, lines: Lines::default(), seen }
    }

    /// The stream alone; to be asked for when all that it had is read.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    fn arrived(&mut self, new: &[u8]) {
        let kept = match self.seen.answered.load(Ordering::Relaxed) {
            true => self.lines.has_both(),
            false => self.seen.has_two_lengths(),
        };
        self.seen.answered.store(false, Ordering::Relaxed);
        let both = self.lines.read(new);
        self.seen.two_lengths.store(kept || both, Ordering::Relaxed);
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
        wire.arrived(buffer.filled().get(filled..).unwrap_or_default());
        Poll::Ready(Ok(()))
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
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    const TWO: &[u8] = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-LENGTH: 4\r\n\r\n";

    fn wire() -> (Wire<()>, Arc<Seen>) {
        let seen = Arc::<Seen>::default();
        (Wire::new((), Bytes::new(), Arc::clone(&seen)), seen)
    }

    #[test]
    fn two_lengths_are_seen_in_any_order_and_case_and_across_reads() {
        let reversed = b"POST / HTTP/1.1\ncontent-length: 4\ntransfer-encoding: chunked\n\n";
        for head in [TWO, reversed] {
            for cut in 0..head.len() {
                let (mut wire, seen) = wire();
                wire.arrived(&head[..cut]);
                wire.arrived(&head[cut..]);
                assert!(seen.has_two_lengths(), "{cut}");
            }
            let (mut wire, seen) = wire();
            head.iter().for_each(|byte| wire.arrived(&[*byte]));
            assert!(seen.has_two_lengths());
        }
    }

    #[test]
    fn a_head_that_began_with_the_request_before_it_is_seen_whole() {
        for cut in 0..TWO.len() {
            let (mut wire, seen) = wire();
            wire.arrived(&[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &TWO[..cut]].concat());
            seen.next();
            wire.arrived(&TWO[cut..]);
            assert!(seen.has_two_lengths(), "{cut}");
        }
    }

    #[test]
    fn a_head_behind_another_that_arrived_with_it_is_seen() {
        let (mut wire, seen) = wire();
        wire.arrived(&[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", TWO].concat());
        seen.next();
        assert!(seen.has_two_lengths());
    }

    #[test]
    fn a_length_of_another_request_or_in_a_body_is_none_of_this_one() {
        let (mut wire, seen) = wire();
        wire.arrived(b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd");
        seen.next();
        wire.arrived(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n\r\n--part\r\nContent-Length: 3\r\n\r\nabc");
        assert!(!seen.has_two_lengths());
        wire.arrived(TWO);
        seen.next();
        wire.arrived(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert!(!seen.has_two_lengths(), "what was refused is over");
    }

    #[test]
    fn a_length_is_not_pushed_out_by_what_comes_between_or_behind() {
        let padding = vec![b'x'; super::super::HEAD_SIZE * 4];
        let head =
            [b"POST / HTTP/1.1\r\nContent-Length: 5\r\nX-Pad: ", &*padding, b"\r\nTransfer-Encoding: chunked\r\n\r"].concat();
        let (mut wire, seen) = wire();
        wire.arrived(&head);
        wire.arrived(&[b"\n".to_vec(), padding].concat());
        assert!(seen.has_two_lengths());
    }

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
        assert!(seen.has_two_lengths());
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

    proptest! {
        #[test]
        fn pieces_of_any_size_are_seen_as_the_whole_is(
            lines in prop::collection::vec(prop::sample::select(vec!["Content-Length: 1", "transfer-encoding: x", "Host: a", "", "c", "T\r"]), 0..12),
            sizes in prop::collection::vec(1..30usize, 1..40),
        ) {
            let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let (mut length, mut coding, mut both) = (false, false, false);
            for line in &lines {
                length = !line.is_empty() && (length || line.starts_with("Content"));
                coding = !line.is_empty() && (coding || line.starts_with("transfer"));
                both |= length && coding;
            }
            let (mut wire, seen) = wire();
            let (mut rest, mut sizes) = (text.as_bytes(), sizes.into_iter().cycle());
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(sizes.next().unwrap().min(rest.len()));
                wire.arrived(piece);
                rest = after;
            }
            prop_assert_eq!(seen.has_two_lengths(), both);
        }
    }
}
