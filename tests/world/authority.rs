//! An authority for devices. In: names. Out: certificates with their keys, and lists of those that were revoked. Must never be
//! trusted but where a test says so.

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::time::{Duration, SystemTime};

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate of a device.
pub(crate) struct Shown {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    serial: u64,
}

pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = named(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// An authority that this one vouches for.
    pub(crate) fn below(&self, name: &str, serial: u64) -> Self {
        let mut params = named(name);
        params.serial_number = Some(SerialNumber::from(serial));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self(CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &self.0).unwrap())
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A certificate for a device.
    pub(crate) fn issue(&self, name: &str, serial: u64) -> Shown {
        self.issue_as(name, serial, |_| ())
    }

    /// The same with something changed.
    pub(crate) fn issue_as(&self, name: &str, serial: u64, change: impl FnOnce(&mut CertificateParams)) -> Shown {
        let mut params = named(name);
        params.serial_number = Some(SerialNumber::from(serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        Shown { chain: vec![certificate.der().clone()], key, serial }
    }

    /// A list of what it has revoked, good for a day from now, or over since a day.
    pub(crate) fn revoke(&self, revoked: &[&Shown], is_over: bool) -> String {
        let now = SystemTime::now();
        let (begins, ends) = if is_over { (now - DAY * 2, now - DAY) } else { (now - DAY, now + DAY) };
        let revoked = revoked.iter().map(|shown| RevokedCertParams {
            serial_number: SerialNumber::from(shown.serial),
            revocation_time: (now - DAY).into(),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: begins.into(),
            next_update: ends.into(),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

impl Shown {
    /// The SHA-256 of the certificate, in hexadecimal digits.
    pub(crate) fn fingerprint(&self) -> String {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.chain[0]);
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The same with those that vouch for it.
    pub(crate) fn with(mut self, authority: &Authority) -> Self {
        self.chain.push(authority.der());
        self
    }
}

fn named(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (SystemTime::now() - DAY).into();
    params.not_after = (SystemTime::now() + DAY).into();
    params
}
