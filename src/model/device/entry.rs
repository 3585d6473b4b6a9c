//! A device as people and programs write it: in a file, in JSON, in the store. In: texts. Out: a checked [`Device`], or
//! everything that is wrong with it. Must never take an unclear value for a harmless one.

use super::{Device, Fingerprint, Owner};
use crate::model::identity::Email;
use crate::model::{ProviderName, Timestamp};
use serde::{Deserialize, Serialize};

/// The keys of an entry, as files and JSON name them.
pub const KEYS: [&str; 12] = [
    "id",
    "owner",
    "fingerprint",
    "platform",
    "os_version",
    "disk_encryption",
    "screen_lock",
    "managed",
    "compliant",
    "tags",
    "reported_at",
    "expires_at",
];

/// A device, not checked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its name in the inventory.
    #[serde(default)]
    pub id: String,
    /// An e-mail address, `provider:subject`, or `shared`.
    #[serde(default)]
    pub owner: String,
    /// The SHA-256 of its certificate: 64 hexadecimal digits, with colons or without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// `macos`, `windows`, `linux`, `ios`, `android`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// `14.6.1`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Whether its disk is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_encryption: Option<bool>,
    /// Whether its screen locks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub screen_lock: Option<bool>,
    /// Whether the organisation manages it.
    #[serde(default)]
    pub managed: bool,
    /// Whether it keeps the rules for devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compliant: Option<bool>,
    /// Anything else, for rules.
    #[serde(default)]
    pub tags: Vec<String>,
    /// When it was last heard of (RFC 3339); now by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported_at: Option<String>,
    /// From when on that says nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// One thing that is wrong with an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Of which key.
    pub key: &'static str,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub cure: &'static str,
}

impl Entry {
    /// The device, heard of at this time where the entry does not say when; or every flaw.
    pub fn check(self, heard: Timestamp) -> Result<Device, Vec<Flaw>> {
        let mut flaws = Vec::new();
        let owner = keep(person_or_shared(&self.owner), &mut flaws);
        let fingerprint = keep(self.fingerprint.as_deref().map(fingerprint).transpose(), &mut flaws);
        let reported_at = keep(time("reported_at", self.reported_at.as_deref()), &mut flaws);
        let expires_at = keep(time("expires_at", self.expires_at.as_deref()), &mut flaws);
        if !is_id(&self.id) {
            let cure = "letters, digits, `-`, `_`, `.`, `:` and `@`, at most 128";
            flaws.push(Flaw { key: "id", message: format!("`{}` can't be the name of a device", self.id), cure });
        }
        let (Some(owner), Some(fingerprint), Some(reported_at), Some(expires_at), []) =
            (owner, fingerprint, reported_at, expires_at, &*flaws)
        else {
            return Err(flaws);
        };
        Ok(Device {
            id: self.id,
            owner,
            fingerprint,
            platform: self.platform.map(|platform| platform.to_ascii_lowercase()),
            os_version: self.os_version,
            disk_encryption: self.disk_encryption,
            screen_lock: self.screen_lock,
            managed: self.managed,
            compliant: self.compliant,
            tags: self.tags,
            reported_at: reported_at.unwrap_or(heard),
            expires_at,
        })
    }
}

fn keep<T>(read: Result<T, Flaw>, flaws: &mut Vec<Flaw>) -> Option<T> {
    read.map_err(|flaw| flaws.push(flaw)).ok()
}

/// Whether this can be the name of a device.
pub fn is_id(text: &str) -> bool {
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-_.:@".contains(&b);
    !text.is_empty() && text.len() <= 128 && text.bytes().all(fine)
}

/// A person as rules name one: an e-mail address in lower case, or `provider:subject`.
pub fn person(text: &str) -> Option<String> {
    if let Ok(email) = Email::parse(text) {
        return Some(email.as_str().to_owned());
    }
    let (provider, subject) = text.split_once(':')?;
    (ProviderName::parse(provider).is_some() && !subject.is_empty()).then(|| text.to_owned())
}

fn person_or_shared(text: &str) -> Result<Owner, Flaw> {
    if text == "shared" {
        return Ok(Owner::Shared);
    }
    let message = || if text.is_empty() { "nobody is named".to_owned() } else { format!("`{text}` is no person") };
    let cure = "an e-mail address, `provider:subject`, or `shared` for everybody's";
    person(text).map(Owner::Person).ok_or_else(|| Flaw { key: "owner", message: message(), cure })
}

