//! The admin listener: health, readiness and metrics for machines, state for whoever has the token. In: requests on an address
//! of its own. Out: text and JSON, and what administrators do. Must never be reachable through the public listener.

pub mod acts;
mod devices;
mod explain;
mod locks;
mod orphans;
mod risks;
mod sessions;
mod signals;

use super::Control;
use super::text::has_nul;
use crate::clock;
use crate::model::{Inventory, TokenHash};
use crate::store::{self, Store};
use crate::telemetry::metrics;
use axum::extract::{Request, State as Shared};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use prometheus::Registry;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use subtle::ConstantTimeEq as _;
use tokio::task::AbortHandle;

/// What the answers are made of.
pub struct State {
    /// The metrics.
    pub registry: Registry,
    /// Those that are looked at when somebody asks.
    pub devices: metrics::Devices,
    /// The store.
    pub store: Arc<Store>,
    /// How following it goes.
    pub store_metrics: metrics::store::StoreMetrics,
    /// The control plane.
    pub control: Arc<Control>,
    /// Who may see `/api/v1/`; nobody when there is none.
    pub token: Option<SecretString>,
    /// Where what administrators do is recorded.
    pub trail: acts::Trail,
}

/// Where the API is.
const API: &str = "/api/v1";
/// What the API has, for programs (OpenAPI 3.1).
const OPEN_API: &str = include_str!("admin/openapi.json");
/// How long the text of a refusal can be.
const LONGEST_REFUSAL: usize = 4096;
/// How many items one answer has, unless fewer are asked for.
const PAGE: usize = 1000;

struct Inner {
    state: State,
    draining: AtomicBool,
}

/// The running listener.
pub struct Server {
    inner: Arc<Inner>,
    listening: AbortHandle,
}

/// Binds the address; an error names it.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
}

/// Serves what comes by a listener.
pub fn start(listener: TcpListener, state: State) -> io::Result<Server> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let inner = Arc::new(Inner { state, draining: AtomicBool::new(false) });
    let api = Router::new()
        .route("/status", get(status))
        .route("/openapi.json", get(async || ([(header::CONTENT_TYPE, "application/json")], OPEN_API)))
        .merge(devices::routes())
        .merge(locks::routes())
        .merge(risks::routes())
        .merge(signals::routes())
        .merge(orphans::routes())
        .merge(sessions::routes())
        .layer(middleware::from_fn_with_state(Arc::clone(&inner), acts::record))
        // A question, whatever its method.
        .route("/explain", post(explain::answer))
        .layer(middleware::from_fn(readable))
        .layer(middleware::map_response(in_json))
        .layer(middleware::from_fn_with_state(Arc::clone(&inner), authorize));
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(numbers))
        .nest(API, api);
    let router = router.with_state(Arc::clone(&inner)).into_make_service_with_connect_info::<SocketAddr>();
    let listening = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
    Ok(Server { inner, listening })
}

impl Server {
    /// From now on says that this process should get no more requests.
    pub fn not_ready(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    /// Takes no more connections: they are another process' now.
    pub fn leave(&self) {
        self.listening.abort();
    }
}

/// Refuses names that nothing has.
async fn readable(request: Request, next: Next) -> Response {
    if request.uri().to_string().contains("%00") {
        return error(StatusCode::BAD_REQUEST, "there is a NUL in the path or the query");
    }
    next.run(request).await
}

/// Asks for the bearer token (RFC 6750, section 2.1).
async fn authorize(Shared(inner): Shared<Arc<Inner>>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    let expected = inner.state.token.as_ref().map(|token| token.expose_secret().as_bytes());
    match (sent, expected) {
        // Hashes are of one length: a comparison in constant time would tell the length of the token.
        (Some(sent), Some(expected)) if is_same(sent, expected) => next.run(request).await,
        _ => {
            let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"doorward\"")];
            (challenge, error(StatusCode::UNAUTHORIZED, "a bearer token is needed")).into_response()
        }
    }
}

fn is_same(sent: &[u8], expected: &[u8]) -> bool {
    TokenHash::of(sent).as_bytes().ct_eq(TokenHash::of(expected).as_bytes()).into()
}

