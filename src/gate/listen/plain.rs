//! The clear-text port: tells browsers to come back over TLS. In: requests. Out: redirects to a host of the configuration, else
//! 404. Must never forward anything.

use super::{HEAD, HEAD_SIZE};
use crate::gate::headers::X_REQUEST_ID;
use crate::gate::target;
use crate::gate::visit::Worker;
use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;

/// How long one connection may last.
pub(super) const CONNECTION: Duration = Duration::from_secs(30);

/// Answers what comes by a connection.
pub(super) async fn serve(stream: TcpStream, worker: Rc<Worker>) {
    let service = service_fn(move |request| {
        let response = answer(&worker, &request);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_header_size(HEAD_SIZE);
    // A client that goes away is of no interest here.
    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
}

fn answer(worker: &Worker, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    response.headers_mut().insert(X_REQUEST_ID, worker.request_id().header());
    match location(worker, request) {
        Some(location) => {
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(LOCATION, location);
        }
        None => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}

/// The same path at the host's https origin; the port is that of the sign-in, which all of a listener share.
fn location(worker: &Worker, request: &Request<Incoming>) -> Option<HeaderValue> {
    let target = target::read(request).ok()?;
    let snapshot = worker.gate.snapshot.load();
    snapshot.hosts.find(target.host())?;
    let port = snapshot.auth.port();
    let authority = if port == 443 { target.host().to_owned() } else { format!("{}:{port}", target.host()) };
    HeaderValue::from_str(&format!("https://{authority}{}", target.path_and_query())).ok()
}
