//! The devices that are known. In: devices. Out: the one of a name or of a certificate, and those of a person. Must never have two devices of one name,
//! or two with one certificate.

use super::identity::Subject;
use super::risks::Whose;
use super::{Device, Email, Fingerprint, Identity, Observed, Owner};
use std::collections::HashMap;
use std::sync::Arc;

/// Devices by name, by certificate and by owner.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    by_id: HashMap<Box<str>, Arc<Device>>,
    by_fingerprint: HashMap<Fingerprint, Arc<Device>>,
    by_email: HashMap<Email, Vec<Arc<Device>>>,
    by_subject: HashMap<Subject, Vec<Arc<Device>>>,
    /// What transmitters say of whether a device keeps the rules.
    compliance: HashMap<Box<str>, Vec<Observed<bool>>>,
}

/// Another device has this certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` has this certificate")]
pub struct Taken(pub String);

impl Inventory {
    /// Takes a device in, in place of the one that had its name.
    pub fn put(&mut self, device: Device) -> Result<(), Taken> {
        let holder = device.fingerprint.and_then(|fingerprint| self.by_fingerprint(fingerprint));
        if let Some(other) = holder.filter(|other| other.id != device.id) {
            return Err(Taken(other.id.clone()));
        }
        self.remove(&device.id);
        let device = Arc::new(device);
        if let Some(fingerprint) = device.fingerprint {
            self.by_fingerprint.insert(fingerprint, Arc::clone(&device));
        }
        if let Some(owned) = self.owned(&device.owner) {
            owned.push(Arc::clone(&device));
        }
        self.by_id.insert(device.id.as_str().into(), device);
        Ok(())
    }

    /// Takes a device out.
    pub fn remove(&mut self, id: &str) -> Option<Arc<Device>> {
        let device = self.by_id.remove(id)?;
        if let Some(fingerprint) = device.fingerprint {
            self.by_fingerprint.remove(&fingerprint);
        }
        if let Some(owned) = self.owned(&device.owner) {
            owned.retain(|other| other.id != device.id);
        }
        Some(device)
    }

    /// The devices of an owner; nothing for those that are shared.
    fn owned(&mut self, owner: &Owner) -> Option<&mut Vec<Arc<Device>>> {
        let Owner::Person(name) = owner else { return None };
        match Whose::parse("user", name)? {
            Whose::Email(email) => Some(self.by_email.entry(email).or_default()),
            Whose::Subject(subject) => Some(self.by_subject.entry(subject).or_default()),
            Whose::Device(_) => None,
        }
    }

    /// The devices of this person; those that are shared are not among them.
    pub fn owned_by(&self, identity: &Identity) -> impl Iterator<Item = &Arc<Device>> {
        let by_email = identity.profile.email.as_ref().and_then(|email| self.by_email.get(email));
        by_email.into_iter().chain(self.by_subject.get(&identity.subject)).flatten()
    }

    /// The device of this name.
    pub fn by_id(&self, id: &str) -> Option<&Arc<Device>> {
        self.by_id.get(id)
    }

    /// The device with this certificate.
    pub fn by_fingerprint(&self, fingerprint: Fingerprint) -> Option<&Arc<Device>> {
        self.by_fingerprint.get(&fingerprint)
    }

    /// All of them, in no order.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Device>> {
        self.by_id.values()
    }

    /// A transmitter says whether this device keeps the rules.
    pub fn put_compliance(&mut self, id: &str, said: Observed<bool>) {
        self.compliance.entry(id.into()).or_default().push(said);
    }

    /// Nothing that transmitters say counts any more.
    pub fn forget_transmitters(&mut self) {
        self.compliance.clear();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }
}

/// Two inventories as one: what the first says of a device, the second says no more.
#[derive(Clone, Copy, Debug)]
pub struct Inventories<'a> {
    /// What the administration API was told.
    pub administered: &'a Inventory,
    /// What the file says.
    pub listed: &'a Inventory,
}

