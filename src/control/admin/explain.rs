//! `POST /api/v1/explain`. In: a made-up request, as JSON. Out: what would be decided of it under the configuration in force, with the
//! locks and risks that are known, and why.

use super::{Inner, error, unavailable};
use crate::clock;
use crate::control::config::read_as;
use crate::control::explain::{Asked, explain, value};
use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Answers it.
pub(super) async fn answer(Shared(inner): Shared<Arc<Inner>>, body: String) -> Response {
    let asked = match read_as::<Asked>("body".into(), &body) {
        Ok((asked, _)) => asked,
        Err(problems) => return refused(&problems.to_string()),
    };
    // Without the locks, somebody who is locked out would be said to get in.
    let known = match inner.state.store.known(asked.person().as_ref()).await {
        Ok(known) => known,
        Err(failed) => return unavailable(&failed),
    };
    let snapshot = inner.state.control.snapshot.load();
    let answer = asked.question(&snapshot, &known, clock::now()).and_then(|question| explain(&snapshot, &question));
    answer.map_or_else(|error| refused(&error.to_string()), |answer| Json(value(&answer)).into_response())
}

fn refused(why: &str) -> Response {
    error(StatusCode::BAD_REQUEST, why)
}
