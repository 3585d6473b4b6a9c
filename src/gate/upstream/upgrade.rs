//! WebSockets: after the app has agreed, bytes go both ways until one side ends, or the right to it does. In: both halves. Out: the
//! answer for the client. Must never let the process end while one is open and may still drain.

use super::in_flight::InFlight;
use super::pool::Lease;
use crate::gate::body::ResponseBody;
use crate::gate::visit::Visit;
use crate::gate::websocket::frames::{Frames, close};
use http::Response;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// How long one side may go on when the other has ended: enough for a last word.
const LAST_WORD: Duration = Duration::from_secs(5);
/// How long the frame may take that is on its way to a client whose right has ended.
const FAREWELL: Duration = Duration::from_millis(200);
/// How long both connections are left alone then: one that is closed at once may be reset before the client has read why, and of
/// thousands all are sent away before the first is cleared up. Nothing passes meanwhile.
const REST: Duration = Duration::from_millis(300);
/// Why such a client is sent away: "policy violation" (RFC 6455, section 7.4.1).
const POLICY_VIOLATION: (u16, &str) = (1008, "access ended");

/// Joins client and app.
pub(super) fn join(
    visit: &Visit,
    (in_flight, lease): (InFlight, Lease),
    client: OnUpgrade,
    mut response: Response<Incoming>,
) -> Response<ResponseBody> {
    let app = hyper::upgrade::on(&mut response);
    let (parts, _) = response.into_parts();
    let (body, tunnel) = ResponseBody::tunnel();
    in_flight.opened();
    // Both connections count as in use while the tunnel is open.
    let held = (lease, Rc::clone(&visit.connection));
    tokio::task::spawn_local(async move {
        let _held = held;
        match tokio::try_join!(client, app) {
            Ok((client, app)) => {
                let written = carry(client, app, &in_flight).await;
                tunnel.ended(written, in_flight.lost_by());
            }
            Err(error) => tracing::debug!(%error, "an upgrade failed"),
        }
    });
    Response::from_parts(parts, body)
}

/// Carries bytes until both sides have ended, or one and then nothing follows, or the right to it ends; how many went to the client.
async fn carry(client: Upgraded, app: Upgraded, in_flight: &InFlight) -> u64 {
    let shared = Rc::<Shared>::default();
    let (mut client, mut app) = (Client::new(client, &shared), App { stream: TokioIo::new(app), shared: Rc::clone(&shared) });
    {
        let mut both = pin!(tokio::io::copy_bidirectional(&mut client, &mut app));
        let whole = async {
            tokio::select! {
                // Most tunnels end by one side going away, which is an error to whoever copies.
                _ = both.as_mut() => {}
                () = shared.ended.notified() => drop(tokio::time::timeout(LAST_WORD, both.as_mut()).await),
            }
        };
        let lost = tokio::select! {
            () = whole => false,
            () = in_flight.lost() => true,
        };
        if lost {
            shared.lost.set(true);
            drop(tokio::time::timeout(FAREWELL, both).await);
            tokio::time::sleep(REST).await;
        }
    }
    client.written
}

/// What the two sides of a tunnel know of each other.
#[derive(Default)]
struct Shared {
    /// One of them has ended.
    ended: Notify,
    /// The right to it has ended: the frame on its way to the client is the last.
    lost: Cell<bool>,
    /// How far what the app says has come.
    frames: RefCell<Frames>,
}

/// The client's side: counts what is written to it.
struct Client {
    stream: TokioIo<Upgraded>,
    written: u64,
    /// What is still to be said before the end, once that is known.
    farewell: Option<Vec<u8>>,
    shared: Rc<Shared>,
}

/// The app's side: reads no further than the end of a frame once the client is to go.
struct App {
    stream: TokioIo<Upgraded>,
    shared: Rc<Shared>,
}

impl Client {
    fn new(stream: Upgraded, shared: &Rc<Shared>) -> Self {
        Self { stream: TokioIo::new(stream), written: 0, farewell: None, shared: Rc::clone(shared) }
    }

    /// Says why it ends, where nothing of the app's is cut in two by that.
    fn poll_farewell(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (code, reason) = POLICY_VIOLATION;
        let frames = self.shared.frames.borrow();
        let may_speak = self.shared.lost.get() && frames.wants() == 0 && !frames.is_closed();
        let left = self.farewell.get_or_insert_with(|| if may_speak { close(code, reason) } else { Vec::new() });
        while !left.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            left.drain(..written);
            self.written += u64::try_from(written).unwrap_or(0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Client {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.shared.lost.get() {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if buffer.filled().len() == before {
            self.shared.ended.notify_one();
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Client {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.written += u64::try_from(written).unwrap_or(0);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_farewell(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncRead for App {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let wanted = match self.shared.lost.get() {
            true => usize::try_from(self.shared.frames.borrow().wants()).unwrap_or(usize::MAX),
            false => usize::MAX,
        };
        if wanted == 0 {
            return Poll::Ready(Ok(()));
        }
        let room = wanted.min(buffer.remaining());
        let mut some = ReadBuf::new(buffer.initialize_unfilled_to(room));
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut some));
        let length = some.filled().len();
        self.shared.frames.borrow_mut().pass(some.filled());
        if length == 0 {
            self.shared.ended.notify_one();
        }
        buffer.advance(length);
        Poll::Ready(read)
    }
}

impl AsyncWrite for App {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // What the client has said last goes nowhere, and must not keep the farewell from it.
        if self.shared.lost.get() {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shared.lost.get() { Poll::Ready(Ok(())) } else { Pin::new(&mut self.stream).poll_flush(context) }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shared.lost.get() { Poll::Ready(Ok(())) } else { Pin::new(&mut self.stream).poll_shutdown(context) }
    }
}
