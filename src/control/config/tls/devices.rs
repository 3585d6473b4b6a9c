//! `tls.device_ca` and what belongs to it. In: names of files. Out: who vouches for devices, and how clients are asked. Must never
//! end a handshake because of a certificate that is not good: whoever shows it is to read what is wrong. What nobody needs, too
//! many certificates or too large ones, does end it.

use super::{chain, read};
use crate::clock;
use crate::control::config::file::File;
use crate::control::config::findings::{Findings, Wrong};
use crate::control::config::place::Place;
use crate::control::config::sources::Sources;
use crate::model::{Timestamp, TokenHash};
use crate::snapshot::devices::{Authority, DeviceAuthorities, LONGEST_CHAIN, validity};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature_with_raw_key};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use std::cmp::Reverse;
use std::sync::Arc;
use webpki::{CertRevocationList, OwnedCertRevocationList, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use x509_parser::revocation_list::CertificateRevocationList;
use x509_parser::time::ASN1Time;

/// How many bytes of certificates a client may show: they are kept for as long as its connection.
const LARGEST_CHAIN: usize = 16 * 1024;

/// Clients are asked for a certificate.
pub(super) struct Asked {
    pub(super) authorities: Arc<DeviceAuthorities>,
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    /// A digest of the authorities: who is asked for the same may go on with a session of before.
    pub(super) material: TokenHash,
}

/// Reads the files; nothing where clients are asked for nothing, or after an error.
pub(super) fn compile(file: &File, provider: &CryptoProvider, sources: &mut Sources, findings: &mut Findings) -> Option<Asked> {
    let (tls, place) = (&file.tls, Place::root().key("tls"));
    let Some(name) = &tls.device_ca else {
        let without = [("device_crl", tls.device_crl.is_some()), ("client_cert_header", tls.client_cert_header)];
        for (key, _) in without.iter().filter(|(_, is_there)| *is_there) {
            findings.error(&place.key(key), Wrong::plain("this needs `device_ca`: who vouches for devices"));
        }
        return None;
    };
    if tls.client_cert_header && file.trusted_proxies.0.is_empty() {
        let wrong = Wrong::new("nobody is trusted to say this", "list the proxies before this one in `trusted_proxies`");
        findings.error(&place.key("client_cert_header"), wrong);
    }
    if tls.client_cert_header && file.listen.proxy_protocol {
        let help = "have the proxies pass TLS through, or take `listen.proxy_protocol` out";
        let wrong = Wrong::new(
            "with `listen.proxy_protocol` nobody would be believed: the header is a proxy's, the address its client's",
            help,
        );
        findings.error(&place.key("client_cert_header"), wrong);
    }
    let certificates = chain(name, sources);
    let certificates = findings.take(&place.key("device_ca"), certificates);
    let revoked = match &tls.device_crl {
        Some(name) => {
            let lists = revoked(name, &place.key("device_crl"), sources, findings);
            findings.take(&place.key("device_crl"), lists)
        }
        None => Some((Vec::new(), (None, None))),
    };
    let certificates = certificates?;
    let authorities = certificates.iter().map(|der| authority(der, name, &place, findings)).collect::<Result<Vec<_>, _>>();
    let authorities = findings.take(&place.key("device_ca"), authorities)?;
    let (revoked, listed) = revoked?;
    let written: Vec<u8> = certificates.iter().flat_map(|der| der.as_ref()).copied().collect();
    let material = TokenHash::of(&written);
    Some(asked(
        DeviceAuthorities {
            authorities,
            revoked,
            listed,
            algorithms: provider.signature_verification_algorithms,
            from_proxies: tls.client_cert_header,
        },
        material,
    ))
}

fn asked(authorities: DeviceAuthorities, material: TokenHash) -> Asked {
    let name = |one: &Authority| DistinguishedName::in_sequence(one.anchor.subject.as_ref());
    let hints = authorities.authorities.iter().map(name).collect();
    let verifier = Arc::new(AnyWellFormed { hints, algorithms: authorities.algorithms });
    Asked { authorities: Arc::new(authorities), verifier, material }
}

fn authority(der: &CertificateDer<'static>, name: &str, place: &Place, findings: &mut Findings) -> Result<Authority, Wrong> {
    let unusable = |error: String| Wrong::plain(format!("`{name}` has a certificate that can't be used: {error}"));
    let anchor = anchor_from_trusted_cert(der).map_err(|error| unusable(error.to_string()))?.to_owned();
    let (_, parsed) = X509Certificate::from_der(der).map_err(|error| unusable(error.to_string()))?;
    if !parsed.is_ca() {
        let help = "name the authority that issues the certificates of devices";
        return Err(Wrong::new(format!("`{}` in `{name}` is no certificate authority", parsed.subject()), help));
    }
    let (begins, ends) = validity(&parsed);
    if clock::now() >= ends {
        let wrong = Wrong::plain(format!("the time of `{}` is over: it vouches for no device", parsed.subject()));
        findings.warning(&place.key("device_ca"), wrong);
    }
    Ok(Authority { anchor, begins, ends })
}

/// When lists were written, and until when they count.
type Listed = (Option<Timestamp>, Option<Timestamp>);

/// The lists in a file, at least one.
fn revoked(
    name: &str,
    place: &Place,
    sources: &mut Sources,
    findings: &mut Findings,
) -> Result<(Vec<CertRevocationList<'static>>, Listed), Wrong> {
    let bytes = read(name, sources)?;
    let mut lists: Vec<CertificateRevocationListDer<'_>> = match bytes.first() {
        // A sequence of DER; PEM begins with text.
        Some(0x30) => vec![CertificateRevocationListDer::from(bytes.as_slice())],
        _ => CertificateRevocationListDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|error| Wrong::plain(format!("`{name}` is neither PEM nor DER: {error}")))?,
    };
    if lists.is_empty() {
        return Err(Wrong::plain(format!("`{name}` has no list of revoked certificates (`X509 CRL`)")));
    }
    if lists.iter().any(|der| is_over(der)) {
        let help = "put a new list in its place: until then no certificate of its issuer is good";
        findings.warning(place, Wrong::new(format!("`{name}` has a list that is past its time"), help));
    }
    // Of those of one issuer the first counts.
    lists.sort_by_key(|der| Reverse(written_at(der)));
    let owned = |der: &CertificateRevocationListDer<'_>| OwnedCertRevocationList::from_der(der).map(CertRevocationList::from);
    let unusable = |error| Wrong::plain(format!("`{name}` has a list that can't be used: {error}"));
    let owned = lists.iter().map(owned).collect::<Result<_, _>>().map_err(unusable)?;
    Ok((owned, listed(&lists)))
}

