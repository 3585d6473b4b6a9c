//! The checks of an ID token (OpenID Connect Core 1.0, sections 3.1.3.7 and 12.2). In: a token and what we expect of it. Out:
//! its claims. Must never return claims of a token that failed one check, nor accept `none` or a shared-secret algorithm.

use super::discovery::Metadata;
use crate::model::Timestamp;
use crate::snapshot::Provider;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreIdToken, CoreIdTokenVerifier, CoreJsonWebKeySet, CoreJwsSigningAlgorithm as Algorithm};
use openidconnect::{
    AccessToken, AccessTokenHash, ClaimsVerificationError, ClientId, IssuerUrl, Nonce, SignatureVerificationError,
};
use serde_json::{Map, Value};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What we accept where the provider announces it.
pub(super) const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RsaSsaPkcs1V15Sha256,
    Algorithm::RsaSsaPkcs1V15Sha384,
    Algorithm::RsaSsaPkcs1V15Sha512,
    Algorithm::RsaSsaPssSha256,
    Algorithm::RsaSsaPssSha384,
    Algorithm::RsaSsaPssSha512,
    Algorithm::EcdsaP256Sha256,
    Algorithm::EcdsaP384Sha384,
    Algorithm::EdDsa,
];

/// What a token must say.
pub(super) struct Expected<'a> {
    pub(super) client_id: &'a str,
    pub(super) issuer: &'a IssuerUrl,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) leeway: Duration,
    pub(super) now: Timestamp,
    pub(super) nonce: ExpectedNonce<'a>,
    /// The person whose claims are renewed.
    pub(super) subject: Option<&'a str>,
    /// What came with it.
    pub(super) access_token: &'a AccessToken,
}

/// What a token must say of the login that it is for.
#[derive(Clone, Copy)]
pub(super) enum ExpectedNonce<'a> {
    /// This, at a login.
    Exactly(&'a Nonce),
    /// Nothing or this, at a refresh; anything when it is not known any more.
    AbsentOr(Option<&'a str>),
}

/// A check failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Invalid {
    /// No known key has made the signature: time to fetch the keys.
    #[error("it is signed with an unknown key")]
    UnknownKey,
    /// The signature, issuer, audience, nonce or a time.
    #[error(transparent)]
    Claims(ClaimsVerificationError),
    /// It is meant for another client.
    #[error("the authorized party is not us")]
    AuthorizedParty,
    /// `nbf` lies ahead.
    #[error("it is not valid yet")]
    NotYetValid,
    /// It belongs to another access token.
    #[error("at_hash does not fit the access token")]
    AccessTokenHash,
    /// It is about another person, or about nobody.
    #[error("the subject is missing, malformed or another one")]
    Subject,
    /// It can't be read.
    #[error("the payload can't be read")]
    Payload,
}

/// The claims of a token that passed.
#[derive(Debug)]
pub(super) struct Claims {
    /// All of them, as they were signed.
    pub(super) all: Map<String, Value>,
    /// The person.
    pub(super) subject: String,
    /// When the person proved who they are, where the provider says so.
    pub(super) authenticated_at: Option<Timestamp>,
    /// Until when the token holds, in seconds since 1970.
    pub(super) expires: Option<u64>,
}

impl<'a> Expected<'a> {
    /// What any token of this provider for us must say.
    pub(super) fn of(
        provider: &'a Provider,
        metadata: &'a Metadata,
        access_token: &'a AccessToken,
        nonce: ExpectedNonce<'a>,
    ) -> Self {
        let announced = metadata.id_token_signing_alg_values_supported();
        Self {
            client_id: &provider.client_id,
            issuer: metadata.issuer(),
            algorithms: ALGORITHMS.into_iter().filter(|algorithm| announced.contains(algorithm)).collect(),
            leeway: provider.leeway,
            now: crate::clock::now(),
            nonce,
            subject: None,
            access_token,
        }
    }

    fn verifier(&self, keys: &CoreJsonWebKeySet) -> CoreIdTokenVerifier<'static> {
        let latest = self.now.plus(self.leeway).seconds();
        let earliest = self.now.seconds().saturating_sub(self.leeway.as_secs());
        let earliest = UNIX_EPOCH.checked_add(Duration::from_secs(earliest)).unwrap_or_else(SystemTime::now);
        // As for a public client: it has no secret that a MAC could be checked with.
        CoreIdTokenVerifier::new_public_client(ClientId::new(self.client_id.to_owned()), self.issuer.clone(), keys.clone())
            .set_allowed_algs(self.algorithms.iter().cloned())
            .set_other_audience_verifier_fn(|_| true)
            .set_time_fn(move || earliest.into())
            .set_issue_time_verifier_fn(move |issued| {
                let issued = u64::try_from(issued.timestamp()).map_err(|_| "issued before 1970".to_owned())?;
                (issued <= latest).then_some(()).ok_or_else(|| "issued in the future".to_owned())
            })
    }
}

