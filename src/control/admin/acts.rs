//! What administrators do leaves a trace. In: requests that change something. Out: one record each, with who, what and why. Must
//! never do anything that could leave none, and never lose the record because its client has gone away.

use super::{API, Inner, error};
use crate::clock;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;

/// Where records of administrative acts go.
pub struct Trail {
    /// Whether a record would find room.
    pub has_room: Box<dyn Fn() -> bool + Send + Sync>,
    /// Takes a line.
    pub take: Box<dyn Fn(Vec<u8>) + Send + Sync>,
}

/// What was done, in the words of whoever did it: an extension of an answer, for its record.
#[derive(Clone, Debug)]
pub(super) struct Done(pub(super) Value);

/// Records whatever is not a mere question.
pub(super) async fn record(
    State(inner): State<Arc<Inner>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    if !(inner.state.trail.has_room)() {
        return error(StatusCode::SERVICE_UNAVAILABLE, "the audit trail can't take a record now, so that nothing was done");
    }
    let record = begin(&request, peer);
    // A task of its own ends, whatever becomes of the connection.
    let act = tokio::spawn(async move {
        let response = next.run(request).await;
        (inner.state.trail.take)(line(record, &response));
        response
    });
    act.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

fn begin(request: &Request<Body>, peer: SocketAddr) -> Value {
    json!({
        "time": clock::now().to_string(),
        "act": "administration",
        "method": request.method().as_str(),
        "path": format!("{API}{}", request.uri().path()),
        "peer": peer.ip(),
        "administrator": word(request.headers(), "x-administrator"),
        "why": word(request.headers(), "x-why"),
    })
}

/// What a header says, which is UTF-8 where it is more than ASCII.
pub(super) fn word<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    str::from_utf8(headers.get(name)?.as_bytes()).ok()
}

fn line(mut record: Value, response: &Response) -> Vec<u8> {
    if let Some(record) = record.as_object_mut() {
        record.insert("status".to_owned(), response.status().as_u16().into());
        if let Some(Done(what)) = response.extensions().get() {
            record.insert("what".to_owned(), what.clone());
        }
    }
    let mut line = record.to_string().into_bytes();
    line.push(b'\n');
    line
}
