//! Puts the two planes together and runs them; the only file that sees both. In: a configuration file. Out: a proxy, until it is
//! told to stop. Must never take a request before everything that judges it is in place.

use crate::assertion::{self, Keys};
use crate::control::config::reload::{self, Outcome, Started};
use crate::control::config::{self, Loaded, Problems};
use crate::control::{self, Control, admin};
use crate::gate::listen::{self, Sockets};
use crate::gate::route::Site;
use crate::gate::visit::{Answer, Gate, Reserved, ReservedRequest};
use crate::gate::{audit, limit, session};
use crate::snapshot::Snapshot;
use crate::store::{self, Store};
use crate::telemetry::metrics;
use arc_swap::ArcSwap;
use prometheus::Registry;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

/// How many sessions are kept at hand.
const SESSIONS: u64 = 200_000;

/// How long clients that keep a connection may send one more request when the process stops.
const LINGER: std::time::Duration = std::time::Duration::from_secs(1);

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
    /// Signals.
    #[error("signals can't be received: {0}")]
    Signals(io::Error),
}

/// A running proxy.
pub struct Running {
    gate: Arc<Gate>,
    workers: listen::Workers,
    writer: JoinHandle<()>,
    store: Arc<Store>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    admin: Option<admin::Server>,
}

/// Runs a configuration file until SIGTERM or SIGINT; `started` is called once requests are answered. Must be called on a
/// multi-thread runtime, which becomes control's.
pub async fn run(path: &Path, started: impl FnOnce()) -> Result<(), Error> {
    let running = start(path).await?;
    started();
    wait_for_end().await.map_err(Error::Signals)?;
    tracing::info!("stopping: no new connections, requests in progress may end");
    running.stop().await;
    Ok(())
}

/// Starts everything.
pub async fn start(path: &Path) -> Result<Running, Error> {
    let loaded = config::load(path, 1).map_err(Error::Configuration)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let started = Started::from(&loaded);
    let Loaded { snapshot, listen, admin_token, store: location, audit_file, .. } = loaded;
    let store = Store::open(&location, Handle::current()).await.map_err(|error| Error::Store(error, location))?;
    let keys = Arc::new(Keys::load(&store).await?);
    let snapshot = Arc::new(ArcSwap::from_pointee(snapshot));
    let registry = Registry::new();
    let control = Control::new(
        Arc::clone(&store),
        Arc::clone(&keys),
        Arc::clone(&snapshot),
        metrics::control::ControlMetrics::register(&registry)?,
    );
    let (records, receiver) = audit::channel();
    let writer = audit::writer::start(receiver, audit_file.as_deref()).map_err(Error::Audit)?;
    let gate = Arc::new(Gate {
        snapshot: Arc::clone(&snapshot),
        store: Arc::clone(&store),
        keys,
        sessions: session::cache(SESSIONS),
        audit: records,
        metrics: metrics::Gate::new(&registry)?,
        limits: limit::Counts::default(),
        reserved: reserved(Arc::clone(&control)),
    });
    let configuration = Arc::new(metrics::Configuration::new(&registry)?);
    configuration.applied(1);
    let admin = match listen.admin {
        Some(address) => {
            let state = admin::State { registry, store: Arc::clone(&store), control: Arc::clone(&control), token: admin_token };
            Some(admin::start(address, state).await.map_err(Error::Listen)?)
        }
        None => None,
    };
    control.start();
    let http = listen.http.map_or(Ok(Vec::new()), |http| listen::bind(http, cores())).map_err(Error::Listen)?;
    let sockets = Sockets { https: listen::bind(listen.https, cores()).map_err(Error::Listen)?, http };
    let workers = listen::start(&sockets, cores(), &gate).map_err(Error::Listen)?;
    follow(path.to_owned(), Arc::clone(&snapshot), started, configuration);
    tracing::info!(https = %listen.https, apps = snapshot.load().apps.len(), "doorward is running");
    Ok(Running { gate, workers, writer, store, snapshot, admin })
}

impl Running {
    /// Drains: what has begun may end, what was noted is written.
    pub async fn stop(self) {
        let Self { gate, workers, writer, store, snapshot, admin } = self;
        if let Some(admin) = admin {
            admin.not_ready();
        }
        // Waiting for threads would block the runtime that they wait for.
        let drained = tokio::task::spawn_blocking(move || {
            workers.drain(LINGER);
            drop(gate);
            drop(writer.join());
        });
        drop(drained.await);
        let idle = snapshot.load().lifetimes.idle;
        if let Err(error) = store.tidy(idle).await {
            tracing::error!(%error, "the last use of some sessions could not be written down");
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The gate's requests under `/.doorward/`, answered by control on its own runtime.
fn reserved(control: Arc<Control>) -> Reserved {
    let runtime = Handle::current();
    Box::new(move |asked| {
        let (control, runtime) = (Arc::clone(&control), runtime.clone());
        let answer: Answer = Box::pin(async move {
            let task = runtime.spawn(async move { answer(&control, asked).await });
            task.await.unwrap_or_else(|_| Err(crate::model::Reason::StoreUnavailable.into()))
        });
        answer
    })
}

async fn answer(control: &Control, asked: ReservedRequest) -> Result<http::Response<bytes::Bytes>, crate::model::Refusal> {
    let ReservedRequest { request, snapshot, host, authority, site } = asked;
    let place = control::Place { snapshot, host, authority, is_auth: site == Site::Auth };
    control.answer(request, place).await
}

/// Keeps the configuration up to date.
fn follow(path: PathBuf, snapshot: Arc<ArcSwap<Snapshot>>, started: Started, configuration: Arc<metrics::Configuration>) {
    tokio::spawn(async move {
        let report = move |outcome: Outcome| match outcome {
            Outcome::Applied { epoch, warnings } => {
                warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                configuration.applied(epoch);
                tracing::info!(epoch, "the configuration was reloaded");
            }
            Outcome::Refused(problems) => {
                configuration.refused();
                tracing::error!("the configuration was not reloaded, the last good one stays in force:\n{problems}");
            }
            Outcome::RestartNeeded(what) => tracing::warn!(what = what.join(", "), "this change takes effect at the next start"),
        };
        reload::watch(path, started, snapshot, report).await;
    });
}

async fn wait_for_end() -> io::Result<()> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    Ok(())
}
