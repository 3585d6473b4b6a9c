//! From a token response to a checked identity. In: what the token endpoint answered. Out: an identity and the tokens to keep.
//! Must never skip a check because the token came over TLS.

use super::discovery::Issuer;
use super::id_token::{Claims, Expected, ExpectedNonce, Invalid, verify};
use super::{Error, claims, user_info};
use crate::clock;
use crate::model::Identity;
use crate::model::identity::Subject;
use crate::snapshot::Provider;
use crate::store::Tokens;
use openidconnect::core::{CoreErrorResponseType, CoreIdToken, CoreTokenResponse};
use openidconnect::{AccessToken, OAuth2TokenResponse as _, RequestTokenError, StandardErrorResponse, TokenResponse as _};
use serde_json::Value;
use std::time::Duration;

/// An identity that passed, and what came with it.
pub(super) struct Checked {
    pub(super) identity: Identity,
    pub(super) tokens: Tokens,
    /// The provider's own session id.
    pub(super) provider_sid: Option<String>,
}

/// What the token endpoint said when it did not answer with tokens.
pub(super) fn token_error(error: RequestTokenError<super::http::Error, StandardErrorResponse<CoreErrorResponseType>>) -> Error {
    match error {
        RequestTokenError::Request(error) => Error::Http(error),
        RequestTokenError::ServerResponse(response) => Error::Refused(response.error().as_ref().to_owned()),
        // Where, not what: the text may quote a token.
        RequestTokenError::Parse(error, _) => Error::Unreadable(format!("the token response, at {}", error.path())),
        RequestTokenError::Other(error) => Error::Unreadable(error),
    }
}

/// Checks the response to a code.
pub(super) async fn check_login(
    issuer: &Issuer,
    provider: &Provider,
    response: &CoreTokenResponse,
    nonce: ExpectedNonce<'_>,
) -> Result<Checked, Error> {
    let token = response.id_token().ok_or_else(|| Error::Unreadable("there is no ID token".to_owned()))?;
    let claims = check(issuer, provider, token, response.access_token(), nonce, None).await?;
    let provider_sid = claims.all.get("sid").and_then(Value::as_str).filter(|sid| !sid.contains('\0')).map(str::to_owned);
    let tokens = Tokens {
        id_token: token.to_string(),
        refresh_token: refresh_token(response),
        expires: expires(response).or(claims.expires),
    };
    // Where the provider does not say when, nobody knows: it may have been long ago.
    let authenticated_at = claims.authenticated_at.unwrap_or_default();
    let subject = Subject { provider: provider.name.clone(), subject: claims.subject.clone() };
    let all = complete(issuer, provider, response.access_token(), claims).await?;
    let identity = Identity { subject, profile: claims::profile(provider, &all)?, authenticated_at };
    Ok(Checked { identity, tokens, provider_sid })
}

/// Checks the response to a refresh token: the same person, with the claims of today.
pub(super) async fn check_refresh(
    issuer: &Issuer,
    provider: &Provider,
    response: &CoreTokenResponse,
    before: &Identity,
    held: &Tokens,
) -> Result<Checked, Error> {
    let nonce = super::id_token::payload(&held.id_token).and_then(|old| old.get("nonce")?.as_str().map(str::to_owned));
    let nonce = ExpectedNonce::AbsentOr(nonce.as_deref());
    let (access_token, subject) = (response.access_token(), &*before.subject.subject);
    let mut identity = before.clone();
    let (all, expires_at) = match response.id_token() {
        Some(token) => {
            let claims = check(issuer, provider, token, access_token, nonce, Some(subject)).await?;
            identity.authenticated_at = claims.authenticated_at.unwrap_or(before.authenticated_at);
            let expires_at = claims.expires;
            (Some(complete(issuer, provider, access_token, claims).await?), expires_at)
        }
        None => (user_info::fetch(issuer, access_token, subject).await?, None),
    };
    if let Some(all) = all {
        identity.profile = claims::profile(provider, &all)?;
        keep_context(&mut identity, before);
    }
    let tokens = Tokens {
        id_token: response.id_token().map_or_else(|| held.id_token.clone(), ToString::to_string),
        refresh_token: refresh_token(response).or_else(|| held.refresh_token.clone()),
        expires: expires(response).or(expires_at),
    };
    Ok(Checked { identity, tokens, provider_sid: None })
}

/// A refresh says nothing of how the person authenticated unless it does.
fn keep_context(identity: &mut Identity, before: &Identity) {
    if identity.profile.amr.is_empty() {
        identity.profile.amr.clone_from(&before.profile.amr);
    }
    if identity.profile.acr.is_none() {
        identity.profile.acr.clone_from(&before.profile.acr);
    }
}

/// Verifies a token; once more with fresh keys when it names one that we don't have.
async fn check(
    issuer: &Issuer,
    provider: &Provider,
    token: &CoreIdToken,
    access_token: &AccessToken,
    nonce: ExpectedNonce<'_>,
    subject: Option<&str>,
) -> Result<Claims, Error> {
    let metadata = issuer.metadata()?;
    let expected = || Expected { subject, ..Expected::of(provider, &metadata, access_token, nonce) };
    match verify(token, &issuer.keys.current(), &expected()) {
        Err(Invalid::UnknownKey) => {
            issuer.keys.refetch(&issuer.http, metadata.jwks_uri()).await?;
            Ok(verify(token, &issuer.keys.current(), &expected())?)
        }
        verified => Ok(verified?),
    }
}

/// All claims, with those of the UserInfo endpoint where the token lacks one that is mapped.
async fn complete(
    issuer: &Issuer,
    provider: &Provider,
    token: &AccessToken,
    claims: Claims,
) -> Result<serde_json::Map<String, Value>, Error> {
    if !claims::misses(provider, &claims.all) {
        return Ok(claims.all);
    }
    let fetched = user_info::fetch(issuer, token, &claims.subject).await?;
    Ok(match fetched {
        Some(fetched) => user_info::merge(claims.all, fetched),
        None => claims.all,
    })
}

/// The refresh token, where the provider gives one.
pub(super) fn refresh_token(response: &CoreTokenResponse) -> Option<String> {
    Some(response.refresh_token()?.secret().clone())
}

/// When the access token expires, in seconds since 1970.
fn expires(response: &CoreTokenResponse) -> Option<u64> {
    let life = response.expires_in().filter(|life| *life > Duration::ZERO)?;
    Some(clock::now().plus(life).seconds())
}