/// When the oldest list that counts was written, and before when the first of them must be replaced.
fn listed(newest_first: &[CertificateRevocationListDer<'_>]) -> Listed {
    let parsed = newest_first.iter().filter_map(|der| CertificateRevocationList::from_der(der).ok());
    let mut counting: Vec<CertificateRevocationList<'_>> = Vec::new();
    for (_, list) in parsed {
        if counting.iter().all(|newer| newer.issuer() != list.issuer()) {
            counting.push(list);
        }
    }
    let timestamp = |time: ASN1Time| u64::try_from(time.timestamp()).ok().map(Timestamp::from_seconds);
    let written = counting.iter().filter_map(|list| timestamp(list.last_update())).min();
    (written, counting.iter().filter_map(|list| timestamp(list.next_update()?)).min())
}

fn written_at(der: &[u8]) -> Option<i64> {
    CertificateRevocationList::from_der(der).ok().map(|(_, list)| list.last_update().timestamp())
}

fn is_over(der: &[u8]) -> bool {
    let parsed = CertificateRevocationList::from_der(der).ok();
    let ends = parsed.and_then(|(_, list)| list.next_update()).and_then(|time| u64::try_from(time.timestamp()).ok());
    ends.is_some_and(|seconds| Timestamp::from_seconds(seconds) <= clock::now())
}

/// Asks for a certificate and takes any that can be read, where its holder has its key. What it is worth is found out later.
#[derive(Debug)]
struct AnyWellFormed {
    hints: Vec<DistinguishedName>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for AnyWellFormed {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let bytes: usize = intermediates.iter().chain([end_entity]).map(|der| der.len()).sum();
        if intermediates.len() >= LONGEST_CHAIN || bytes > LARGEST_CHAIN {
            return Err(Error::InvalidCertificate(CertificateError::BadEncoding));
        }
        key(end_entity).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature_with_raw_key(message, &key(cert)?, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The key in a certificate. webpki would not read what it can't verify, such as an unknown critical extension: the holder is to
/// have a page that says so all the same.
fn key<'c>(certificate: &'c CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'c>, Error> {
    let parsed = X509Certificate::from_der(certificate);
    let (_, parsed) = parsed.map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    Ok(SubjectPublicKeyInfoDer::from(parsed.tbs_certificate.subject_pki.raw))
}
