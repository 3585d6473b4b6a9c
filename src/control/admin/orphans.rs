//! `GET /api/v1/orphans`: people whom no provider mentions any more. In: where to go on. Out: JSON. Must never change anything.

use super::{Inner, error, unavailable};
use crate::store::directory::Orphan;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Inner>> {
    Router::new().route("/orphans", get(list))
}

async fn list(State(inner): State<Arc<Inner>>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let Some(after) = query.get("after").map_or(Some(0), |after| after.parse().ok()) else {
        return error(StatusCode::BAD_REQUEST, "`after` is what `next` of an answer said");
    };
    let providers = inner.state.control.snapshot.load().providers.keys().cloned().collect();
    match inner.state.store.orphans(&providers, after).await {
        Ok((orphans, next)) => {
            let orphans: Vec<_> = orphans.iter().map(shown).collect();
            Json(json!({ "orphans": orphans, "next": next.map(|next| next.to_string()) })).into_response()
        }
        Err(failed) => unavailable(&failed),
    }
}

fn shown(orphan: &Orphan) -> Value {
    json!({
        "user": orphan.subject.to_string(),
        "email": orphan.email.as_ref().map(|email| email.as_str()),
        "last_sign_in": orphan.last_sign_in.to_string(),
        "why": orphan.why.code(),
    })
}
