//! A TLS session over a TCP connection. In: encrypted bytes. Out: plain ones. Must never keep buffers while nothing happens: those
//! that work needs, all streams of a thread use in turn.

use super::outgoing::Outgoing;
use super::session::{LARGEST_PART, Session, Stage};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::cell::RefCell;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The least and the most that one read takes from the socket.
const READ: (usize, usize) = (4 * 1024, 64 * 1024);
/// The most plain text that is encrypted at once.
const WRITE: usize = 64 * 1024;
/// What encryption adds to a record, at most.
const OVERHEAD: usize = 64;

/// What all streams of a thread use in turn.
struct Scratch {
    incoming: Vec<u8>,
    plain: Vec<u8>,
    outgoing: Outgoing,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::new(Scratch {
        incoming: vec![0; LARGEST_PART + READ.1],
        plain: Vec::with_capacity(WRITE),
        outgoing: Outgoing::default(),
    });
}

/// An encrypted connection.
pub(in crate::gate) struct TlsStream {
    link: Link,
    /// What was decrypted and not read yet, from `read` on.
    plain: Vec<u8>,
    read: usize,
}

/// The two that talk: the socket, and the session that knows what it means.
struct Link {
    tcp: TcpStream,
    session: Session,
    /// What was encrypted and not taken by the socket yet, from `sent` on.
    unsent: Vec<u8>,
    sent: usize,
    is_closing: bool,
}

impl TlsStream {
    /// Shakes hands with a client that has begun to.
    pub(super) async fn shake_hands(tcp: TcpStream, config: Arc<ServerConfig>, mut begun: Vec<u8>) -> io::Result<Self> {
        let link = Link { tcp, session: Session::new(config)?, unsent: Vec::new(), sent: 0, is_closing: false };
        let mut stream = Self { link, plain: Vec::new(), read: 0 };
        let Self { link, plain, .. } = &mut stream;
        let mut keep = |bytes: &[u8]| plain.extend_from_slice(bytes);
        let mut stage = std::future::poll_fn(|context| Poll::Ready(link.arrived(context, &mut begun, &mut keep))).await?;
        while stage == Stage::Handshake {
            stage = std::future::poll_fn(|context| link.poll_arrive(context, READ.0, &mut keep)).await?;
        }
        std::future::poll_fn(|context| link.poll_send(context)).await?;
        Ok(stream)
    }

    /// Whether the client chose HTTP/2 (RFC 7301).
    pub(in crate::gate) fn speaks_h2(&self) -> bool {
        self.link.session.protocol() == Some(b"h2")
    }

    /// The certificate that the client has shown, with those that are said to vouch for it.
    pub(in crate::gate) fn shown(&self) -> Option<Box<[CertificateDer<'static>]>> {
        self.link.session.shown().map(Box::from)
    }

    /// Waits until there is something to read; false at the end.
    pub(in crate::gate) fn poll_filled(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Self { link, plain, .. } = self;
        while plain.is_empty() && !link.session.is_over {
            ready!(link.poll_arrive(context, READ.0, &mut |bytes| plain.extend_from_slice(bytes)))?;
        }
        Poll::Ready(Ok(!plain.is_empty()))
    }

