//! WebSockets: after the app has agreed, bytes go both ways until one side ends. In: both halves. Out: the 101 for the client.
//! Must never let the process end while one is open and may still drain.

use crate::gate::body::ResponseBody;
use crate::gate::decide::Permit;
use crate::gate::visit::Visit;
use http::Response;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::rc::Rc;

/// Joins client and app.
pub(super) fn join(visit: &Visit, permit: Permit, client: OnUpgrade, mut response: Response<Incoming>) -> Response<ResponseBody> {
    let app = hyper::upgrade::on(&mut response);
    let (parts, _) = response.into_parts();
    let (body, tunnel) = ResponseBody::tunnel();
    // The permit is what a revocation will find it by; the connection counts as open while the tunnel is.
    let held = (permit, Rc::clone(&visit.connection));
    tokio::task::spawn_local(async move {
        let _held = held;
        match tokio::try_join!(client, app) {
            Ok((client, app)) => {
                let copied = tokio::io::copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(app)).await;
                tunnel.ended(copied.map_or(0, |(_, to_client)| to_client));
            }
            Err(error) => tracing::debug!(%error, "an upgrade failed"),
        }
    });
    Response::from_parts(parts, body)
}
