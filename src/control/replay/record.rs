//! One line of the audit trail. In: bytes. Out: what a decision depends on. What is not there is not made up.

use crate::control::explain::{Outcome, level, standing, time};
use crate::control::target::decode;
use crate::model::device::Standing;
use crate::model::{DeviceFacts, Observed, Risk, RiskLevel, Source, Timestamp};
use crate::policy::{Authentication, Facts, Kind, Ruleset};
use crate::snapshot::Snapshot;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

/// A record.
#[derive(Deserialize)]
pub(super) struct Record<'a> {
    #[serde(borrow)]
    time: Text<'a>,
    #[serde(borrow)]
    request_id: Option<Text<'a>>,
    #[serde(borrow)]
    act: Option<Text<'a>>,
    #[serde(borrow)]
    method: Option<Text<'a>>,
    #[serde(borrow)]
    host: Option<Text<'a>>,
    #[serde(borrow)]
    path: Option<Text<'a>>,
    #[serde(borrow)]
    peer: Option<Text<'a>>,
    #[serde(borrow)]
    user: Option<Text<'a>>,
    #[serde(borrow)]
    email: Option<Text<'a>>,
    #[serde(borrow)]
    profile: Option<&'a RawValue>,
    #[serde(borrow)]
    decision: Option<Text<'a>>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
    #[serde(borrow)]
    rule: Option<Text<'a>>,
    #[serde(borrow)]
    signals: Option<&'a RawValue>,
}

/// A text that is copied only where it is escaped.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// What the decision rested on, as [`crate::policy::evidence`] writes it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Signals {
    country: Option<Said<String>>,
    asn: Option<Said<u32>>,
    authentication: Option<SignedIn>,
    device: Option<Said<Device>>,
    risk: Option<Said<String>>,
    request: Vec<String>,
}

#[derive(Deserialize)]
struct Said<T> {
    value: Option<T>,
    state: String,
    observed_at: Option<String>,
}

#[derive(Deserialize)]
struct SignedIn {
    mfa: Option<bool>,
    phishing_resistant: Option<bool>,
    acr: Option<String>,
    observed_at: Option<String>,
}

#[derive(Deserialize)]
struct Device {
    standing: String,
}

