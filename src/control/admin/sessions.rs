//! `/api/v1/sessions`: who is signed in, and the end of that. In: what is meant. Out: JSON, and rows that are gone. Must never show
//! a cookie, nor end everything unless exactly that is said.

mod meant;

use super::acts::{Done, word};
use super::{Inner, PAGE, error, unavailable, value};
use crate::model::SignInId;
use crate::store::{self, Cause, Found, Grounds, Revoked, Selection};
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use meant::{meant, named};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many of many an answer to a revocation names, and a record.
const NAMED: usize = 100;

pub(super) fn routes() -> Router<Arc<Inner>> {
    Router::new()
        .route("/sessions", get(list))
        .route("/sessions/revoke", post(revoke))
        .route("/sessions/{id}", get(one).delete(remove))
}

/// A sign-in, as it is shown.
fn shown(found: &Found) -> Value {
    let sessions = found.parts.iter();
    let sessions: Vec<_> =
        sessions.map(|part| json!({ "session": part.name, "host": part.host, "created_at": part.created.to_string() })).collect();
    json!({
        "sign_in": found.id.0,
        "user": found.subject.to_string(),
        "email": found.email,
        "provider": found.subject.provider.as_str(),
        "created_at": found.created.to_string(),
        "last_seen_at": found.last_seen.to_string(),
        "ends_at": found.ends.to_string(),
        "address": found.address,
        "agent": found.agent,
        "sessions": sessions,
    })
}

async fn list(State(inner): State<Arc<Inner>>, Query(mut query): Query<BTreeMap<String, String>>) -> Response {
    let limit = query.remove("limit").map_or(Some(PAGE), |limit| limit.parse().ok().filter(|limit| (1..=PAGE).contains(limit)));
    let after = query.remove("after").map_or(Some(-1), |after| after.parse().ok());
    let (Some(limit), Some(after)) = (limit, after) else {
        return error(StatusCode::BAD_REQUEST, &format!("`limit` is a number from 1 to {PAGE}, `after` the `next` of an answer"));
    };
    let asked: Map<String, Value> = query.into_iter().map(|(key, value)| (key, value.into())).collect();
    let meant = if asked.is_empty() { Ok(Selection::Everything) } else { meant(&inner, &asked).await };
    let selection = match meant {
        Ok(selection) => selection,
        Err(refused) => return *refused,
    };
    // One more than is shown tells whether something follows.
    let found = inner.state.store.find(&selection, SignInId(after), u32::try_from(limit + 1).unwrap_or(u32::MAX)).await;
    match found {
        Ok(found) => {
            let next = if found.len() > limit { found.get(limit - 1).map(|last| last.id.0.to_string()) } else { None };
            let sessions: Vec<_> = found.iter().take(limit).map(shown).collect();
            Json(json!({ "sessions": sessions, "next": next })).into_response()
        }
        Err(failed) => unavailable(&failed),
    }
}

async fn one(State(inner): State<Arc<Inner>>, Path(id): Path<String>) -> Response {
    let selection = match named(&id) {
        Ok(selection) => selection,
        Err(refused) => return *refused,
    };
    match inner.state.store.find(&selection, SignInId(-1), 1).await {
        Ok(found) => found.first().map_or_else(nobody, |found| Json(shown(found)).into_response()),
        Err(failed) => unavailable(&failed),
    }
}

async fn remove(State(inner): State<Arc<Inner>>, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let selection = match named(&id) {
        Ok(selection) => selection,
        Err(refused) => return *refused,
    };
    match inner.state.store.revoke(&selection, grounds(&headers)).await {
        Ok(revoked) if revoked.is_empty() => nobody(),
        Ok(revoked) => ended(&revoked, &json!({ "id": id })),
        Err(failed) => not_known(&failed, &json!({ "id": id })),
    }
}

async fn revoke(State(inner): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let asked: Map<String, Value> = match value(&body) {
        Ok(asked) => asked,
        Err(refused) => return *refused,
    };
    let selection = match meant(&inner, &asked).await {
        Ok(selection) => selection,
        Err(refused) => return *refused,
    };
    match inner.state.store.revoke(&selection, grounds(&headers)).await {
        Ok(revoked) => ended(&revoked, &asked.into()),
        Err(failed) => not_known(&failed, &asked.into()),
    }
}

/// On whose word an administrator's act rests.
pub(super) fn grounds(headers: &HeaderMap) -> Grounds<'_> {
    Grounds { cause: Cause::Administration, by: word(headers, "x-administrator"), why: word(headers, "x-why") }
}

/// What has ended, in numbers and, as far as they are few, in names.
pub(super) fn summary(revoked: &Revoked) -> Value {
    let users: BTreeSet<String> = revoked.found.iter().map(|found| found.subject.to_string()).take(NAMED).collect();
    json!({ "sign_ins": revoked.sign_ins(), "sessions": revoked.sessions(), "users": users })
}

fn ended(revoked: &Revoked, meant: &Value) -> Response {
    let mut answer = summary(revoked);
    let mut done = answer.clone();
    if let (Some(answer), Some(done)) = (answer.as_object_mut(), done.as_object_mut()) {
        answer.insert("ended".to_owned(), revoked.found.iter().take(NAMED).map(shown).collect());
        done.insert("meant".to_owned(), meant.clone());
    }
    (Extension(Done(done)), Json(answer)).into_response()
}

/// What was meant may have been done.
fn not_known(failed: &store::Error, meant: &Value) -> Response {
    (Extension(Done(json!({ "meant": meant }))), unavailable(failed)).into_response()
}

fn nobody() -> Response {
    error(StatusCode::NOT_FOUND, "there is no such sign-in or session (any more)")
}
