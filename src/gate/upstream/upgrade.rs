//! WebSockets: after the app has agreed, bytes go both ways until one side ends. In: both halves. Out: the answer for the client.
//! Must never let the process end while one is open and may still drain.

use super::pool::Lease;
use crate::gate::body::ResponseBody;
use crate::gate::decide::Permit;
use crate::gate::visit::Visit;
use http::Response;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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
            Ok((client, app)) => {
                let mut client = Counted { stream: TokioIo::new(client), written: 0 };
                // Most tunnels end by one side going away, which is an error to whoever copies.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut TokioIo::new(app)).await;
                tunnel.ended(client.written);
            }
            Err(error) => tracing::debug!(%error, "an upgrade failed"),
        }
    });
    Response::from_parts(parts, body)
}

/// A stream that counts what is written to it.
struct Counted<S> {
    stream: S,
    written: u64,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
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
