//! Sealing: AES-256-GCM-SIV (RFC 8452) with one key a purpose, derived (HKDF-SHA-256) from a ring of main keys. In: bytes, and
//! what they belong to. Out: sealed bytes that open only for the same purpose and owner. Must never reuse a key for two
//! purposes.

use super::Error;
use crate::model::chain::{self, Hex};
use crate::model::secret::random;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use subtle::ConstantTimeEq as _;

/// What a sealed value is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Tokens of a sign-in, in the store.
    Tokens,
    /// A private key that signs assertions, in the store.
    SigningKey,
    /// A login in progress, in the browser's cookie.
    Flow,
}

/// The keys that vouch for the audit trail (HMAC-SHA-256), by the numbers of the main keys: the last one signs.
pub struct TrailKeys(Vec<(u8, hmac::Key)>);

/// A value can't be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed value can't be opened: another key, another owner, or damaged")]
pub struct SealError;

/// The main keys: the last one seals, all of them open.
pub struct KeyRing {
    keys: Vec<(u8, zeroize::Zeroizing<[u8; 32]>)>,
}

impl KeyRing {
    /// Reads the key file (a line a key: its number and 32 bytes in base64); where there is none and it may be made, makes
    /// one, readable by the owner alone.
    pub(super) fn load(path: &Path, make: bool) -> Result<Self, Error> {
        let wrong = |cause: String| Error::Keys { path: path.display().to_string(), cause };
        let text = match fs::read_to_string(path) {
            Ok(text) => zeroize::Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && make => create(path)?,
            Err(error) => return Err(wrong(error.to_string())),
        };
        let keys: Option<Vec<_>> = text.lines().map(parse).collect();
        match keys {
            Some(keys) if !keys.is_empty() && are_distinct(&keys) => Ok(Self { keys }),
            _ => Err(wrong("each line must be `NUMBER BASE64`, with 32 bytes, and a number of its own from 0 to 255".to_owned())),
        }
    }

    /// The keys that vouch for the audit trail.
    pub fn trail_keys(&self) -> Result<TrailKeys, SealError> {
        let key = |main| Ok(hmac::Key::new(hmac::HMAC_SHA256, &*expand(main, b"doorward audit trail")?));
        self.keys.iter().map(|(number, main)| Ok((*number, key(main)?))).collect::<Result<_, _>>().map(TrailKeys)
    }

    /// What tells each key from others and nothing of it, the one that seals last.
    pub(super) fn fingerprints(&self) -> Result<Vec<(u8, [u8; 32])>, SealError> {
        self.keys.iter().map(|(number, main)| Ok((*number, *expand(main, b"doorward fingerprint")?))).collect()
    }

    /// Whether the last key has sealed this, so that no older one is needed for it.
    pub(super) fn is_newest(&self, sealed: &[u8]) -> bool {
        self.keys.last().map(|(number, _)| number) == sealed.first()
    }

    /// Seals `plain` for an owner: the key's number, then nonce, text and tag.
    pub fn seal(&self, purpose: Purpose, owner: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        let (number, main) = self.keys.last().ok_or(SealError)?;
        let mut text = plain.to_vec();
        let nonce = cipher(main, purpose)?.seal_in_place_append_tag(Aad::from(owner), &mut text).map_err(|_| SealError)?;
        Ok([&[*number][..], nonce.as_ref(), &text].concat())
    }

    /// Opens what [`Self::seal`] made for the same purpose and owner.
    pub fn open(&self, purpose: Purpose, owner: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let (number, rest) = sealed.split_first().ok_or(SealError)?;
        let (nonce, text) = rest.split_at_checked(12).ok_or(SealError)?;
        let (_, main) = self.keys.iter().find(|(n, _)| n == number).ok_or(SealError)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError)?;
        let mut text = text.to_vec();
        let plain = cipher(main, purpose)?.open_in_place(nonce, Aad::from(owner), &mut text).map_err(|_| SealError)?;
        Ok(plain.to_vec())
    }
}

