//! Which device a request comes from. In: the certificate of the connection, or what a trusted proxy says of its client's
//! (RFC 9440). Out: what it is worth at this moment, and what the inventory knows of it. Must never believe `Client-Cert` from
//! anybody but a trusted proxy, nor take a proxy's own certificate for its client's.

use super::visit::{Circumstances, Connection, Gate, Visit, Worker};
use crate::model::inventory::{Inventories, Inventory};
use crate::model::{Device, DeviceFacts, Fault, Identity, Judged, Observed, Reason, Refusal, Risk, Source, Standing, Timestamp};
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
use std::sync::{Arc, Weak};

const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
/// Padding may be left out (RFC 9651, section 4.2.7).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
/// How many certificates that proxies tell of a worker remembers.
const REMEMBERED: usize = 1024;

/// What a device is to a person.
type Found = Observed<Arc<DeviceFacts>>;

/// A certificate that a client has shown: what it is worth, and the device that it leads to.
pub struct Presented {
    /// What it is worth.
    pub judged: Rc<Judged>,
    /// The device that the inventory has for it, where it is good.
    pub device: Option<Arc<Device>>,
    /// What it was read as; nothing where it can't be.
    certificates: Option<Certificates>,
    epoch: u64,
    /// What it was looked up in: that may be much, and is not kept for a connection that says nothing any more.
    inventory: Weak<Inventory>,
    /// What it is to the person who has last come with it, of whom nothing is kept.
    facts: RefCell<Option<(Weak<Identity>, Found)>>,
}

/// A certificate, and those that are said to vouch for it.
type Certificates = Rc<[CertificateDer<'static>]>;

/// What certificates are judged by.
struct Moment<'a> {
    snapshot: &'a Snapshot,
    authorities: &'a DeviceAuthorities,
    inventory: &'a Arc<Inventory>,
    now: Timestamp,
}

/// The certificate of a connection, and what is known of it.
#[derive(Default)]
pub(super) struct Shown {
    certificates: Option<Certificates>,
    known: RefCell<Option<Rc<Presented>>>,
}

/// What is known of the certificates that proxies tell of, by what they say.
#[derive(Default)]
pub(super) struct Told(RefCell<HashMap<Box<[u8]>, Rc<Presented>>>);