impl ExpectedNonce<'_> {
    fn check(self, said: Option<&Nonce>) -> Result<(), String> {
        use openidconnect::NonceVerifier as _;
        match (self, said) {
            (Self::Exactly(nonce), said) => nonce.verify(said),
            (Self::AbsentOr(Some(before)), Some(_)) => Nonce::new(before.to_owned()).verify(said),
            (Self::AbsentOr(_), _) => Ok(()),
        }
    }
}

/// Makes every check; the claims of a token are its own word until then.
pub(super) fn verify(token: &CoreIdToken, keys: &CoreJsonWebKeySet, expected: &Expected<'_>) -> Result<Claims, Invalid> {
    let verifier = expected.verifier(keys);
    let verified = token.claims(&verifier, |said: Option<&Nonce>| expected.nonce.check(said)).map_err(invalid)?;
    let all = payload(&token.to_string()).ok_or(Invalid::Payload)?;
    check_authorized_party(expected, verified.audiences().len(), &all)?;
    check_not_before(expected, &all)?;
    if let Some(hash) = verified.access_token_hash() {
        check_access_token(token, &verifier, expected.access_token, hash)?;
    }
    let subject = checked_subject(verified.subject(), expected.subject)?;
    let seconds = |time: i64| u64::try_from(time).ok();
    // A sign-in that lies ahead would stay young for as long as it does.
    let latest = expected.now.plus(expected.leeway);
    let authenticated_at = verified.auth_time().and_then(|time| seconds(time.timestamp())).map(Timestamp::from_seconds);
    Ok(Claims {
        all,
        subject,
        authenticated_at: authenticated_at.filter(|time| *time <= latest),
        expires: seconds(verified.expiration().timestamp()),
    })
}

fn invalid(error: ClaimsVerificationError) -> Invalid {
    match error {
        ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey) => Invalid::UnknownKey,
        error => Invalid::Claims(error),
    }
}

/// The payload of a compact JWS (RFC 7515, section 3.1).
pub(super) fn payload(token: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Section 3.1.3.7, steps 4 and 5.
fn check_authorized_party(expected: &Expected<'_>, audiences: usize, all: &Map<String, Value>) -> Result<(), Invalid> {
    match all.get("azp") {
        None if audiences <= 1 => Ok(()),
        Some(Value::String(party)) if party == expected.client_id => Ok(()),
        _ => Err(Invalid::AuthorizedParty),
    }
}

/// RFC 7519, section 4.1.5.
fn check_not_before(expected: &Expected<'_>, all: &Map<String, Value>) -> Result<(), Invalid> {
    let latest = expected.now.plus(expected.leeway).seconds() as f64;
    match all.get("nbf") {
        None => Ok(()),
        Some(time) if time.as_f64().is_some_and(|time| time <= latest) => Ok(()),
        Some(_) => Err(Invalid::NotYetValid),
    }
}

/// Section 3.1.3.8.
fn check_access_token(
    token: &CoreIdToken,
    verifier: &CoreIdTokenVerifier<'_>,
    access_token: &AccessToken,
    hash: &AccessTokenHash,
) -> Result<(), Invalid> {
    let algorithm = token.signing_alg().map_err(|_| Invalid::AccessTokenHash)?;
    let key = token.signing_key(verifier).map_err(|_| Invalid::AccessTokenHash)?;
    let ours = AccessTokenHash::from_token(access_token, algorithm, key).map_err(|_| Invalid::AccessTokenHash)?;
    (ours == *hash).then_some(()).ok_or(Invalid::AccessTokenHash)
}

/// Section 2, `sub`: at most 255 ASCII characters; the same as before at a refresh.
fn checked_subject(subject: &str, before: Option<&str>) -> Result<String, Invalid> {
    let plain = !subject.is_empty() && subject.len() <= 255 && subject.bytes().all(|b| b.is_ascii_graphic() || b == b' ');
    let same = before.is_none_or(|before| before == subject);
    (plain && same).then(|| subject.to_owned()).ok_or(Invalid::Subject)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
