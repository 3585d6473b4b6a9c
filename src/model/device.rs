//! A device, as the inventory and its certificate describe it. In: checked values. Out: a [`Device`] and its [`Standing`].
//! Must never count one person's device for another.

pub mod entry;

use super::{Identity, Timestamp};
use std::fmt;
use std::sync::Arc;

/// The SHA-256 of a certificate's DER encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 32]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whose device it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nobody's in particular: a kiosk, a pool laptop.
    Shared,
    /// A verified e-mail address, lower case, or `provider:subject`.
    Person(String),
}

/// One device of the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name in the inventory.
    pub id: String,
    /// Whose it is.
    pub owner: Owner,
    /// The certificate that it shows.
    pub fingerprint: Option<Fingerprint>,
    /// `macos`, `windows`, `linux`, `ios`, `android`, …; lower case.
    pub platform: Option<String>,
    /// As the inventory says it: `14.6.1`.
    pub os_version: Option<String>,
    /// Whether its disk is encrypted.
    pub disk_encryption: Option<bool>,
    /// Whether its screen locks.
    pub screen_lock: Option<bool>,
    /// Whether the organisation manages it.
    pub managed: bool,
    /// Whether it keeps the rules for devices.
    pub compliant: Option<bool>,
    /// Anything else, for rules.
    pub tags: Vec<String>,
    /// When it was last heard of.
    pub reported_at: Timestamp,
    /// From when on that says nothing any more.
    pub expires_at: Option<Timestamp>,
}

/// What the device of a request is to the person who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// In the inventory, managed, and this person's or shared.
    Managed,
    /// In the inventory, this person's or shared, and not managed.
    Known,
    /// Its certificate is good, and it is not in the inventory.
    Certified,
    /// In the inventory as somebody else's.
    SomebodyElses,
}

impl Standing {
    /// The stable code, as rules, explanations and audit say it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Managed => "managed",
            Self::Known => "known",
            Self::Certified => "certified",
            Self::SomebodyElses => "somebody_elses",
        }
    }
}

impl Device {
    /// What it is to this person.
    pub fn standing(&self, identity: &Identity) -> Standing {
        let own = match &self.owner {
            Owner::Shared => true,
            Owner::Person(name) => {
                let by_email = identity.profile.email.as_ref().is_some_and(|email| email.as_str() == name);
                by_email || identity.subject.is_written(name)
            }
        };
        match (own, self.managed) {
            (false, _) => Standing::SomebodyElses,
            (true, true) => Standing::Managed,
            (true, false) => Standing::Known,
        }
    }
}

/// What is known of the device of a request: by its certificate, and by the inventory where it has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFacts {
    /// What it is to the person.
    pub standing: Standing,
    /// What the inventory says of it.
    pub device: Option<Arc<Device>>,
}

/// How much there is to fear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RiskLevel {
    /// Nothing known against it.
    Low,
    /// Something.
    Medium,
    /// Much.
    High,
}

impl RiskLevel {
    /// The level of this code.
    pub fn parse(code: &str) -> Option<Self> {
        [Self::Low, Self::Medium, Self::High].into_iter().find(|level| level.code() == code)
    }

    /// The stable code, as rules, explanations and audit say it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// A level, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Risk {
    /// How much.
    pub level: RiskLevel,
    /// For people who look into it; not for rules.
    pub reasons: Vec<String>,
}