/// The SHA-256 of a certificate: 64 hexadecimal digits, with colons or without.
pub fn fingerprint(text: &str) -> Result<Fingerprint, Flaw> {
    let digits: Vec<u8> = text.bytes().filter(|b| *b != b':').collect();
    let mut fingerprint = [0; 32];
    let pairs = digits.as_chunks::<2>();
    let whole = pairs.0.len() == fingerprint.len() && pairs.1.is_empty();
    let read = fingerprint.iter_mut().zip(pairs.0).try_for_each(|(byte, pair)| {
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let [high, low] = *pair;
        *byte = digit(high)? << 4 | digit(low)?;
        Some(())
    });
    let cure = "its SHA-256, 64 hexadecimal digits: `openssl x509 -noout -fingerprint -sha256 -in FILE`";
    let flaw = || Flaw { key: "fingerprint", message: format!("`{text}` is no fingerprint"), cure };
    read.filter(|()| whole).map(|()| Fingerprint(fingerprint)).ok_or_else(flaw)
}

/// A time, where there is one.
pub fn time(key: &'static str, text: Option<&str>) -> Result<Option<Timestamp>, Flaw> {
    let cure = "as in `2026-11-22T17:00:00Z`";
    let flaw = |text: &str| Flaw { key, message: format!("`{text}` is no time"), cure };
    text.map(|text| Timestamp::parse(text).ok_or_else(|| flaw(text))).transpose()
}

impl From<&Device> for Entry {
    fn from(device: &Device) -> Self {
        let owner = match &device.owner {
            Owner::Shared => "shared".to_owned(),
            Owner::Person(name) => name.clone(),
        };
        Self {
            id: device.id.clone(),
            owner,
            fingerprint: device.fingerprint.map(|fingerprint| fingerprint.to_string()),
            platform: device.platform.clone(),
            os_version: device.os_version.clone(),
            disk_encryption: device.disk_encryption,
            screen_lock: device.screen_lock,
            managed: device.managed,
            compliant: device.compliant,
            tags: device.tags.clone(),
            reported_at: Some(device.reported_at.to_string()),
            expires_at: device.expires_at.map(|time| time.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn entry() -> Entry {
        Entry { id: "mac-1".to_owned(), owner: "Alice@corp.example".to_owned(), ..Entry::default() }
    }

    #[test]
    fn what_is_written_of_a_device_reads_back_as_the_same_device() {
        let hex = "AB:".repeat(32);
        let entry = Entry {
            fingerprint: Some(hex.trim_end_matches(':').to_owned()),
            platform: Some("macOS".to_owned()),
            managed: true,
            compliant: Some(false),
            tags: vec!["a b".to_owned()],
            expires_at: Some("2026-11-22T18:00:00.5+01:00".to_owned()),
            ..entry()
        };
        let device = entry.check(Timestamp::from_seconds(7)).unwrap();
        assert_eq!(device.fingerprint, Some(Fingerprint([0xab; 32])));
        assert_eq!((device.owner.clone(), device.platform.as_deref()), (Owner::Person("alice@corp.example".into()), Some("macos")));
        assert_eq!(device.expires_at, Timestamp::parse("2026-11-22T17:00:00.500Z"));
        let json = serde_json::to_string(&Entry::from(&device)).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&json).unwrap().check(Timestamp::default()), Ok(device));
    }

    #[test]
    fn every_flaw_is_found_and_none_is_taken_for_a_harmless_value() {
        let digits = "0".repeat(63);
        let wrong = Entry {
            id: "a/b".to_owned(),
            owner: "everybody".to_owned(),
            fingerprint: Some(digits + "g"),
            reported_at: Some("yesterday".to_owned()),
            expires_at: Some("1960-01-01T00:00:00Z".to_owned()),
            ..Entry::default()
        };
        let keys: Vec<_> = wrong.check(Timestamp::default()).unwrap_err().iter().map(|flaw| flaw.key).collect();
        assert_eq!(keys, ["owner", "fingerprint", "reported_at", "expires_at", "id"]);
        for owner in ["", "Shared", ":x", "staff:", "a@b@corp.example", "alice@corp"] {
            assert!(Entry { owner: owner.to_owned(), ..entry() }.check(Timestamp::default()).is_err(), "{owner}");
        }
        for fingerprint in ["", "00", &"0".repeat(65), &"0".repeat(66)] {
            let entry = Entry { fingerprint: Some(fingerprint.to_owned()), ..entry() };
            assert!(entry.check(Timestamp::default()).is_err(), "{fingerprint}");
        }
    }
}