    /// Gives what was decrypted before.
    fn give(&mut self, buffer: &mut ReadBuf<'_>) {
        let left = self.plain.get(self.read..).unwrap_or_default();
        let (now, later) = left.split_at(left.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.read += now.len();
        if later.is_empty() {
            (self.plain, self.read) = (Vec::new(), 0);
        }
    }
}

impl Link {
    /// Reads about as much as is wanted, and takes it in. What is still to be sent goes on its way meanwhile: whoever waits for the
    /// other side may be waited for.
    fn poll_arrive(&mut self, context: &mut Context<'_>, wanted: usize, plain: &mut impl FnMut(&[u8])) -> Poll<io::Result<Stage>> {
        let _ = self.poll_send(context)?;
        SCRATCH.with_borrow_mut(|scratch| {
            let part = self.session.part();
            let length = (wanted + OVERHEAD).clamp(READ.0, READ.1);
            let bytes = scratch.incoming.get_mut(..part.len() + length).unwrap_or_default();
            let (before, free) = bytes.split_at_mut(part.len());
            before.copy_from_slice(part);
            let mut buffer = ReadBuf::new(free);
            ready!(Pin::new(&mut self.tcp).poll_read(context, &mut buffer))?;
            let arrived = buffer.filled().len();
            if arrived == 0 {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
            let end = before.len() + arrived;
            let bytes = bytes.get_mut(..end).unwrap_or_default();
            Poll::Ready(self.take_in(context, bytes, plain, &mut scratch.outgoing))
        })
    }

    /// Takes in what was read before.
    fn arrived(&mut self, context: &mut Context<'_>, bytes: &mut [u8], plain: &mut impl FnMut(&[u8])) -> io::Result<Stage> {
        SCRATCH.with_borrow_mut(|scratch| self.take_in(context, bytes, plain, &mut scratch.outgoing))
    }

    fn take_in(
        &mut self,
        context: &mut Context<'_>,
        bytes: &mut [u8],
        plain: &mut impl FnMut(&[u8]),
        out: &mut Outgoing,
    ) -> io::Result<Stage> {
        out.empty();
        let stage = self.session.arrived(bytes, plain, out);
        // Of what can't be sent now, an error is the last that is heard.
        self.send(context, out.filled())?;
        stage
    }

    /// Sends as much of these bytes as the socket takes, after all that was left before; keeps the rest.
    fn send(&mut self, context: &mut Context<'_>, mut bytes: &[u8]) -> io::Result<()> {
        if self.poll_send(context)?.is_ready() {
            while !bytes.is_empty()
                && let Poll::Ready(sent) = Pin::new(&mut self.tcp).poll_write(context, bytes)?
            {
                bytes = bytes.get(sent..).filter(|_| sent > 0).ok_or(ErrorKind::WriteZero)?;
            }
        }
        self.unsent.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends what was left.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(bytes @ [_, ..]) = self.unsent.get(self.sent..) {
            match ready!(Pin::new(&mut self.tcp).poll_write(context, bytes))? {
                0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                sent => self.sent += sent,
            }
        }
        if self.sent > 0 {
            (self.unsent, self.sent) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Encrypts and sends; how much plain text that was.
    fn poll_write(&mut self, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        // What the socket does not take is all that is kept of a client that reads slowly.
        ready!(self.poll_send(context))?;
        SCRATCH.with_borrow_mut(|Scratch { plain, outgoing, .. }| {
            let plain = gather(parts, plain);
            outgoing.empty();
            self.session.encrypt(plain, outgoing)?;
            self.send(context, outgoing.filled())?;
            Poll::Ready(Ok(plain.len()))
        })
    }
}

/// The parts in one piece, as much as is encrypted at once.
fn gather<'s>(parts: &'s [IoSlice<'_>], into: &'s mut Vec<u8>) -> &'s [u8] {
    let mut parts = parts.iter().filter(|part| !part.is_empty());
    let Some(first) = parts.next() else { return &[] };
    let mut rest = parts.peekable();
    if first.len() >= WRITE || rest.peek().is_none() {
        return first.get(..WRITE).unwrap_or(first);
    }
    into.clear();
    for part in std::iter::once(first).chain(rest) {
        into.extend_from_slice(part.get(..WRITE - into.len()).unwrap_or(part));
    }
    into
}

impl AsyncRead for TlsStream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = self.get_mut();
        if !stream.plain.is_empty() {
            stream.give(buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        while buffer.filled().len() == before && buffer.remaining() > 0 && !stream.link.session.is_over {
            let (wanted, plain) = (buffer.remaining(), &mut stream.plain);
            let mut give = |bytes: &[u8]| {
                let (now, later) = bytes.split_at(bytes.len().min(buffer.remaining()));
                buffer.put_slice(now);
                plain.extend_from_slice(later);
            };
            ready!(stream.link.poll_arrive(context, wanted, &mut give))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.link.poll_write(context, &[IoSlice::new(bytes)])
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.link.poll_write(context, parts)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.poll_send(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let link = &mut self.link;
        if !std::mem::replace(&mut link.is_closing, true) {
            SCRATCH.with_borrow_mut(|Scratch { outgoing, .. }| {
                outgoing.empty();
                // A session that is broken has nothing to say.
                let _ = link.session.close(outgoing);
                link.send(context, outgoing.filled())
            })?;
        }
        ready!(link.poll_send(context))?;
        Pin::new(&mut link.tcp).poll_shutdown(context)
    }
}