impl From<Option<Box<[CertificateDer<'static>]>>> for Shown {
    fn from(certificates: Option<Box<[CertificateDer<'static>]>>) -> Self {
        Self { certificates: certificates.map(Rc::from), known: RefCell::default() }
    }
}

/// The certificate of a client, judged for this moment; nothing where it has shown none, or where nobody vouches for devices.
pub(super) fn certificate(
    worker: &Worker,
    connection: &Connection,
    snapshot: &Snapshot,
    headers: &HeaderMap,
    now: Timestamp,
) -> Option<Rc<Presented>> {
    let authorities = snapshot.tls.devices.as_deref()?;
    let inventory = worker.gate.store.devices();
    let moment = Moment { snapshot, authorities, inventory: &inventory, now };
    if !snapshot.trusts(connection.peer) {
        return connection.shown.present(&moment);
    }
    let told = headers.get(CLIENT_CERT).filter(|_| authorities.from_proxies)?;
    // One item, and no list (RFC 9440, section 2.2).
    let is_one = headers.get_all(CLIENT_CERT).iter().nth(1).is_none() && !told.as_bytes().contains(&b',');
    Some(worker.told.present(is_one.then_some(told), headers.get_all(CLIENT_CERT_CHAIN).iter(), &moment))
}

/// What a certificate that was shown before is worth now.
pub(super) fn again(known: &Rc<Presented>, gate: &Gate, snapshot: &Snapshot, now: Timestamp) -> Option<Rc<Presented>> {
    let authorities = snapshot.tls.devices.as_deref()?;
    let inventory = gate.store.devices();
    let moment = Moment { snapshot, authorities, inventory: &inventory, now };
    Some(Presented::renewed(Some(known), &moment, || known.certificates.clone()))
}

impl Presented {
    /// What was known, as far as it still holds, and the rest anew.
    fn renewed(known: Option<&Rc<Self>>, moment: &Moment<'_>, read: impl FnOnce() -> Option<Certificates>) -> Rc<Self> {
        let known = known.filter(|known| known.epoch == moment.snapshot.epoch && moment.now < known.judged.until);
        match known {
            Some(known) if std::ptr::eq(known.inventory.as_ptr(), Arc::as_ptr(moment.inventory)) => Rc::clone(known),
            Some(known) => Self::new(Rc::clone(&known.judged), known.certificates.clone(), moment),
            None => {
                let certificates = read();
                let judged = match &certificates {
                    Some(certificates) => moment.authorities.judge(certificates, moment.now),
                    None => Judged { verdict: Err(Fault::Malformed), until: Timestamp::from_millis(u64::MAX) },
                };
                Self::new(Rc::new(judged), certificates, moment)
            }
        }
    }

    fn new(judged: Rc<Judged>, certificates: Option<Certificates>, moment: &Moment<'_>) -> Rc<Self> {
        let inventories = Inventories { administered: moment.inventory, listed: &moment.snapshot.devices };
        let certified = judged.verdict.as_ref().ok();
        let device = certified.and_then(|certified| inventories.by_fingerprint(certified.fingerprint));
        let device = device.map(|device| inventories.judged(device));
        let (epoch, inventory) = (moment.snapshot.epoch, Arc::downgrade(moment.inventory));
        Rc::new(Self { judged, device, certificates, epoch, inventory, facts: RefCell::default() })
    }

    /// What the device is to this person; nothing where the certificate is not good.
    pub(super) fn facts(&self, identity: &Arc<Identity>) -> Option<Found> {
        let certified = self.judged.verdict.as_ref().ok()?;
        let mut known = self.facts.borrow_mut();
        if let Some((_, facts)) = known.as_ref().filter(|(of, _)| std::ptr::eq(of.as_ptr(), Arc::as_ptr(identity))) {
            return Some(facts.clone());
        }
        let standing = self.device.as_ref().map_or(Standing::Certified, |device| device.standing(identity));
        let value = Arc::new(DeviceFacts { standing, device: self.device.clone() });
        let facts = match &self.device {
            Some(device) => {
                let expires_at = device.expires_at.map_or(certified.ends, |ends| ends.min(certified.ends));
                Observed { value, source: Source::Inventory, observed_at: device.reported_at, expires_at: Some(expires_at) }
            }
            None => {
                let (observed_at, expires_at) = (certified.begins, Some(certified.ends));
                Observed { value, source: Source::Connection, observed_at, expires_at }
            }
        };
        *known = Some((Arc::downgrade(identity), facts.clone()));
        Some(facts)
    }
}

/// The worst that is said of a person, of the device of this request, and of the person's others: whoever leaves a certificate away
/// is not rid of what is said of its device.
pub(super) fn risk(at: Circumstances<'_>, identity: &Identity) -> Option<Observed<Arc<Risk>>> {
    let store = &at.gate.store;
    let administered = store.devices();
    let owned = Inventories { administered: &administered, listed: &at.snapshot.devices }.owned_by(identity);
    let shown = at.certificate.and_then(|certificate| certificate.device.as_ref());
    store.risks().worst(identity, shown.map(|device| &*device.id), owned.map(|device| &*device.id))
}

/// Refuses whoever shows a device that is locked.
pub(super) fn admit(at: Circumstances<'_>) -> Result<(), Reason> {
    let Some(shown) = at.certificate else { return Ok(()) };
    let Ok(certified) = &shown.judged.verdict else { return Ok(()) };
    let id = shown.device.as_ref().map(|device| &*device.id);
    let is_locked = at.gate.store.locks().has_device(id, certified.fingerprint, at.now);
    if is_locked { Err(Reason::DeviceLocked) } else { Ok(()) }
}

/// Says to somebody who needs a device that the certificate is not good; nothing where it is, or where there is none.
pub(super) fn complaint(visit: &Visit) -> Option<Refusal> {
    let fault = visit.certificate.as_ref()?.judged.verdict.as_ref().err()?;
    Some(Refusal::with_detail(Reason::DeviceCertificateInvalid, fault.explanation()))
}

impl Shown {
    fn present(&self, moment: &Moment<'_>) -> Option<Rc<Presented>> {
        let certificates = self.certificates.as_ref()?;
        let mut known = self.known.borrow_mut();
        let presented = Presented::renewed(known.as_ref(), moment, || Some(Rc::clone(certificates)));
        Some(Rc::clone(known.insert(presented)))
    }
}

impl Told {
    fn present<'h>(
        &self,
        told: Option<&HeaderValue>,
        chain: impl Iterator<Item = &'h HeaderValue>,
        moment: &Moment<'_>,
    ) -> Rc<Presented> {
        let mut said = told.map_or(Vec::new(), |told| told.as_bytes().to_vec());
        for line in chain {
            said.push(b',');
            said.extend_from_slice(line.as_bytes());
        }
        let mut known = self.0.borrow_mut();
        let presented = Presented::renewed(known.get(&*said), moment, || read(&said).map(Rc::from));
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(said.into(), Rc::clone(&presented));
        presented
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
