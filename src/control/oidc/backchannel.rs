//! Sign-outs that the provider tells of by itself (OpenID Connect Back-Channel Logout 1.0). In: a logout token. Out: ended sign-ins,
//! and 200; or 400. Must never end anything for a token that failed one check, nor answer before the rows are gone.

use super::discovery::Issuer;
use super::id_token::{ALGORITHMS, payload};
use crate::clock;
use crate::control::answer::{self, Answer};
use crate::control::{Call, Control, unavailable};
use crate::model::identity::{Act, Acted, Subject};
use crate::model::{Refusal, TokenHash};
use crate::snapshot::{Provider, Snapshot};
use crate::store::{Logout, Selection};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use openidconnect::core::{CoreJsonWebKeySet, CoreJwsSigningAlgorithm as Algorithm};
use openidconnect::{JsonWebKey as _, JsonWebKeyId};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How long after it was issued a token counts.
const RECENT: Duration = Duration::from_secs(300);
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A check failed (section 2.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum Invalid {
    #[error("there is no logout_token, or it can't be read")]
    Unreadable,
    #[error("typ is not logout+jwt")]
    Type,
    #[error("iss and aud are not a provider and us")]
    NotForUs,
    #[error("the provider has not been reached yet, so that its keys are not known")]
    Undiscovered,
    #[error("the signature is not the provider's")]
    Signature,
    #[error("iat is missing, lies ahead or long ago, or exp is over")]
    Time,
    #[error("events does not have the event")]
    Event,
    #[error("there is a nonce: this is an ID token")]
    Nonce,
    #[error("jti is missing")]
    NoId,
    #[error("jti has been seen before")]
    Again,
    #[error("there is neither sub nor sid, or one is no text")]
    Nobody,
}

/// `backchannel-logout` on the auth host.
pub(in crate::control) async fn answer(control: &Control, call: &Call<'_>) -> Result<Answer, Refusal> {
    let checked = check(control, &call.place.snapshot, call.form.find("logout_token")).await;
    let ended = match checked {
        Ok(logout) => control.store.log_out(&logout).await.map_err(unavailable)?.ok_or(Invalid::Again),
        Err(invalid) => Err(invalid),
    };
    match ended {
        Ok(ended) => {
            let mut answer = answer::document("application/json", "no-store", "{}\n");
            let acted = ended.found.into_iter().next().map(|found| Acted {
                subject: found.subject,
                email: None,
                act: Act::SignedOutByProvider,
                profile: None,
            });
            acted.map(|acted| answer.extensions_mut().insert(acted));
            Ok(answer)
        }
        Err(invalid) => {
            tracing::warn!(error = %invalid, "a logout token was refused");
            let body = json!({ "error": "invalid_request", "error_description": invalid.to_string() });
            let mut answer = answer::document("application/json", "no-store", format!("{body}\n"));
            *answer.status_mut() = StatusCode::BAD_REQUEST;
            Ok(answer)
        }
    }
}

/// Makes every check; what a token says is its own word until then.
async fn check(control: &Control, snapshot: &Snapshot, token: Option<&str>) -> Result<Logout, Invalid> {
    let token = token.ok_or(Invalid::Unreadable)?;
    let claims = payload(token).ok_or(Invalid::Unreadable)?;
    let provider = snapshot.providers.values().find(|provider| is_of(provider, &claims)).ok_or(Invalid::NotForUs)?;
    let issuer = control.directory.find(provider).map_err(|_| Invalid::Undiscovered)?;
    check_signature(&issuer, token).await?;
    check_claims(provider, &claims)
}

/// Whose word it claims to be, and that it is meant for us.
fn is_of(provider: &Provider, claims: &Map<String, Value>) -> bool {
    let is_us = |audience: &Value| audience == &*provider.client_id;
    let audience = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().any(is_us),
        Some(one) => is_us(one),
        None => false,
    };
    audience && claims.get("iss").is_some_and(|issuer| issuer == provider.issuer.as_str())
}

