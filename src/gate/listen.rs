//! Connections in. In: sockets. Out: visits. One worker a core, each with its own listener on the same port (`SO_REUSEPORT`),
//! its own single-threaded runtime and its own pools; they share nothing but what is read. Must never drop a request that
//! has begun because the process is asked to stop.

use super::visit::{Gate, Worker};
use crate::clock;
use crate::model::Timestamp;
use accept::{Port, accept};
use door::Door;
use hyper::rt::Executor;
use local::Local;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use sockets::deal;
pub use sockets::{Sockets, bind};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::LocalSet;

mod accept;
mod conduct;
mod door;
mod exchange;
pub mod framing;
mod local;
mod plain;
pub mod proxy;
mod sockets;
mod streams;
mod ticks;
mod wire;

/// How long the head of a request may take.
const HEAD: Duration = Duration::from_secs(20);
/// How long a connection may be kept before a request, and between two.
const IDLE: Duration = Duration::from_secs(120);
/// The largest head, in bytes.
const HEAD_SIZE: usize = 32 * 1024;
/// The most that one read takes, in bytes.
const READ_SIZE: usize = 64 * 1024;
/// A worker that has done nothing for this long hangs.
const STUCK: Duration = Duration::from_secs(10);
/// How long requests in progress may go on once the process is asked to stop.
const DRAIN: Duration = Duration::from_secs(30);

/// The running workers.
pub struct Workers {
    threads: Vec<JoinHandle<()>>,
    leaving: watch::Sender<Option<Duration>>,
    beats: Arc<[AtomicU64]>,
}

/// Starts the workers; an error leaves none of them behind.
pub fn start(sockets: &Sockets, workers: usize, gate: &Arc<Gate>) -> io::Result<Workers> {
    let leaving = watch::Sender::new(None);
    let door = Arc::new(Door::new(raise_file_limit()));
    let hands = deal(&sockets.https, workers)?.into_iter().zip(deal(&sockets.http, workers)?);
    let prepared: Vec<_> = hands.map(|(https, http)| Prepared::new(&https, &http)).collect::<io::Result<_>>()?;
    let beats = (0..workers).map(|_| AtomicU64::new(clock::now().millis())).collect();
    let mut started = Workers { threads: Vec::new(), leaving, beats };
    for (index, prepared) in prepared.into_iter().enumerate() {
        let (gate, door, leaving) = (Arc::clone(gate), Arc::clone(&door), started.leaving.subscribe());
        let beats = Arc::clone(&started.beats);
        let beat = move || beats.get(index).map_or((), |beat| beat.store(clock::now().millis(), Ordering::Relaxed));
        let thread = thread::Builder::new().name(format!("worker-{index}"));
        started.threads.push(thread.spawn(move || prepared.run(gate, door, leaving, beat))?);
    }
    Ok(started)
}

impl Workers {
    /// Says whether every worker has done something lately.
    pub fn pulse(&self) -> impl Fn() -> bool + use<> {
        let beats = Arc::clone(&self.beats);
        move || {
            let now = clock::now();
            beats.iter().all(|beat| now.since(Timestamp::from_millis(beat.load(Ordering::Relaxed))) < STUCK)
        }
    }

    /// Takes no more connections, lets requests in progress end (for half a minute at most), and waits for that. Clients that keep
    /// a connection may send one more request by it for as long as `linger`.
    pub fn drain(self, linger: Duration) {
        self.leaving.send_replace(Some(linger));
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker ended badly");
            }
        }
    }
}

/// As many open files as the system lets this process have; how many that is.
fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    match setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }) {
        Ok(()) => limit.maximum.unwrap_or(u64::MAX),
        Err(error) => {
            tracing::warn!(%error, "the limit of open files can't be raised");
            limit.current.unwrap_or(u64::MAX)
        }
    }
}

/// A worker that has all it needs, so that nothing can fail once its thread runs.
struct Prepared {
    runtime: Runtime,
    listeners: Vec<(TcpListener, Port)>,
    seed: u128,
}

impl Prepared {
    fn new(https: &[std::net::TcpListener], http: &[std::net::TcpListener]) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let sockets = https.iter().map(|socket| (socket, Port::Https)).chain(http.iter().map(|socket| (socket, Port::Http)));
        let listener = |(socket, port): (&std::net::TcpListener, _)| Ok((TcpListener::from_std(socket.try_clone()?)?, port));
        let listeners = sockets.map(listener).collect::<io::Result<_>>()?;
        drop(entered);
        let seed = crate::model::secret::random::<16>().map_or(0, u128::from_ne_bytes);
        Ok(Self { runtime, listeners, seed })
    }

    fn run(self, gate: Arc<Gate>, door: Arc<Door>, mut leaving: watch::Receiver<Option<Duration>>, beat: impl Fn() + 'static) {
        let local = Rc::new(Local::new(Worker::new(gate, self.seed), door));
        LocalSet::new().block_on(&self.runtime, async {
            let of_time = Rc::clone(&local);
            tokio::task::spawn_local(async move { of_time.keep_time(beat).await });
            tokio::task::spawn_local(sweep(Rc::clone(&local.worker)));
            tokio::task::spawn_local(settle(Rc::clone(&local.worker)));
            let worker = Rc::clone(&local.worker);
            tokio::task::spawn_local(async move { worker.pool.watch().run(&worker).await });
            for (listener, port) in self.listeners {
                tokio::task::spawn_local(accept(listener, port, Rc::clone(&local), leaving.clone()));
            }
            // An error: nobody is left who could ask for more.
            let linger = leaving.wait_for(Option::is_some).await.map_or(Duration::ZERO, |linger| linger.unwrap_or_default());
            local.leave(linger).await;
        });
    }
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

/// Runs what belongs to a connection on the worker that has the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct OnThisThread;

impl<F> Executor<F> for OnThisThread
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
