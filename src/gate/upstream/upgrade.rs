//! WebSockets: after the app has agreed, bytes go both ways until one side ends. In: both halves. Out: the answer for the client.
//! Must never let the process end while one is open and may still drain.

use super::pool::Lease;
use crate::gate::body::ResponseBody;
use crate::gate::decide::Permit;
use crate::gate::visit::Visit;
use http::Response;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

/// How long one side may go on when the other has ended: enough for a last word.
const LAST_WORD: Duration = Duration::from_secs(5);

/// Joins client and app.
pub(super) fn join(
    visit: &Visit,
    (permit, lease): (Permit, Lease),
    client: OnUpgrade,
    mut response: Response<Incoming>,
) -> Response<ResponseBody> {
    let app = hyper::upgrade::on(&mut response);
    let (parts, _) = response.into_parts();
    let (body, tunnel) = ResponseBody::tunnel();
    // The permit is what a revocation will find it by; both connections count as in use while the tunnel is open.
    let held = (permit, lease, Rc::clone(&visit.connection));
    tokio::task::spawn_local(async move {
        let _held = held;
        match tokio::try_join!(client, app) {
            Ok((client, app)) => tunnel.ended(carry(client, app).await),
            Err(error) => tracing::debug!(%error, "an upgrade failed"),
        }
    });
    Response::from_parts(parts, body)
}

/// Carries bytes until both sides have ended, or one and then nothing follows; how many went to the client.
async fn carry(client: Upgraded, app: Upgraded) -> u64 {
    let ended = Rc::<Notify>::default();
    let mut client = Side::new(client, &ended);
    let mut app = Side::new(app, &ended);
    {
        let mut both = pin!(tokio::io::copy_bidirectional(&mut client, &mut app));
        tokio::select! {
            // Most tunnels end by one side going away, which is an error to whoever copies.
            _ = both.as_mut() => {}
            () = ended.notified() => drop(tokio::time::timeout(LAST_WORD, both).await),
        }
    }
    client.written
}

/// One side of a tunnel: counts what is written to it, and tells when it has ended.
struct Side {
    stream: TokioIo<Upgraded>,
    written: u64,
    ended: Rc<Notify>,
}

impl Side {
    fn new(stream: Upgraded, ended: &Rc<Notify>) -> Self {
        Self { stream: TokioIo::new(stream), written: 0, ended: Rc::clone(ended) }
    }
}

impl AsyncRead for Side {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        if buffer.filled().len() == before {
            self.ended.notify_one();
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Side {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.written += u64::try_from(written).unwrap_or(0);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
