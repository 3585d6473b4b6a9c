//! The authorization endpoint (OpenID Connect Core 1.0 section 3.1.2): the login page, and the code.
//!
//! In: an authorization request, a login cookie, the login form. Out: the page, or a redirect to the client with
//! a code or an error. It must never issue a code for a browser that has not signed in as the request demands.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::extract::{Form, Query, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{AppendHeaders, IntoResponse, Redirect, Response};
use openidconnect::core::CoreAuthErrorResponseType as Code;
use serde::Deserialize;

use super::grants::{Grant, Login};
use super::request::{AuthorizationRequest, Parameters, Refusal};
use super::{Provider, browser, page};

/// The login form.
#[derive(Deserialize)]
pub(super) struct Credentials {
    email: String,
    password: String,
    code: Option<String>,
    form_token: String,
}

/// The code that the demo takes for a second factor; the page says it.
const CODE: &str = "000000";

/// `GET /authorize`: a code for a browser that is signed in, the login page for others.
pub(super) async fn show(
    State(provider): State<Arc<Provider>>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let request = AuthorizationRequest::read(&provider.settings, parameters)?;
    match signed_in(&provider, &headers).filter(|login| request.accepts(login)) {
        Some(login) => Ok(code(&provider, request, login).into_response()),
        None if request.is_silent() => Ok(request.reply.error(&Code::LoginRequired, "nobody is signed in").into_response()),
        None => Ok(login_page(&provider, &headers, &request, StatusCode::OK, None)),
    }
}

/// `POST /authorize`: the login form, sent to the URL it was shown at.
pub(super) async fn submit(
    State(provider): State<Arc<Provider>>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    Form(credentials): Form<Credentials>,
) -> Result<Response, Refusal> {
    let request = AuthorizationRequest::read(&provider.settings, parameters)?;
    let person = match browser::was_shown(&headers, &credentials.form_token) {
        true => provider.sign_in(&credentials.email, &credentials.password),
        false => {
            return Ok(again(&provider, &headers, &request, "The form was too old. Please sign in again."));
        }
    };
    let Some(person) = person else {
        return Ok(again(&provider, &headers, &request, "The address or the password is not right."));
    };
    if request.second_factor && credentials.code.as_deref() != Some(CODE) {
        return Ok(again(&provider, &headers, &request, "The code is not right."));
    }
    let (cookie, login) = provider.grants.log_in(person.email, request.second_factor);
    let keep = AppendHeaders([(SET_COOKIE, browser::keep_login(&cookie))]);
    Ok((keep, code(&provider, request, login)).into_response())
}

/// The login of a browser whose person is still known.
fn signed_in(provider: &Provider, headers: &HeaderMap) -> Option<Arc<Login>> {
    let login = provider.grants.login(browser::login_cookie(headers)?)?;
    provider.person(&login.email).map(|_| login)
}

fn code(provider: &Provider, request: AuthorizationRequest, login: Arc<Login>) -> Redirect {
    let code = provider.grants.issue_code(Grant {
        login,
        scopes: request.scopes,
        redirect_uri: request.reply.registered.clone(),
        challenge: request.challenge,
        nonce: request.nonce,
        revoked: AtomicBool::new(false),
    });
    request.reply.code(&code)
}

fn again(provider: &Provider, headers: &HeaderMap, request: &AuthorizationRequest, why: &'static str) -> Response {
    login_page(provider, headers, request, StatusCode::FORBIDDEN, Some(why))
}

fn login_page(
    provider: &Provider,
    headers: &HeaderMap,
    request: &AuthorizationRequest,
    status: StatusCode,
    problem: Option<&'static str>,
) -> Response {
    let form_token = browser::form_token(headers);
    let keep = AppendHeaders([(SET_COOKIE, browser::keep_form_token(&form_token))]);
    let page = page::Login {
        problem,
        email: request.login_hint.as_deref().unwrap_or_default(),
        form_token: &form_token,
        code: request.second_factor.then_some(CODE),
        people: &provider.people.load(),
    };
    (keep, page::form(status, &page, &provider.settings.return_origins)).into_response()
}
