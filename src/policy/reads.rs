//! What the rules of a route look at, known when they are loaded. In: their conditions. Out: [`Reads`]: which signals to gather,
//! what a remembered decision depends on, and until when it holds. Must never leave out what a rule reads.

use super::condition::{Condition, Labelled, Test};
use super::facts::Facts;
use super::hours::{Period, Window};
use super::rules::Rule;
use crate::model::route::Pattern;
use crate::model::{Observed, Timestamp};
use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// One kind of signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// How the request asks.
    Method = 1,
    /// The path itself, beyond the patterns of rules.
    Path = 2,
    /// The client's address.
    Address = 4,
    /// Where that is.
    Country = 8,
    /// Whose network that is.
    Asn = 16,
    /// How the person proved who they are, and when.
    Authentication = 32,
    /// The device.
    Device = 64,
    /// The risk.
    Risk = 128,
    /// The time, to the second.
    Second = 256,
    /// The time, to the minute.
    Minute = 512,
}

/// Something that rules ask of the request itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A header that is there; with this value.
    Header(HeaderName, Option<Box<str>>),
    /// A path that matches.
    Path(Labelled<Pattern>),
    /// A browser, by its own word.
    Browser,
}

/// What the rules of a route look at.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    kinds: u16,
    networks: Vec<Labelled<IpNet>>,
    windows: Vec<Window>,
    periods: Vec<Period>,
    ages: Vec<Duration>,
    asked: Vec<Asked>,
    /// How many of these rules ask that are enforced: the first.
    enforced: usize,
}

/// A path has readings of which rules match some and not others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ambiguous;

/// How much of the request itself the rules of one route can ask.
pub const MOST_ASKED: usize = 128;

impl Reads {
    /// Adds what rules read: first those that are enforced, so that what only others ask stands behind.
    pub(super) fn add_rules(&mut self, rules: &[Rule]) {
        let parts = |shadow| rules.iter().filter(move |rule| rule.shadow == shadow).flat_map(Rule::parts);
        parts(false).for_each(|part| self.add(&part));
        self.enforced = self.enforced.max(self.asked.len());
        parts(true).for_each(|part| self.add(&part));
    }

    /// Something that is enforced can ask whatever any rule does.
    pub(super) const fn enforce_all(&mut self) {
        self.enforced = usize::MAX;
    }

