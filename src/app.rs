//! Puts the two planes together and runs them; the only file that sees both. In: a configuration file. Out: a proxy, until it is
//! told to stop. Must never take a request before everything that judges it is in place.

mod follow;
mod inherited;
mod notify;
mod passing;
mod successor;

pub use inherited::Inherited;

use crate::assertion::{self, Keys};
use crate::control::admin::acts::Trail;
use crate::control::config::reload::Started;
use crate::control::config::{self, Listen, Loaded, Problems};
use crate::control::{self, Control, admin};
use crate::gate::audit::writer::Destination;
use crate::gate::listen::{self, Sockets};
use crate::gate::route::Site;
use crate::gate::upstream::health;
use crate::gate::visit::{Answer, Gate, Reserved, ReservedRequest};
use crate::gate::{audit, limit, session};
use crate::store::{self, Store};
use crate::telemetry::metrics;
use arc_swap::ArcSwap;
use follow::{ages, follow};
use inherited::Predecessor;
use prometheus::Registry;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use successor::Successor;
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{AbortHandle, JoinSet};

/// How many sessions are kept at hand.
const SESSIONS: u64 = 200_000;

/// How long clients that keep a connection may send one more request when the process stops, and when another takes over.
const LINGER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(5));

/// Why the proxy can't start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error("{0}")]
    Configuration(Problems),
    /// The store.
    #[error("{0}; the store is `{1}`")]
    Store(store::Error, String),
    /// The signing keys.
    #[error("{0}")]
    Keys(#[from] assertion::Error),
    /// The metrics.
    #[error("{0}")]
    Metrics(#[from] prometheus::Error),
    /// The audit file.
    #[error("the audit file can't be opened: {0}")]
    Audit(io::Error),
    /// A listener.
    #[error("can't listen on {0}")]
    Listen(io::Error),
    /// Threads.
    #[error("a thread can't be started: {0}")]
    Thread(io::Error),
    /// Signals.
    #[error("signals can't be received: {0}")]
    Signals(io::Error),
}

/// A running proxy.
pub struct Running {
    gate: Arc<Gate>,
    workers: listen::Workers,
    checks: health::Checks,
    writer: JoinHandle<()>,
    store: Arc<Store>,
    admin: Option<admin::Server>,
    /// All that it listens on, for the process that takes over.
    sockets: Vec<TcpListener>,
    /// What goes on besides, until this is dropped.
    background: JoinSet<()>,
}

/// Runs a configuration file until SIGTERM or SIGINT, or until another process has taken over at SIGUSR2; `started` is called once
/// requests are answered. Must be called on a multi-thread runtime, which becomes control's.
pub async fn run(path: &Path, inherited: Inherited, started: impl FnOnce()) -> Result<(), Error> {
    let mut asked = Asked::new().map_err(Error::Signals)?;
    let running = start_with(path, inherited).await?;
    started();
    while let Turn::HandOver = asked.turn().await {
        tracing::info!("starting the process that takes over");
        // Both serve for a moment.
        let following = tokio::spawn(Arc::clone(&running.store).follow_others());
        let raised = tokio::select! {
            raised = running.raise() => raised,
            () = asked.stop() => break,
        };
        match raised {
            Ok(successor) => {
                running.give_way(&successor).await;
                return Ok(());
            }
            Err(error) => tracing::error!(%error, "no process takes over, this one goes on"),
        }
        following.abort();
        tokio::spawn(Arc::clone(&running.store).catch_up_until(std::future::ready(())));
    }
    tracing::info!("stopping: no new connections, requests in progress may end");
    notify::stopping();
    running.stop().await;
    Ok(())
}

/// What the process is asked to do, by signals.
struct Asked {
    term: Signal,
    int: Signal,
    hand_over: Signal,
}

enum Turn {
    Stop,
    HandOver,
}

impl Asked {
    fn new() -> io::Result<Self> {
        let (term, int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { term, int, hand_over: signal(SignalKind::user_defined2())? })
    }

    async fn turn(&mut self) -> Turn {
        tokio::select! {
            _ = self.term.recv() => Turn::Stop,
            _ = self.int.recv() => Turn::Stop,
            _ = self.hand_over.recv() => Turn::HandOver,
        }
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

/// Starts everything, on sockets of its own.
pub async fn start(path: &Path) -> Result<Running, Error> {
    start_with(path, Inherited::default()).await
}

/// Starts everything.
async fn start_with(path: &Path, mut inherited: Inherited) -> Result<Running, Error> {
    let loaded = config::load(path, 1).map_err(Error::Configuration)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let started = Started::from(&loaded);
    let Loaded { snapshot, listen, admin_token, store: location, audit: trail_to, .. } = loaded;
    let store =
        Store::open_at(location.clone(), Handle::current()).await.map_err(|error| Error::Store(error, location.to_string()))?;
    let takes_over = inherited.predecessor.take().map(|predecessor| TakesOver::from(predecessor, &store));
    let keys = Arc::new(Keys::load(&store).await?);
    let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
    store.lay_directories(snapshot.load().overlays());
    let registry = Registry::new();
    let control = Control::new(
        Arc::clone(&store),
        Arc::clone(&keys),
        Arc::clone(&snapshot),
        metrics::control::ControlMetrics::register(&registry)?,
    );
    let (records, receiver) = audit::channel();
    let metrics = metrics::Gate::new(&registry)?;
    let destination = Destination {
        file: trail_to.file,
        rotation: trail_to.rotation,
        keys: store.trail_keys().map_err(|error| Error::Store(error, location.to_string()))?,
        last: metrics.last_record.clone(),
    };
    let writer = audit::writer::start(receiver, destination).map_err(Error::Audit)?;
    let gate = Arc::new(Gate {
        snapshot: Arc::clone(&snapshot),
        store: Arc::clone(&store),
        keys,
        sessions: session::cache(SESSIONS),
        audit: records,
        metrics,
        limits: limit::Counts::default(),
        reserved: reserved(Arc::clone(&control)),
    });
    let configuration = Arc::new(metrics::Configuration::new(&registry)?);
    configuration.applied(1);
    ages(&configuration, &snapshot.load());
    let bound = Bound::new(listen, inherited).map_err(Error::Listen)?;
    let sockets = bound.copies().map_err(Error::Listen)?;
    let devices = metrics::Devices::new(&registry)?;
    let store_metrics = metrics::store::StoreMetrics::register(&registry)?;
    let state = admin::State {
        registry,
        devices,
        store: Arc::clone(&store),
        store_metrics,
        control: Arc::clone(&control),
        token: admin_token,
        trail: trail(&gate),
    };
    let admin = bound.admin.map(|listener| admin::start(listener, state)).transpose().map_err(Error::Listen)?;
    let mut background = control.start(trail(&gate));
    let workers = listen::start(&bound.gate, cores(), &gate).map_err(Error::Listen)?;
    let checks = health::start(&gate).map_err(Error::Thread)?;
    background.spawn(follow(path.to_owned(), Arc::clone(&snapshot), started, configuration, Arc::clone(&store)));
    let status = format!("serving {} apps on {}", snapshot.load().apps.len(), listen.https);
    background.spawn(notify::watchdog(workers.pulse()));
    match takes_over {
        Some(takes_over) => takes_over.serve(status),
        None => notify::ready(&status),
    }
    tracing::info!(https = %listen.https, apps = snapshot.load().apps.len(), "doorward is running");
    Ok(Running { gate, workers, checks, writer, store, admin, sockets, background })
}

/// All that the process listens on.
struct Bound {
    gate: Sockets,
    admin: Option<TcpListener>,
}

impl Bound {
    /// Sockets that were handed over where there are some for an address, else our own.
    fn new(listen: Listen, mut inherited: Inherited) -> io::Result<Self> {
        let mut sockets = |address: SocketAddr, bind: &dyn Fn() -> io::Result<Vec<TcpListener>>| match inherited.claim(address) {
            none if none.is_empty() => bind(),
            some => Ok(some),
        };
        let mut of_gate = |address| sockets(address, &|| listen::bind(address, cores()));
        let https = of_gate(listen.https)?;
        let http = listen.http.map_or(Ok(Vec::new()), of_gate)?;
        let admin = listen.admin.map_or(Ok(Vec::new()), |address| sockets(address, &|| Ok(vec![admin::bind(address)?])))?;
        for address in inherited.unclaimed() {
            tracing::warn!(%address, "a socket was handed over for an address that is not configured: it is closed");
        }
        Ok(Self { gate: Sockets { https, http }, admin: admin.into_iter().next() })
    }

    fn copies(&self) -> io::Result<Vec<TcpListener>> {
        self.gate.https.iter().chain(&self.gate.http).chain(&self.admin).map(TcpListener::try_clone).collect()
    }
}

/// Taking over from another process, which still answers what it has.
struct TakesOver {
    predecessor: Predecessor,
    store: Arc<Store>,
    following: AbortHandle,
}

impl TakesOver {
    fn from(predecessor: Predecessor, store: &Arc<Store>) -> Self {
        Self { predecessor, store: Arc::clone(store), following: tokio::spawn(Arc::clone(store).follow_others()).abort_handle() }
    }

    /// Requests are answered: the other can go.
    fn serve(mut self, status: String) {
        if let Err(error) = self.predecessor.relieve() {
            tracing::warn!(%error, "the process before this one can't be told that it can go");
        }
        tokio::spawn(async move {
            // An error is as good an end.
            self.store.catch_up_until(async { drop(self.predecessor.gone().await) }).await;
            self.following.abort();
            notify::ready(&status);
            tracing::info!("the process before this one has gone");
        });
    }
}

impl Running {
    /// Starts a process that takes over; it serves when this returns.
    async fn raise(&self) -> Result<Successor, successor::Error> {
        Successor::start(&self.sockets)?.serves().await
    }

    /// Leaves everything to the process that takes over.
    async fn give_way(self, successor: &Successor) {
        tracing::info!(process = successor.id(), "another process has taken over: requests in progress may end");
        notify::handed_over(successor.id());
        if let Some(admin) = &self.admin {
            admin.leave();
        }
        self.leave(LINGER.1).await;
    }

    /// Drains: what has begun may end, what was noted is written.
    pub async fn stop(self) {
        self.leave(LINGER.0).await;
    }

    async fn leave(self, linger: Duration) {
        let Self { gate, workers, checks, writer, store, admin, sockets, mut background } = self;
        // What nobody holds can't be written down.
        let sessions = gate.sessions.clone();
        drop(sockets);
        if let Some(admin) = &admin {
            admin.not_ready();
        }
        // Waiting for threads would block the runtime that they wait for.
        let drained = tokio::task::spawn_blocking(move || {
            workers.drain(linger);
            checks.stop();
            drop(gate);
            drop(writer.join());
        });
        drop(drained.await);
        if let Err(error) = store.write_down().await {
            tracing::error!(%error, "the last use of some sessions could not be written down");
        }
        drop(sessions);
        background.shutdown().await;
        if let Some(admin) = admin {
            admin.leave();
        }
    }
}

/// Where administrative acts are recorded: beside the requests, as long as those are.
fn trail(gate: &Arc<Gate>) -> Trail {
    let (room, line) = (Arc::downgrade(gate), Arc::downgrade(gate));
    Trail {
        has_room: Box::new(move || room.upgrade().is_some_and(|gate| gate.audit.has_room())),
        take: Box::new(move |record| line.upgrade().map_or((), |gate| gate.audit.take(record))),
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How long control may take to answer: a provider has ten seconds, and a database may hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// The gate's requests under `/.doorward/`, answered by control on its own runtime.
fn reserved(control: Arc<Control>) -> Reserved {
    let runtime = Handle::current();
    Box::new(move |asked| {
        let (control, runtime) = (Arc::clone(&control), runtime.clone());
        let answer: Answer = Box::pin(async move {
            let task = runtime.spawn(async move { answer(&control, asked).await });
            let answered = tokio::time::timeout(PATIENCE, task).await;
            answered.ok().and_then(Result::ok).unwrap_or_else(|| Err(crate::model::Reason::StoreUnavailable.into()))
        });
        answer
    })
}

async fn answer(control: &Control, asked: ReservedRequest) -> Result<http::Response<bytes::Bytes>, crate::model::Refusal> {
    let ReservedRequest { request, snapshot, host, authority, site, client } = asked;
    let place = control::Place { snapshot, host, authority, is_auth: site == Site::Auth, client };
    control.answer(request, place).await
}
