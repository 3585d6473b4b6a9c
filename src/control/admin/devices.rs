//! `/api/v1/devices`: what is known of devices. In: JSON. Out: JSON, and rows. Must never take half of what it is told.

use super::acts::Done;
use super::{Inner, error, page, unavailable, value};
use crate::clock;
use crate::model::Inventory;
use crate::model::device::entry::{Entry, Flaw};
use crate::model::inventory::Inventories;
use crate::snapshot::Snapshot;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Inner>> {
    Router::new().route("/devices", get(list)).route("/devices/{id}", get(one).put(put).delete(remove))
}

/// Both inventories, as they are now.
struct Now {
    administered: Arc<Inventory>,
    snapshot: Arc<Snapshot>,
}

impl Now {
    fn of(inner: &Inner) -> Self {
        Self { administered: Arc::clone(&inner.state.store.devices()), snapshot: inner.state.control.snapshot.load_full() }
    }

    fn both(&self) -> Inventories<'_> {
        Inventories { administered: &self.administered, listed: &self.snapshot.devices }
    }

    /// A device in JSON, with who says it.
    fn shown(&self, id: &str) -> Option<Value> {
        let mut shown = serde_json::to_value(Entry::from(&**self.both().by_id(id)?)).ok()?;
        let source = if self.administered.by_id(id).is_some() { "api" } else { "file" };
        shown.as_object_mut()?.insert("source".to_owned(), source.into());
        Some(shown)
    }
}

async fn list(State(inner): State<Arc<Inner>>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let now = Now::of(&inner);
    let ids = now.administered.all().chain(now.snapshot.devices.all()).map(|device| device.id.as_str());
    page("devices", ids, &query, |id| now.shown(id))
}

async fn one(State(inner): State<Arc<Inner>>, Path(id): Path<String>) -> Response {
    match Now::of(&inner).shown(&id) {
        Some(device) => Json(device).into_response(),
        None => error(StatusCode::NOT_FOUND, "there is no such device"),
    }
}

async fn put(State(inner): State<Arc<Inner>>, Path(id): Path<String>, body: Bytes) -> Response {
    let mut entry: Entry = match value(&body) {
        Ok(entry) => entry,
        Err(refused) => return *refused,
    };
    if entry.id.is_empty() {
        entry.id.clone_from(&id);
    } else if entry.id != id {
        return error(StatusCode::BAD_REQUEST, "the `id` in the body is not the one in the path");
    }
    let device = match entry.check(clock::now()) {
        Ok(device) => device,
        Err(flaws) => return flawed(&flaws),
    };
    let other = device.fingerprint.and_then(|fingerprint| Now::of(&inner).both().by_fingerprint(fingerprint).cloned());
    if let Some(other) = other.filter(|other| other.id != device.id) {
        return error(StatusCode::CONFLICT, &format!("`{}` has this certificate", other.id));
    }
    let done = Done(serde_json::to_value(Entry::from(&device)).unwrap_or_default());
    match inner.state.store.put_device(device).await {
        Ok(Ok(())) => (Extension(done), Json(Now::of(&inner).shown(&id))).into_response(),
        Ok(Err(taken)) => error(StatusCode::CONFLICT, &taken.to_string()),
        Err(failed) => unavailable(&failed),
    }
}

async fn remove(State(inner): State<Arc<Inner>>, Path(id): Path<String>) -> Response {
    match inner.state.store.remove_device(&id).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) if Now::of(&inner).shown(&id).is_some() => {
            error(StatusCode::CONFLICT, "this device is in the file of devices: take it out there")
        }
        Ok(false) => error(StatusCode::NOT_FOUND, "there is no such device"),
        Err(failed) => unavailable(&failed),
    }
}

/// What is wrong with what was sent.
pub(super) fn flawed(flaws: &[Flaw]) -> Response {
    let flaws: Vec<_> = flaws.iter().map(|flaw| json!({ "key": flaw.key, "message": flaw.message, "help": flaw.cure })).collect();
    (StatusCode::BAD_REQUEST, Json(json!({ "error": "some values can't be used", "flaws": flaws }))).into_response()
}
