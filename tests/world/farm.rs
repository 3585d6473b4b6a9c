//! Servers of one app, which come and go. In: what a test wants of each. Out: answers that say which one it was. Must never keep a
//! connection of a server that was killed.

use super::ports::Ports;
use http::header::{CONNECTION, HOST, UPGRADE, USER_AGENT};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// The servers.
pub(crate) struct Farm {
    ports: Ports,
    servers: Vec<Server>,
}

/// One of them.
pub(crate) struct Server {
    port: u16,
    pub(crate) mood: Arc<Mood>,
    running: Option<JoinHandle<()>>,
}

/// How a server answers, and what it has seen.
pub(crate) struct Mood {
    name: String,
    /// The status of everything but `/healthz`; 0 for hanging up.
    pub(crate) status: AtomicU16,
    /// The status of `/healthz`; 0 for no answer at all.
    pub(crate) health: AtomicU16,
    /// The status of every third request for `/healthz`, where that is another one.
    pub(crate) third: AtomicU16,
    /// How many requests for `/healthz` it has got.
    pub(crate) checked: AtomicUsize,
    /// How many requests it has got, without those for `/healthz`.
    pub(crate) requests: AtomicUsize,
    /// How many checks are being answered now, and the most that ever were.
    checks: (AtomicUsize, AtomicUsize),
    /// The headers of the last check.
    pub(crate) checked_by: Mutex<HeaderMap>,
    /// Lets one `/hold` go on.
    pub(crate) go_on: Notify,
    /// How many requests for `/hold` wait.
    pub(crate) held: AtomicUsize,
}

/// Counts until it is dropped.
struct Count<'a>(&'a AtomicUsize);

impl Drop for Count<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Farm {
    /// This many servers, which all run.
    pub(crate) async fn start(count: u16) -> Self {
        let ports = Ports::take();
        let servers = (1..=count).map(|number| Server {
            port: ports.nth(number),
            mood: Arc::new(Mood {
                name: (number - 1).to_string(),
                status: 200.into(),
                health: 200.into(),
                third: AtomicU16::default(),
                checked: AtomicUsize::default(),
                requests: AtomicUsize::default(),
                checks: Default::default(),
                checked_by: Mutex::default(),
                go_on: Notify::new(),
                held: AtomicUsize::default(),
            }),
            running: None,
        });
        let mut farm = Self { servers: servers.collect(), ports };
        for index in 0..farm.servers.len() {
            farm.run(index).await;
        }
        farm
    }

    /// The URL of a server.
    pub(crate) fn url(&self, index: usize) -> String {
        format!("http://127.0.0.1:{}", self.ports.nth(u16::try_from(index).unwrap() + 1))
    }

    pub(crate) fn mood(&self, index: usize) -> &Mood {
        &self.servers[index].mood
    }

    /// How many requests each has got.
    pub(crate) fn requests(&self) -> Vec<usize> {
        self.servers.iter().map(|server| server.mood.requests.load(SeqCst)).collect()
    }

    /// Takes a server away, with all its connections.
    pub(crate) async fn kill(&mut self, index: usize) {
        let running = self.servers[index].running.take().unwrap();
        running.abort();
        drop(running.await);
    }

    /// Brings a server back.
    pub(crate) async fn run(&mut self, index: usize) {
        let server = &mut self.servers[index];
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, server.port)).await.unwrap();
        server.running = Some(tokio::spawn(serve(listener, Arc::clone(&server.mood))));
    }
}

impl Mood {
    /// The most checks that were ever under way at the same time.
    pub(crate) fn most_checks(&self) -> usize {
        self.checks.1.load(SeqCst)
    }

    fn count<'a>(&self, counter: &'a AtomicUsize) -> (Count<'a>, usize) {
        let now = counter.fetch_add(1, SeqCst) + 1;
        (Count(counter), now)
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Result<Response<Full<Bytes>>, &'static str> {
        let mut response = Response::new(Full::from("fine\n"));
        response.headers_mut().insert("x-server", self.name.parse().unwrap());
        if request.uri().path() == "/healthz" {
            let (_count, now) = self.count(&self.checks.0);
            self.checks.1.fetch_max(now, SeqCst);
            *self.checked_by.lock().unwrap() = seen(&request);
            let is_third = self.checked.fetch_add(1, SeqCst) % 3 == 2;
            let third = Some(self.third.load(SeqCst)).filter(|third| is_third && *third != 0);
            *response.status_mut() = match third.unwrap_or(self.health.load(SeqCst)) {
                0 => std::future::pending().await,
                status => StatusCode::from_u16(status).unwrap(),
            };
            return Ok(response);
        }
        self.requests.fetch_add(1, SeqCst);
        *response.status_mut() = StatusCode::from_u16(self.status.load(SeqCst)).map_err(|_| "hangs up")?;
        if request.uri().path().ends_with("/hold") {
            let (_count, _) = self.count(&self.held);
            self.go_on.notified().await;
        }
        if request.uri().path().ends_with("/ws") {
            echo(&mut request, &mut response);
        }
        Ok(response)
    }
}

/// The headers, with the host also where it is not one.
fn seen(request: &Request<Incoming>) -> HeaderMap {
    let mut headers = request.headers().clone();
    if let Some(authority) = request.uri().authority() {
        headers.insert(HOST, authority.as_str().parse().unwrap());
    }
    assert!(headers.contains_key(USER_AGENT));
    headers
}

fn echo(request: &mut Request<Incoming>, response: &mut Response<Full<Bytes>>) {
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        let mut buffer = [0; 1024];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            drop(stream.write_all(&buffer[..length]).await);
        }
    });
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, "upgrade".parse().unwrap());
    response.headers_mut().insert(UPGRADE, "websocket".parse().unwrap());
}

/// Speaks HTTP/2 with who begins with it.
async fn serve(listener: TcpListener, mood: Arc<Mood>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let mood = Arc::clone(&mood);
        connections.spawn(async move {
            let mut first = [0; 3];
            drop(stream.peek(&mut first).await);
            let service = service_fn(move |request| {
                let mood = Arc::clone(&mood);
                async move { mood.answer(request).await }
            });
            let stream = TokioIo::new(stream);
            match &first {
                b"PRI" => drop(http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await),
                _ => drop(http1::Builder::new().serve_connection(stream, service).with_upgrades().await),
            }
        });
    }
}