impl<'a> Inventories<'a> {
    /// The device of this name.
    pub fn by_id(self, id: &str) -> Option<&'a Arc<Device>> {
        self.administered.by_id(id).or_else(|| self.listed.by_id(id))
    }

    /// The device with this certificate.
    pub fn by_fingerprint(self, fingerprint: Fingerprint) -> Option<&'a Arc<Device>> {
        let told_otherwise = |device: &&Arc<Device>| self.administered.by_id(&device.id).is_some();
        let listed = || self.listed.by_fingerprint(fingerprint).filter(|device| !told_otherwise(device));
        self.administered.by_fingerprint(fingerprint).or_else(listed)
    }

    /// The device with what transmitters say of it: it keeps the rules where all of them say so, and is known no longer than the
    /// first of them holds.
    pub fn judged(self, device: &Arc<Device>) -> Arc<Device> {
        let Some(said) = self.administered.compliance.get(&*device.id) else { return Arc::clone(device) };
        let compliant = said.iter().all(|said| said.value) && device.compliant != Some(false);
        let expires_at = said.iter().filter_map(|said| said.expires_at).chain(device.expires_at).min();
        Arc::new(Device { compliant: Some(compliant), expires_at, ..Device::clone(device) })
    }

    /// The devices of this person.
    pub fn owned_by(self, identity: &Identity) -> impl Iterator<Item = &'a Arc<Device>> {
        let listed = self.listed.owned_by(identity).filter(move |device| self.administered.by_id(&device.id).is_none());
        self.administered.owned_by(identity).chain(listed)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::identity::Profile;
    use crate::model::{ProviderName, Source, Timestamp};

    fn device(id: &str, fingerprint: u8) -> Device {
        Device {
            id: id.to_owned(),
            owner: Owner::Shared,
            fingerprint: Some(Fingerprint([fingerprint; 32])),
            platform: None,
            os_version: None,
            disk_encryption: None,
            screen_lock: None,
            managed: true,
            compliant: None,
            tags: Vec::new(),
            reported_at: Timestamp::default(),
            expires_at: None,
        }
    }

    fn inventory(devices: &[(&str, u8)]) -> Inventory {
        let mut inventory = Inventory::default();
        devices.iter().for_each(|(id, fingerprint)| inventory.put(device(id, *fingerprint)).unwrap());
        inventory
    }

    #[test]
    fn a_certificate_is_one_device_s_and_goes_with_it() {
        let mut inventory = inventory(&[("a", 1), ("b", 2)]);
        assert_eq!(inventory.put(device("b", 1)), Err(Taken("a".to_owned())));
        assert!(inventory.by_fingerprint(Fingerprint([2; 32])).is_some(), "a refusal changes nothing");
        inventory.put(device("a", 3)).unwrap();
        assert!(inventory.by_fingerprint(Fingerprint([1; 32])).is_none(), "an old certificate leads nowhere");
        inventory.remove("a").unwrap();
        assert!(inventory.by_fingerprint(Fingerprint([3; 32])).is_none() && inventory.len() == 1);
    }

    #[test]
    fn what_the_api_was_told_of_a_device_counts_in_place_of_what_the_file_says() {
        let (administered, listed) = (inventory(&[("a", 9)]), inventory(&[("a", 1), ("b", 2)]));
        let both = Inventories { administered: &administered, listed: &listed };
        let found = |fingerprint| both.by_fingerprint(Fingerprint([fingerprint; 32])).map(|device| device.id.as_str());
        assert_eq!([found(9), found(1), found(2), found(3)], [Some("a"), None, Some("b"), None]);
        assert_eq!(both.by_id("a").unwrap().fingerprint, Some(Fingerprint([9; 32])));
    }

    #[test]
    fn a_person_s_devices_are_theirs_until_they_are_given_away_or_taken_out() {
        let provider = ProviderName::parse("staff").unwrap();
        let alice = Identity {
            subject: Subject { provider, subject: "a:1".to_owned() },
            profile: Profile { email: Email::parse("alice@corp.example").ok(), ..Profile::default() },
            authenticated_at: Timestamp::default(),
        };
        let of = |id: &str, fingerprint, owner: &str| Device { owner: Owner::Person(owner.to_owned()), ..device(id, fingerprint) };
        let (mut administered, mut listed) = (Inventory::default(), inventory(&[("pool", 9)]));
        for (id, fingerprint, owner) in [("a", 1, "alice@corp.example"), ("b", 2, "staff:a:1"), ("c", 3, "bob@corp.example")] {
            listed.put(of(id, fingerprint, owner)).unwrap();
        }
        let owned = |administered: &Inventory, listed: &Inventory| {
            let mut ids: Vec<_> = Inventories { administered, listed }.owned_by(&alice).map(|device| device.id.clone()).collect();
            ids.sort();
            ids.concat()
        };
        assert_eq!(owned(&administered, &listed), "ab");
        administered.put(of("a", 1, "bob@corp.example")).unwrap();
        administered.put(of("d", 4, "alice@corp.example")).unwrap();
        assert_eq!(owned(&administered, &listed), "bd", "what the API was told counts");
        administered.put(of("d", 4, "bob@corp.example")).unwrap();
        listed.remove("b").unwrap();
        assert_eq!(owned(&administered, &listed), "");
    }

    #[test]
    fn a_device_keeps_the_rules_where_all_say_so_and_for_as_long_as_all_do() {
        let said = |value, seconds| Observed {
            value,
            source: Source::transmitter("mdm"),
            observed_at: Timestamp::default(),
            expires_at: Some(Timestamp::from_seconds(seconds)),
        };
        for (listed, all, expected) in [
            (None, vec![], (None, None)),
            (None, vec![said(true, 9)], (Some(true), Some(9))),
            (None, vec![said(true, 9), said(false, 5)], (Some(false), Some(5))),
            (Some(true), vec![said(false, 9)], (Some(false), Some(9))),
            (Some(false), vec![said(true, 9)], (Some(false), Some(9))),
        ] {
            let (mut administered, mut inventory) = (Inventory::default(), Inventory::default());
            inventory.put(Device { compliant: listed, ..device("a", 1) }).unwrap();
            all.into_iter().for_each(|said| administered.put_compliance("a", said));
            let both = Inventories { administered: &administered, listed: &inventory };
            let judged = both.judged(both.by_id("a").unwrap());
            assert_eq!((judged.compliant, judged.expires_at.map(Timestamp::seconds)), expected);
        }
    }
}
