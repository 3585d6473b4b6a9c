//! The demo's one device: an authority for devices, a certificate, and its entry in an inventory.
//!
//! In: the state directory. Out: `device-ca.pem`, `alice-laptop.pem`, `alice-laptop.key` and `devices.csv` in it, made anew unless those
//! there still do. The authority's key must never be kept: it vouches for this one device and for no other.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::Error;
use super::state::State;
use crate::model::Fingerprint;
use crate::model::secret::TokenHash;

/// Its name in the inventory, and how its files begin.
pub(super) const ID: &str = "alice-laptop";
/// Whose it is.
pub(super) const OWNER: &str = "alice@corp.example";

pub(super) const AUTHORITY: &str = "device-ca.pem";
pub(super) const CERTIFICATE: &str = "alice-laptop.pem";
pub(super) const KEY: &str = "alice-laptop.key";
pub(super) const INVENTORY: &str = "devices.csv";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const LIFE: Duration = DAY.saturating_mul(397);
/// Certificates that end sooner than this are made anew.
const REMAINING: Duration = DAY.saturating_mul(30);

/// Makes sure that the state directory has a device that will do for a month.
pub(super) fn prepare(state: &State) -> Result<(), Error> {
    if still_good(state)?.is_some() {
        return Ok(());
    }
    // A minute ago, for a clock that is corrected backwards.
    let start = SystemTime::now() - Duration::from_secs(60);
    let (authority_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    let (mut authority, mut device) = (named("Doorward demo devices", start), named(ID, start));
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    device.is_ca = IsCa::ExplicitNoCa;
    device.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    device.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = device.signed_by(&key, &Issuer::from_params(&authority, &authority_key))?;
    state.write(KEY, key.serialize_pem().as_bytes())?;
    state.write(CERTIFICATE, certificate.pem().as_bytes())?;
    state.write(AUTHORITY, authority.self_signed(&authority_key)?.pem().as_bytes())?;
    state.write(INVENTORY, inventory(certificate.der()).as_bytes())
}

fn named(common_name: &str, start: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = start.into();
    params.not_after = (start + LIFE).into();
    params
}

fn inventory(certificate: &[u8]) -> String {
    let fingerprint: Option<[u8; 32]> = TokenHash::of(certificate).as_bytes().try_into().ok();
    let fingerprint = fingerprint.map(|bytes| Fingerprint(bytes).to_string()).unwrap_or_default();
    format!("id,owner,fingerprint,platform,managed\n{ID},{OWNER},{fingerprint},linux,true\n")
}

/// Whether all of it belongs together a month from now; whatever can't be read is simply not good.
fn still_good(state: &State) -> Result<Option<()>, Error> {
    let (authority, certificate) = (state.read(AUTHORITY)?, state.read(CERTIFICATE)?);
    let (key, inventory) = (state.read(KEY)?, state.read(INVENTORY)?);
    Ok((|| good(&authority?, &certificate?, &key?, &inventory?))())
}

fn good(authority: &[u8], certificate: &[u8], key: &[u8], listed: &[u8]) -> Option<()> {
    let authority = CertificateDer::from_pem_slice(authority).ok()?;
    let certificate = CertificateDer::from_pem_slice(certificate).ok()?;
    let (_, vouches) = X509Certificate::from_der(&authority).ok()?;
    let (_, device) = X509Certificate::from_der(&certificate).ok()?;
    let key = KeyPair::from_pem(str::from_utf8(key).ok()?).ok()?;
    let ends = device.validity().not_after.timestamp();
    let then = (SystemTime::now() + REMAINING).duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let is_theirs = device.issuer() == vouches.subject() && device.public_key().raw == key.subject_public_key_info();
    let holds = u64::try_from(ends).ok()? > then.as_secs() && listed == inventory(&certificate).as_bytes();
    (is_theirs && holds).then_some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn a_device_is_kept_until_a_part_of_it_is_wrong_and_the_key_of_its_authority_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        let certificate = || state.read(CERTIFICATE).unwrap().unwrap();
        prepare(&state).unwrap();
        let first = certificate();
        prepare(&state).unwrap();
        assert_eq!(certificate(), first);
        let mut names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [KEY, CERTIFICATE, AUTHORITY, INVENTORY]);
        for file in [AUTHORITY, CERTIFICATE, KEY, INVENTORY] {
            let before = certificate();
            state.write(file, b"nonsense").unwrap();
            prepare(&state).unwrap();
            assert_ne!(certificate(), before, "{file}");
        }
    }
}