/// The algorithm is one of those that the provider announces, never `none` or a shared secret.
async fn check_signature(issuer: &Issuer, token: &str) -> Result<(), Invalid> {
    let metadata = issuer.metadata().map_err(|_| Invalid::Undiscovered)?;
    let signed = Signed::read(token)?;
    let announced = metadata.id_token_signing_alg_values_supported();
    if !ALGORITHMS.contains(&signed.algorithm) || !announced.contains(&signed.algorithm) {
        return Err(Invalid::Signature);
    }
    if signed.is_by(&issuer.keys.current()) {
        return Ok(());
    }
    // The provider may have taken a new key since.
    issuer.keys.refetch(&issuer.http, metadata.jwks_uri()).await.map_err(|_| Invalid::Signature)?;
    if signed.is_by(&issuer.keys.current()) { Ok(()) } else { Err(Invalid::Signature) }
}

/// A compact JWS (RFC 7515, section 3.1) whose signature is still to be checked.
struct Signed<'a> {
    algorithm: Algorithm,
    key: Option<JsonWebKeyId>,
    message: &'a str,
    signature: Vec<u8>,
}

impl<'a> Signed<'a> {
    fn read(token: &'a str) -> Result<Self, Invalid> {
        let (message, signature) = token.rsplit_once('.').ok_or(Invalid::Unreadable)?;
        let (header, _) = message.split_once('.').ok_or(Invalid::Unreadable)?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Invalid::Unreadable);
        let header: Map<String, Value> = serde_json::from_slice(&decode(header)?).map_err(|_| Invalid::Unreadable)?;
        // Providers that are older than the type call every token a JWT; its event tells it from all others.
        let is_typed = |typ: &Value| {
            let typ = typ.as_str().map(str::to_ascii_lowercase);
            matches!(typ.as_deref(), Some("logout+jwt" | "application/logout+jwt" | "jwt"))
        };
        if !header.get("typ").is_none_or(is_typed) {
            return Err(Invalid::Type);
        }
        // What must be understood and is not (RFC 7515, section 4.1.11).
        if header.contains_key("crit") {
            return Err(Invalid::Unreadable);
        }
        let algorithm = header.get("alg").cloned().and_then(|name| serde_json::from_value(name).ok()).ok_or(Invalid::Signature)?;
        let key = header.get("kid").and_then(Value::as_str).map(|kid| JsonWebKeyId::new(kid.to_owned()));
        Ok(Self { algorithm, key, message, signature: decode(signature)? })
    }

    fn is_by(&self, keys: &CoreJsonWebKeySet) -> bool {
        let mut meant = keys.keys().iter().filter(|key| self.key.is_none() || key.key_id() == self.key.as_ref());
        meant.any(|key| key.verify_signature(&self.algorithm, self.message.as_bytes(), &self.signature).is_ok())
    }
}

fn check_claims(provider: &Provider, claims: &Map<String, Value>) -> Result<Logout, Invalid> {
    let now = clock::now();
    let seconds = |name: &str| claims.get(name).map(|time| time.as_f64().ok_or(Invalid::Time)).transpose();
    let issued = seconds("iat")?.ok_or(Invalid::Time)?;
    let (now_seconds, leeway) = (now.seconds() as f64, provider.leeway.as_secs_f64());
    let is_recent = issued <= now_seconds + leeway && issued >= now_seconds - leeway - RECENT.as_secs_f64();
    if !is_recent || seconds("exp")?.is_some_and(|end| end <= now_seconds - leeway) {
        return Err(Invalid::Time);
    }
    if !claims.get("events").and_then(|events| events.get(EVENT)).is_some_and(Value::is_object) {
        return Err(Invalid::Event);
    }
    if claims.contains_key("nonce") {
        return Err(Invalid::Nonce);
    }
    let id = text(claims, "jti", Invalid::NoId)?.ok_or(Invalid::NoId)?;
    let (subject, sid) = (text(claims, "sub", Invalid::Nobody)?, text(claims, "sid", Invalid::Nobody)?);
    let token = TokenHash::of(format!("{}\n{id}", provider.name.as_str()).as_bytes());
    // Longer than it can count, whichever way the clocks differ.
    let until = now.plus(RECENT + provider.leeway * 2);
    let provider = provider.name.clone();
    let what = match (subject, sid) {
        (subject, Some(sid)) => Selection::ProviderSession { provider, subject, sid },
        (Some(subject), None) => Selection::Subject(Subject { provider, subject }),
        (None, None) => return Err(Invalid::Nobody),
    };
    Ok(Logout { what, token, until })
}

/// A claim that is a text with something in it, where it is there.
fn text(claims: &Map<String, Value>, name: &str, invalid: Invalid) -> Result<Option<String>, Invalid> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(_) => Err(invalid),
    }
}
