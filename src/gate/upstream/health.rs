//! Health checks: which servers can be chosen, found out by asking them. In: the snapshots in force. Out: what is known of their
//! servers, in log and metrics too. Must never have two checks of a server under way at once, and never tell a server who anybody is.
//!
//! They run on a thread of their own, over the same transports as requests: a server that is slow to be checked delays nobody.

use super::connect::{self, Error as ConnectError};
use super::endpoint::Endpoint;
use super::sender::Failure;
use crate::clock;
use crate::gate::body::RequestBody;
use crate::gate::visit::Gate;
use crate::model::secret;
use crate::snapshot::servers::live::Live;
use crate::snapshot::servers::{HealthCheck, Server};
use crate::snapshot::{App, Snapshot, Upstream};
use http::header::{ACCEPT, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use prometheus::IntGauge;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, LocalSet};

/// How often it is looked whether there is another snapshot, and how metrics stand.
const LOOK: Duration = Duration::from_secs(1);
/// How much of an answer is read, in bytes: enough for the page that some apps have for this.
const ENOUGH: usize = 1 << 20;

/// The thread of the checks.
pub struct Checks {
    thread: JoinHandle<()>,
    stop: oneshot::Sender<()>,
}

/// Why a server is not healthy.
#[derive(Debug, thiserror::Error)]
enum Unhealthy {
    #[error("no connection: {0}")]
    Connect(#[from] ConnectError),
    #[error("the connection was closed before the request")]
    Unsent,
    #[error("no proper answer: {0}")]
    Exchange(hyper::Error),
    #[error("the answer is {0}")]
    Status(StatusCode),
    #[error("the answer broke off or is too long: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("no whole answer within {} s", .0.as_secs())]
    Timeout(Duration),
}

/// A server as long as it is configured.
struct Watch {
    app: Arc<str>,
    server: String,
    live: Arc<Live>,
    health: Option<HealthCheck>,
    gauge: IntGauge,
    _task: Option<Task>,
}

/// Ends when it is dropped.
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts checking the servers of the snapshot in force, and of those after it.
pub fn start(gate: &Arc<Gate>) -> io::Result<Checks> {
    let (stop, stopped) = oneshot::channel();
    let gate = Arc::clone(gate);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = move || {
        LocalSet::new().block_on(&runtime, async {
            tokio::select! {
                () = follow(&gate) => {}
                _ = stopped => {}
            }
        });
    };
    Ok(Checks { thread: thread::Builder::new().name("health".to_owned()).spawn(run)?, stop })
}

impl Checks {
    /// Ends them; waits for that.
    pub fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the health checks ended badly");
        }
    }
}

