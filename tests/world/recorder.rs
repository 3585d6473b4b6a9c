//! An app that knows nothing of identity, and keeps what it is sent. In: requests. Out: what they were; answers by path.
//! Must never read a body before it has noted the head.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONNECTION, SET_COOKIE, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;

type Body = BoxBody<Bytes, Infallible>;

/// One request as it arrived.
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Path and query, byte for byte.
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    body: Mutex<(Vec<u8>, Option<HeaderMap>, bool)>,
}

impl Seen {
    /// The values of every header that a CGI-style backend would take for this name.
    pub(crate) fn folded(&self, name: &str) -> Vec<&str> {
        let fold = |name: &str| name.to_ascii_lowercase().replace(['_', '.'], "-");
        self.headers.iter().filter(|(n, _)| fold(n) == fold(name)).map(|(_, value)| &**value).collect()
    }

    /// What has arrived of the body.
    pub(crate) fn body(&self) -> Vec<u8> {
        self.body.lock().unwrap().0.clone()
    }

    /// Whether the body has ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.body.lock().unwrap().2
    }

    /// The names of the trailers.
    pub(crate) fn trailers(&self) -> Vec<String> {
        let body = self.body.lock().unwrap();
        body.1.iter().flat_map(|trailers| trailers.keys()).map(ToString::to_string).collect()
    }
}

/// The running app.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    seen: Arc<Mutex<Vec<Arc<Seen>>>>,
    /// Lets `/drip` and `/wait` go on.
    pub(crate) go_on: Arc<Notify>,
}

impl Recorder {
    pub(crate) async fn start(port: u16) -> Self {
        let recorder = Self::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let of_listener = recorder.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let recorder = of_listener.clone();
                let service = service_fn(move |request| {
                    let recorder = recorder.clone();
                    async move { Ok::<_, Infallible>(recorder.answer(request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
            }
        });
        recorder
    }

    /// Everything since [`Self::forget`].
    pub(crate) fn all(&self) -> Vec<Arc<Seen>> {
        self.seen.lock().unwrap().clone()
    }

    /// The one request since [`Self::forget`].
    pub(crate) fn only(&self) -> Arc<Seen> {
        let all = self.all();
        assert_eq!(all.len(), 1, "{:?}", all.iter().map(|seen| &seen.path).collect::<Vec<_>>());
        Arc::clone(&all[0])
    }

    pub(crate) fn forget(&self) {
        self.seen.lock().unwrap().clear();
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Response<Body> {
        let seen = Arc::new(Seen {
            method: request.method().to_string(),
            path: request.uri().to_string(),
            headers: request
                .headers()
                .iter()
                .map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
                .collect(),
            body: Mutex::default(),
        });
        self.seen.lock().unwrap().push(Arc::clone(&seen));
        if request.uri().path().ends_with("/ws") {
            return switch(&mut request);
        }
        let path = request.uri().path().to_owned();
        if path == "/wait" {
            self.go_on.notified().await;
        }
        let said = request.uri().query().filter(|_| path.ends_with("/say")).map(str::to_owned);
        read(request.into_body(), &seen).await;
        said.map_or_else(|| self.by_path(&path), |query| say(&query))
    }

    fn by_path(&self, path: &str) -> Response<Body> {
        let mut response = Response::new(Full::from(format!("you asked for {path}\n")).boxed());
        let headers = response.headers_mut();
        match path {
            "/cookies" => {
                for line in [
                    "theme=dark; Path=/",
                    "__Host-doorward=stolen; Path=/; Secure",
                    "__host-DOORWARD-sso=x",
                    "a=__Host-doorward",
                    "=__Host-doorward=planted; Path=/; Secure",
                    " = __Host-doorward-sso=planted",
                ] {
                    headers.append(SET_COOKIE, line.parse().unwrap());
                }
            }
            "/nominates" => {
                headers.insert(CONNECTION, "X-Internal".parse().unwrap());
                headers.insert("x-internal", "1".parse().unwrap());
                headers.insert("keep-alive", "timeout=7".parse().unwrap());
                headers.insert("x-request-id", "the-app's-own".parse().unwrap());
            }
            "/events" | "/grpc" => {
                let kind = if path == "/grpc" { "application/grpc" } else { "text/event-stream" };
                headers.insert("content-type", kind.parse().unwrap());
                *response.body_mut() = drip(Arc::clone(&self.go_on));
            }
            "/drip" => *response.body_mut() = drip(Arc::clone(&self.go_on)),
            "/endless" => *response.body_mut() = endless(),
            "/teapot" => *response.status_mut() = StatusCode::IM_A_TEAPOT,
            _ => {}
        }
        response
    }
}

/// `/say?status=302&Location=…` answers with this status and these headers.
fn say(query: &str) -> Response<Body> {
    let mut response = Response::new(Full::from("said\n").boxed());
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "status" => *response.status_mut() = value.parse().unwrap(),
            _ => drop(response.headers_mut().append(name.parse::<http::HeaderName>().unwrap(), value.parse().unwrap())),
        }
    }
    response
}

async fn read(mut body: Incoming, seen: &Seen) {
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return };
        let mut kept = seen.body.lock().unwrap();
        match frame.into_data() {
            Ok(data) => kept.0.extend_from_slice(&data),
            Err(frame) => kept.1 = frame.into_trailers().ok(),
        }
    }
    seen.body.lock().unwrap().2 = true;
}

/// Switches protocols, and then says everything twice.
fn switch(request: &mut Request<Incoming>) -> Response<Body> {
    let key = request.headers().get("sec-websocket-key").map_or(&b""[..], |key| key.as_bytes());
    let joined = [key, b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"].concat();
    let accept = BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &joined));
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        let mut buffer = [0; 1024];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            drop(stream.write_all(&buffer[..length].repeat(2)).await);
        }
    });
    let response = Response::builder()
        .status(101)
        .header(CONNECTION, "upgrade")
        .header(UPGRADE, "websocket")
        .header("sec-websocket-accept", accept);
    response.body(Full::default().boxed()).unwrap()
}

fn frame(text: &'static [u8]) -> Result<Frame<Bytes>, Infallible> {
    Ok(Frame::data(Bytes::from_static(text)))
}

fn drip(go_on: Arc<Notify>) -> Body {
    let parts = stream::unfold(0, move |count| {
        let go_on = Arc::clone(&go_on);
        async move {
            match count {
                0 => Some((frame(b"first "), 1)),
                1 => {
                    go_on.notified().await;
                    Some((frame(b"second"), 2))
                }
                _ => None,
            }
        }
    });
    BodyExt::boxed(StreamBody::new(parts))
}

fn endless() -> Body {
    let parts = stream::unfold((), |()| async {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        Some((frame(&[b'x'; 1024]), ()))
    });
    BodyExt::boxed(StreamBody::new(parts))
}
