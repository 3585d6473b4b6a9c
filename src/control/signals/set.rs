//! A security event token (RFC 8417, as SSF 1.0 profiles it). In: a JWS that a transmitter is said to have signed. Out: what has
//! happened, on its word. Must never take a token of another kind, of another signer, for another receiver, or one too old to know
//! whether it was taken before.

use super::happened::Happened;
use super::link::Link;
use crate::clock;
use crate::control::oidc::jws::{Signed, Types, Unsound, is_for, text};
use crate::model::{Timestamp, TokenHash};
use crate::snapshot::transmitters::Transmitter;
use serde_json::{Map, Value};
use std::time::Duration;

/// What a token must call itself (SSF 1.0, section 4.1.1).
pub(super) const TYPES: Types = Types { names: &["secevent+jwt"], may_be_absent: false };
/// How old a token may be: so long a transmitter may keep it while nobody fetches it, and so long its name is remembered.
const OLDEST: Duration = Duration::from_secs(7 * 86_400);
/// How long a name may be, in bytes.
const LONGEST_NAME: usize = 255;

/// A token that passed.
#[derive(Debug)]
pub(super) struct Set {
    /// Its name.
    pub(super) id: String,
    /// What it belongs to at the transmitter's.
    pub(super) transaction: Option<String>,
    /// When it was issued.
    pub(super) issued: Timestamp,
    /// Whom or what it is about.
    pub(super) subject: Option<Value>,
    /// What it says.
    pub(super) happened: Happened,
}

/// Why a token does nothing, in the codes of RFC 8935, section 2.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::control) enum Refused {
    #[error("{0}")]
    Request(&'static str),
    #[error("the signature is not the issuer's, or its algorithm may not be used")]
    Key,
    #[error("the issuer is no transmitter that delivers here in this way")]
    Issuer,
    #[error("the audience is not us")]
    Audience,
    #[error("the Authorization header is not the one that was agreed")]
    Authentication,
    #[error("nobody has asked for this verification")]
    State,
    #[error("this can't be looked at now: try again")]
    Unavailable,
}

impl Refused {
    /// The code; those of SSF are among them.
    pub(in crate::control) const fn code(self) -> &'static str {
        match self {
            Self::Request(_) => "invalid_request",
            Self::Key => "invalid_key",
            Self::Issuer => "invalid_issuer",
            Self::Audience => "invalid_audience",
            Self::Authentication => "authentication_failed",
            Self::State => "invalid_state",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<Unsound> for Refused {
    fn from(unsound: Unsound) -> Self {
        match unsound {
            Unsound::Unreadable => Self::Request("the token can't be read"),
            Unsound::Type => Self::Request("typ is not secevent+jwt"),
            Unsound::Signature => Self::Key,
        }
    }
}

/// Makes every check.
pub(super) async fn check(link: &Link, signed: Signed<'_>) -> Result<Set, Refused> {
    let transmitter = &link.transmitter;
    if signed.unchecked().get("iss").is_none_or(|issuer| *issuer != *transmitter.issuer) {
        return Err(Refused::Issuer);
    }
    if !transmitter.audience.iter().any(|us| is_for(signed.unchecked(), us)) {
        return Err(Refused::Audience);
    }
    let metadata = link.metadata().ok_or(Refused::Unavailable)?;
    read(transmitter, signed.by(link.signer(&metadata)).await?)
}

/// What its claims say.
fn read(transmitter: &Transmitter, mut claims: Map<String, Value>) -> Result<Set, Refused> {
    // ID tokens and access tokens have these, and SETs must not (SSF 1.0, section 4.1).
    if ["exp", "sub", "nonce"].iter().any(|name| claims.contains_key(*name)) {
        return Err(Refused::Request("there is exp, sub or nonce: this is another kind of token"));
    }
    let id = text(&claims, "jti", Refused::Request("jti is no text"))?.filter(|id| id.len() <= LONGEST_NAME);
    let id = id.ok_or(Refused::Request("jti is missing or too long"))?;
    let issued = issued(transmitter, &claims)?;
    let Some(Value::Object(events)) = claims.remove("events") else {
        return Err(Refused::Request("events is missing"));
    };
    let (happened, payload) = Happened::read(events, issued)?;
    let transaction = claims.get("txn").map(|txn| txn.as_str().map_or_else(|| txn.to_string(), str::to_owned));
    let transaction = transaction.filter(|txn| txn.len() <= LONGEST_NAME);
    // Before SSF 1.0 the subject was in the event.
    let subject = claims.remove("sub_id").or(payload);
    Ok(Set { id, transaction, issued, subject, happened })
}

fn issued(transmitter: &Transmitter, claims: &Map<String, Value>) -> Result<Timestamp, Refused> {
    let seconds = claims.get("iat").and_then(Value::as_f64).ok_or(Refused::Request("iat is missing or no number"))?;
    let (now, leeway) = (clock::now().seconds() as f64, transmitter.leeway.as_secs_f64());
    if seconds > now + leeway || seconds < now - OLDEST.as_secs_f64() {
        return Err(Refused::Request("iat lies ahead, or more than a week ago"));
    }
    Ok(Timestamp::from_millis((seconds * 1000.0) as u64).min(clock::now()))
}

impl Set {
    /// What names it among all tokens, and until when it could come again.
    pub(super) fn name(&self, transmitter: &Transmitter) -> (TokenHash, Timestamp) {
        let name = TokenHash::of(format!("signals\n{}\n{}", transmitter.name, self.id).as_bytes());
        (name, self.issued.plus(OLDEST + transmitter.leeway * 2))
    }
}
