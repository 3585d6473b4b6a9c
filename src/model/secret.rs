//! Random tokens and what is kept of them. In: the system's random source. Out: a [`Token`] for the holder and a
//! [`TokenHash`] for us. Must never print a token.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;

/// 256 random bits as 43 characters of base64url: a session cookie, a handoff code. Whoever holds it is let in.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// The SHA-256 of a [`Token`]: all that the store and the caches keep.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

/// The system's random source failed.
#[derive(Debug, thiserror::Error)]
#[error("the system has no randomness to give")]
pub struct NoRandomness;

/// Fills a buffer from the system's random source.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

impl Token {
    /// A new one.
    pub fn random() -> Result<Self, NoRandomness> {
        Ok(Self(URL_SAFE_NO_PAD.encode(random::<32>()?)))
    }

    /// The token in a cookie or query, when it has the shape of one.
    pub fn parse(text: &str) -> Option<Self> {
        has_shape(text).then(|| Self(text.to_owned()))
    }

    /// The hash of the token in a cookie, when it has the shape of one; without keeping the token.
    pub fn hash_of(text: &str) -> Option<TokenHash> {
        has_shape(text).then(|| TokenHash::of(text.as_bytes()))
    }

    /// The secret itself: only for a `Set-Cookie` or a redirect to its holder.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What may be kept.
    pub fn hash(&self) -> TokenHash {
        TokenHash::of(self.0.as_bytes())
    }
}

fn has_shape(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl TokenHash {
    /// SHA-256 of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
            *to = *from;
        }
        Self(hash)
    }

    /// A hash read back from the store or a URL.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Self(bytes.try_into().ok()?))
    }

    /// The hash as 43 characters of base64url.
    pub fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Reads what [`Self::encode`] wrote.
    pub fn decode(text: &str) -> Option<Self> {
        Self::from_bytes(&URL_SAFE_NO_PAD.decode(text).ok()?)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}
