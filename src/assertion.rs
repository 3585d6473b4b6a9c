//! Assertions: the signed word of Doorward that an app can check (RFC 7519, ES256). In: an identity and an audience. Out: a
//! JWT, and the key set that verifies it (RFC 7517). Must never sign with a key that the key set did not show long before.
//!
//! A key is published a while before it signs and for a while after: a rotation is never seen by an app that reads the key
//! set at least once an hour.

use crate::clock;
use crate::model::secret::{TokenHash, random};
use crate::model::{Identity, Timestamp};
use crate::store::{self, Store, StoredKey};
use arc_swap::ArcSwap;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

/// How long an assertion holds; apps should accept none that is older.
pub const LIFE: Duration = Duration::from_secs(300);
/// How long a key signs.
const SIGNS: Duration = Duration::from_secs(30 * 86_400);
/// How long before it signs and after it signed a key is in the key set.
const OVERLAP: Duration = Duration::from_secs(86_400);

/// The keys of this installation.
pub struct Keys(ArcSwap<Published>);

struct Published {
    signing: Signer,
    newest: Timestamp,
    key_set: String,
}

struct Signer {
    header: Header,
    key: EncodingKey,
}

/// A key can't be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A stored key is damaged.
    #[error("the signing key `{0}` is damaged")]
    Damaged(String),
    /// The cryptographic library refused.
    #[error("a signing key can't be made or used")]
    Crypto,
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The claims of an assertion.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    groups: &'a [String],
    sid: String,
    amr: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    acr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    auth_time: Option<u64>,
    iat: u64,
    exp: u64,
}

impl Keys {
    /// The keys of the store; makes the first one.
    pub async fn load(store: &Store) -> Result<Self, Error> {
        let mut stored = store.signing_keys().await?;
        if stored.is_empty() {
            // The first key signs at once: nobody has read a key set yet.
            make(store, None, clock::now()).await?;
            stored = store.signing_keys().await?;
        }
        Ok(Self(ArcSwap::from_pointee(publish(&stored, clock::now())?)))
    }

    /// Makes the next key when it is time, and lets keys go that signed long ago; called every few minutes.
    pub async fn rotate(&self, store: &Store) -> Result<(), Error> {
        self.rotate_at(store, clock::now()).await
    }

    async fn rotate_at(&self, store: &Store, now: Timestamp) -> Result<(), Error> {
        let newest = self.0.load().newest;
        if now.since(newest) + OVERLAP >= SIGNS {
            make(store, Some(newest), now).await?;
        }
        let mut stored = store.signing_keys().await?;
        // A key that has signed for a while: nothing that an older one signed is good any more.
        if let Some(in_use) = stored.iter().rev().find(|key| now.since(key.created) >= OVERLAP + OVERLAP).map(|key| key.created)
            && stored.first().is_some_and(|oldest| oldest.created < in_use)
        {
            store.forget_signing_keys(in_use).await?;
            stored.retain(|key| key.created >= in_use);
        }
        self.0.store(Arc::new(publish(&stored, now)?));
        Ok(())
    }

    /// The key set as JSON, for `jwks.json`.
    pub fn key_set(&self) -> String {
        self.0.load().key_set.clone()
    }

    /// Signs an assertion of `identity` for an app; `session` names the session without giving it away.
    pub fn sign(
        &self,
        issuer: &str,
        audience: &str,
        session: &TokenHash,
        identity: &Identity,
        now: Timestamp,
    ) -> Result<String, Error> {
        let published = self.0.load();
        let profile = &identity.profile;
        let claims = Claims {
            iss: issuer,
            aud: audience,
            sub: identity.subject.to_string(),
            email: profile.email.as_ref().map(|email| email.as_str()),
            name: profile.name.as_deref(),
            groups: &profile.groups,
            // The hash of the hash: the store's look-up key stays ours.
            sid: TokenHash::of(session.as_bytes()).encode(),
            amr: &profile.amr,
            acr: profile.acr.as_deref(),
            auth_time: Some(identity.authenticated_at.seconds()).filter(|time| *time > 0),
            iat: now.seconds(),
            exp: now.plus(LIFE).seconds(),
        };
        jsonwebtoken::encode(&published.signing.header, &claims, &published.signing.key).map_err(|_| Error::Crypto)
    }
}

