//! Which device a request comes from. In: the certificate of the connection, or what a trusted proxy says of its client's
//! (RFC 9440). Out: what it is worth at this moment, and what the inventory knows of it. Must never believe `Client-Cert` from
//! anybody but a trusted proxy, nor take a proxy's own certificate for its client's.

use super::visit::{Connection, Gate, Visit, Worker};
use crate::model::inventory::Inventories;
use crate::model::{Device, Fault, Identity, Judged, Observed, Reason, Refusal, Risk, Timestamp};
use crate::snapshot::Snapshot;
use crate::snapshot::devices::DeviceAuthorities;
use base64::Engine as _;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
/// Padding may be left out (RFC 9651, section 4.2.7).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// How many certificates that proxies tell of a worker remembers.
const REMEMBERED: usize = 1024;

/// A judgement, and which configuration it was made by.
struct Known {
    epoch: u64,
    judged: Rc<Judged>,
}

impl Known {
    fn is_good(&self, epoch: u64, now: Timestamp) -> bool {
        self.epoch == epoch && now < self.judged.until
    }
}

/// The certificate of a connection, and what is known of it.
#[derive(Default)]
pub(super) struct Shown {
    certificates: Option<Box<[CertificateDer<'static>]>>,
    known: RefCell<Option<Known>>,
}

/// What is known of the certificates that proxies tell of, by what they say.
#[derive(Default)]
pub(super) struct Told(RefCell<HashMap<Box<[u8]>, Known>>);

impl From<Option<Box<[CertificateDer<'static>]>>> for Shown {
    fn from(certificates: Option<Box<[CertificateDer<'static>]>>) -> Self {
        Self { certificates, known: RefCell::default() }
    }
}

/// What the certificate of a client is worth now; nothing where it has shown none, or where nobody vouches for devices.
pub(super) fn certificate(
    worker: &Worker,
    connection: &Connection,
    snapshot: &Snapshot,
    headers: &HeaderMap,
    now: Timestamp,
) -> Option<Rc<Judged>> {
    let authorities = snapshot.tls.devices.as_ref()?;
    let moment = (snapshot.epoch, now);
    if !snapshot.trusts(connection.peer) {
        return connection.shown.judge(authorities, moment);
    }
    let told = headers.get(CLIENT_CERT).filter(|_| authorities.from_proxies)?;
    let is_one = headers.get_all(CLIENT_CERT).iter().nth(1).is_none();
    worker.told.judge(is_one.then_some(told), headers.get_all(CLIENT_CERT_CHAIN).iter(), authorities, moment)
}

/// The device that the inventory has for a certificate that is good.
pub(super) fn known(gate: &Gate, snapshot: &Snapshot, judged: &Judged) -> Option<Arc<Device>> {
    let certified = judged.verdict.as_ref().ok()?;
    let administered = gate.store.devices();
    let inventories = Inventories { administered: &administered, listed: &snapshot.devices };
    inventories.by_fingerprint(certified.fingerprint).cloned()
}

/// The worst that is said of a person, and of the device of this request.
pub fn risk(visit: &Visit, identity: &Identity) -> Option<Observed<Arc<Risk>>> {
    let device = visit.device.as_ref().map(|device| &*device.id);
    visit.gate().store.risks().worst(identity, device).cloned()
}

/// Says to somebody who needs a device that the certificate is not good; nothing where it is, or where there is none.
pub fn complaint(visit: &Visit) -> Option<Refusal> {
    let fault = visit.certificate.as_ref()?.verdict.as_ref().err()?;
    Some(Refusal::with_detail(Reason::DeviceCertificateInvalid, fault.explanation()))
}

impl Shown {
    fn judge(&self, authorities: &DeviceAuthorities, (epoch, now): (u64, Timestamp)) -> Option<Rc<Judged>> {
        let certificates = self.certificates.as_deref()?;
        let mut known = self.known.borrow_mut();
        if let Some(known) = known.as_ref().filter(|known| known.is_good(epoch, now)) {
            return Some(Rc::clone(&known.judged));
        }
        let judged = Rc::new(authorities.judge(certificates, now));
        *known = Some(Known { epoch, judged: Rc::clone(&judged) });
        Some(judged)
    }
}

impl Told {
    fn judge<'h>(
        &self,
        told: Option<&HeaderValue>,
        chain: impl Iterator<Item = &'h HeaderValue>,
        authorities: &DeviceAuthorities,
        (epoch, now): (u64, Timestamp),
    ) -> Option<Rc<Judged>> {
        let mut said = told.map_or(Vec::new(), |told| told.as_bytes().to_vec());
        for line in chain {
            said.push(b',');
            said.extend_from_slice(line.as_bytes());
        }
        let mut known = self.0.borrow_mut();
        if let Some(known) = known.get(&*said).filter(|known| known.is_good(epoch, now)) {
            return Some(Rc::clone(&known.judged));
        }
        let judged = Rc::new(match read(&said) {
            Some(certificates) => authorities.judge(&certificates, now),
            None => Judged { verdict: Err(Fault::Malformed), until: Timestamp::from_millis(u64::MAX) },
        });
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(said.into(), Known { epoch, judged: Rc::clone(&judged) });
        Some(judged)
    }
}

/// The certificates in `Client-Cert` and, after commas, in the lines of `Client-Cert-Chain`: byte sequences between colons.
fn read(said: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let one = |item: &[u8]| {
        let inside = item.trim_ascii().strip_prefix(b":")?.strip_suffix(b":")?;
        BASE64.decode(inside).ok().map(CertificateDer::from)
    };
    said.split(|byte| *byte == b',').map(one).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn certificates_stand_between_colons_and_everything_else_is_malformed() {
        let read = |said: &str| read(said.as_bytes()).map(|all| all.iter().map(|der| der.to_vec()).collect::<Vec<_>>());
        assert_eq!(read(":AQID:"), Some(vec![vec![1, 2, 3]]));
        assert_eq!(read(":AQ==:, :Ag==: ,:Aw:"), Some(vec![vec![1], vec![2], vec![3]]), "padding may be left out");
        for wrong in ["", "AQID", ":AQID", "AQID:", ":AQ ID:", ":AQID:;a=1", ":AQID:,", "\"AQID\"", ":AQ-_:", ":::"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