async fn follow(gate: &Arc<Gate>) {
    let (mut epoch, mut watches) = (0, Vec::new());
    loop {
        let snapshot = gate.snapshot.load_full();
        if std::mem::replace(&mut epoch, snapshot.epoch) != snapshot.epoch {
            watches = adopt(watches, &snapshot, gate);
        }
        drop(snapshot);
        let now = clock::ticks();
        for Watch { live, gauge, .. } in &watches {
            gauge.set(i64::from(!live.is_down() && !live.is_ejected(now)));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Goes on with the servers that are the same, and are checked in the same way.
fn adopt(before: Vec<Watch>, snapshot: &Snapshot, gate: &Arc<Gate>) -> Vec<Watch> {
    let mut before: HashMap<*const Live, Watch> = before.into_iter().map(|watch| (Arc::as_ptr(&watch.live), watch)).collect();
    let apps = snapshot.apps.iter().filter_map(|app| Some((app, app.servers.as_ref()?)));
    let several = apps.filter(|(_, servers)| servers.only().is_none());
    let servers = several.flat_map(|(app, servers)| servers.iter().map(move |server| (app, &servers.care.health, server)));
    let known = servers.map(|(app, health, server)| (app, health, server, before.remove(&Arc::as_ptr(&server.live))));
    let known: Vec<_> = known.collect();
    for Watch { app, server, .. } in before.values() {
        gate.metrics.server_gone(app, server);
    }
    known
        .into_iter()
        .map(|(app, health, server, known)| {
            known.filter(|watch| watch.health == *health).unwrap_or_else(|| Watch::begin(app, health, server, gate))
        })
        .collect()
}

impl Watch {
    fn begin(app: &App, health: &Option<HealthCheck>, server: &Server, gate: &Arc<Gate>) -> Self {
        let (name, live, health) = (server.upstream.to_string(), Arc::clone(&server.live), health.clone());
        let task = health.clone().map(|health| {
            let check = Check {
                app: Arc::clone(&app.name),
                upstream: Arc::clone(&server.upstream),
                endpoint: Endpoint::default(),
                live: Arc::clone(&live),
                health,
                gate: Arc::clone(gate),
            };
            Task(tokio::task::spawn_local(check.run()).abort_handle())
        });
        if task.is_none() {
            // A check that was under way when the configuration changed may have had the last word; nobody would take it back.
            live.set_down(false, clock::ticks());
        }
        let gauge = gate.metrics.server_health(&app.name, &name);
        Self { app: Arc::clone(&app.name), server: name, live, health, gauge, _task: task }
    }
}

/// What one server is asked, again and again.
struct Check {
    app: Arc<str>,
    upstream: Arc<Upstream>,
    endpoint: Endpoint,
    live: Arc<Live>,
    health: HealthCheck,
    gate: Arc<Gate>,
}

impl Check {
    async fn run(self) {
        // Not all at the same moment.
        tokio::time::sleep(self.health.interval.mul_f64(chance() / 10.0)).await;
        let mut against = 0;
        loop {
            let asked = tokio::time::timeout(self.health.timeout, self.ask()).await;
            self.judge(asked.unwrap_or(Err(Unhealthy::Timeout(self.health.timeout))), &mut against);
            tokio::time::sleep(self.health.interval.mul_f64(0.9 + chance() / 5.0)).await;
        }
    }

    /// One request, over a connection of its own.
    async fn ask(&self) -> Result<(), Unhealthy> {
        let mut sender = connect::connect(&self.upstream, &self.endpoint, self.health.timeout, &self.gate).await?;
        let response = sender.send(Box::new(self.request())).await.map_err(|failure| match failure {
            Failure::Unsent(_) => Unhealthy::Unsent,
            Failure::Sent(error) => Unhealthy::Exchange(error),
        })?;
        let status = response.status();
        Limited::new(response.into_body(), ENOUGH).collect().await.map_err(Unhealthy::Body)?;
        let good = self.health.statuses.iter().any(|statuses| statuses.contains(&status.as_u16()));
        if good { Ok(()) } else { Err(Unhealthy::Status(status)) }
    }

    fn request(&self) -> Request<RequestBody> {
        let mut request = Request::new(RequestBody::empty());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = self.health.path.clone().into();
        request.headers_mut().insert(HOST, self.health.host.clone());
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("doorward-health"));
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("*/*"));
        request
    }

    /// `against` counts the checks in a row that speak against what is known.
    fn judge(&self, found: Result<(), Unhealthy>, against: &mut u32) {
        let first = self.live.is_first_check();
        if found.is_err() == self.live.is_down() {
            *against = 0;
            return;
        }
        *against += 1;
        let needed = if found.is_ok() { self.health.healthy } else { self.health.unhealthy };
        if first || *against >= needed {
            *against = 0;
            self.live.set_down(found.is_err(), clock::ticks());
            match found {
                Ok(()) => tracing::info!(app = &*self.app, server = %self.upstream, "a server is healthy again"),
                Err(error) => tracing::warn!(app = &*self.app, server = %self.upstream, %error, "a server is down"),
            }
        }
    }
}

/// Something from 0 to 1.
fn chance() -> f64 {
    secret::random::<1>().map_or(0.5, |[byte]| f64::from(byte) / 255.0)
}
