//! A token that somebody signed (RFC 7515, section 3.1; RFC 8725). In: a compact JWS, and which types it may have. Out: its claims,
//! once a key of the signer's has made the signature. Must never take `none` or a shared secret, nor hand out claims before that.

use super::http::Http;
use super::id_token::{ALGORITHMS, payload};
use super::keys::Keys;
use crate::control::text::any_has_nul;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreJsonWebKeySet, CoreJwsSigningAlgorithm as Algorithm};
use openidconnect::{JsonWebKey as _, JsonWebKeyId, JsonWebKeySetUrl};
use serde_json::{Map, Value};

/// Why a token is nobody's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::control) enum Unsound {
    /// It is no JWS, or one that asks for what is not known here (`crit`).
    #[error("it can't be read")]
    Unreadable,
    /// It is another kind of token.
    #[error("typ is not the one that is expected")]
    Type,
    /// The algorithm may not be used, or no key of the signer's has made the signature.
    #[error("the signature is not the signer's")]
    Signature,
    /// It names a key that is not known, and the signer's keys could not be fetched just now: it may be good.
    #[error("the key is not known, and the signer's keys can't be fetched just now")]
    Unfetched,
}

/// What a token may call itself.
pub(in crate::control) struct Types {
    /// In lower case, without `application/`.
    pub(in crate::control) names: &'static [&'static str],
    /// Signers that are older than the type leave it out.
    pub(in crate::control) may_be_absent: bool,
}

/// Who may have signed.
pub(in crate::control) struct Signer<'a> {
    pub(in crate::control) keys: &'a Keys,
    pub(in crate::control) http: &'a Http,
    pub(in crate::control) jwks_uri: &'a JsonWebKeySetUrl,
    /// The algorithms that it announces; all that are asymmetric where it does not say.
    pub(in crate::control) announced: Option<&'a [Algorithm]>,
}

/// A token whose signature is still to be checked.
pub(in crate::control) struct Signed<'a> {
    algorithm: Algorithm,
    key: Option<JsonWebKeyId>,
    message: &'a str,
    signature: Vec<u8>,
    claims: Map<String, Value>,
}

impl<'a> Signed<'a> {
    pub(in crate::control) fn read(token: &'a str, types: &Types) -> Result<Self, Unsound> {
        let (message, signature) = token.rsplit_once('.').ok_or(Unsound::Unreadable)?;
        let (header, _) = message.split_once('.').ok_or(Unsound::Unreadable)?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Unsound::Unreadable);
        let header: Map<String, Value> = serde_json::from_slice(&decode(header)?).map_err(|_| Unsound::Unreadable)?;
        if !types.admit(header.get("typ")) {
            return Err(Unsound::Type);
        }
        // What must be understood and is not (RFC 7515, section 4.1.11).
        if header.contains_key("crit") {
            return Err(Unsound::Unreadable);
        }
        let algorithm = header.get("alg").cloned().and_then(|name| serde_json::from_value(name).ok()).ok_or(Unsound::Signature)?;
        let key = header.get("kid").and_then(Value::as_str).map(|kid| JsonWebKeyId::new(kid.to_owned()));
        let claims = payload(token).filter(|claims| !any_has_nul(claims)).ok_or(Unsound::Unreadable)?;
        Ok(Self { algorithm, key, message, signature: decode(signature)?, claims })
    }

    /// What it says of its signer and of whom it is for: its own word, to find out who has to have signed.
    pub(in crate::control) const fn unchecked(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The claims, where this signer has signed them.
    pub(in crate::control) async fn by(self, signer: Signer<'_>) -> Result<Map<String, Value>, Unsound> {
        let is_announced = signer.announced.is_none_or(|announced| announced.contains(&self.algorithm));
        if !ALGORITHMS.contains(&self.algorithm) || !is_announced {
            return Err(Unsound::Signature);
        }
        if self.fits(&signer.keys.current()) {
            return Ok(self.claims);
        }
        // The signer may have taken a new key since.
        let is_fetched = signer.keys.refetch(signer.http, signer.jwks_uri).await.unwrap_or(false);
        let keys = signer.keys.current();
        if self.fits(&keys) {
            return Ok(self.claims);
        }
        Err(if is_fetched || self.names_one_of(&keys) { Unsound::Signature } else { Unsound::Unfetched })
    }

    fn names_one_of(&self, keys: &CoreJsonWebKeySet) -> bool {
        self.key.is_some() && keys.keys().iter().any(|key| key.key_id() == self.key.as_ref())
    }

    fn fits(&self, keys: &CoreJsonWebKeySet) -> bool {
        let mut meant = keys.keys().iter().filter(|key| self.key.is_none() || key.key_id() == self.key.as_ref());
        meant.any(|key| key.verify_signature(&self.algorithm, self.message.as_bytes(), &self.signature).is_ok())
    }
}

impl Types {
    fn admit(&self, said: Option<&Value>) -> bool {
        let Some(said) = said else { return self.may_be_absent };
        let said = said.as_str().map(str::to_ascii_lowercase);
        said.is_some_and(|said| self.names.contains(&said.strip_prefix("application/").unwrap_or(&said)))
    }
}

/// Whether this is among those that a token is for (RFC 7519, section 4.1.3).
pub(in crate::control) fn is_for(claims: &Map<String, Value>, us: &str) -> bool {
    match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().any(|one| one == us),
        Some(one) => one == us,
        None => false,
    }
}

/// A claim that is a text with something in it, where it is there.
pub(in crate::control) fn text<E>(claims: &Map<String, Value>, name: &str, invalid: E) -> Result<Option<String>, E> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() => Ok(Some(text.clone())),
        Some(_) => Err(invalid),
    }
}
