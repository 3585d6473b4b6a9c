//! The control plane: everything that is slower than a request. In: requests under `/.doorward/`, time. Out: sign-ins, app
//! sessions, fresh claims. Must never be imported by the gate, nor import it.
//!
//! A sign-in, step by step: `login` (auth host) → `oidc::login` → the provider → `oidc::callback` → `login` →
//! `landing` (app host).

pub mod admin;
mod answer;
pub mod config;
pub mod explain;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod fixture;
mod landing;
mod login;
mod logout;
mod oidc;
mod query;
pub mod reach;
pub mod replay;
mod scim;
mod session;
mod signals;
mod target;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
mod text;
pub mod trail;
mod webhooks;

use crate::assertion;
use crate::model::{Reason, Refusal};
use crate::pages;
use crate::snapshot::Snapshot;
use crate::store::{self, Cause, Store};
use crate::telemetry::metrics::control::ControlMetrics;
use answer::Answer;
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Limited};
use oidc::discovery::Directory;
pub use oidc::discovery::ProviderStatus;
use query::Query;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What every path of ours starts with.
pub const PREFIX: &str = "/.doorward/";
/// Where providers say that somebody has signed out.
const BACKCHANNEL_LOGOUT: &str = "backchannel-logout";
/// Where transmitters post what has happened.
const EVENTS: &str = "events";
/// Where providers end all sign-ins of a person.
const GLOBAL_REVOCATION: &str = "global-token-revocation";
/// How long a form may be, and take: it is a token, which comes with its head.
const FORM_LIMIT: usize = 64 << 10;
const FORM_PATIENCE: Duration = Duration::from_secs(5);
/// How long work in the background may wait for the store.
const PATIENCE: Duration = Duration::from_secs(30);

/// The control plane of one process.
pub struct Control {
    store: Arc<Store>,
    keys: Arc<assertion::Keys>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    directory: Directory,
    links: signals::Links,
    metrics: ControlMetrics,
    trail: OnceLock<admin::acts::Trail>,
    scim: scim::Scim,
}

/// Where a request arrived, as the gate found out.
pub struct Place {
    /// What it is judged by.
    pub snapshot: Arc<Snapshot>,
    /// The host: lower case, no port; one of the snapshot's.
    pub host: String,
    /// `host` or `host:port`, for URLs.
    pub authority: String,
    /// Whether it is the host where people sign in.
    pub is_auth: bool,
    /// Who is on the other end, as far as proxies are trusted.
    pub client: IpAddr,
}

/// A request under `/.doorward/`.
struct Call<'a> {
    place: &'a Place,
    method: &'a Method,
    headers: &'a HeaderMap,
    query: Query,
    /// What was posted, where that matters: a page can't post anything that does.
    form: Query,
    /// The same where it is no form.
    body: Bytes,
}

impl Control {
    /// Everything in its place, nothing started.
    pub fn new(
        store: Arc<Store>,
        keys: Arc<assertion::Keys>,
        snapshot: Arc<ArcSwap<Snapshot>>,
        metrics: ControlMetrics,
    ) -> Arc<Self> {
        let (directory, links) = (Directory::new(metrics.clone()), signals::Links::default());
        let (trail, scim) = (OnceLock::new(), scim::Scim::default());
        let control = Self { store, keys, snapshot, directory, links, metrics, trail, scim };
        webhooks::subscribe(&control, &control.snapshot.load());
        Arc::new(control)
    }

    /// Starts what goes on in the background, on the current runtime and until the set is dropped: discovery, the renewal of claims,
    /// tidying up, the rotation of keys, transmitters of security events, whose records go to this trail.
    #[must_use = "it ends when the set is dropped"]
    pub fn start(self: &Arc<Self>, trail: admin::acts::Trail) -> JoinSet<()> {
        // Only a second call would find one.
        drop(self.trail.set(trail));
        let mut background = JoinSet::new();
        background.spawn(signals::follow(Arc::clone(self)));
        let control = Arc::clone(self);
        background.spawn(async move { control.directory.follow(&control.snapshot).await });
        let control = Arc::clone(self);
        background.spawn(async move { oidc::refresh::work(&control).await });
        let control = Arc::clone(self);
        background.spawn(async move { control.tidy().await });
        let control = Arc::clone(self);
        background.spawn(async move { control.rotate().await });
        let control = Arc::clone(self);
        background.spawn(async move { control.count().await });
        background.spawn(webhooks::work(Arc::clone(self)));
        background
    }

    /// The configured providers, and whether each has been discovered.
    pub fn providers(&self) -> Vec<ProviderStatus> {
        self.directory.status(&self.snapshot.load())
    }

    /// Whether the store has been out of reach for longer than sessions go on without it.
    pub fn lacks_store(&self) -> bool {
        self.store.is_out_of_reach(self.snapshot.load().store_grace)
    }

