//! `/.doorward/events` (RFC 8935). In: a token that a transmitter posts. Out: 202 once its effect is committed; 400 with a code; 503
//! where it is to try again. Must never look at the effect of a token before who sends it is known.

use super::receive::receive;
use super::set::{Refused, TYPES};
use crate::control::answer::{self, Answer};
use crate::control::oidc::jws::Signed;
use crate::control::{Call, Control};
use crate::model::TokenHash;
use crate::snapshot::Snapshot;
use crate::snapshot::transmitters::{Delivery, Transmitter};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::json;
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

/// `events` on the auth host.
pub(in crate::control) async fn answer(control: &Control, call: &Call<'_>) -> Answer {
    let (status, body) = match take(control, call).await {
        Ok(()) => (StatusCode::ACCEPTED, String::new()),
        Err(refused) => {
            let again = refused == Refused::Unavailable;
            let status = if again { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_REQUEST };
            (status, format!("{}\n", json!({ "err": refused.code(), "description": refused.to_string() })))
        }
    };
    let mut answer = answer::document("application/json", "no-store", body);
    *answer.status_mut() = status;
    answer
}

async fn take(control: &Control, call: &Call<'_>) -> Result<(), Refused> {
    let is_set =
        |value: &str| value.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/secevent+jwt"));
    if !call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(is_set) {
        return Err(Refused::Request("Content-Type is not application/secevent+jwt"));
    }
    let token = str::from_utf8(&call.body).map_err(|_| Refused::Request("the token can't be read"))?.trim();
    let signed = Signed::read(token, &TYPES)?;
    let issuer = signed.unchecked().get("iss").and_then(serde_json::Value::as_str).ok_or(Refused::Issuer)?;
    let transmitter = pushes(&call.place.snapshot, issuer).ok_or(Refused::Issuer)?;
    authenticate(transmitter, call.headers)?;
    let link = control.links.find(transmitter).ok_or(Refused::Unavailable)?;
    receive(control, &link, token).await
}

fn pushes<'s>(snapshot: &'s Snapshot, issuer: &str) -> Option<&'s Arc<Transmitter>> {
    let pushes = |transmitter: &&Arc<Transmitter>| matches!(transmitter.delivery, Delivery::Push(_));
    snapshot.transmitters.values().filter(pushes).find(|transmitter| transmitter.issuer == issuer)
}

fn authenticate(transmitter: &Transmitter, headers: &HeaderMap) -> Result<(), Refused> {
    let Delivery::Push(Some(agreed)) = &transmitter.delivery else { return Ok(()) };
    let sent = headers.get(AUTHORIZATION).ok_or(Refused::Authentication)?;
    if is_same(sent.as_bytes(), agreed.expose_secret().as_bytes()) { Ok(()) } else { Err(Refused::Authentication) }
}

/// Hashes are of one length: a comparison in constant time would tell the length of the secret.
pub(super) fn is_same(sent: &[u8], agreed: &[u8]) -> bool {
    TokenHash::of(sent).as_bytes().ct_eq(TokenHash::of(agreed).as_bytes()).into()
}
