//! `/api/v1/signals`: the streams of security events. In: nothing but names. Out: JSON, and what transmitters are asked for. Must never
//! say that a stream works that did not prove it.

use super::acts::Done;
use super::{Inner, error, unavailable};
use crate::control::signals::stream::{self, Failed};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use axum::{Extension, Json, Router};
use serde_json::json;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Inner>> {
    Router::new()
        .route("/signals", get(list))
        .route("/signals/{name}", delete(forget))
        .route("/signals/{name}/stream", post(add))
        .route("/signals/{name}/verification", post(verify))
}

async fn list(State(inner): State<Arc<Inner>>) -> Response {
    match stream::status(&inner.state.control).await {
        Ok(transmitters) => Json(json!({ "transmitters": transmitters })).into_response(),
        Err(failed) => unavailable(&failed),
    }
}

async fn add(State(inner): State<Arc<Inner>>, Path(name): Path<String>) -> Response {
    match stream::add(&inner.state.control, &name).await {
        Ok(described) => {
            (Extension(Done(described.get("stream_id").cloned().unwrap_or_default())), Json(described)).into_response()
        }
        Err(failed) => refused(&failed),
    }
}

async fn verify(State(inner): State<Arc<Inner>>, Path(name): Path<String>) -> Response {
    match stream::verify(&inner.state.control, &name).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(failed) => refused(&failed),
    }
}

async fn forget(State(inner): State<Arc<Inner>>, Path(name): Path<String>) -> Response {
    match inner.state.store.forget_transmitter(&name).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => error(StatusCode::NOT_FOUND, "nothing is known of this transmitter"),
        Err(failed) => unavailable(&failed),
    }
}

fn refused(failed: &Failed) -> Response {
    let status = match failed {
        Failed::NoTransmitter => StatusCode::NOT_FOUND,
        Failed::NoToken | Failed::NoEndpoint(_) | Failed::NoStream => StatusCode::CONFLICT,
        Failed::Store(failed) => return unavailable(failed),
        Failed::Undiscovered | Failed::Randomness(_) => StatusCode::SERVICE_UNAVAILABLE,
        Failed::Silent => StatusCode::GATEWAY_TIMEOUT,
        Failed::Http(_) | Failed::Status(..) | Failed::Unreadable(_) | Failed::Audience(_) | Failed::Unsafe(_) => {
            StatusCode::BAD_GATEWAY
        }
    };
    error(status, &failed.to_string())
}
