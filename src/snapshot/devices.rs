//! Who vouches for devices. In: authorities, and their lists of what they have revoked. Out: what a certificate is worth at a
//! given time. Must never take a certificate for good that could not be judged.

use crate::model::{Certified, Fault, Fingerprint, Judged, Timestamp, TokenHash};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use std::time::Duration;
use webpki::{
    CertRevocationList, EndEntityCert, Error, ExpirationPolicy, KeyUsage, RevocationCheckDepth, RevocationOptions,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

/// How long a judgement holds, at most: what it rests on may change by itself.
const HOLDS: Duration = Duration::from_secs(60);

/// How many certificates a client may show, with its own: looking for a way through many takes long.
pub const LONGEST_CHAIN: usize = 5;

/// Who vouches for devices.
#[derive(Debug)]
pub struct DeviceAuthorities {
    /// Who.
    pub authorities: Vec<Authority>,
    /// What they have revoked; where there is none, nothing is looked up.
    pub revoked: Vec<CertRevocationList<'static>>,
    /// When the oldest of these lists was written, and before when the first of them must be replaced.
    pub listed: (Option<Timestamp>, Option<Timestamp>),
    /// What signatures may be made with.
    pub algorithms: WebPkiSupportedAlgorithms,
    /// Whether trusted proxies say in `Client-Cert` (RFC 9440) which certificate their client has shown.
    pub from_proxies: bool,
}

/// One authority.
#[derive(Debug)]
pub struct Authority {
    /// Its name and key.
    pub anchor: TrustAnchor<'static>,
    /// From when on it counts.
    pub begins: Timestamp,
    /// Until when.
    pub ends: Timestamp,
}

impl DeviceAuthorities {
    /// What a certificate is worth now, with those that are said to vouch for it behind it.
    pub fn judge(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Judged {
        let verdict = self.verdict(chain, now);
        let again = now.plus(HOLDS);
        let until = verdict.as_ref().map_or(again, |certified| certified.ends.min(again));
        Judged { verdict, until }
    }

    fn verdict(&self, chain: &[CertificateDer<'_>], now: Timestamp) -> Result<Certified, Fault> {
        let (first, others) = chain.split_first().filter(|_| chain.len() <= LONGEST_CHAIN).ok_or(Fault::Malformed)?;
        let leaf = EndEntityCert::try_from(first).map_err(fault)?;
        let anchors: Vec<_> = self.authorities.iter().filter(|one| one.counts(now)).map(|one| one.anchor.clone()).collect();
        let time = UnixTime::since_unix_epoch(Duration::from_millis(now.millis()));
        let verify = |revocation: Option<RevocationOptions<'_>>| {
            let all = self.algorithms.all;
            let path = leaf.verify_for_usage(all, &anchors, others, time, KeyUsage::client_auth(), revocation, None);
            path.map(drop).map_err(fault)
        };
        let lists: Vec<_> = self.revoked.iter().collect();
        match RevocationOptionsBuilder::new(&lists) {
            Err(_) => verify(None)?,
            Ok(of_leaf) => {
                // Its own issuer must say that it is good; those above it may have nothing to say, but not the contrary.
                let of_chain = of_leaf.with_depth(RevocationCheckDepth::Chain).with_status_policy(UnknownStatusPolicy::Allow);
                let of_leaf = of_leaf.with_depth(RevocationCheckDepth::EndEntity).with_status_policy(UnknownStatusPolicy::Deny);
                for options in [of_leaf, of_chain] {
                    verify(Some(options.with_expiration_policy(ExpirationPolicy::Enforce).build()))?;
                }
            }
        }
        facts(first)
    }
}

impl Authority {
    fn counts(&self, now: Timestamp) -> bool {
        self.begins <= now && now < self.ends
    }
}

/// What stands in a certificate that somebody vouches for.
fn facts(der: &[u8]) -> Result<Certified, Fault> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| Fault::Malformed)?;
    let usage = certificate.key_usage().map_err(|_| Fault::Malformed)?;
    if usage.is_some_and(|usage| !usage.value.digital_signature()) {
        return Err(Fault::WrongUsage);
    }
    let fingerprint = TokenHash::of(der).as_bytes().try_into().map(Fingerprint).map_err(|_| Fault::Malformed)?;
    let (begins, ends) = validity(&certificate);
    Ok(Certified { fingerprint, subject: certificate.subject().to_string(), begins, ends })
}

/// From when on a certificate counts, and from when on no more: its last second is good (RFC 5280, section 4.1.2.5).
pub fn validity(certificate: &X509Certificate<'_>) -> (Timestamp, Timestamp) {
    let seconds = |seconds: i64| Timestamp::from_seconds(u64::try_from(seconds).unwrap_or(0));
    let validity = certificate.validity();
    (seconds(validity.not_before.timestamp()), seconds(validity.not_after.timestamp().saturating_add(1)))
}

fn fault(error: Error) -> Fault {
    match error {
        Error::CertExpired { .. } => Fault::Expired,
        Error::CertNotValidYet { .. } => Fault::NotYetValid,
        Error::CertRevoked => Fault::Revoked,
        Error::CrlExpired { .. } => Fault::RevocationListExpired,
        // Its issuer's list is somebody else's of the same name, or of an authority that may not write lists.
        Error::UnknownRevocationStatus | Error::InvalidCrlSignatureForPublicKey | Error::IssuerNotCrlSigner => {
            Fault::RevocationUnknown
        }
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => Fault::UnknownIssuer,
        Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension | Error::CaUsedAsEndEntity => Fault::WrongUsage,
        _ => Fault::Malformed,
    }
}
