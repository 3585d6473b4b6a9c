//! The short form in Cedar's syntax. In: a rule. Out: a policy's text. Must never let a text out of its quotes, nor read a signal
//! that is stale or absent in favour of whoever asks.
//!
//! How a test of a signal is read depends on where it stands. What lets somebody in must be certain: fresh. What keeps somebody
//! out holds by what was last said, stale or not. And what is behind a `not` is read the other way round: an exception from an
//! allow rule holds unless the contrary is certain, an exception from a deny rule only where it is certain.

use super::condition::{Condition, DeviceTest, Labelled, Test};
use super::rules::User;
use super::{Effect, Rule};
use crate::model::device::Standing;
use std::fmt::{Display, Write as _};

/// How a signal is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// It is fresh and says so.
    Certain,
    /// Nothing that is fresh says otherwise.
    Possible,
    /// It says so, or was the last to say so.
    Reported,
}

impl Reading {
    /// How the conditions of a rule are read.
    pub(super) const fn of(effect: Effect) -> Self {
        match effect {
            Effect::Allow => Self::Certain,
            Effect::Deny => Self::Reported,
        }
    }

    /// How they are read behind a `not`, in a rule of this effect.
    const fn inverted(self, effect: Effect) -> Self {
        match (self, effect) {
            (Self::Certain, Effect::Allow) => Self::Possible,
            (Self::Certain, Effect::Deny) => Self::Reported,
            (Self::Possible | Self::Reported, _) => Self::Certain,
        }
    }
}

/// The whole rule.
pub(super) fn policy(rule: &Rule) -> String {
    let mut text = format!("{} (principal, action, resource)", effect(rule.effect));
    for condition in rule.parts() {
        // Writing to a String can't fail.
        let _ = write!(text, " when {{ {} }}", expression(&condition, Reading::of(rule.effect), rule.effect));
    }
    text.push(';');
    text
}

const fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "permit",
        Effect::Deny => "forbid",
    }
}

/// A policy that allows whatever this condition of a rule holds for.
pub(super) fn probe(condition: &Condition, reading: Reading, effect: Effect) -> String {
    format!("permit (principal, action, resource) when {{ {} }};", expression(condition, reading, effect))
}

/// How the part behind a `not` is read.
pub(super) const fn behind_not(reading: Reading, effect: Effect) -> Reading {
    reading.inverted(effect)
}

fn expression(condition: &Condition, reading: Reading, effect: Effect) -> String {
    let join = |parts: &[Condition], operator: &str, none: &str| {
        let parts: Vec<String> = parts.iter().map(|part| expression(part, reading, effect)).collect();
        if parts.is_empty() { none.to_owned() } else { format!("({})", parts.join(operator)) }
    };
    match condition {
        Condition::Test(test) => tested(test, reading),
        Condition::All(parts) => join(parts, " && ", "true"),
        Condition::Any(parts) => join(parts, " || ", "false"),
        Condition::Not(part) => format!("!({})", expression(part, reading.inverted(effect), effect)),
    }
}

fn tested(test: &Test, reading: Reading) -> String {
    let signal = |name: &str, is: String| signal(name, None, &is, reading);
    match test {
        Test::Users(users) => self::users(users),
        Test::Groups(groups) => one_of(groups, |group| format!("Group::{}", quote(group)), |set| format!("principal in {set}")),
        Test::Domains(domains) => quoted(domains, |set| format!("{set}.contains(principal.domain)")),
        Test::Claim(name, values) => claim(name, values),
        Test::Methods(methods) => quoted(methods, |set| format!("{set}.contains(context.method)")),
        Test::Mfa(wanted) => signal("mfa", format!("context.mfa.value == {wanted}")),
        Test::PhishingResistant(wanted) => signal("phishing_resistant", format!("context.phishing_resistant.value == {wanted}")),
        Test::AuthAge(limit) => signal("auth_age", format!("context.auth_age.value <= {}", limit.as_secs())),
        Test::Acr(classes) => signal("acr", quoted(classes, |set| format!("{set}.contains(context.acr.value)"))),
        Test::Network(networks) => labelled("networks", networks),
        Test::Country(codes) => signal("country", quoted(codes, |set| format!("{set}.contains(context.country.value)"))),
        Test::Asn(numbers) => signal("asn", one_of(numbers, u32::to_string, |set| format!("{set}.contains(context.asn.value)"))),
        Test::Hours(windows) => quoted(windows, |set| format!("context.hours.containsAny({set})")),
        Test::Dates(periods) => quoted(periods, |set| format!("context.dates.containsAny({set})")),
        Test::Device(test) => device(test, reading),
        Test::Risk(levels) => {
            signal("risk", one_of(levels, |level| quote(level.code()), |set| format!("{set}.contains(context.risk.value)")))
        }
        Test::Header(name, values) => header(name.as_str(), values, reading),
        Test::Path(patterns) => labelled("paths", patterns),
        Test::Browser(wanted) => {
            let operator = if *wanted { "==" } else { "!=" };
            format!("context.user_agent {operator} \"browser\"")
        }
    }
}

