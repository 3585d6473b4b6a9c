//! The end session endpoint (OpenID Connect RP-Initiated Logout 1.0).
//!
//! In: an `id_token_hint`, or the provider's own form. Out: the login is ended, the client has been told, the browser returns to a
//! registered address. It must never sign anybody out on the word of a link that proves nothing.

use std::sync::Arc;

use axum::extract::{Form, Query, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use serde::Deserialize;
use url::Url;

use super::{Provider, back_channel, browser, claims, page};

/// What a client sends, and what the provider's own form sends.
#[derive(Deserialize)]
pub(super) struct LogoutRequest {
    id_token_hint: Option<String>,
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
    form_token: Option<String>,
}

/// `GET /end_session`.
pub(super) async fn by_link(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    Query(request): Query<LogoutRequest>,
) -> Response {
    end(&provider, &headers, &request).await
}

/// `POST /end_session`.
pub(super) async fn by_form(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    Form(request): Form<LogoutRequest>,
) -> Response {
    end(&provider, &headers, &request).await
}

async fn end(provider: &Provider, headers: &HeaderMap, request: &LogoutRequest) -> Response {
    let hinted = request.id_token_hint.as_deref().and_then(|token| claims::sid_of(provider, token));
    let cookie = browser::login_cookie(headers).and_then(|cookie| provider.grants.login(cookie));
    let confirmed = request.form_token.as_deref().is_some_and(|token| browser::was_shown(headers, token));
    let sid = hinted.or_else(|| cookie.filter(|_| confirmed).map(|login| login.sid.clone()));
    let Some(sid) = sid else { return ask(headers) };
    if let Some(login) = provider.grants.log_out(&sid) {
        back_channel::tell(provider, &login).await;
    }
    signed_out(provider, request)
}

fn signed_out(provider: &Provider, request: &LogoutRequest) -> Response {
    let forget = AppendHeaders([(SET_COOKIE, browser::forget_login())]);
    match return_address(provider, request) {
        Some(address) => (forget, Redirect::to(address.as_str())).into_response(),
        None => {
            let text = "You are signed out of the demo identity provider.";
            (forget, page::message(StatusCode::OK, "Signed out", text)).into_response()
        }
    }
}

/// Where the client wants the browser back, if that is registered.
fn return_address(provider: &Provider, request: &LogoutRequest) -> Option<Url> {
    let asked = request.post_logout_redirect_uri.as_ref();
    let registered = asked.filter(|uri| provider.settings.post_logout_uris.contains(uri))?;
    let mut address = Url::parse(registered).ok()?;
    if let Some(state) = &request.state {
        address.query_pairs_mut().append_pair("state", state);
    }
    Some(address)
}

fn ask(headers: &HeaderMap) -> Response {
    let form_token = browser::form_token(headers);
    let keep = AppendHeaders([(SET_COOKIE, browser::keep_form_token(&form_token))]);
    (keep, page::form(StatusCode::OK, &page::Logout { form_token: &form_token }, &[])).into_response()
}
