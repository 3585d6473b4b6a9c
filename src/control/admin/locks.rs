//! `/api/v1/locks`: who and what is locked out. In: JSON. Out: JSON, rows, and the end of what a lock is about. Must never take a
//! lock that would hold nobody out.

use super::acts::Done;
use super::devices::flawed;
use super::risks::whose;
use super::sessions::{grounds, summary};
use super::{Inner, error, page, unavailable, value};
use crate::clock;
use crate::model::device::entry::{Flaw, fingerprint, time};
use crate::model::inventory::Inventories;
use crate::model::locks::Lock;
use crate::model::risks::Whose;
use crate::model::{Fingerprint, Source, Timestamp};
use crate::store::{Cause, Grounds, KeptOut};
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many characters a reason has at most.
const LONGEST: usize = 500;

pub(super) fn routes() -> Router<Arc<Inner>> {
    Router::new().route("/locks", get(list)).route("/locks/{kind}/{name}", get(one).put(put).delete(remove))
}

/// A lock as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    reason: String,
    expires_at: Option<String>,
}

impl Said {
    fn check(self, now: Timestamp, certificate: Option<Fingerprint>) -> Result<Lock, Flaw> {
        let until = time("expires_at", self.expires_at.as_deref())?;
        if until.is_some_and(|until| until <= now) {
            let message = "a lock that is over locks nobody out".to_owned();
            return Err(Flaw { key: "expires_at", message, cure: "a time to come, or nothing" });
        }
        if self.reason.trim().is_empty() || self.reason.chars().count() > LONGEST {
            let message = "nobody will know why".to_owned();
            return Err(Flaw { key: "reason", message, cure: "a text for other administrators, of at most 500 characters" });
        }
        Ok(Lock { reason: self.reason, since: now, until, fingerprints: certificate.into_iter().collect() })
    }
}

fn shown(whose: &Whose, lock: &Lock, source: &Source) -> Value {
    json!({
        "source": source.code(),
        "kind": whose.kind(),
        "name": whose.to_string(),
        "reason": lock.reason,
        "locked_at": lock.since.to_string(),
        "expires_at": lock.until.map(|time| time.to_string()),
    })
}

fn administered(whose: &Whose, lock: &Lock) -> Value {
    shown(whose, lock, &Source::Administration)
}

fn transmitted(one: &KeptOut) -> Value {
    shown(&Whose::Subject(one.subject.clone()), &one.lock, &one.source)
}

async fn list(State(inner): State<Arc<Inner>>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let locks = Arc::clone(&inner.state.store.locks());
    let kept_out = match inner.state.store.kept_out().await {
        Ok(kept_out) => kept_out,
        Err(failed) => return unavailable(&failed),
    };
    let ours = locks.all(clock::now()).map(|(whose, lock)| (format!("{}/{whose}", whose.kind()), administered(&whose, lock)));
    // Several can keep one person out.
    let key = |one: &KeptOut| format!("user/{}\n{}", one.subject, one.source.code());
    let all: BTreeMap<String, Value> = kept_out.iter().map(|one| (key(one), transmitted(one))).chain(ours).collect();
    page("locks", all.keys().map(String::as_str), &query, |key| all.get(key).cloned())
}

async fn one(State(inner): State<Arc<Inner>>, Path((kind, name)): Path<(String, String)>) -> Response {
    let whose = match locked(&inner, &kind, &name) {
        Ok(whose) => whose,
        Err(refused) => return *refused,
    };
    if let Some(lock) = inner.state.store.locks().find(&whose, clock::now()) {
        return Json(administered(&whose, lock)).into_response();
    }
    // What transmitters lock has the name that they know it by.
    let Whose::Subject(subject) = &whose else { return unlocked(&whose) };
    match inner.state.store.kept_out().await {
        Ok(all) => match all.iter().find(|one| one.subject == *subject) {
            Some(one) => Json(transmitted(one)).into_response(),
            None => unlocked(&whose),
        },
        Err(failed) => unavailable(&failed),
    }
}

async fn put(
    State(inner): State<Arc<Inner>>,
    Path((kind, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let (whose, said) = match (locked(&inner, &kind, &name), value::<Said>(&body)) {
        (Ok(whose), Ok(said)) => (whose, said),
        (Err(refused), _) | (_, Err(refused)) => return *refused,
    };
    let lock = match said.check(clock::now(), certificate(&inner, &whose)) {
        Ok(lock) => lock,
        Err(flaw) => return flawed(&[flaw]),
    };
    let mut shown = administered(&whose, &lock);
    let meant = json!({ "meant": shown });
    let grounds = Grounds { cause: Cause::Lock, ..grounds(&headers) };
    match inner.state.store.put_lock(whose, lock, grounds).await {
        Ok(revoked) => {
            if let (Some(shown), Value::Object(summary)) = (shown.as_object_mut(), summary(&revoked)) {
                shown.extend(summary);
            }
            (Extension(Done(shown.clone())), Json(shown)).into_response()
        }
        Err(failed) => (Extension(Done(meant)), unavailable(&failed)).into_response(),
    }
}

async fn remove(State(inner): State<Arc<Inner>>, Path((kind, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let whose = match locked(&inner, &kind, &name) {
        Ok(whose) => whose,
        Err(refused) => return *refused,
    };
    match inner.state.store.remove_lock(&whose, grounds(&headers)).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => unlocked(&whose),
        Err(failed) => unavailable(&failed),
    }
}

/// Who or what is named. A certificate has one name, however it is written, unless a device is called so.
fn locked(inner: &Inner, kind: &str, name: &str) -> Result<Whose, Box<Response>> {
    let whose = whose(kind, name)?;
    let (administered, snapshot) = (inner.state.store.devices(), inner.state.control.snapshot.load());
    let both = Inventories { administered: &administered, listed: &snapshot.devices };
    Ok(match (&whose, fingerprint(name)) {
        (Whose::Device(id), Ok(fingerprint)) if both.by_id(id).is_none() => Whose::Device(fingerprint.to_string()),
        _ => whose,
    })
}

/// The certificate of a device: what the inventory has, or what it is named by.
fn certificate(inner: &Inner, whose: &Whose) -> Option<Fingerprint> {
    let Whose::Device(name) = whose else { return None };
    let (administered, snapshot) = (inner.state.store.devices(), inner.state.control.snapshot.load());
    let known =
        Inventories { administered: &administered, listed: &snapshot.devices }.by_id(name).and_then(|device| device.fingerprint);
    known.or_else(|| fingerprint(name).ok())
}

/// Nobody has locked it, or not by this name.
fn unlocked(whose: &Whose) -> Response {
    let said = match whose {
        Whose::Email(_) => {
            "there is no lock on this address; one that a transmitter has set is on `provider:subject`, as the list shows it"
        }
        Whose::Subject(_) | Whose::Device(_) => "there is no lock on this one",
    };
    error(StatusCode::NOT_FOUND, said)
}