impl<'a> Record<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok().filter(|record: &Self| record.method.is_some() || record.is_of_trail())
    }

    /// What the trail says of itself.
    pub(super) fn is_of_trail(&self) -> bool {
        self.act.as_ref().is_some_and(|act| act.0 == "trail")
    }

    /// What the rules said; `None` where something else decided.
    pub(super) fn verdict(&self) -> Option<Outcome> {
        self.path.as_ref()?;
        match (text(self.decision.as_ref()), text(self.reason.as_ref())) {
            ("allow", "preflight") => None,
            ("allow", _) => Some(Outcome::Allow),
            ("deny", "denied_by_rule" | "not_allowed" | "policy_error") => Some(Outcome::Deny),
            ("challenge", _) => Some(Outcome::Challenge),
            _ => None,
        }
    }

    pub(super) fn time(&self) -> Option<Timestamp> {
        time(&self.time.0)
    }

    pub(super) fn time_text(&self) -> &str {
        &self.time.0
    }

    pub(super) fn request_id(&self) -> &str {
        text(self.request_id.as_ref())
    }

    pub(super) fn method(&self) -> Method {
        text(self.method.as_ref()).parse().unwrap_or_default()
    }

    /// Without the port.
    pub(super) fn host(&self) -> &str {
        let host = text(self.host.as_ref());
        host.split_once(':').map_or(host, |(host, _)| host)
    }

    pub(super) fn path(&self) -> &str {
        text(self.path.as_ref())
    }

    pub(super) fn decoded_path(&self) -> Cow<'_, str> {
        if self.path().contains('%') { decode(self.path()).into() } else { self.path().into() }
    }

    pub(super) fn peer(&self) -> &str {
        text(self.peer.as_ref())
    }

    pub(super) fn user(&self) -> Option<&str> {
        self.user.as_ref().map(|user| &*user.0)
    }

    pub(super) fn email(&self) -> Option<&str> {
        self.email.as_ref().map(|email| &*email.0)
    }

    pub(super) fn profile(&self) -> Option<&'a str> {
        self.profile.map(RawValue::get)
    }

    pub(super) fn evidence(&self) -> &'a str {
        self.signals.map_or("", RawValue::get)
    }

    /// What was decided, in a few words.
    pub(super) fn said(&self) -> String {
        let rule = self.rule.as_ref().map(|rule| format!(" by {}", rule.0)).unwrap_or_default();
        format!("{}, {}{rule}", text(self.decision.as_ref()), text(self.reason.as_ref()))
    }

    pub(super) fn url(&self) -> String {
        format!("https://{}{}", text(self.host.as_ref()), self.path())
    }

    /// What was known of the request then, and what the rules look at that was not recorded; `None` where the path can be read in more
    /// than one way. `authentication`: by what is known of the person, where nothing else was recorded.
    pub(super) fn facts(
        &self,
        snapshot: &Snapshot,
        rules: &Ruleset,
        authentication: Authentication,
        now: Timestamp,
    ) -> Option<(Facts, [Option<&'static str>; 2])> {
        let signals: Signals = serde_json::from_str(self.evidence()).unwrap_or_default();
        let (reads, address, path) = (rules.reads(), self.peer().parse().ok(), self.decoded_path());
        let asked = reads.ask(&headers(&signals.request), || std::iter::once(&*path)).ok()?;
        let lacks = [
            (reads.has(Kind::Device) && signals.device.is_none()).then_some("device"),
            (reads.has(Kind::Risk) && signals.risk.is_none()).then_some("risk"),
        ];
        let country = signals.country.and_then(|said| said.observed(Source::Database, now, |code| Some(Arc::from(code))));
        let facts = Facts {
            path: self.path().into(),
            address,
            country: country.or_else(|| snapshot.geo.country(address?)),
            asn: signals.asn.and_then(|said| said.observed(Source::Database, now, Some)).or_else(|| snapshot.geo.asn(address?)),
            authentication: signals.authentication.map_or(authentication, SignedIn::authentication),
            device: signals.device.and_then(|said| said.observed(Source::Inventory, now, device)),
            risk: signals.risk.and_then(|said| said.observed(Source::Administration, now, risk)),
            asked,
            ..Facts::bare(now, self.method())
        };
        Some((facts, lacks))
    }
}

fn text<'a>(text: Option<&'a Text<'_>>) -> &'a str {
    text.map_or("", |text| &*text.0)
}

/// The headers that were seen to be there.
fn headers(request: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for said in request {
        let pair = if said == "browser" { Some(("user-agent", "Mozilla/")) } else { said.split_once(": ") };
        let Some((name, value)) = pair else { continue };
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    headers
}

impl<T> Said<T> {
    /// As fresh as it was then.
    fn observed<U>(self, source: Source, now: Timestamp, read: impl Fn(T) -> Option<U>) -> Option<Observed<U>> {
        let observed_at = self.observed_at.as_deref().and_then(time).unwrap_or(now);
        let expires_at = (self.state != "fresh").then_some(now);
        Some(Observed { value: read(self.value?)?, source, observed_at, expires_at })
    }
}

impl SignedIn {
    fn authentication(self) -> Authentication {
        Authentication {
            at: self.observed_at.as_deref().and_then(time).unwrap_or_default(),
            acr: self.acr,
            mfa: self.mfa,
            phishing_resistant: self.phishing_resistant,
        }
    }
}

/// Of the device itself nothing more was recorded.
fn device(device: Device) -> Option<Arc<DeviceFacts>> {
    let somebody_elses = Some(Standing::SomebodyElses).filter(|standing| standing.code() == device.standing);
    let standing = standing(&device.standing).or(somebody_elses)?;
    Some(Arc::new(DeviceFacts { standing, device: None }))
}

fn risk(code: String) -> Option<Arc<Risk>> {
    let level: RiskLevel = level(&code)?;
    Some(Arc::new(Risk { level, reasons: Vec::new() }))
}