    fn add(&mut self, condition: &Condition) {
        match condition {
            Condition::Test(test) => self.add_test(test),
            Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| self.add(part)),
            Condition::Not(part) => self.add(part),
        }
    }

    fn add_test(&mut self, test: &Test) {
        match test {
            Test::Users(_) | Test::Groups(_) | Test::Domains(_) | Test::Claim(..) => {}
            Test::Methods(_) => self.add_kind(Kind::Method),
            Test::Mfa(_) | Test::PhishingResistant(_) | Test::Acr(_) => self.add_kind(Kind::Authentication),
            Test::AuthAge(limit) => {
                self.add_kind(Kind::Authentication);
                self.add_age(*limit);
            }
            Test::Network(networks) => self.add_network(networks),
            Test::Country(_) => self.add_kind(Kind::Country),
            Test::Asn(_) => self.add_kind(Kind::Asn),
            Test::Hours(windows) => windows.iter().for_each(|window| push(&mut self.windows, window.clone())),
            Test::Dates(periods) => periods.iter().for_each(|period| push(&mut self.periods, period.clone())),
            Test::Device(_) => self.add_kind(Kind::Device),
            Test::Risk(_) => self.add_kind(Kind::Risk),
            Test::Header(name, values) => {
                push(&mut self.asked, Asked::Header(name.clone(), None));
                values.iter().for_each(|value| push(&mut self.asked, Asked::Header(name.clone(), Some(value.as_str().into()))));
            }
            Test::Path(patterns) => push(&mut self.asked, Asked::Path(patterns.clone())),
            Test::Browser(_) => push(&mut self.asked, Asked::Browser),
        }
    }

    pub(super) fn add_kind(&mut self, kind: Kind) {
        self.kinds |= kind as u16;
    }

    pub(super) fn add_network(&mut self, networks: &Labelled<IpNet>) {
        self.add_kind(Kind::Address);
        push(&mut self.networks, networks.clone());
    }

    pub(super) fn add_age(&mut self, limit: Duration) {
        push(&mut self.ages, limit);
    }

    pub(super) fn add_browser(&mut self) {
        push(&mut self.asked, Asked::Browser);
    }

    /// Whether there is more of it than can be remembered.
    pub(super) fn is_too_much(&self) -> bool {
        self.asked.len() > MOST_ASKED
    }

    /// Whether they look at nothing but the person: then a decision holds for as long as the person stays the same.
    pub const fn nothing(&self) -> bool {
        self.kinds == 0 && self.asked.is_empty() && self.windows.is_empty() && self.periods.is_empty()
    }

    /// Whether they ask something of the request itself.
    pub const fn asks(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Whether they look at this.
    pub const fn has(&self, kind: Kind) -> bool {
        self.kinds & kind as u16 != 0
    }

    /// Whether they look at where the client is, in any way.
    pub const fn has_address(&self) -> bool {
        self.has(Kind::Address) || self.has(Kind::Country) || self.has(Kind::Asn)
    }

    /// The ages of a sign-in at which an answer can change, the longest first.
    pub(super) fn ages(&self) -> Vec<Duration> {
        let mut ages = self.ages.clone();
        ages.sort_unstable();
        ages.reverse();
        ages
    }

    /// What of the request itself holds, one bit each. `readings`: every way in which an app could read the path. Where they
    /// disagree, rules in the shadow refuse nothing: for them, it does not match.
    pub fn ask<'p, I: Iterator<Item = &'p str>>(&self, headers: &HeaderMap, readings: impl Fn() -> I) -> Result<u128, Ambiguous> {
        let mut bits = 0;
        for (index, asked) in self.asked.iter().enumerate() {
            let holds = match asked {
                Asked::Header(name, None) => headers.contains_key(name),
                Asked::Header(name, Some(value)) => headers.get_all(name).iter().any(|sent| sent.as_bytes() == value.as_bytes()),
                Asked::Path(patterns) if index < self.enforced => matches(patterns, readings())?,
                Asked::Path(patterns) => matches(patterns, readings()).unwrap_or(false),
                Asked::Browser => is_browser(headers),
            };
            bits |= u128::from(holds) << index;
        }
        Ok(bits)
    }

    /// The same for a request whose headers are gone, of which the rules before asked something too: the path can be asked again,
    /// headers have answered for those questions alone.
    pub fn ask_again<'p, I: Iterator<Item = &'p str>>(
        &self,
        before: Option<(&Self, u128)>,
        readings: impl Fn() -> I,
    ) -> Option<u128> {
        if let Some((_, bits)) = before.filter(|(reads, _)| reads.asked == self.asked) {
            return Some(bits);
        }
        let of_path_alone = self.asked.iter().all(|asked| matches!(asked, Asked::Path(_)));
        if of_path_alone { self.ask(&HeaderMap::new(), readings).ok() } else { None }
    }

    /// The things that hold by these bits.
    pub(super) fn asked_of(&self, bits: u128) -> impl Iterator<Item = &Asked> {
        self.asked.iter().enumerate().filter(move |(index, _)| bits >> index & 1 == 1).map(|(_, asked)| asked)
    }

    /// The networks that an address is in, by their labels.
    pub(super) fn networks(&self, address: Option<IpAddr>) -> impl Iterator<Item = &Arc<str>> {
        let within = move |networks: &&Labelled<IpNet>| {
            address.is_some_and(|address| networks.values.iter().any(|network| network.contains(&address)))
        };
        self.networks.iter().filter(within).map(|networks| &networks.label)
    }

    /// The windows in which it is now.
    pub(super) fn windows(&self, now: Timestamp) -> impl Iterator<Item = &Window> {
        self.windows.iter().filter(move |window| window.contains(now))
    }

    /// The periods in which it is now.
    pub(super) fn periods(&self, now: Timestamp) -> impl Iterator<Item = &Period> {
        self.periods.iter().filter(move |period| period.contains(now))
    }

    /// Until when a decision on these facts holds if nothing but the time changes.
    pub fn until(&self, facts: &Facts) -> Option<Timestamp> {
        let now = facts.now;
        let step = |kind, seconds: u64| self.has(kind).then(|| Timestamp::from_seconds((now.seconds() / seconds + 1) * seconds));
        let windows = self.windows.iter().map(|window| window.until(now));
        let periods = self.periods.iter().filter_map(|period| period.until(now));
        // An age counts in whole seconds, and the limit itself is still fine.
        let ages = self.ages.iter().map(|limit| facts.authentication.at.plus(*limit + Duration::from_secs(1)));
        let signals = [
            expiry(facts.country.as_ref()),
            expiry(facts.asn.as_ref()),
            expiry(facts.device.as_ref()),
            expiry(facts.risk.as_ref()),
        ];
        let steps = [step(Kind::Second, 1), step(Kind::Minute, 60)];
        let all = windows.chain(periods).chain(ages).chain(signals.into_iter().flatten()).chain(steps.into_iter().flatten());
        all.filter(|moment| *moment > now).min()
    }
}

fn expiry<T>(observed: Option<&Observed<T>>) -> Option<Timestamp> {
    observed.and_then(|observed| observed.expires_at)
}

fn push<T: PartialEq>(to: &mut Vec<T>, value: T) {
    if !to.contains(&value) {
        to.push(value);
    }
}

/// All readings of a path must match or none of them, whether or not the app tells upper from lower case.
fn matches<'p>(patterns: &Labelled<Pattern>, readings: impl Iterator<Item = &'p str>) -> Result<bool, Ambiguous> {
    let mut found = None;
    for reading in readings {
        for folded in [false, true] {
            let matches = patterns.values.iter().any(|pattern| pattern.matches(reading, folded));
            if found.is_some_and(|found| found != matches) {
                return Err(Ambiguous);
            }
            found = Some(matches);
        }
    }
    Ok(found.unwrap_or(false))
}

/// By what every browser has said of itself for thirty years. Anybody can say it.
fn is_browser(headers: &HeaderMap) -> bool {
    headers.get(header::USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/"))
}
