//! What a refused person may be told: which conditions failed, and what they can do about it. In: the rules of a route, a person, what is
//! known of a request. Out: the least that would have to change. Must never tell of a rule that is not for this person, nor whom a rule
//! names, nor of the risk: then it says nothing at all.

use super::cedar::{Reading, behind_not};
use super::condition::{Condition, DeviceTest, Span, Test};
use super::explain::Asking;
use super::remains::{Known, Who};
use super::{Effect, Facts, Principal, Rule, Ruleset};
use crate::model::{Advice, Identity};

/// How many rules are looked at: it is worked out while a person waits.
const MOST: usize = 10;

impl Ruleset {
    /// What would have to be otherwise for this person to be let through; nothing where that can't be said, or may not be.
    pub fn advice(&self, principal: &Principal, identity: &Identity, facts: &Facts) -> Vec<Advice> {
        let Ok(request) = self.request(principal, facts) else { return Vec::new() };
        let asking = Asking { request, principal, facts };
        let who = Who::Person(Box::new(identity.clone()));
        let known = Known { who: &who, method: None, path: None };
        let theirs = |effect| {
            let rules = self.rules().filter(move |rule| !rule.shadow && rule.effect == effect);
            rules.filter(|rule| known.remains(&Condition::All(rule.parts())).is_some()).collect::<Vec<_>>()
        };
        self.told(&asking, &theirs(Effect::Allow), &theirs(Effect::Deny)).unwrap_or_default()
    }

    fn told(&self, asking: &Asking<'_>, allow: &[&Rule], deny: &[&Rule]) -> Option<Vec<Advice>> {
        let of_files = |effect| {
            let policies = self.files().policies().iter();
            policies.filter(move |extra| !extra.shadow && extra.effect == effect).any(|extra| asking.matches(&extra.policy))
        };
        if deny.len() > MOST || of_files(Effect::Deny) {
            return None;
        }
        let missing = |rule: &&Rule| {
            asking.missing(&Condition::All(rule.parts()), Reading::of(rule.effect), rule.effect, rule.effect == Effect::Allow)
        };
        let mut told = deny.iter().map(missing).collect::<Option<Vec<_>>>()?.concat();
        if !of_files(Effect::Allow) {
            told.extend(allow.iter().take(MOST).filter_map(missing).min_by_key(Vec::len)?);
        }
        told.dedup();
        Some(told)
    }
}

impl Asking<'_> {
    /// The least that has to change for a condition to hold, or not to; `None` where that is not in this person's hands, or not theirs
    /// to know.
    fn missing(&self, condition: &Condition, reading: Reading, effect: Effect, wanted: bool) -> Option<Vec<Advice>> {
        if self.holds(condition, reading, effect) == Ok(wanted) {
            return Some(Vec::new());
        }
        let mut of = |part: &Condition| self.missing(part, reading, effect, wanted);
        match (condition, wanted) {
            (Condition::Test(test), _) => advice(test, wanted).map(|advice| vec![advice]),
            (Condition::Not(part), _) => self.missing(part, behind_not(reading, effect), effect, !wanted),
            (Condition::All(parts), true) | (Condition::Any(parts), false) => {
                parts.iter().map(of).collect::<Option<Vec<_>>>().map(|parts| parts.concat())
            }
            (Condition::All(parts), false) | (Condition::Any(parts), true) => parts.iter().filter_map(&mut of).min_by_key(Vec::len),
        }
    }
}

/// What to say of a test that should hold, or should not.
fn advice(test: &Test, wanted: bool) -> Option<Advice> {
    let (failed, help) = match test {
        Test::Mfa(value) if *value == wanted => ("It asks for a sign-in with a second factor.".to_owned(), "Sign in with one."),
        Test::PhishingResistant(value) if *value == wanted => {
            ("It asks for a sign-in with a security key or a passkey.".to_owned(), "Sign in with one.")
        }
        Test::Acr(_) if wanted => {
            ("It asks for a stronger sign-in than yours.".to_owned(), "Sign in in the way that is meant for it.")
        }
        Test::AuthAge(limit) if wanted => {
            (format!("It asks for a sign-in that is no older than {}.", Span(*limit)), "Sign in again.")
        }
        Test::Network(_) => ("It is not open to the network that you are in.".to_owned(), "Use a network of the organisation."),
        Test::Country(_) | Test::Asn(_) => ("It is not open to where you seem to be.".to_owned(), "Try from another place."),
        Test::Hours(windows) => times(windows, wanted, "hours"),
        Test::Dates(periods) => times(periods, wanted, "dates"),
        Test::Device(test) => device(test, wanted)?,
        _ => return None,
    };
    Some(Advice { failed, help })
}

fn times<T: ToString>(listed: &[T], wanted: bool, what: &str) -> (String, &'static str) {
    let listed = listed.iter().map(T::to_string).collect::<Vec<_>>().join(", ");
    let open = if wanted { "open" } else { "closed" };
    (format!("It is {open} at these {what}: {listed}."), "Come back when it is open.")
}

fn device(test: &DeviceTest, wanted: bool) -> Option<(String, &'static str)> {
    let (failed, help) = match test {
        DeviceTest::Standing(standing) if wanted && standing.code() == "managed" => {
            ("It asks for a managed device of yours.".to_owned(), "Use your managed laptop or phone.")
        }
        DeviceTest::Standing(_) if wanted => {
            ("It asks for a device that is known.".to_owned(), "Use a device of the organisation.")
        }
        DeviceTest::OsVersion(version) if wanted => {
            (format!("It asks for a device whose system has version {version} or later."), "Update the device.")
        }
        DeviceTest::DiskEncryption(value) if *value == wanted => {
            ("It asks for a device whose disk is encrypted.".to_owned(), "Have it encrypted.")
        }
        DeviceTest::ScreenLock(value) if *value == wanted => {
            ("It asks for a device whose screen locks itself.".to_owned(), "Have it do that.")
        }
        DeviceTest::Compliant(value) if *value == wanted => {
            ("It asks for a device that keeps the organisation’s rules.".to_owned(), "Have the device put right.")
        }
        DeviceTest::Platform(_) | DeviceTest::Tags(_) => {
            ("It is not open to this kind of device.".to_owned(), "Use another device.")
        }
        _ => return None,
    };
    Some((failed, help))
}
