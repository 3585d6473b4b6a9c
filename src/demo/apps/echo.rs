//! What the apps answer by repeating: headers, messages, the digest of an upload; and a stream of events.
//!
//! In: a request of any size. Out: what arrived. An upload must never be held in memory.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use axum::Json;
use axum::body::Body;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt, stream};
use serde::Serialize;
use tokio::time::{Instant, interval_at};

const SECOND: Duration = Duration::from_secs(1);

/// `GET /headers`: every header received, a repeated one's values joined by `, `.
pub(super) async fn headers(headers: HeaderMap) -> Json<BTreeMap<String, String>> {
    Json(headers.keys().map(|name| (name.to_string(), received(&headers, name.as_str()))).collect())
}

/// What was received under this name, as text.
pub(super) fn received(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect::<Vec<_>>().join(", ")
}

/// `GET /events`: a number a second, the first at once.
pub(super) async fn events() -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let ticks = interval_at(Instant::now(), SECOND);
    Sse::new(stream::unfold((ticks, 1_u64), |(mut ticks, count)| async move {
        ticks.tick().await;
        let event = Event::default().id(count.to_string()).data(count.to_string());
        Some((Ok(event), (ticks, count.saturating_add(1))))
    }))
}

/// The digest of an upload: SHA-256 in hex, and the length in bytes.
#[derive(Serialize)]
struct Upload {
    sha256: String,
    length: u64,
}

/// `POST /upload`.
pub(super) async fn upload(body: Body) -> Response {
    let (mut context, mut length, mut chunks) = (Context::new(&SHA256), 0_u64, body.into_data_stream());
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        context.update(&chunk);
        length = length.saturating_add(chunk.len() as u64);
    }
    let sha256 = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Json(Upload { sha256, length }).into_response()
}

/// `/ws`: a WebSocket that sends back what it is sent (RFC 6455).
pub(super) async fn web_socket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(echo)
}

async fn echo(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        if matches!(message, Message::Text(_) | Message::Binary(_)) && socket.send(message).await.is_err() {
            return;
        }
    }
}