/// A test of a signal, whose value is neutral where it is absent. `known`: whether it says anything of this at all.
fn signal(name: &str, known: Option<&str>, is: &str, reading: Reading) -> String {
    let unknown = known.map(|known| format!("!({known}) || ")).unwrap_or_default();
    match reading {
        Reading::Certain => format!("(context.{name}.state == \"fresh\" && {is})"),
        Reading::Possible => format!("(context.{name}.state != \"fresh\" || {unknown}{is})"),
        Reading::Reported => format!("(context.{name}.state != \"absent\" && {is})"),
    }
}

fn device(test: &DeviceTest, reading: Reading) -> String {
    let fact = |attribute: &str, wanted: bool| {
        let known = format!("context.device.{attribute} != \"unknown\"");
        let value = if wanted { "yes" } else { "no" };
        signal("device", Some(&known), &format!("context.device.{attribute} == \"{value}\""), reading)
    };
    let inventoried = "context.device.id != \"\"";
    match test {
        DeviceTest::Standing(standing) => {
            let enough = quoted(&at_least(*standing), |set| format!("{set}.contains(context.device.standing)"));
            signal("device", None, &enough, reading)
        }
        DeviceTest::Platform(platforms) => {
            let is = quoted(platforms, |set| format!("{set}.contains(context.device.platform)"));
            signal("device", Some("context.device.platform != \"\""), &is, reading)
        }
        DeviceTest::OsVersion(version) => {
            let is = format!("context.device.os_version >= {}", version.number());
            signal("device", Some("context.device.os_version >= 0"), &is, reading)
        }
        DeviceTest::DiskEncryption(wanted) => fact("disk_encryption", *wanted),
        DeviceTest::ScreenLock(wanted) => fact("screen_lock", *wanted),
        DeviceTest::Compliant(wanted) => fact("compliant", *wanted),
        DeviceTest::Tags(tags) => {
            signal("device", Some(inventoried), &quoted(tags, |set| format!("context.device.tags.containsAny({set})")), reading)
        }
    }
}

/// The standings that are good enough where this one is asked for.
fn at_least(standing: Standing) -> Vec<&'static str> {
    let ladder = [Standing::Managed, Standing::Known, Standing::Certified];
    let enough = ladder.iter().position(|step| *step == standing).map_or(1, |at| at + 1);
    ladder.iter().take(enough).map(|standing| standing.code()).collect()
}

/// A header that was not sent is absent.
fn header(name: &str, values: &[String], reading: Reading) -> String {
    let is = one_of(values, |value| quote(&format!("{name}: {value}")), |set| format!("context.headers.containsAny({set})"));
    match reading {
        Reading::Certain | Reading::Reported => is,
        Reading::Possible => format!("(!context.headers.contains({}) || {is})", quote(name)),
    }
}

fn labelled<T>(attribute: &str, values: &Labelled<T>) -> String {
    format!("context.{attribute}.contains({})", quote(&values.label))
}

fn users(users: &[User]) -> String {
    let (emails, subjects): (Vec<&User>, Vec<&User>) = users.iter().partition(|user| matches!(user, User::Email(_)));
    let by_email = quoted(&emails, |set| format!("{set}.contains(principal.email)"));
    let by_subject = quoted(&subjects, |set| format!("{set}.contains(principal.id)"));
    format!("({by_email} || {by_subject})")
}

fn claim(name: &str, values: &[String]) -> String {
    let name = quote(name);
    quoted(values, |set| format!("(principal.hasTag({name}) && principal.getTag({name}).containsAny({set}))"))
}

fn quoted<T: Display>(values: &[T], condition: impl Fn(String) -> String) -> String {
    one_of(values, |value| quote(&value.to_string()), condition)
}

/// A condition on a set; an empty list matches nobody. A set, and not a chain of `||`: its depth does not grow with the list.
fn one_of<T>(values: &[T], element: impl Fn(&T) -> String, condition: impl Fn(String) -> String) -> String {
    let elements: Vec<String> = values.iter().map(element).collect();
    if elements.is_empty() { "false".to_owned() } else { condition(format!("[{}]", elements.join(", "))) }
}

/// A Cedar string literal: whatever the text holds, it stays inside.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '-' | '_' | '.' | '@' | ':' | '/' => quoted.push(c),
            _ => {
                let _ = write!(quoted, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    quoted.push('"');
    quoted
}

/// The same policy with neutral values: what it is made of, and all that the schema can object to.
pub(super) fn shape(policy: &str) -> String {
    let mut shape = String::with_capacity(policy.len());
    let mut quoted = false;
    for c in policy.chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => continue,
            '0'..='9' if shape.ends_with('0') => continue,
            _ => {}
        }
        shape.push(if c.is_ascii_digit() { '0' } else { c });
    }
    // A list has the shape of its first value.
    for value in ["\"\"", "Group::\"\"", "0"] {
        let (two, list) = (format!("[{value}, {value}"), format!("[{value}"));
        while shape.contains(&two) {
            shape = shape.replace(&two, &list);
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn policies_that_differ_in_values_alone_have_one_shape() {
        let one = r#"permit (principal, action, resource) when { principal in [Group::"a", Group::"b\u{22}c"] && ["x"].contains(context.method) && context.auth_age <= 14400 };"#;
        let two = r#"permit (principal, action, resource) when { principal in [Group::"d"] && ["y", "z", ""].contains(context.method) && context.auth_age <= 7 };"#;
        assert_eq!(shape(one), shape(two));
        assert_ne!(shape(one), shape(&two.replace("<=", "<")));
    }
}
