//! Connections in. In: addresses. Out: visits. One worker a core, each with its own listener on the same port (`SO_REUSEPORT`),
//! its own single-threaded runtime and its own pools; they share nothing but what is read. Must never drop a request that
//! has begun because the process is asked to stop.

use super::target::TwoLengths;
use super::visit::{Connection, Gate, Visit, Worker};
use super::{serve, tls};
use http::header::TRANSFER_ENCODING;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio_rustls::server::TlsStream;
use wire::{Seen, Wire};

mod conduct;
mod plain;
mod wire;

/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(20);
/// The largest head, in bytes.
const HEAD_SIZE: usize = 32 * 1024;
/// The most that one read takes, in bytes.
const READ_SIZE: usize = 64 * 1024;
/// After how long without a byte the system asks whether the other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How long requests in progress may go on once the process is asked to stop.
const DRAIN: Duration = Duration::from_secs(30);

/// Where to listen.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// TLS.
    pub https: SocketAddr,
    /// Redirects to TLS, nothing else.
    pub http: Option<SocketAddr>,
}

/// The running workers.
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

/// Binds the listeners and starts the workers. Every listener is bound before any worker starts.
pub fn start(addresses: Addresses, workers: usize, gate: &Arc<Gate>) -> io::Result<Workers> {
    raise_file_limit();
    let stop = watch::Sender::new(false);
    let sockets = (0..workers).map(|_| Ok((bind(addresses.https)?, addresses.http.map(bind).transpose()?)));
    let sockets: Vec<_> = sockets.collect::<io::Result<_>>()?;
    let start = |(index, (https, http))| {
        let (gate, stopping) = (Arc::clone(gate), stop.subscribe());
        thread::Builder::new().name(format!("worker-{index}")).spawn(move || run(gate, https, http, stopping))
    };
    let threads = sockets.into_iter().enumerate().map(start).collect::<io::Result<_>>()?;
    Ok(Workers { threads, stop })
}

impl Workers {
    /// Takes no more connections, lets requests in progress end (for half a minute at most), and waits for that.
    pub fn drain(self) {
        self.stop.send_replace(true);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker ended badly");
            }
        }
    }
}

/// As many open files as the system lets this process have: a connection takes two.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        tracing::warn!(%error, "the limit of open files can't be raised");
    }
}

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // `[::]` is meant to take IPv4 too, whatever the system's default is.
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    let bound = socket.bind(&address.into()).and_then(|()| socket.listen(4096));
    bound.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
    Ok(socket.into())
}

fn run(gate: Arc<Gate>, https: std::net::TcpListener, http: Option<std::net::TcpListener>, stopping: watch::Receiver<bool>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        tracing::error!("a worker can't start");
        return;
    };
    let tasks = LocalSet::new();
    let seed = crate::model::secret::random::<16>().map_or(0, u128::from_ne_bytes);
    let worker = Rc::new(Worker::new(gate, seed));
    tasks.block_on(&runtime, async {
        tokio::task::spawn_local(sweep(Rc::clone(&worker)));
        tokio::task::spawn_local(settle(Rc::clone(&worker)));
        if let Some(http) = http.and_then(|http| TcpListener::from_std(http).ok()) {
            tokio::task::spawn_local(plain::redirect(http, Rc::clone(&worker), stopping.clone()));
        }
        if let Ok(https) = TcpListener::from_std(https) {
            accept(https, worker, stopping).await;
        }
    });
}

/// Gives records and counts away soon after they were made.
async fn settle(worker: Rc<Worker>) {
    loop {
        worker.records.ripe().await;
        worker.settle();
    }
}

async fn sweep(worker: Rc<Worker>) {
    loop {
        tokio::time::sleep(Duration::from_secs(10)).await;
        worker.pool.sweep();
        worker.gate.metrics.sessions.set(i64::try_from(worker.gate.sessions.entry_count()).unwrap_or(i64::MAX));
    }
}

/// Takes connections until the process is to stop, then waits for them. Every connection holds a receiver of `stopping`.
async fn accept(listener: TcpListener, worker: Rc<Worker>, mut stopping: watch::Receiver<bool>) {
    let open = Rc::new(());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = Connection::new(peer.ip(), Rc::clone(&open));
                tokio::task::spawn_local(serve_connection(stream, Rc::new(connection), Rc::clone(&worker), stopping.clone()));
            }
            // Out of file descriptors, most likely: without a pause this loop would take all of the core.
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    drop(listener);
    let drained = async {
        while Rc::strong_count(&open) > 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("some requests were still going on when the time for draining was over");
    }
}

async fn serve_connection(stream: TcpStream, connection: Rc<Connection>, worker: Rc<Worker>, stopping: watch::Receiver<bool>) {
    let metrics = &worker.gate.metrics;
    let snapshot = worker.gate.snapshot.load_full();
    let accepted = match tune(&stream) {
        Ok(()) => tls::accept(stream, &snapshot).await,
        Err(error) => Err(error),
    };
    drop(snapshot);
    let Ok(stream) = accepted else {
        metrics.failed_handshakes.inc();
        return;
    };
    metrics.connections.inc();
    if let Err(error) = exchange(stream, connection, Rc::clone(&worker), stopping).await {
        tracing::debug!(%error, "a connection ended");
    }
    metrics.connections.dec();
}

/// Small answers don't wait for acknowledgements, and a client that has vanished is found out.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}

async fn exchange(
    stream: TlsStream<TcpStream>,
    connection: Rc<Connection>,
    worker: Rc<Worker>,
    stopping: watch::Receiver<bool>,
) -> hyper::Result<()> {
    let h2 = tls::speaks_h2(&stream);
    let seen = Arc::<Seen>::default();
    let (of_service, of_wire) = (Rc::clone(&connection), Arc::clone(&seen));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        if request.headers().contains_key(TRANSFER_ENCODING) && seen.has_two_lengths() {
            request.extensions_mut().insert(TwoLengths);
        }
        seen.next();
        let visit = Visit::begin(Rc::clone(&worker), Rc::clone(&of_service), request.headers(), request.method());
        async move { Ok::<_, Infallible>(serve(visit, request).await) }
    });
    if h2 {
        let exchange = h2_builder().serve_connection(TokioIo::new(stream), service);
        conduct::conduct(std::pin::pin!(exchange), &connection, stopping).await
    } else {
        let exchange = h1_builder().serve_connection(TokioIo::new(Wire::new(stream, of_wire)), service).with_upgrades();
        conduct::conduct(std::pin::pin!(exchange), &connection, stopping).await
    }
}

fn h1_builder() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_header_size(HEAD_SIZE).max_headers(128).max_buf_size(READ_SIZE);
    builder
}

fn h2_builder() -> http2::Builder<OnThisThread> {
    let mut builder = http2::Builder::new(OnThisThread);
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(HEAD_SIZE).unwrap_or(u32::MAX))
        .max_concurrent_streams(128)
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

/// Runs the streams of a connection on the worker that has the connection.
#[derive(Clone, Copy, Debug)]
struct OnThisThread;

impl<F> Executor<F> for OnThisThread
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
