//! The demo's development CA and its one server certificate.
//!
//! In: the state directory. Out: `ca.pem`, `server.pem`, `server.key` in it, made anew unless those there still do.
//! The CA's key must never be kept: whoever trusts `ca.pem` trusts this one certificate and nothing else.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;

use super::Error;
use super::site::HOSTS;
use super::state::State;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Browsers take no server certificate that is valid for longer than 398 days.
const LIFE: Duration = DAY.saturating_mul(397);
/// Certificates that end sooner than this are made anew.
const REMAINING: Duration = DAY.saturating_mul(30);

const CA: &str = "ca.pem";
const CERTIFICATE: &str = "server.pem";
const KEY: &str = "server.key";

/// Makes sure that the state directory has certificates that will do for a month.
pub(super) fn prepare(state: &State) -> Result<(), Error> {
    if still_good(state)? {
        return Ok(());
    }
    let made = generate()?;
    state.write(KEY, made.key.as_bytes())?;
    state.write(CERTIFICATE, made.certificate.as_bytes())?;
    state.write(CA, made.ca.as_bytes())
}

/// Everything as PEM.
struct Made {
    ca: String,
    certificate: String,
    key: String,
}

fn generate() -> Result<Made, rcgen::Error> {
    // A minute ago, for a clock that is corrected backwards.
    let start = SystemTime::now() - Duration::from_secs(60);
    let (ca_key, key) = (KeyPair::generate()?, KeyPair::generate()?);
    let (ca_params, params) = (ca_params(start), server_params(start)?);
    let ca = ca_params.self_signed(&ca_key)?;
    let certificate = params.signed_by(&key, &Issuer::from_params(&ca_params, &ca_key))?;
    Ok(Made { ca: ca.pem(), certificate: certificate.pem(), key: key.serialize_pem() })
}

fn ca_params(start: SystemTime) -> CertificateParams {
    let mut params = named("Doorward demo CA", start);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn server_params(start: SystemTime) -> Result<CertificateParams, rcgen::Error> {
    let mut params = named("Doorward demo", start);
    // The wildcard is for hosts one adds, in clients that take one this close to the root.
    let names = HOSTS.into_iter().chain(["*.localhost"]);
    params.subject_alt_names = names.map(|name| Ok(SanType::DnsName(name.try_into()?))).collect::<Result<_, rcgen::Error>>()?;
    params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn named(common_name: &str, start: SystemTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = start.into();
    params.not_after = (start + LIFE).into();
    params
}

/// Whether a browser that trusts the CA would take the certificate for every host a month from now, and the key
/// is the certificate's. Anything unreadable is simply not good.
fn still_good(state: &State) -> Result<bool, Error> {
    let (Some(ca), Some(certificate), Some(key)) = (state.read(CA)?, state.read(CERTIFICATE)?, state.read(KEY)?) else {
        return Ok(false);
    };
    let now = UnixTime::since_unix_epoch(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + REMAINING);
    Ok(accepted(&ca, &certificate, &key, now).is_some())
}

fn accepted(ca: &[u8], certificate: &[u8], key: &[u8], at: UnixTime) -> Option<()> {
    let provider = Arc::new(default_provider());
    let certificate = CertificateDer::from_pem_slice(certificate).ok()?;
    let key = PrivateKeyDer::from_pem_slice(key).ok()?;
    let pair = CertifiedKey::from_der(vec![certificate.clone()], key, &provider).ok()?;
    pair.keys_match().ok()?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca).ok()?).ok()?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
    for host in HOSTS.into_iter().chain(["127.0.0.1"]) {
        let name = ServerName::try_from(host).ok()?;
        verifier.verify_server_cert(&certificate, &[], &name, &[], at).ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;

    fn days_from_now(days: u32) -> UnixTime {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        UnixTime::since_unix_epoch(now + DAY * days)
    }

    #[test]
    fn a_client_that_trusts_the_ca_accepts_the_certificate_for_its_life_and_no_longer() {
        let made = generate().unwrap();
        let accepted =
            |days| accepted(made.ca.as_bytes(), made.certificate.as_bytes(), made.key.as_bytes(), days_from_now(days)).is_some();
        assert_eq!([0, 396, 397].map(accepted), [true, true, false]);
    }

    #[test]
    fn certificates_are_reused_until_a_part_of_them_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        let certificate = || state.read(CERTIFICATE).unwrap().unwrap();
        prepare(&state).unwrap();
        let first = certificate();
        prepare(&state).unwrap();
        assert_eq!(certificate(), first, "a good certificate is kept");
        for (file, contents) in [(CA, generate().unwrap().ca), (KEY, generate().unwrap().key), (KEY, "nonsense".into())] {
            let before = certificate();
            state.write(file, contents.as_bytes()).unwrap();
            prepare(&state).unwrap();
            assert_ne!(certificate(), before, "{file} does not belong to the rest");
        }
    }

    #[test]
    fn the_key_of_the_ca_is_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        prepare(&State::open(directory.path()).unwrap()).unwrap();
        let mut names: Vec<_> = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["ca.pem", "server.key", "server.pem"]);
    }
}