/// Ready: the store answers, or sessions go on without it for now, and the process is not about to end. A provider that is down is
/// no reason to send nobody here.
async fn ready(Shared(inner): Shared<Arc<Inner>>) -> Response {
    let draining = inner.draining.load(Ordering::Relaxed);
    let store = inner.state.store.is_up().await;
    let goes_on = store || inner.state.store.is_shared() && !inner.state.control.lacks_store();
    let code = if goes_on && !draining { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(json!({ "ready": code == StatusCode::OK, "store": store, "draining": draining }))).into_response()
}

async fn numbers(Shared(inner): Shared<Arc<Inner>>) -> Response {
    let followed = inner.state.store.followed();
    let up = inner.state.store.is_up().await;
    inner.state.store_metrics.show(up, followed.behind, followed.backlog, followed.applied, followed.anew);
    let (people, devices): (Vec<_>, Vec<_>) =
        inner.state.store.locks().all(clock::now()).map(|(whose, _)| whose.kind()).partition(|kind| *kind == "user");
    inner.state.control.metrics.locks(people.len(), devices.len());
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    let count = |source, inventory: &Inventory| {
        inner.state.devices.set(source, inventory.len(), inventory.all().map(|device| device.reported_at).max());
    };
    count("file", &inner.state.control.snapshot.load().devices);
    count("api", &inner.state.store.devices());
    ([(header::CONTENT_TYPE, kind)], metrics::render(&inner.state.registry)).into_response()
}

/// What this process is and which providers it knows.
async fn status(Shared(inner): Shared<Arc<Inner>>) -> Response {
    let providers = inner.state.control.providers();
    let providers: Vec<_> =
        providers.iter().map(|provider| json!({ "name": provider.name.as_str(), "up": provider.discovered })).collect();
    Json(json!({ "version": env!("CARGO_PKG_VERSION"), "epoch": inner.state.control.epoch(), "providers": providers }))
        .into_response()
}

/// The value that a body says in JSON.
fn value<T: DeserializeOwned>(body: &[u8]) -> Result<T, Box<Response>> {
    let refused = |wrong: String| error(StatusCode::BAD_REQUEST, &format!("not the JSON that is expected: {wrong}"));
    // In JSON there is no other way to write one. What only looks like it is looked at.
    let may_have_nul = body.windows(6).any(|bytes| bytes == br"\u0000");
    if may_have_nul && serde_json::from_slice(body).is_ok_and(|value| has_nul(&value)) {
        return Err(Box::new(refused("there is a NUL in a text".to_owned())));
    }
    serde_json::from_slice(body).map_err(|wrong: serde_json::Error| Box::new(refused(wrong.to_string())))
}

/// Some of many, in the order of their keys: those behind `after`, at most `limit`; `next` is the `after` of what follows.
fn page<'k>(
    name: &str,
    keys: impl Iterator<Item = &'k str>,
    query: &BTreeMap<String, String>,
    shown: impl Fn(&str) -> Option<Value>,
) -> Response {
    let limit = query.get("limit").map_or(Some(PAGE), |limit| limit.parse().ok().filter(|limit| (1..=PAGE).contains(limit)));
    let Some(limit) = limit else {
        return error(StatusCode::BAD_REQUEST, &format!("`limit` is a number from 1 to {PAGE}"));
    };
    let keys: BTreeSet<&str> = keys.filter(|key| query.get("after").is_none_or(|after| *key > after.as_str())).collect();
    let last = keys.iter().nth(limit.saturating_sub(1)).filter(|_| keys.len() > limit);
    let items: Vec<Value> = keys.iter().take(limit).filter_map(|key| shown(key)).collect();
    Json(json!({ name: items, "next": last })).into_response()
}

/// What is refused before anybody looks at it (a body that is too large, a query that can't be read) in the words of all other refusals.
async fn in_json(response: Response) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE).map_or(&b""[..], |kind| kind.as_bytes());
    if response.status().is_success() || !kind.starts_with(b"text/plain") {
        return response;
    }
    let (status, said) = (response.status(), axum::body::to_bytes(response.into_body(), LONGEST_REFUSAL).await);
    let message = said.ok().and_then(|said| String::from_utf8(said.to_vec()).ok());
    error(status, message.as_deref().or(status.canonical_reason()).unwrap_or_default())
}

fn error(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

fn unavailable(failed: &store::Error) -> Response {
    tracing::error!(error = %failed, "the store does not answer");
    // The answer to a commit may be what is missing.
    error(StatusCode::SERVICE_UNAVAILABLE, "the store does not answer: whether it was done is not known, say it again")
}