    /// Which configuration is in force.
    pub fn epoch(&self) -> u64 {
        self.snapshot.load().epoch
    }

    /// Answers a request under `/.doorward/` or `/scim/v2`; to be awaited on the runtime that [`Self::start`] ran on.
    pub async fn answer<B>(&self, request: Request<B>, place: Place) -> Result<Response<Bytes>, Refusal>
    where
        B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send,
    {
        if place.is_auth && request.uri().path().starts_with(scim::PREFIX) {
            return Ok(self.provision(request, &place).await);
        }
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or("");
        let is_post = place.is_auth && parts.method == Method::POST;
        let (mut form, mut posted) = (Query::default(), Bytes::new());
        match path {
            BACKCHANNEL_LOGOUT if is_post => form = read_form(body).await?,
            // What can't be read is nothing, and answered as such.
            EVENTS | GLOBAL_REVOCATION if is_post => posted = read(body).await.unwrap_or_default(),
            _ => {}
        }
        let call = Call {
            place: &place,
            method: &parts.method,
            headers: &parts.headers,
            query: Query::parse(parts.uri.query().unwrap_or("")),
            form,
            body: posted,
        };
        self.route(path, &call).await
    }

    async fn route(&self, path: &str, call: &Call<'_>) -> Result<Answer, Refusal> {
        match (call.place.is_auth, call.method.as_str(), path) {
            (true, "GET", "login") => self.login(call).await,
            (true, "GET", "callback") => oidc::callback::answer(self, call).await,
            (true, "POST", BACKCHANNEL_LOGOUT) => oidc::backchannel::answer(self, call).await,
            (true, "POST", EVENTS) if !call.place.snapshot.transmitters.is_empty() => Ok(signals::push::answer(self, call).await),
            (true, "POST", GLOBAL_REVOCATION) if call.place.snapshot.revokes_globally() => {
                Ok(signals::revocation::answer(self, call).await)
            }
            (true, "GET" | "POST", "logout") => self.log_out_of_everything(call).await,
            (false, "GET", "callback") => self.land(call).await,
            (false, "GET" | "POST", "logout") => self.log_out_of_app(call).await,
            (_, "GET" | "HEAD", "session") => self.who_am_i(call).await,
            (_, "GET" | "HEAD", "jwks.json") => {
                Ok(answer::document("application/json", "public, max-age=3600", self.keys.key_set()))
            }
            (_, "GET" | "HEAD", "assets/doorward.css") => {
                Ok(answer::document("text/css; charset=utf-8", "public, max-age=3600", pages::STYLE_SHEET))
            }
            _ => Err(Reason::UnknownPath.into()),
        }
    }

    /// Whether a record would find room.
    fn can_record(&self) -> bool {
        self.trail.get().is_some_and(|trail| (trail.has_room)())
    }

    /// Leaves a record of what was done on the word of others.
    fn record(&self, record: &serde_json::Value) {
        if let Some(trail) = self.trail.get() {
            (trail.take)(format!("{record}\n").into_bytes());
        }
    }

    async fn tidy(&self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(5));
        loop {
            ticks.tick().await;
            let lifetimes = self.snapshot.load().lifetimes;
            match timeout(PATIENCE, self.store.tidy(lifetimes)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "the store can't be tidied"),
                Err(_) => tracing::error!("the store can't be tidied: it does not answer"),
            }
        }
    }

    /// Counts what ends.
    async fn count(&self) {
        let Some(mut applied) = self.store.applied() else { return };
        while let Some(applied) = applied.recv().await {
            self.metrics.revoked(applied.cause.map(Cause::code), applied.count, applied.lag);
        }
    }

    async fn rotate(&self) {
        let mut ticks = tokio::time::interval(Duration::from_secs(300));
        loop {
            ticks.tick().await;
            match timeout(PATIENCE, self.keys.rotate(&self.store)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "the signing keys can't be rotated"),
                Err(_) => tracing::error!("the signing keys can't be rotated: the store does not answer"),
            }
        }
    }
}

/// A form.
async fn read_form<B>(body: B) -> Result<Query, Refusal>
where
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let bytes = read(body).await.ok_or(Reason::BadRequest)?;
    Ok(Query::parse(str::from_utf8(&bytes).map_err(|_| Reason::BadRequest)?))
}

/// What was posted, which is short and comes at once or not at all.
async fn read<B>(body: B) -> Option<Bytes>
where
    B: Body<Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let read = tokio::time::timeout(FORM_PATIENCE, Limited::new(body, FORM_LIMIT).collect()).await;
    Some(read.ok()?.ok()?.to_bytes())
}

/// The store does not answer: nothing is known, so nothing is said to have happened.
fn unavailable(error: impl Into<store::Error>) -> Refusal {
    let error = error.into();
    tracing::error!(%error, "the store does not answer");
    Reason::StoreUnavailable.into()
}
