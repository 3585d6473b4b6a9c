//! The key that ID tokens are signed with (RS256, RFC 7518 section 3.3).
//!
//! In: a message, or a stored key. Out: a signature, the public JSON Web Key, the key as PKCS#8 for its owner to
//! store. It must never put the private key into a log or a response.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::error::{KeyRejected, Unspecified};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::{CoreJsonWebKey, CoreJwsSigningAlgorithm};
use openidconnect::{JsonWebKeyId, PrivateSigningKey, SigningError};
use zeroize::Zeroizing;

/// A key could not be made, stored or read.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No key pair could be made or encoded.
    #[error("no RSA key could be made")]
    Generate(#[from] Unspecified),
    /// What was stored is no usable RSA key.
    #[error("not a usable RSA key: {0}")]
    Rejected(#[from] KeyRejected),
}

/// An RSA key pair of 2048 bits. Its `Debug` shows the public key only.
#[derive(Debug)]
pub struct SigningKey(KeyPair);

impl SigningKey {
    /// Makes a new key.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self(KeyPair::generate(KeySize::Rsa2048)?))
    }

    /// Reads a key that [`SigningKey::to_pkcs8`] wrote (RFC 5208, DER).
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        Ok(Self(KeyPair::from_pkcs8(der)?))
    }

    /// The private key as PKCS#8 (RFC 5208, DER).
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        Ok(Zeroizing::new(self.0.as_der()?.as_ref().to_vec()))
    }
}

impl PrivateSigningKey for SigningKey {
    type VerificationKey = CoreJsonWebKey;

    fn sign(&self, algorithm: &CoreJwsSigningAlgorithm, message: &[u8]) -> Result<Vec<u8>, SigningError> {
        if *algorithm != CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256 {
            return Err(SigningError::UnsupportedAlg(format!("{algorithm:?}")));
        }
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).map_err(|_| SigningError::CryptoError)?;
        Ok(signature)
    }

    fn as_verification_key(&self) -> CoreJsonWebKey {
        let modulus = self.0.public_key().modulus().big_endian_without_leading_zero();
        let exponent = self.0.public_key().exponent().big_endian_without_leading_zero();
        let id = JsonWebKeyId::new(thumbprint(modulus, exponent));
        CoreJsonWebKey::new_rsa(modulus.to_vec(), exponent.to_vec(), Some(id))
    }
}

/// The key's id: its JWK thumbprint (RFC 7638).
fn thumbprint(modulus: &[u8], exponent: &[u8]) -> String {
    let (n, e) = (URL_SAFE_NO_PAD.encode(modulus), URL_SAFE_NO_PAD.encode(exponent));
    super::grants::digest(&format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use openidconnect::JsonWebKey;

    const RS256: CoreJwsSigningAlgorithm = CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256;

    #[test]
    fn a_stored_key_signs_what_the_first_one_verifies() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
        let signature = again.sign(&RS256, b"message").unwrap();
        let public = key.as_verification_key();
        public.verify_signature(&RS256, b"message", &signature).unwrap();
        assert!(public.verify_signature(&RS256, b"another", &signature).is_err());
        assert_eq!(public.key_id(), again.as_verification_key().key_id());
    }

    #[test]
    fn signs_by_no_other_algorithm() {
        let key = SigningKey::generate().unwrap();
        assert!(key.sign(&CoreJwsSigningAlgorithm::None, b"message").is_err());
        assert!(key.sign(&CoreJwsSigningAlgorithm::HmacSha256, b"message").is_err());
    }
}
