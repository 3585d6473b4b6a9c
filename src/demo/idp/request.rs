//! Reads an authorization request (OpenID Connect Core 1.0 section 3.1.2.1).
//!
//! In: the query of `/authorize`. Out: an [`AuthorizationRequest`] that was checked, or a [`Refusal`].
//! It must never name a place to redirect to that is not registered.

use std::time::SystemTime;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use openidconnect::core::CoreAuthErrorResponseType as Code;
use serde::Deserialize;
use url::Url;

use super::claims::SECOND_FACTOR;
use super::grants::Login;
use super::{Settings, page};

/// The query as it came. A repeated parameter is refused before this exists (RFC 6749 section 3.1).
#[derive(Deserialize)]
pub(super) struct Parameters {
    client_id: Option<String>,
    redirect_uri: Option<String>,
    response_type: Option<String>,
    scope: Option<String>,
    state: Option<String>,
    nonce: Option<String>,
    code_challenge: Option<String>,
    code_challenge_method: Option<String>,
    prompt: Option<String>,
    max_age: Option<String>,
    acr_values: Option<String>,
    login_hint: Option<String>,
}

/// A request that the provider will act on.
pub(super) struct AuthorizationRequest {
    pub(super) reply: Reply,
    pub(super) scopes: Vec<String>,
    pub(super) nonce: Option<String>,
    pub(super) challenge: String,
    pub(super) login_hint: Option<String>,
    /// Whether the client would like a second factor.
    pub(super) second_factor: bool,
    prompt: Prompt,
    max_age: Option<u64>,
}

#[derive(PartialEq)]
enum Prompt {
    WhenNeeded,
    Never,
    Always,
}

/// Why there is no request to act on.
pub(super) enum Refusal {
    /// The client cannot be trusted with an answer: the browser stays here.
    Shown(&'static str),
    /// The client is told.
    Returned(Redirect),
}

/// Where an answer goes, and what must be in it.
pub(super) struct Reply {
    redirect_uri: Url,
    /// As registered, before any parsing.
    pub(super) registered: String,
    state: Option<String>,
    issuer: String,
}

impl Reply {
    pub(super) fn code(&self, code: &str) -> Redirect {
        self.with(&[("code", code)])
    }

    pub(super) fn error(&self, code: &Code, description: &str) -> Redirect {
        self.with(&[("error", code.as_ref()), ("error_description", description)])
    }

    fn with(&self, answer: &[(&str, &str)]) -> Redirect {
        let mut location = self.redirect_uri.clone();
        location
            .query_pairs_mut()
            .extend_pairs(answer)
            .extend_pairs(self.state.as_ref().map(|state| ("state", state)))
            .append_pair("iss", &self.issuer);
        Redirect::to(location.as_str())
    }
}

impl AuthorizationRequest {
    /// Reads and checks `parameters`.
    pub(super) fn read(settings: &Settings, parameters: Parameters) -> Result<Self, Refusal> {
        let reply = reply(settings, &parameters)?;
        match checked(&parameters) {
            Ok((scopes, challenge)) => Ok(Self {
                prompt: prompt(&parameters).map_err(|why| refuse(&reply, why))?,
                max_age: max_age(&parameters).map_err(|why| refuse(&reply, why))?,
                second_factor: parameters.acr_values.iter().flat_map(|values| values.split(' ')).any(|acr| acr == SECOND_FACTOR),
                reply,
                scopes,
                challenge,
                nonce: parameters.nonce,
                login_hint: parameters.login_hint,
            }),
            Err(why) => Err(refuse(&reply, why)),
        }
    }

    /// Whether this login answers the request, without asking the person again.
    pub(super) fn accepts(&self, login: &Login) -> bool {
        let age = SystemTime::now().duration_since(login.authenticated).unwrap_or_default();
        let strong_enough = login.second_factor || !self.second_factor;
        strong_enough && self.prompt != Prompt::Always && self.max_age.is_none_or(|most| age.as_secs() < most)
    }

    /// Whether the person must not be shown anything (`prompt=none`).
    pub(super) fn is_silent(&self) -> bool {
        self.prompt == Prompt::Never
    }
}

type Why = (Code, &'static str);

fn refuse(reply: &Reply, (code, description): Why) -> Refusal {
    Refusal::Returned(reply.error(&code, description))
}

/// Who asked, and where to answer. Until this is known, nothing may be sent anywhere.
fn reply(settings: &Settings, parameters: &Parameters) -> Result<Reply, Refusal> {
    if parameters.client_id.as_deref() != Some(settings.client_id.as_str()) {
        return Err(Refusal::Shown("The application that sent you here is not known."));
    }
    let unknown = Refusal::Shown("The address to return to is not registered.");
    let asked = parameters.redirect_uri.as_ref();
    let Some(registered) = asked.filter(|uri| settings.redirect_uris.contains(uri)) else {
        return Err(unknown);
    };
    let Ok(redirect_uri) = Url::parse(registered) else {
        return Err(unknown);
    };
    Ok(Reply { redirect_uri, registered: registered.clone(), state: parameters.state.clone(), issuer: settings.issuer.clone() })
}

fn checked(parameters: &Parameters) -> Result<(Vec<String>, String), Why> {
    if parameters.response_type.as_deref() != Some("code") {
        return Err((Code::UnsupportedResponseType, "response_type must be code"));
    }
    let asked = parameters.scope.as_deref().unwrap_or_default().split(' ');
    let scopes: Vec<String> = asked.filter(|scope| super::metadata::SCOPES.contains(scope)).map(String::from).collect();
    if !scopes.iter().any(|scope| scope == "openid") {
        return Err((Code::InvalidScope, "scope must have openid"));
    }
    Ok((scopes, challenge(parameters)?))
}

fn challenge(parameters: &Parameters) -> Result<String, Why> {
    if parameters.code_challenge_method.as_deref() != Some("S256") {
        return Err((Code::InvalidRequest, "code_challenge_method must be S256"));
    }
    // 32 bytes are 43 characters of base64url.
    let challenge = parameters.code_challenge.as_ref().filter(|given| given.len() == 43);
    challenge.cloned().ok_or((Code::InvalidRequest, "code_challenge must be a SHA-256"))
}

fn prompt(parameters: &Parameters) -> Result<Prompt, Why> {
    let asked: Vec<&str> = parameters.prompt.iter().flat_map(|prompt| prompt.split(' ')).collect();
    if asked == ["none"] {
        return Ok(Prompt::Never);
    }
    if asked.contains(&"none") {
        return Err((Code::InvalidRequest, "prompt=none stands alone"));
    }
    let again = asked.contains(&"login") || asked.contains(&"select_account");
    Ok(if again { Prompt::Always } else { Prompt::WhenNeeded })
}

/// In seconds.
fn max_age(parameters: &Parameters) -> Result<Option<u64>, Why> {
    let Some(text) = &parameters.max_age else {
        return Ok(None);
    };
    let seconds = text.parse().map_err(|_| (Code::InvalidRequest, "max_age must be a number of seconds"))?;
    Ok(Some(seconds))
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Shown(why) => page::message(StatusCode::BAD_REQUEST, "This sign-in cannot go on", why),
            Self::Returned(redirect) => redirect.into_response(),
        }
    }
}
