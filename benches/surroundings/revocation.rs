//! How fast access ends. In: where Doorward is, and cookies on standard input. Out: one line of JSON with how long after the
//! acknowledgement of a revocation requests were refused and WebSockets were closed. And the app behind Doorward that holds them.

use crate::handshakes::tls;
use bytes::Bytes;
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http2;
use hyper::ext::Protocol;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// How many clients ask all the time.
const ASKING: usize = 20;
/// How many handshakes are under way at once.
const OPENING: usize = 64;
/// How many WebSockets share an HTTP/2 connection.
const SHARED: usize = 50;
/// When a WebSocket that is not closed is given up.
const PATIENCE: Duration = Duration::from_secs(60);

const UPGRADE: &str =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A WebSocket, of which only the end is looked at.
type Socket = Pin<Box<dyn AsyncRead + Send>>;

/// The app: takes every WebSocket and says nothing, and is fine.
pub(super) fn hold(port: u16) {
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(held(stream));
        }
    });
}

async fn held(stream: TcpStream) {
    let mut stream = BufReader::new(stream);
    while let Some(head) = head(&mut stream).await {
        let key =
            head.lines().find_map(|line| line.to_ascii_lowercase().starts_with("sec-websocket-key:").then(|| line[18..].trim()));
        let answer = match key {
            Some(key) => format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\n",
                derive_accept_key(key.as_bytes())
            ),
            None => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfine\n".to_owned(),
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The head of the next message; nothing where there is none.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).ok()
}

/// What is measured.
pub(super) struct Bench {
    pub(super) host: String,
    pub(super) admin: SocketAddr,
    pub(super) token: String,
    pub(super) sockets: usize,
    /// Of each replica.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) cookies: Vec<String>,
}

/// When the revocation was acknowledged, in nanoseconds since the beginning; 0 before.
struct Clock {
    begun: Instant,
    acknowledged: AtomicU64,
}

impl Clock {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap()
    }

    fn since(&self, then: u64) -> f64 {
        then.saturating_sub(self.acknowledged.load(Ordering::SeqCst)) as f64 / 1e6
    }
}

pub(super) fn measure(bench: Bench) {
    let bench = Arc::new(bench);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let clock = Arc::new(Clock { begun: Instant::now(), acknowledged: AtomicU64::new(0) });
        let mut open = open(&bench).await;
        let (stop, stopped) = watch::channel(false);
        let over = Arc::new(AtomicBool::new(false));
        let mut asking = JoinSet::new();
        for number in 0..ASKING {
            asking.spawn(ask(Arc::clone(&bench), Arc::clone(&clock), number, Arc::clone(&over)));
        }
        let mut closing = JoinSet::new();
        for stream in open.drain(..) {
            closing.spawn(closes(stream, Arc::clone(&clock), stopped.clone()));
        }
        // So that what is measured rests, and then runs.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let (begun, sent) = (clock.now(), Instant::now());
        revoke(&bench).await;
        clock.acknowledged.store(clock.now(), Ordering::SeqCst);
        let acknowledged = sent.elapsed();
        let mut ends = Vec::new();
        let all = async {
            while let Some(one) = closing.join_next().await {
                ends.push(one.unwrap());
            }
        };
        let _ = tokio::time::timeout(PATIENCE, all).await;
        let left = bench.sockets - ends.len();
        // What ended before anything was revoked is no measurement.
        let early = ends.iter().filter(|(end, _)| *end < begun).count();
        let closed = ends.iter().filter(|(end, _)| *end >= begun).map(|(end, _)| clock.since(*end)).collect();
        stop.send_replace(true);
        // Whoever is never refused asks until then.
        tokio::spawn(async move {
            tokio::time::sleep(PATIENCE).await;
            over.store(true, Ordering::SeqCst);
        });
        let (mut refused, mut late) = (Vec::new(), 0);
        while let Some(one) = asking.join_next().await {
            let (first, after) = one.unwrap();
            refused.extend(first.map(|first| clock.since(first)));
            late += after;
        }
        let not_refused = ASKING - refused.len();
        println!(
            "{{\"acknowledged\": {:.1}, \"refused\": {}, \"let_through_after\": {late}, \"closed\": {}, \"left_open\": {left}, \
             \"closed_before\": {early}, \"not_refused\": {not_refused}}}",
            acknowledged.as_secs_f64() * 1e3,
            percentiles(refused),
            percentiles(closed)
        );
    });
}

