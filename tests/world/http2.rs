//! HTTP/2 as a client. In: a request. Out: an answer. Must never use another protocol.

use super::entrance::Entrance;
use super::wire::{Answer, shake_hands};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};

/// One connection.
#[derive(Clone)]
pub(crate) struct Http2(SendRequest<Full<Bytes>>);

impl Http2 {
    pub(crate) async fn connect(entrance: &Entrance, host: &str) -> Self {
        Self::connect_with_window(entrance, host, 2 << 20).await
    }

    /// One that takes no more than so much of an answer before it is read, in bytes.
    pub(crate) async fn connect_with_window(entrance: &Entrance, host: &str, window: u32) -> Self {
        let stream = shake_hands(entrance, host, &[b"h2"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(window)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    /// An answer; `None` where the stream was reset.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> Option<Answer> {
        let (parts, body) = self.0.send_request(request).await.ok()?.into_parts();
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let body = body.collect().await.ok()?.to_bytes().to_vec();
        Some(Answer { status: parts.status.as_u16(), headers, body })
    }

    /// How an answer ends to a gRPC call: with these trailers, or `None` where the stream was reset.
    pub(crate) async fn call(&mut self, url: &str, cookie: &str) -> Option<http::HeaderMap> {
        let request =
            Request::post(url).header("cookie", cookie).header("content-type", "application/grpc").header("te", "trailers");
        let mut body = self.0.send_request(request.body(Full::default()).unwrap()).await.ok()?.into_body();
        while let Some(frame) = body.frame().await {
            if let Ok(trailers) = frame.ok()?.into_trailers() {
                assert!(body.frame().await.is_none(), "nothing comes after trailers");
                return Some(trailers);
            }
        }
        None
    }

    /// The head of an answer whose body nobody reads.
    pub(crate) async fn unread(&mut self, url: &str) -> http::Response<hyper::body::Incoming> {
        self.0.send_request(Request::get(url).body(Full::default()).unwrap()).await.unwrap()
    }

    /// A WebSocket (RFC 8441).
    pub(crate) async fn websocket(&mut self, url: &str, cookie: &str) -> TokioIo<Upgraded> {
        let request = Request::connect(url).header("cookie", cookie).header("sec-websocket-version", "13");
        let request = request.extension(Protocol::from_static("websocket")).body(Full::default()).unwrap();
        let mut response = self.0.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap())
    }

    /// `GET` or another method, with these headers.
    pub(crate) async fn ask(&mut self, method: &str, url: &str, headers: &[(&str, &str)]) -> Option<Answer> {
        let request = Request::builder().method(method).uri(url);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.send(request.body(Full::default()).unwrap()).await
    }
}
