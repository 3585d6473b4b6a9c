//! The devices that are known. In: devices. Out: the one of a name or of a certificate. Must never have two devices of one name,
//! or two with one certificate.

use super::{Device, Fingerprint};
use std::collections::HashMap;
use std::sync::Arc;

/// Devices by name and by certificate.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    by_id: HashMap<Box<str>, Arc<Device>>,
    by_fingerprint: HashMap<Fingerprint, Arc<Device>>,
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
        self.by_id.insert(device.id.as_str().into(), device);
        Ok(())
    }

    /// Takes a device out.
    pub fn remove(&mut self, id: &str) -> Option<Arc<Device>> {
        let device = self.by_id.remove(id)?;
        if let Some(fingerprint) = device.fingerprint {
            self.by_fingerprint.remove(&fingerprint);
        }
        Some(device)
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
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{Owner, Timestamp};

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
}
