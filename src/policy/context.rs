//! What is known of a request, as Cedar reads it. In: [`Facts`]. Out: a context that has every attribute of the schema. Must never
//! leave one out: a rule that fails to evaluate denies.

use super::condition::Version;
use super::facts::{Facts, state};
use super::hours::Local;
use super::reads::{Asked, Reads};
use crate::model::{Device, DeviceFacts, Observed};
use cedar_policy::{Context, RestrictedExpression as Value};
use jiff::tz::TimeZone;
use std::fmt::Display;

/// The context of one decision.
pub(super) fn context(facts: &Facts, reads: &Reads) -> Result<Context, String> {
    let authentication = &facts.authentication;
    let utc = Local::at(facts.now, &TimeZone::UTC);
    let [headers, paths, browser] = asked(facts, reads);
    let pairs = [
        ("method", text(facts.method.as_str())),
        ("path", text(&facts.path)),
        ("address", text(&facts.address.map(|address| address.to_string()).unwrap_or_default())),
        ("networks", set(reads.networks(facts.address))),
        ("country", signal(facts, facts.country.as_ref(), |country| text(country), || text(""))?),
        ("asn", signal(facts, facts.asn.as_ref(), |asn| Value::new_long((*asn).into()), || Value::new_long(0))?),
        ("mfa", said(authentication.mfa.map(Value::new_bool), || Value::new_bool(false))?),
        ("phishing_resistant", said(authentication.phishing_resistant.map(Value::new_bool), || Value::new_bool(false))?),
        ("acr", said(authentication.acr.as_deref().map(text), || text(""))?),
        ("auth_age", said(facts.auth_age().map(|age| long(age.as_secs())), || Value::new_long(i64::MAX))?),
        ("now", long(facts.now.seconds())),
        ("minute", Value::new_long(utc.minute.into())),
        ("weekday", Value::new_long(utc.day.into())),
        ("hours", set(reads.windows(facts.now))),
        ("dates", set(reads.periods(facts.now))),
        ("device", device(facts)?),
        ("risk", signal(facts, facts.risk.as_ref(), |risk| text(risk.level.code()), || text(""))?),
        ("headers", headers),
        ("paths", paths),
        ("user_agent", browser),
    ];
    Context::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value))).map_err(|error| error.to_string())
}

fn text(text: &str) -> Value {
    Value::new_string(text.to_owned())
}

fn long(number: u64) -> Value {
    Value::new_long(i64::try_from(number).unwrap_or(i64::MAX))
}

fn set<T: Display>(values: impl Iterator<Item = T>) -> Value {
    Value::new_set(values.map(|value| Value::new_string(value.to_string())))
}

fn record<const N: usize>(pairs: [(&str, Value); N]) -> Result<Value, String> {
    Value::new_record(pairs.map(|(name, value)| (name.to_owned(), value))).map_err(|error| error.to_string())
}

/// A signal with its state; neutral where it is absent.
fn signal<T>(
    facts: &Facts,
    observed: Option<&Observed<T>>,
    value: impl Fn(&T) -> Value,
    neutral: impl Fn() -> Value,
) -> Result<Value, String> {
    let value = observed.map_or_else(neutral, |observed| value(&observed.value));
    record([("state", text(state(observed, facts.now))), ("value", value)])
}

/// What the provider said at the sign-in holds for as long as the sign-in does.
fn said(value: Option<Value>, neutral: impl Fn() -> Value) -> Result<Value, String> {
    let state = if value.is_some() { "fresh" } else { "absent" };
    record([("state", text(state)), ("value", value.unwrap_or_else(neutral))])
}

fn device(facts: &Facts) -> Result<Value, String> {
    let observed = facts.device.as_ref();
    let known: Option<&DeviceFacts> = observed.map(|observed| &*observed.value);
    let device: Option<&Device> = known.and_then(|facts| facts.device.as_deref());
    let fact = |fact: Option<bool>| text(fact.map_or("unknown", |fact| if fact { "yes" } else { "no" }));
    let version = device.and_then(|device| device.os_version.as_deref()).and_then(Version::parse);
    record([
        ("state", text(state(observed, facts.now))),
        ("standing", text(known.map_or("", |facts| facts.standing.code()))),
        ("id", text(device.map_or("", |device| &device.id))),
        ("platform", text(device.and_then(|device| device.platform.as_deref()).unwrap_or(""))),
        ("os_version", Value::new_long(version.map_or(-1, Version::number))),
        ("disk_encryption", fact(device.and_then(|device| device.disk_encryption))),
        ("screen_lock", fact(device.and_then(|device| device.screen_lock))),
        ("compliant", fact(device.and_then(|device| device.compliant))),
        ("tags", set(device.into_iter().flat_map(|device| &device.tags))),
    ])
}

/// Headers, paths and the class of the user agent.
fn asked(facts: &Facts, reads: &Reads) -> [Value; 3] {
    let (mut headers, mut paths, mut browser) = (Vec::new(), Vec::new(), "program");
    for asked in reads.asked_of(facts.asked) {
        match asked {
            Asked::Header(name, None) => headers.push(name.to_string()),
            Asked::Header(name, Some(value)) => headers.push(format!("{name}: {value}")),
            Asked::Path(patterns) => paths.push(&*patterns.label),
            Asked::Browser => browser = "browser",
        }
    }
    [set(headers.iter()), set(paths.iter()), text(browser)]
}
