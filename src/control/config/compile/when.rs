//! `when:`. In: circumstances as they are written. Out: tests for the policy. Must never leave one out.

use super::Context;
use super::calendar::{period, window};
use super::values::{duration, network};
use crate::control::config::file::Texts;
use crate::control::config::file::rules::{DeviceRule, UserAgent, When};
use crate::control::config::findings::Wrong;
use crate::control::config::near::did_you_mean;
use crate::control::config::place::Place;
use crate::model::RiskLevel;
use crate::model::device::Standing;
use crate::model::route::Pattern;
use crate::policy::condition::{Condition, DeviceTest, Labelled, Test, Version};
use http::HeaderName;

/// The tests, all of which must hold.
pub(super) fn compile(when: &When, place: &Place, context: &mut Context<'_>) -> Vec<Condition> {
    let mut tests = sign_in(when, place, context);
    tests.extend(origin(when, place, context));
    let at = |key: &str| place.key(key);
    tests.extend(when.hours.as_ref().map(|texts| Test::Hours(context.each_listed(texts, &at("hours"), |text, _| window(text)))));
    tests.extend(when.dates.as_ref().map(|texts| Test::Dates(context.each_listed(texts, &at("dates"), |text, _| period(text)))));
    if let Some(device) = &when.device {
        tests.extend(self::device(device, &at("device"), context).into_iter().map(Test::Device));
    }
    tests.extend(when.risk.as_ref().map(|texts| Test::Risk(context.each(texts, &at("risk"), |text, _| risk(text)))));
    tests.extend(request(when, place, context));
    if tests.is_empty() {
        context.findings.error(place, Wrong::plain("no circumstance is listed here"));
    }
    tests.into_iter().map(Condition::Test).collect()
}

fn sign_in(when: &When, place: &Place, context: &mut Context<'_>) -> Vec<Test> {
    let mut tests: Vec<Test> = when.mfa.map(Test::Mfa).into_iter().collect();
    tests.extend(when.phishing_resistant.map(Test::PhishingResistant));
    let age = when.auth_age.as_deref().and_then(|text| context.findings.take(&place.key("auth_age"), duration(text)));
    tests.extend(age.map(Test::AuthAge));
    tests.extend(when.acr.as_ref().map(|texts| Test::Acr(context.each_listed(texts, &place.key("acr"), |text, _| some(text)))));
    tests
}

/// Where the client is.
fn origin(when: &When, place: &Place, context: &mut Context<'_>) -> Vec<Test> {
    let mut tests = Vec::new();
    if let Some(texts) = &when.network {
        let values = context.each_listed(texts, &place.key("network"), |text, _| network(text)).into();
        tests.push(Test::Network(Labelled { label: label(texts), values }));
    }
    let at = |key: &str| place.key(key);
    tests.extend(
        when.country.as_ref().map(|texts| Test::Country(context.each_listed(texts, &at("country"), |text, _| country(text)))),
    );
    tests.extend(when.asn.as_ref().map(|texts| Test::Asn(context.each_listed(texts, &at("asn"), |text, _| asn(text)))));
    tests
}

fn request(when: &When, place: &Place, context: &mut Context<'_>) -> Vec<Test> {
    let mut tests = Vec::new();
    for (name, values) in when.header.iter().flatten() {
        let place = place.key("header").key(name);
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Wrong::plain("not the name of a header"));
        let values = context.each_listed(values, &place, |text, _| some(text));
        tests.extend(context.findings.take(&place, parsed).map(|name| Test::Header(name, values)));
    }
    if let Some(texts) = &when.path {
        let pattern = |text: &str| Pattern::parse(text).map_err(|error| Wrong::plain(error.to_string()));
        let values = context.each_listed(texts, &place.key("path"), |text, _| pattern(text)).into();
        tests.push(Test::Path(Labelled { label: label(texts), values }));
    }
    tests.extend(when.user_agent.map(|class| Test::Browser(class == UserAgent::Browser)));
    tests
}

fn device(written: &DeviceRule, place: &Place, context: &mut Context<'_>) -> Vec<DeviceTest> {
    let standing = written.standing.as_deref().and_then(|text| context.findings.take(&place.key("standing"), standing(text)));
    let mut tests: Vec<DeviceTest> = standing.map(DeviceTest::Standing).into_iter().collect();
    let mut texts = |key: &str, texts: &Option<Texts>| {
        texts.as_ref().map(|texts| context.each_listed(texts, &place.key(key), |text, _| some(text)))
    };
    let (platforms, tags) = (texts("platform", &written.platform), texts("tags", &written.tags));
    let lower = |platforms: Vec<String>| platforms.iter().map(|platform| platform.to_lowercase()).collect();
    tests.extend(platforms.map(|platforms| DeviceTest::Platform(lower(platforms))));
    let version = written.os_version.as_deref().and_then(|text| context.findings.take(&place.key("os_version"), version(text)));
    tests.extend(version.map(DeviceTest::OsVersion));
    tests.extend(written.disk_encryption.map(DeviceTest::DiskEncryption));
    tests.extend(written.screen_lock.map(DeviceTest::ScreenLock));
    tests.extend(written.compliant.map(DeviceTest::Compliant));
    tests.extend(tags.map(DeviceTest::Tags));
    if tests.is_empty() && standing.is_none() && written.standing.is_none() && written.os_version.is_none() {
        context.findings.error(place, Wrong::plain("nothing is asked of the device here"));
    }
    tests
}

/// The name under which Cedar knows what is listed: that of a list where it is one, else all that is written.
fn label(texts: &Texts) -> std::sync::Arc<str> {
    match &*texts.0 {
        [one] => one.strip_prefix('$').unwrap_or(one).into(),
        many => many.join(", ").into(),
    }
}

fn some(text: &str) -> Result<String, Wrong> {
    if text.is_empty() { Err(Wrong::plain("an empty text matches nothing")) } else { Ok(text.to_owned()) }
}

fn country(text: &str) -> Result<String, Wrong> {
    let wrong = || Wrong::new("not a country", "two capital letters (ISO 3166), as in `DE`");
    let letters = text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic());
    match text.to_ascii_uppercase() {
        code if letters && code == text => Ok(code),
        code if letters => Err(Wrong::new("countries are written in capitals", format!("did you mean `{code}`?"))),
        _ => Err(wrong()),
    }
}

fn asn(text: &str) -> Result<u32, Wrong> {
    let digits = text.strip_prefix("AS").unwrap_or(text);
    let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    number.ok_or_else(|| Wrong::new("not an autonomous system", "its number, as in `3320` or `AS3320`"))
}

fn standing(text: &str) -> Result<Standing, Wrong> {
    let all = [Standing::Managed, Standing::Known, Standing::Certified];
    all.into_iter().find(|standing| standing.code() == text).ok_or_else(|| {
        let near = did_you_mean(text, all.map(Standing::code));
        Wrong { message: "a device is `managed`, `known` or `certified`".to_owned(), help: near }
    })
}

fn version(text: &str) -> Result<Version, Wrong> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let version = Version::parse(text).filter(|_| plain && text.split('.').count() <= 4);
    version.ok_or_else(|| Wrong::new("not a version", "up to four numbers, as in `14.6` (in quotes)"))
}

fn risk(text: &str) -> Result<RiskLevel, Wrong> {
    let all = [RiskLevel::Low, RiskLevel::Medium, RiskLevel::High];
    all.into_iter().find(|level| level.code() == text).ok_or_else(|| {
        let near = did_you_mean(text, all.map(RiskLevel::code));
        Wrong { message: "risk is `low`, `medium` or `high`".to_owned(), help: near }
    })
}
