//! What is known of one request. In: what the gate gathered. Out: [`Facts`], and for people each signal in words. Must never
//! leave out that something is stale or absent.

use super::condition::{DeviceTest, Span, Test};
use super::evidence::written;
use crate::model::{DeviceFacts, Identity, Observed, Risk, Signal, Source, Strength, Timestamp};
use http::Method;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What is known of one request, beside the person.
#[derive(Clone, Debug)]
pub struct Facts {
    /// When it is.
    pub now: Timestamp,
    /// How it asks.
    pub method: Method,
    /// What it asks for, without the query; empty where no rule reads it.
    pub path: Box<str>,
    /// Who is on the other end; `None` where no rule reads it.
    pub address: Option<IpAddr>,
    /// Where that address is: ISO 3166, capitals.
    pub country: Option<Observed<Arc<str>>>,
    /// Whose network that is.
    pub asn: Option<Observed<u32>>,
    /// How the person proved who they are.
    pub authentication: Authentication,
    /// By which device.
    pub device: Option<Observed<Arc<DeviceFacts>>>,
    /// How much there is to fear.
    pub risk: Option<Observed<Arc<Risk>>>,
    /// Which of the things that rules ask of the request itself hold: one bit each, as [`super::Reads`] counts them.
    pub asked: u128,
}

/// How and when a person proved who they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authentication {
    /// When; 1970 where nobody says.
    pub at: Timestamp,
    /// The context class.
    pub acr: Option<String>,
    /// Whether by more than one factor; `None` where the provider does not say.
    pub mfa: Option<bool>,
    /// Whether by a method that does not work at a false site; `None` where the provider does not say.
    pub phishing_resistant: Option<bool>,
}

impl Authentication {
    /// Of a person, by what the words of their provider mean.
    pub fn of(identity: &Identity, strength: &Strength) -> Self {
        Self {
            at: identity.authenticated_at,
            acr: identity.profile.acr.clone(),
            mfa: strength.mfa(&identity.profile),
            phishing_resistant: strength.phishing_resistant(&identity.profile),
        }
    }
}

impl Facts {
    /// Nothing but time and method.
    pub fn bare(now: Timestamp, method: Method) -> Self {
        Self {
            now,
            method,
            path: "".into(),
            address: None,
            country: None,
            asn: None,
            authentication: Authentication::default(),
            device: None,
            risk: None,
            asked: 0,
        }
    }

    /// How long ago the person proved who they are, where somebody says.
    pub fn auth_age(&self) -> Option<Duration> {
        let at = self.authentication.at;
        (at != Timestamp::default()).then(|| self.now.since(at))
    }

    /// Something that the provider said at the sign-in.
    fn said(&self, value: Option<String>) -> Seen {
        let said = |value| Seen { age: self.auth_age(), ..Seen::known(value, Source::Provider) };
        value.map_or_else(Seen::absent, said)
    }

    /// What a test looks at, for people; `None` where it looks at the person.
    pub fn seen(&self, test: &Test) -> Option<Seen> {
        let clock = || Seen::known(written(self.now), Source::Clock);
        match test {
            Test::Users(_) | Test::Groups(_) | Test::Domains(_) | Test::Claim(..) => None,
            Test::Methods(_) => Some(Seen::known(self.method.to_string(), Source::Connection)),
            Test::Path(_) => Some(Seen::known(self.path.to_string(), Source::Connection)),
            Test::Header(..) | Test::Browser(_) => Some(Seen::known("as the client says".to_owned(), Source::Connection)),
            Test::Network(_) => Some(match self.address {
                Some(address) => Seen::known(address.to_string(), Source::Connection),
                None => Seen::absent(),
            }),
            Test::Hours(_) | Test::Dates(_) => Some(clock()),
            Test::AuthAge(_) => Some(self.said(self.auth_age().map(|age| Span(age).to_string()))),
            Test::Mfa(_) => Some(self.said(self.authentication.mfa.map(|mfa| mfa.to_string()))),
            Test::PhishingResistant(_) => Some(self.said(self.authentication.phishing_resistant.map(|is| is.to_string()))),
            Test::Acr(_) => Some(self.said(self.authentication.acr.clone())),
            Test::Country(_) => Some(Seen::of(self.country.as_ref(), self.now, |country| country.to_string())),
            Test::Asn(_) => Some(Seen::of(self.asn.as_ref(), self.now, u32::to_string)),
            Test::Device(test) => Some(Seen::of(self.device.as_ref(), self.now, |facts| device(facts, test))),
            Test::Risk(_) => Some(Seen::of(self.risk.as_ref(), self.now, |risk| risk.level.code().to_owned())),
        }
    }
}

fn device(facts: &DeviceFacts, test: &DeviceTest) -> String {
    let fact = |fact: fn(&crate::model::Device) -> Option<String>| {
        facts.device.as_deref().and_then(fact).unwrap_or_else(|| "not known".to_owned())
    };
    match test {
        DeviceTest::Standing(_) => facts.standing.code().to_owned(),
        DeviceTest::Platform(_) => fact(|device| device.platform.clone()),
        DeviceTest::OsVersion(_) => fact(|device| device.os_version.clone()),
        DeviceTest::DiskEncryption(_) => fact(|device| device.disk_encryption.map(|fact| fact.to_string())),
        DeviceTest::ScreenLock(_) => fact(|device| device.screen_lock.map(|fact| fact.to_string())),
        DeviceTest::Compliant(_) => fact(|device| device.compliant.map(|fact| fact.to_string())),
        DeviceTest::Tags(_) => fact(|device| Some(format!("[{}]", device.tags.join(", ")))),
    }
}

/// A signal in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `fresh`, `stale` or `absent`.
    pub state: &'static str,
    /// What was last said.
    pub value: Option<String>,
    /// By whom.
    pub source: Option<Source>,
    /// How long ago; `None` for what is so now.
    pub age: Option<Duration>,
}

impl Seen {
    const fn known(value: String, source: Source) -> Self {
        Self { state: "fresh", value: Some(value), source: Some(source), age: None }
    }

    const fn absent() -> Self {
        Self { state: "absent", value: None, source: None, age: None }
    }

    /// Of a signal.
    pub fn of<T>(observed: Option<&Observed<T>>, now: Timestamp, say: impl Fn(&T) -> String) -> Self {
        let Some(observed) = observed else { return Self::absent() };
        Self {
            state: state(Some(observed), now),
            value: Some(say(&observed.value)),
            source: Some(observed.source.clone()),
            age: Some(now.since(observed.observed_at)),
        }
    }
}

/// The word for what a signal is worth.
pub(super) fn state<T>(observed: Option<&Observed<T>>, now: Timestamp) -> &'static str {
    match Signal::of(observed, now) {
        Signal::Fresh(_) => "fresh",
        Signal::Stale(_) => "stale",
        Signal::Absent => "absent",
    }
}
