//! `/api/v1/risks`: what there is to fear of people and devices, as others found out. In: JSON. Out: JSON, and rows. Must never
//! make up a level.

use super::acts::Done;
use super::devices::flawed;
use super::{Inner, error, page, unavailable, value};
use crate::clock;
use crate::model::device::entry::{Flaw, time};
use crate::model::risks::Whose;
use crate::model::{Observed, Risk, RiskLevel, Source};
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<Inner>> {
    Router::new().route("/risks", get(list)).route("/risks/{kind}/{name}", get(one).put(put).delete(remove))
}

/// A risk as it is sent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    level: String,
    #[serde(default)]
    reasons: Vec<String>,
    expires_at: Option<String>,
}

impl Said {
    fn check(self) -> Result<Observed<Arc<Risk>>, Flaw> {
        let cure = "`low`, `medium` or `high`";
        let flaw = || Flaw { key: "level", message: format!("`{}` is no level", self.level), cure };
        let level = RiskLevel::parse(&self.level).ok_or_else(flaw)?;
        let expires_at = time("expires_at", self.expires_at.as_deref())?;
        let value = Arc::new(Risk { level, reasons: self.reasons });
        Ok(Observed { value, source: Source::Administration, observed_at: clock::now(), expires_at })
    }
}

fn shown(whose: &Whose, risk: &Observed<Arc<Risk>>) -> Value {
    json!({
        "kind": whose.kind(),
        "name": whose.to_string(),
        "level": risk.value.level.code(),
        "reasons": risk.value.reasons,
        "observed_at": risk.observed_at.to_string(),
        "expires_at": risk.expires_at.map(|time| time.to_string()),
        "source": risk.source.code(),
    })
}

/// Whom or what a path names.
pub(super) fn whose(kind: &str, name: &str) -> Result<Whose, Box<Response>> {
    let help = "of a `user` (an e-mail address or `provider:subject`) or of a `device` (its id)";
    Whose::parse(kind, name).ok_or_else(|| Box::new(error(StatusCode::NOT_FOUND, help)))
}

async fn list(State(inner): State<Arc<Inner>>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let risks = Arc::clone(&inner.state.store.risks());
    // What administrators say of one comes first, and then what others do.
    let key = |whose: &Whose, risk: &Observed<Arc<Risk>>| match &risk.source {
        Source::Administration => format!("{}/{whose}", whose.kind()),
        other => format!("{}/{whose} {}", whose.kind(), other.code()),
    };
    let all: BTreeMap<String, Value> = risks.all().map(|(whose, risk)| (key(&whose, risk), shown(&whose, risk))).collect();
    page("risks", all.keys().map(String::as_str), &query, |key| all.get(key).cloned())
}

async fn one(State(inner): State<Arc<Inner>>, Path((kind, name)): Path<(String, String)>) -> Response {
    let whose = match whose(&kind, &name) {
        Ok(whose) => whose,
        Err(refused) => return *refused,
    };
    match inner.state.store.risks().find(&whose) {
        Some(risk) => Json(shown(&whose, risk)).into_response(),
        None => error(StatusCode::NOT_FOUND, "nothing is said of this one"),
    }
}

async fn put(State(inner): State<Arc<Inner>>, Path((kind, name)): Path<(String, String)>, body: Bytes) -> Response {
    let (whose, said) = match (whose(&kind, &name), value::<Said>(&body)) {
        (Ok(whose), Ok(said)) => (whose, said),
        (Err(refused), _) | (_, Err(refused)) => return *refused,
    };
    let risk = match said.check() {
        Ok(risk) => risk,
        Err(flaw) => return flawed(&[flaw]),
    };
    let shown = shown(&whose, &risk);
    match inner.state.store.put_risk(whose, risk).await {
        Ok(()) => (Extension(Done(shown.clone())), Json(shown)).into_response(),
        Err(failed) => unavailable(&failed),
    }
}

async fn remove(State(inner): State<Arc<Inner>>, Path((kind, name)): Path<(String, String)>) -> Response {
    let whose = match whose(&kind, &name) {
        Ok(whose) => whose,
        Err(refused) => return *refused,
    };
    match inner.state.store.remove_risk(&whose).await {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => error(StatusCode::NOT_FOUND, "nothing is said of this one"),
        Err(failed) => unavailable(&failed),
    }
}
