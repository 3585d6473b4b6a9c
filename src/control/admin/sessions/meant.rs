//! Which sign-ins an administrator means. In: one name. Out: a [`Selection`]. Must never take an empty or unclear name for a wide one.

use super::super::{Inner, error, unavailable};
use crate::model::device::entry::{fingerprint, is_id};
use crate::model::inventory::Inventories;
use crate::model::risks::Whose;
use crate::model::{ProviderName, SignInId, TokenHash};
use crate::snapshot::Snapshot;
use crate::snapshot::hosts::Host;
use crate::store::Selection;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value};

/// What one key of `session`, `sign_in`, `user`, `device`, `app`, `provider` and `everything` says.
pub(super) async fn meant(inner: &Inner, asked: &Map<String, Value>) -> Result<Selection, Box<Response>> {
    let wrong = || refused("say exactly one of `session`, `sign_in`, `user`, `device`, `app`, `provider` and `everything`");
    let (Some((key, value)), 1) = (asked.iter().next(), asked.len()) else { return Err(wrong()) };
    match (key.as_str(), value) {
        ("everything", Value::Bool(true)) => Ok(Selection::Everything),
        ("everything", _) => Err(refused("`everything` is `true` or left out")),
        ("sign_in", Value::Number(number)) => named(&number.to_string()),
        ("session" | "sign_in", Value::String(name)) => named(name),
        ("user", Value::String(name)) => user(name),
        ("device", Value::String(name)) => device(inner, name),
        ("provider", Value::String(name)) => ProviderName::parse(name)
            .map(Selection::Provider)
            .ok_or_else(|| refused("`provider` is a key under `identity_providers`")),
        ("app", Value::String(name)) => app(inner, name).await,
        _ => Err(wrong()),
    }
}

/// A sign-in by its number, or a session by what the audit trail shows of it.
pub(super) fn named(id: &str) -> Result<Selection, Box<Response>> {
    if let Ok(number) = id.parse() {
        return Ok(Selection::SignIns(vec![SignInId(number)]));
    }
    let wrong = "neither the number of a sign-in nor the `session` of an audit record";
    TokenHash::decode(id).map(|_| Selection::Session(id.to_owned())).ok_or_else(|| refused(wrong))
}

fn user(name: &str) -> Result<Selection, Box<Response>> {
    match Whose::parse("user", name) {
        Some(Whose::Email(email)) => Ok(Selection::Email(email)),
        Some(Whose::Subject(subject)) => Ok(Selection::Subject(subject)),
        _ => Err(refused("`user` is an e-mail address or `provider:subject`")),
    }
}

/// By its name in the inventory or its certificate, and what the inventory knows to that.
fn device(inner: &Inner, name: &str) -> Result<Selection, Box<Response>> {
    if !is_id(name) {
        return Err(refused("`device` is the name of a device, or the SHA-256 of its certificate"));
    }
    let (administered, snapshot) = (inner.state.store.devices(), inner.state.control.snapshot.load());
    let both = Inventories { administered: &administered, listed: &snapshot.devices };
    if let Ok(fingerprint) = fingerprint(name) {
        // A device may be called like a certificate.
        let id = both.by_fingerprint(fingerprint).map_or_else(|| name.to_owned(), |device| device.id.clone());
        let id = Some(id);
        return Ok(Selection::Device { id, fingerprint: Some(fingerprint) });
    }
    let fingerprint = both.by_id(name).and_then(|device| device.fingerprint);
    Ok(Selection::Device { id: Some(name.to_owned()), fingerprint })
}

/// The hosts at which the app is found, of those where somebody has a session.
async fn app(inner: &Inner, name: &str) -> Result<Selection, Box<Response>> {
    let snapshot = inner.state.control.snapshot.load_full();
    if !snapshot.apps.iter().any(|app| &*app.name == name) {
        return Err(refused("`app` is a key under `apps`, and there is no such one"));
    }
    let hosts = inner.state.store.hosts().await.map_err(|failed| Box::new(unavailable(&failed)))?;
    Ok(Selection::Hosts(hosts.into_iter().filter(|host| lives_at(&snapshot, name, host)).collect()))
}

fn lives_at(snapshot: &Snapshot, name: &str, host: &str) -> bool {
    let Some(Host::Apps(_)) = snapshot.hosts.find(host) else { return false };
    let of_app = |pattern: &str| match pattern.strip_prefix("*.") {
        Some(parent) => host.split_once('.').is_some_and(|(_, above)| above == parent),
        None => pattern == host,
    };
    // A host with apps of its own has none of those for its parent's every name.
    let is_exact = snapshot.apps.iter().any(|app| app.origin.host() == host);
    let mut here = snapshot.apps.iter().filter(|app| &*app.name == name);
    here.any(|app| of_app(app.origin.host()) && (!is_exact || app.origin.host() == host))
}

fn refused(message: &str) -> Box<Response> {
    Box::new(error(StatusCode::BAD_REQUEST, message))
}