/// Makes a key, unless another process has made one after the newest that is known here.
async fn make(store: &Store, newest: Option<Timestamp>, now: Timestamp) -> Result<(), Error> {
    let random_key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| Error::Crypto)?;
    let pkcs8 = random_key.to_pkcs8v1().map_err(|_| Error::Crypto)?.as_ref().to_vec().into();
    let id = URL_SAFE_NO_PAD.encode(random::<12>().map_err(store::Error::from)?);
    let key = StoredKey { id, created: now, pkcs8 };
    Ok(store.keep_signing_key(&key, newest).await?)
}

fn publish(stored: &[StoredKey], now: Timestamp) -> Result<Published, Error> {
    // The newest key that has been shown for long enough; the oldest when there is none.
    let shown = stored.iter().rev().find(|key| now.since(key.created) >= OVERLAP);
    let signing = shown.or(stored.first()).ok_or(Error::Crypto)?;
    let newest = stored.last().map_or(now, |key| key.created);
    let keys = stored.iter().map(public).collect::<Result<Vec<_>, _>>()?;
    let key_set = serde_json::json!({ "keys": keys }).to_string();
    let header = Header { kid: Some(signing.id.clone()), ..Header::new(Algorithm::ES256) };
    Ok(Published { signing: Signer { header, key: EncodingKey::from_ec_der(&signing.pkcs8) }, newest, key_set })
}

fn public(key: &StoredKey) -> Result<serde_json::Value, Error> {
    let damaged = || Error::Damaged(key.id.clone());
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.pkcs8).map_err(|_| damaged())?;
    // An uncompressed point (SEC 1, section 2.3.3): 4, x, y.
    let (x, y) = pair.public_key().as_ref().get(1..).and_then(|point| point.split_at_checked(32)).ok_or_else(damaged)?;
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    Ok(serde_json::json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": key.id, "x": x, "y": y }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    async fn store() -> (tempfile::TempDir, Arc<Store>) {
        let folder = tempfile::tempdir().unwrap();
        let location = format!("sqlite:{}", folder.path().join("db").display());
        let store = Store::open(&location, tokio::runtime::Handle::current()).await.unwrap();
        (folder, store)
    }

    fn signing(keys: &Keys) -> String {
        keys.0.load().signing.header.kid.clone().unwrap()
    }

    fn shown(keys: &Keys) -> usize {
        let set: serde_json::Value = serde_json::from_str(&keys.key_set()).unwrap();
        set["keys"].as_array().unwrap().len()
    }

    #[tokio::test]
    async fn a_new_key_is_shown_for_a_day_before_it_signs_and_the_old_one_for_a_day_after() {
        for away in [29, 31, 400] {
            let (_folder, store) = store().await;
            let keys = Keys::load(&store).await.unwrap();
            let (first, begin) = (signing(&keys), clock::now().plus(DAY * away));
            for (hours, is_first, count) in
                [(0, true, 2), (23, true, 2), (25, false, 2), (47, false, 2), (49, false, 1), (100, false, 1)]
            {
                keys.rotate_at(&store, begin.plus(Duration::from_secs(hours * 3600))).await.unwrap();
                assert_eq!((signing(&keys) == first, shown(&keys)), (is_first, count), "{away} days, {hours} hours");
            }
        }
    }

    #[tokio::test]
    async fn the_only_key_signs_at_once_and_is_never_let_go() {
        let (_folder, store) = store().await;
        let keys = Keys::load(&store).await.unwrap();
        let first = signing(&keys);
        for days in [0, 1, 3, 28] {
            keys.rotate_at(&store, clock::now().plus(DAY * days)).await.unwrap();
            assert_eq!((signing(&keys), shown(&keys)), (first.clone(), 1), "{days} days");
        }
        assert_eq!(signing(&Keys::load(&store).await.unwrap()), first);
    }
}
