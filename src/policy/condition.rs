//! What a rule asks of a person and of the circumstances. In: checked values from the configuration. Out: a [`Condition`],
//! which can be shown as it is written. Says nothing of what holds: that is Cedar's to decide.

use super::hours::{Period, Window};
use super::rules::User;
use crate::model::RiskLevel;
use crate::model::device::Standing;
use crate::model::route::Pattern;
use http::{HeaderName, Method};
use ipnet::IpNet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Tests, joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// One test.
    Test(Test),
    /// All of them.
    All(Vec<Condition>),
    /// Any of them.
    Any(Vec<Condition>),
    /// Anything but this.
    Not(Box<Condition>),
}

/// One test; it holds by any of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// These people.
    Users(Vec<User>),
    /// Members of these groups.
    Groups(Vec<String>),
    /// People whose verified address is in these domains.
    Domains(Vec<String>),
    /// People whose claim has one of these values.
    Claim(String, Vec<String>),
    /// These methods.
    Methods(Vec<Method>),
    /// Whether more than one factor was used.
    Mfa(bool),
    /// Whether a method was used that does not work at a false site.
    PhishingResistant(bool),
    /// The person proved who they are no longer ago than this.
    AuthAge(Duration),
    /// Context classes of the sign-in.
    Acr(Vec<String>),
    /// The client's address is in these networks.
    Network(Labelled<IpNet>),
    /// The client's address belongs to these countries (ISO 3166).
    Country(Vec<String>),
    /// The client's address belongs to these autonomous systems.
    Asn(Vec<u32>),
    /// It is within these hours of the week.
    Hours(Vec<Window>),
    /// It is within these dates.
    Dates(Vec<Period>),
    /// Something about the device.
    Device(DeviceTest),
    /// The risk has one of these levels.
    Risk(Vec<RiskLevel>),
    /// A header has one of these values.
    Header(HeaderName, Vec<String>),
    /// The path matches one of these patterns.
    Path(Labelled<Pattern>),
    /// Whether a browser asks, by its own word.
    Browser(bool),
}

/// A test of the device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceTest {
    /// It is at least this to the person.
    Standing(Standing),
    /// One of these platforms, lower case.
    Platform(Vec<String>),
    /// At least this version.
    OsVersion(Version),
    /// Whether its disk is encrypted.
    DiskEncryption(bool),
    /// Whether its screen locks.
    ScreenLock(bool),
    /// Whether it keeps the rules for devices.
    Compliant(bool),
    /// Any of these tags.
    Tags(Vec<String>),
}

/// Values under a name that stands for them wherever they are told apart by it.
#[derive(Clone, Debug)]
pub struct Labelled<T> {
    /// As the configuration writes them.
    pub label: Arc<str>,
    /// What they are.
    pub values: Arc<[T]>,
}

impl<T> PartialEq for Labelled<T> {
    fn eq(&self, other: &Self) -> bool {
        self.label == other.label
    }
}

impl<T> Eq for Labelled<T> {}

/// A version of up to four numbers: `14.6.1`; what is not there counts as 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version([u16; 4]);

impl Version {
    /// Reads the numbers that a text begins with; what follows them (`-rc1`, ` (23G93)`) does not count.
    pub fn parse(text: &str) -> Option<Self> {
        let numbers = text.split([' ', '-', '+', '(']).next()?;
        let mut version = [0; 4];
        let mut parts = numbers.split('.');
        for number in &mut version {
            match parts.next() {
                Some(part) => *number = part.parse().ok().filter(|number| *number <= 0x7fff)?,
                None => break,
            }
        }
        Some(Self(version))
    }

    /// One number that orders versions.
    pub fn number(self) -> i64 {
        self.0.iter().fold(0, |number, part| (number << 15) | i64::from(*part))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.0.iter().rposition(|part| *part != 0).map_or(1, |last| last + 1);
        f.write_str(&self.0.iter().take(used).map(u16::to_string).collect::<Vec<_>>().join("."))
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Users(users) => list(f, "users", users),
            Self::Groups(groups) => list(f, "groups", groups),
            Self::Domains(domains) => list(f, "domains", domains),
            Self::Claim(name, values) => list(f, &format!("claim {name}"), values),
            Self::Methods(methods) => list(f, "methods", methods),
            Self::Mfa(wanted) => write!(f, "mfa: {wanted}"),
            Self::PhishingResistant(wanted) => write!(f, "phishing_resistant: {wanted}"),
            Self::AuthAge(limit) => write!(f, "auth_age: {}", Span(*limit)),
            Self::Acr(classes) => list(f, "acr", classes),
            Self::Network(networks) => write!(f, "network: [{}]", networks.label),
            Self::Country(countries) => list(f, "country", countries),
            Self::Asn(numbers) => list(f, "asn", numbers),
            Self::Hours(windows) => list(f, "hours", windows),
            Self::Dates(periods) => list(f, "dates", periods),
            Self::Device(test) => test.fmt(f),
            Self::Risk(levels) => list(f, "risk", levels.iter().map(|level| level.code())),
            Self::Header(name, values) => list(f, &format!("header {name}"), values),
            Self::Path(patterns) => write!(f, "path: [{}]", patterns.label),
            Self::Browser(wanted) => write!(f, "user_agent: {}", if *wanted { "browser" } else { "program" }),
        }
    }
}

impl fmt::Display for DeviceTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standing(standing) => write!(f, "device: {}", standing.code()),
            Self::Platform(platforms) => list(f, "device platform", platforms),
            Self::OsVersion(version) => write!(f, "device os_version: {version} or later"),
            Self::DiskEncryption(wanted) => write!(f, "device disk_encryption: {wanted}"),
            Self::ScreenLock(wanted) => write!(f, "device screen_lock: {wanted}"),
            Self::Compliant(wanted) => write!(f, "device compliant: {wanted}"),
            Self::Tags(tags) => list(f, "device tags", tags),
        }
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, key: &str, values: impl IntoIterator<Item = T>) -> fmt::Result {
    let values: Vec<String> = values.into_iter().map(|value| value.to_string()).collect();
    write!(f, "{key}: [{}]", values.join(", "))
}

/// A duration as the configuration writes one.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match [("d", 86_400), ("h", 3600), ("m", 60)]
            .into_iter()
            .find(|(_, unit)| seconds >= *unit && seconds.is_multiple_of(*unit))
        {
            Some((name, unit)) => write!(f, "{}{name}", seconds / unit),
            None => write!(f, "{seconds}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let version = |text| Version::parse(text).unwrap();
        let ordered = ["0", "9.10", "10", "10.0.1", "10.0.19045.3803", "10.0.22631", "14.6", "14.6.1 (23G93)", "14.10-rc1"];
        for pair in ordered.windows(2) {
            let [less, more] = pair else { continue };
            assert!(version(less) < version(more) && version(less).number() < version(more).number(), "{less} {more}");
        }
        assert_eq!(version("14.6"), version("14.6.0"));
        for text in ["", "x", "14.x", "-1", "14..6", "40000"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
