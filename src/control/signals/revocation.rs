//! `/.doorward/global-token-revocation` (draft-parecki-oauth-global-token-revocation, as Okta's Universal Logout uses it). In: whom a
//! provider wants signed out. Out: 204 once that is committed. Must never end sign-ins of another provider's people, nor on the word
//! of somebody who does not prove who they are.

use super::push::is_same;
use super::subject::Speaker;
use crate::clock;
use crate::control::answer::{self, Answer};
use crate::control::oidc::jws::{Signed, Types, Unsound, is_for};
use crate::control::text::has_nul;
use crate::control::{Call, Control, GLOBAL_REVOCATION, PREFIX};
use crate::model::{Timestamp, Token, TokenHash};
use crate::snapshot::Provider;
use crate::snapshot::transmitters::GlobalRevocation;
use crate::store::signals::{Act, Effect, SecurityEvent, Taken};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// What Okta calls its tokens.
const TYPES: Types = Types { names: &["global-token-revocation+jwt"], may_be_absent: false };
/// How long after now a token may hold.
const LONGEST: Duration = Duration::from_secs(3600);

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refused(StatusCode, &'static str);

const UNKNOWN: Refused = Refused(StatusCode::UNAUTHORIZED, "invalid_token");
const MALFORMED: Refused = Refused(StatusCode::BAD_REQUEST, "invalid_request");
const UNAVAILABLE: Refused = Refused(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable");

/// Whoever proved who they are, and what names that proof.
struct Proved<'a> {
    provider: &'a Provider,
    token: TokenHash,
    until: Timestamp,
}

/// `global-token-revocation` on the auth host.
pub(in crate::control) async fn answer(control: &Control, call: &Call<'_>) -> Answer {
    match take(control, call).await {
        Ok(()) => {
            let mut answer = answer::document("application/json", "no-store", "");
            *answer.status_mut() = StatusCode::NO_CONTENT;
            answer
        }
        Err(Refused(status, error)) => {
            tracing::warn!(%status, error, "a global token revocation was refused");
            let mut answer = answer::document("application/json", "no-store", format!("{}\n", json!({ "error": error })));
            *answer.status_mut() = status;
            if status == StatusCode::UNAUTHORIZED {
                answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer error=\"invalid_token\""));
            }
            answer
        }
    }
}

async fn take(control: &Control, call: &Call<'_>) -> Result<(), Refused> {
    let proved = authenticate(control, call).await?;
    let body: Value = serde_json::from_slice(&call.body).ok().filter(|body| !has_nul(body)).ok_or(MALFORMED)?;
    let subject = body.get("sub_id").ok_or(MALFORMED)?;
    let issuer = proved.provider.issuer.as_str();
    if subject.get("iss").is_some_and(|named| named != issuer) {
        return Err(Refused(StatusCode::FORBIDDEN, "access_denied"));
    }
    let speaker = Speaker { issuers: [issuer; 2], tenant: None, provider: proved.provider };
    let about = speaker.read(subject, &[]).map_err(|_| MALFORMED)?;
    if !control.can_record() {
        return Err(UNAVAILABLE);
    }
    let event = SecurityEvent {
        transmitter: proved.provider.name.as_str().into(),
        provider: proved.provider.name.clone(),
        token: proved.token,
        until: proved.until,
        about,
        act: Act::End { before: None },
        why: None,
        silent_after: None,
    };
    match control.store.take_event(&event).await.map_err(|_| UNAVAILABLE)? {
        Taken::Done(effect) => {
            control.record(&record(proved.provider, &effect));
            Ok(())
        }
        Taken::Again => Err(UNKNOWN),
        Taken::Unmatched | Taken::Unexpected => Err(Refused(StatusCode::NOT_FOUND, "user_not_found")),
    }
}

/// Who asks: the provider that signed the token, or the one whose agreed token it is.
async fn authenticate<'a>(control: &Control, call: &'a Call<'_>) -> Result<Proved<'a>, Refused> {
    let token = bearer(call.headers).ok_or(UNKNOWN)?;
    let providers = call.place.snapshot.providers.values();
    let agreed = |provider: &&Provider| match &provider.global_revocation {
        Some(GlobalRevocation::Token(agreed)) => is_same(token.as_bytes(), agreed.expose_secret().as_bytes()),
        _ => false,
    };
    if let Some(provider) = providers.clone().find(agreed) {
        // It is the same each time: what was asked has no name that could be remembered.
        let token = Token::random().map_err(|_| UNAVAILABLE)?.hash();
        return Ok(Proved { provider, token, until: clock::now() });
    }
    let signed = Signed::read(token, &TYPES).map_err(|_| UNKNOWN)?;
    let signs = |provider: &&Provider| {
        let issuer = signed.unchecked().get("iss");
        matches!(provider.global_revocation, Some(GlobalRevocation::Signed))
            && issuer.is_some_and(|iss| iss == provider.issuer.as_str())
    };
    let provider = providers.clone().find(signs).ok_or(UNKNOWN)?;
    let claims = control.directory.signed_by(provider, signed).await.ok_or(UNAVAILABLE)?;
    let claims = claims.map_err(|unsound| if unsound == Unsound::Unfetched { UNAVAILABLE } else { UNKNOWN })?;
    let us = format!("{}{PREFIX}{GLOBAL_REVOCATION}", call.place.snapshot.auth);
    let until = good_until(&claims, &us, provider).ok_or(UNKNOWN)?;
    let id = claims.get("jti").and_then(Value::as_str).filter(|id| !id.is_empty()).ok_or(UNKNOWN)?;
    let token = TokenHash::of(format!("revocation\n{}\n{id}", provider.name).as_bytes());
    Ok(Proved { provider, token, until })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Until when these claims hold, where they are for us and hold now.
fn good_until(claims: &Map<String, Value>, us: &str, provider: &Provider) -> Option<Timestamp> {
    let (now, leeway) = (clock::now().seconds() as f64, provider.leeway.as_secs_f64());
    let seconds = |name: &str| claims.get(name).map(Value::as_f64);
    let end = seconds("exp")??;
    let has_begun = |name: &str| seconds(name).is_none_or(|time| time.is_some_and(|time| time <= now + leeway));
    let holds =
        is_for(claims, us) && end > now - leeway && end <= now + LONGEST.as_secs_f64() && has_begun("nbf") && has_begun("iat");
    holds.then(|| Timestamp::from_seconds(end as u64).plus(provider.leeway * 2))
}

fn record(provider: &Provider, effect: &Effect) -> Value {
    json!({
        "time": clock::now().to_string(),
        "act": "signal",
        "transmitter": null,
        "provider": provider.name.as_str(),
        "event": "global-token-revocation",
        "outcome": "done",
        "people": effect.people.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "ended": effect.ended,
    })
}