fn create(path: &Path) -> Result<zeroize::Zeroizing<String>, Error> {
    let text = zeroize::Zeroizing::new(format!("1 {}\n", STANDARD.encode(random::<32>()?)));
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| Error::Keys { path: path.display().to_string(), cause: error.to_string() })?;
    Ok(text)
}

fn parse(line: &str) -> Option<(u8, zeroize::Zeroizing<[u8; 32]>)> {
    let (number, key) = line.trim().split_once(' ')?;
    let key: [u8; 32] = STANDARD.decode(key).ok()?.try_into().ok()?;
    Some((number.parse().ok()?, zeroize::Zeroizing::new(key)))
}

/// Whether a number always means the same key.
fn are_distinct(keys: &[(u8, zeroize::Zeroizing<[u8; 32]>)]) -> bool {
    let numbers: std::collections::HashSet<_> = keys.iter().map(|(number, _)| number).collect();
    numbers.len() == keys.len()
}

impl TrailKeys {
    /// Vouches for these bytes: with which key, and the seal.
    pub fn sign(&self, bytes: &[u8]) -> Option<(u8, Hex)> {
        let (number, key) = self.0.last()?;
        Some((*number, chain::hex(hmac::sign(key, bytes).as_ref())))
    }

    /// Whether somebody with the key vouched for it; `None` where the key is not among these.
    pub fn verify(&self, seal: &chain::Seal<'_>) -> Option<bool> {
        let (_, key) = self.0.iter().find(|(number, _)| *number == seal.key)?;
        let expected = chain::hex(hmac::sign(key, seal.of).as_ref());
        Some(bool::from(expected.ct_eq(seal.mac)))
    }
}

struct KeyLength;

impl KeyType for KeyLength {
    fn len(&self) -> usize {
        32
    }
}

fn cipher(main: &[u8; 32], purpose: Purpose) -> Result<RandomizedNonceKey, SealError> {
    let label: &[u8] = match purpose {
        Purpose::Tokens => b"doorward tokens",
        Purpose::SigningKey => b"doorward signing key",
        Purpose::Flow => b"doorward flow",
    };
    RandomizedNonceKey::new(&AES_256_GCM_SIV, &*expand(main, label)?).map_err(|_| SealError)
}

fn expand(main: &[u8; 32], label: &[u8]) -> Result<zeroize::Zeroizing<[u8; 32]>, SealError> {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    let extracted = Salt::new(HKDF_SHA256, b"doorward").extract(main);
    extracted.expand(&[label], KeyLength).and_then(|okm| okm.fill(&mut *key)).map_err(|_| SealError)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_sealed_value_opens_for_its_purpose_and_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let ring = KeyRing::load(&path, true).unwrap();
        let sealed = ring.seal(Purpose::Tokens, "7", b"secret").unwrap();
        let again = KeyRing::load(&path, true).unwrap();
        assert_eq!(again.open(Purpose::Tokens, "7", &sealed).unwrap(), b"secret");
        assert_eq!(again.open(Purpose::Tokens, "8", &sealed), Err(SealError));
        assert_eq!(again.open(Purpose::Flow, "7", &sealed), Err(SealError));
        assert_eq!(again.open(Purpose::Tokens, "7", sealed.get(..5).unwrap()), Err(SealError));
    }

    #[test]
    fn two_keys_of_one_number_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let key = |byte: u8| STANDARD.encode([byte; 32]);
        for (text, fine) in [
            (format!("1 {}\n2 {}\n", key(1), key(2)), true),
            (format!("1 {}\n1 {}\n", key(1), key(2)), false),
            (String::new(), false),
        ] {
            fs::write(&path, &text).unwrap();
            assert_eq!(KeyRing::load(&path, true).is_ok(), fine, "{text}");
        }
    }
}
