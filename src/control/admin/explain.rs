//! `POST /api/v1/explain`. In: a made-up request, as JSON. Out: what would be decided of it under the configuration in force, and why.

use super::Inner;
use crate::clock;
use crate::control::config::read_as;
use crate::control::explain::{Asked, explain, value};
use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers it.
pub(super) async fn answer(Shared(inner): Shared<Arc<Inner>>, body: String) -> Response {
    match explained(&inner, &body) {
        Ok(value) => Json(value).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response(),
    }
}

fn explained(inner: &Inner, body: &str) -> Result<Value, String> {
    let (asked, _) = read_as::<Asked>("body".into(), body).map_err(|problems| problems.to_string())?;
    let snapshot = inner.state.control.snapshot.load();
    let question = asked.question(&snapshot, &inner.state.store.devices(), clock::now()).map_err(|error| error.to_string())?;
    explain(&snapshot, &question).map(|answer| value(&answer)).map_err(|error| error.to_string())
}
