//! Sign-outs that the provider tells of by itself (OpenID Connect Back-Channel Logout 1.0). In: a logout token. Out: ended sign-ins,
//! and 200; or 400. Must never end anything for a token that failed one check, nor answer before the rows are gone.

use super::jws::{Signed, Types, Unsound, is_for, text};
use crate::clock;
use crate::control::answer::{self, Answer};
use crate::control::{Call, Control, unavailable};
use crate::model::identity::{Act, Acted, Subject};
use crate::model::{Refusal, TokenHash};
use crate::snapshot::{Provider, Snapshot};
use crate::store::{Logout, Selection};
use http::StatusCode;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// How long after it was issued a token counts.
const RECENT: Duration = Duration::from_secs(300);
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// Providers that are older than the type call every token a JWT; its event tells it from all others.
const TYPES: Types = Types { names: &["logout+jwt", "jwt"], may_be_absent: true };

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
    let signed = Signed::read(token.ok_or(Invalid::Unreadable)?, &TYPES)?;
    let claims = signed.unchecked();
    let provider = snapshot.providers.values().find(|provider| is_of(provider, claims)).ok_or(Invalid::NotForUs)?;
    let claims = control.directory.signed_by(provider, signed).await.ok_or(Invalid::Undiscovered)??;
    check_claims(provider, &claims)
}

/// Whose word it claims to be, and that it is meant for us.
fn is_of(provider: &Provider, claims: &Map<String, Value>) -> bool {
    is_for(claims, &provider.client_id) && claims.get("iss").is_some_and(|issuer| issuer == provider.issuer.as_str())
}

impl From<Unsound> for Invalid {
    fn from(unsound: Unsound) -> Self {
        match unsound {
            Unsound::Unreadable => Self::Unreadable,
            Unsound::Type => Self::Type,
            Unsound::Signature => Self::Signature,
        }
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
