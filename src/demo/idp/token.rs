//! The token endpoint (RFC 6749 sections 3.2, 4.1.3 and 6) and user info (OpenID Connect Core 1.0 section 5.3).
//!
//! In: a code or a refresh token with the client's credentials, or an access token. Out: tokens, or claims. It
//! must never answer a client that has not proved itself, nor a code without its verifier.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use openidconnect::core::{
    CoreErrorResponseType as Code, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm, CoreTokenType,
};
use openidconnect::{
    AccessToken, EmptyExtraTokenFields, IdTokenFields, Nonce, RefreshToken, Scope, StandardErrorResponse, StandardTokenResponse,
};
use serde::Deserialize;

use super::claims::{self, Beyond};
use super::grants::{Grant, digest};
use super::{Provider, same};

/// The body of a token request.
#[derive(Deserialize)]
pub(super) struct TokenRequest {
    grant_type: Option<String>,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    refresh_token: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
}

type Tokens = StandardTokenResponse<
    IdTokenFields<Beyond, EmptyExtraTokenFields, CoreGenderClaim, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm>,
    CoreTokenType,
>;

/// Why there are no tokens.
pub(super) enum Refusal {
    Told(Code, &'static str),
    Failed,
}

/// `POST /token`.
pub(super) async fn exchange(
    State(provider): State<Arc<Provider>>,
    headers: HeaderMap,
    body: Result<Form<TokenRequest>, FormRejection>,
) -> Result<Response, Refusal> {
    let Form(request) = body.map_err(|_| Refusal::Told(Code::InvalidRequest, "the body is not a form"))?;
    authenticate(&provider, &headers, &request)?;
    let (grant, nonce) = match request.grant_type.as_deref() {
        Some("authorization_code") => redeem_code(&provider, &request)?,
        Some("refresh_token") => (redeem_refresh_token(&provider, &request)?, None),
        _ => return Err(Refusal::Told(Code::UnsupportedGrantType, "this grant_type is not offered")),
    };
    let tokens = issue(&provider, &grant, nonce)?;
    Ok(([(CACHE_CONTROL, "no-store")], Json(tokens)).into_response())
}

/// `GET` or `POST /userinfo`.
pub(super) async fn user_info(State(provider): State<Arc<Provider>>, headers: HeaderMap) -> Response {
    let found = authorization(&headers, "Bearer")
        .and_then(|token| provider.grants.granted(token))
        .and_then(|grant| Some((provider.person(&grant.login.email)?, grant)));
    match found {
        Some((person, grant)) => ([(CACHE_CONTROL, "no-store")], Json(claims::user_info(&grant, &person))).into_response(),
        None => (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, r#"Bearer error="invalid_token""#)]).into_response(),
    }
}

/// Checks the client's secret, sent in one way only (RFC 6749 section 2.3).
fn authenticate(provider: &Provider, headers: &HeaderMap, request: &TokenRequest) -> Result<(), Refusal> {
    let posted = request.client_id.clone().zip(request.client_secret.clone());
    let basic = authorization(headers, "Basic").and_then(basic_credentials);
    if headers.contains_key(AUTHORIZATION) && request.client_secret.is_some() {
        return Err(Refusal::Told(Code::InvalidRequest, "two ways of client authentication at once"));
    }
    match basic.or(posted) {
        Some((id, secret)) if provider.is_client(&id, &secret) => Ok(()),
        _ => Err(Refusal::Told(Code::InvalidClient, "the client or its secret is not right")),
    }
}

fn redeem_code(provider: &Provider, request: &TokenRequest) -> Result<(Arc<Grant>, Option<Nonce>), Refusal> {
    let invalid = Refusal::Told(Code::InvalidGrant, "the code is not valid, or not for this request");
    let grant = request.code.as_deref().and_then(|code| provider.grants.redeem_code(code));
    let verifier = request.code_verifier.as_deref().unwrap_or_default();
    match grant {
        // The code is spent by now, so that a stolen one allows a single guess.
        Some(grant) if request.redirect_uri.as_ref() == Some(&grant.redirect_uri) && same(&grant.challenge, &digest(verifier)) => {
            let nonce = grant.nonce.clone().map(Nonce::new);
            Ok((grant, nonce))
        }
        _ => Err(invalid),
    }
}

fn redeem_refresh_token(provider: &Provider, request: &TokenRequest) -> Result<Arc<Grant>, Refusal> {
    let token = request.refresh_token.as_deref();
    token
        .and_then(|token| provider.grants.redeem_refresh_token(token))
        .ok_or(Refusal::Told(Code::InvalidGrant, "the refresh token is not valid"))
}

/// New tokens for a grant. A person who is gone gets none.
fn issue(provider: &Provider, grant: &Arc<Grant>, nonce: Option<Nonce>) -> Result<Tokens, Refusal> {
    let person =
        provider.person(&grant.login.email).ok_or(Refusal::Told(Code::InvalidGrant, "the person is not known any more"))?;
    let access_token = AccessToken::new(provider.grants.issue_access_token(grant));
    let id_token = claims::id_token(provider, grant, &person, &access_token, nonce);
    let id_token = id_token.map_err(|_| Refusal::Failed)?;
    let fields = IdTokenFields::new(Some(id_token), EmptyExtraTokenFields {});
    let mut tokens = Tokens::new(access_token, CoreTokenType::Bearer, fields);
    tokens.set_expires_in(Some(&provider.settings.access_token_life));
    tokens.set_scopes(Some(grant.scopes.iter().cloned().map(Scope::new).collect()));
    if grant.has("offline_access") {
        tokens.set_refresh_token(Some(RefreshToken::new(provider.grants.issue_refresh_token(grant))));
    }
    Ok(tokens)
}

/// The credentials of an `Authorization` header of this scheme (RFC 9110 section 11.4).
fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (given, credentials) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then_some(credentials.trim())
}

/// Client id and secret, each form-encoded before they were joined (RFC 6749 section 2.3.1).
fn basic_credentials(encoded: &str) -> Option<(String, String)> {
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((form_decoded(id)?, form_decoded(secret)?))
}

fn form_decoded(text: &str) -> Option<String> {
    let (name, _) = url::form_urlencoded::parse(text.as_bytes()).next()?;
    Some(name.into_owned())
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self::Told(code, description) = self else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        let challenge = (code == Code::InvalidClient).then_some((WWW_AUTHENTICATE, "Basic"));
        let status = challenge.as_ref().map_or(StatusCode::BAD_REQUEST, |_| StatusCode::UNAUTHORIZED);
        let body = StandardErrorResponse::new(code, Some(description.into()), None);
        let headers = axum::response::AppendHeaders(challenge);
        (status, headers, [(CACHE_CONTROL, "no-store")], Json(body)).into_response()
    }
}
