//! A provider on loopback.

use crate::control::fixture::signer::Signer;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// What the provider does next.
pub(super) struct Behaviour {
    pub(super) signer: Signer,
    /// What the next ID token says beyond the usual.
    pub(super) claims: Value,
    /// What is added to the token response; `error` makes it one.
    pub(super) response: Value,
    pub(super) user_info: Option<Value>,
    pub(super) status: StatusCode,
    pub(super) metadata: Value,
    /// Every token request.
    pub(super) asked: Vec<HashMap<String, String>>,
    pub(super) key_fetches: usize,
}

#[derive(Clone)]
pub(super) struct TestProvider {
    pub(super) issuer: String,
    pub(super) behaviour: Arc<Mutex<Behaviour>>,
}

impl TestProvider {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let behaviour = Behaviour {
            signer: Signer::new("first"),
            claims: json!({}),
            response: json!({}),
            user_info: None,
            status: StatusCode::OK,
            metadata: json!({}),
            asked: Vec::new(),
            key_fetches: 0,
        };
        let behaviour = Arc::new(Mutex::new(behaviour));
        let provider = Self { issuer, behaviour };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .route("/user", get(user_info))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        provider
    }

    pub(super) fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.behaviour.lock().unwrap());
    }

    /// How many token requests there were.
    pub(super) fn asked(&self) -> usize {
        self.behaviour.lock().unwrap().asked.len()
    }
}

fn merge(into: &mut Value, changes: &Value) {
    for (name, value) in changes.as_object().unwrap() {
        into[name] = value.clone();
    }
    into.as_object_mut().unwrap().retain(|_, value| !value.is_null());
}

async fn metadata(State(provider): State<TestProvider>) -> Json<Value> {
    let issuer = &provider.issuer;
    let mut metadata = json!({
        "issuer": issuer, "authorization_endpoint": format!("{issuer}/auth"), "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"), "userinfo_endpoint": format!("{issuer}/user"),
        "end_session_endpoint": format!("{issuer}/end"), "response_types_supported": ["code"],
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
        "authorization_response_iss_parameter_supported": true,
    });
    merge(&mut metadata, &provider.behaviour.lock().unwrap().metadata);
    Json(metadata)
}

async fn keys(State(provider): State<TestProvider>) -> Json<Value> {
    let mut behaviour = provider.behaviour.lock().unwrap();
    behaviour.key_fetches += 1;
    Json(behaviour.signer.key_set())
}

async fn token(
    State(provider): State<TestProvider>,
    headers: HeaderMap,
    Form(asked): Form<HashMap<String, String>>,
) -> (StatusCode, Json<Value>) {
    let mut behaviour = provider.behaviour.lock().unwrap();
    assert!(headers.get("authorization").unwrap().to_str().unwrap().starts_with("Basic "));
    let now = crate::clock::now().seconds();
    let mut claims = json!({
        "iss": provider.issuer, "aud": "doorward", "sub": "ana", "iat": now, "exp": now + 300, "name": "Ana",
        "email": "ana@corp.example", "email_verified": true, "groups": ["staff"], "nonce": asked.get("code"),
    });
    merge(&mut claims, &behaviour.claims);
    let mut response = json!({
        "access_token": "access", "token_type": "Bearer", "expires_in": 300, "refresh_token": "refresh",
        "id_token": behaviour.signer.sign("RS256", &claims),
    });
    merge(&mut response, &behaviour.response);
    behaviour.asked.push(asked);
    if response.get("error").is_some() {
        return (StatusCode::BAD_REQUEST, Json(response));
    }
    (behaviour.status, Json(response))
}

async fn user_info(State(provider): State<TestProvider>) -> axum::response::Response {
    match &provider.behaviour.lock().unwrap().user_info {
        Some(claims) => Json(claims.clone()).into_response(),
        None => StatusCode::BAD_GATEWAY.into_response(),
    }
}