/// p50, p99, max in milliseconds.
fn percentiles(mut all: Vec<f64>) -> String {
    all.sort_by(f64::total_cmp);
    let at = |percent: usize| all.get((all.len() * percent / 100).min(all.len().saturating_sub(1))).copied().unwrap_or(f64::NAN);
    format!("[{:.1}, {:.1}, {:.1}]", at(50), at(99), at(100))
}

/// Half of them have a connection each, the others share HTTP/2 connections: no process may need more files than a machine gives it.
async fn open(bench: &Arc<Bench>) -> Vec<Socket> {
    let (places, mut opening) = (Arc::new(Semaphore::new(OPENING)), JoinSet::new());
    for first in (0..bench.sockets).step_by(SHARED) {
        let numbers = first..bench.sockets.min(first + SHARED);
        if first / SHARED % 2 == 1 {
            opening.spawn(open_shared(Arc::clone(bench), numbers));
            continue;
        }
        for number in numbers {
            let (bench, places) = (Arc::clone(bench), Arc::clone(&places));
            opening.spawn(async move {
                let _place = places.acquire().await;
                vec![open_alone(&bench, number).await]
            });
        }
    }
    opening.join_all().await.into_iter().flatten().collect()
}

async fn open_alone(bench: &Bench, number: usize) -> Socket {
    let mut stream = connect(bench, number, b"http/1.1").await;
    request(bench, &mut stream, number, UPGRADE).await;
    let head = head(&mut stream).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    Box::pin(stream)
}

/// RFC 8441.
async fn open_shared(bench: Arc<Bench>, numbers: Range<usize>) -> Vec<Socket> {
    let stream = connect(&bench, numbers.start / SHARED / 2, b"h2").await;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let url = format!("https://{}:{}/x", bench.host, bench.addresses[0].port());
    let mut sockets: Vec<Socket> = Vec::new();
    for number in numbers {
        let cookie = format!("__Host-doorward={}", bench.cookies[number % bench.cookies.len()]);
        let request = Request::connect(&url).header("cookie", cookie).header("sec-websocket-version", "13");
        let request = request.extension(Protocol::from_static("websocket")).body(Empty::<Bytes>::new()).unwrap();
        let mut response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200);
        sockets.push(Box::pin(TokioIo::new(hyper::upgrade::on(&mut response).await.unwrap())));
    }
    sockets
}

async fn connect(bench: &Bench, number: usize, protocol: &[u8]) -> TlsStream<TcpStream> {
    let stream = TcpStream::connect(bench.addresses[number % bench.addresses.len()]).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from(bench.host.clone()).unwrap();
    let mut tls = tls();
    tls.alpn_protocols = vec![protocol.to_vec()];
    TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap()
}

async fn request(bench: &Bench, stream: &mut TlsStream<TcpStream>, number: usize, lines: &str) {
    let cookie = &bench.cookies[number % bench.cookies.len()];
    let (host, port) = (&bench.host, bench.addresses[0].port());
    let head = format!("GET /x HTTP/1.1\r\nHost: {host}:{port}\r\nCookie: __Host-doorward={cookie}\r\n{lines}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
}

/// When this WebSocket ends. It is cleared up later: what that costs is not measured.
async fn closes(mut stream: Socket, clock: Arc<Clock>, mut stopped: watch::Receiver<bool>) -> (u64, Socket) {
    let mut some = [0; 64];
    loop {
        tokio::select! {
            read = stream.read(&mut some) => if read.is_ok_and(|length| length > 0) { continue },
            _ = stopped.changed() => {}
        }
        return (clock.now(), stream);
    }
}

/// When the first answer came that refused, and how many requests that began after the acknowledgement were let through.
async fn ask(bench: Arc<Bench>, clock: Arc<Clock>, number: usize, over: Arc<AtomicBool>) -> (Option<u64>, u64) {
    let (mut stream, mut first, mut late) = (connect(&bench, number, b"http/1.1").await, None, 0);
    while !over.load(Ordering::SeqCst) && first.is_none() {
        let is_after = clock.acknowledged.load(Ordering::SeqCst) > 0;
        request(&bench, &mut stream, number, "Accept: application/json\r\n").await;
        let head = head(&mut stream).await.unwrap();
        let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        stream.read_exact(&mut vec![0; length.unwrap_or(0)]).await.unwrap();
        match head.starts_with("HTTP/1.1 200") {
            true => late += u64::from(is_after),
            false => first = Some(clock.now()),
        }
    }
    (first, late)
}

async fn revoke(bench: &Bench) {
    let mut stream = TcpStream::connect(bench.admin).await.unwrap();
    let (body, token) = ("{\"everything\":true}", &bench.token);
    let head = format!(
        "POST /api/v1/sessions/revoke HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = self::head(&mut stream).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
