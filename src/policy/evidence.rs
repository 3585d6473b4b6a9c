//! What a decision rested on, for the audit trail. In: facts, and what the rules read of them. Out: an object of JSON: each signal
//! with its value, state, source, and when it was observed.

use super::facts::state;
use super::reads::Asked;
use super::{Facts, Kind, Reads};
use crate::model::{Observed, Timestamp};
use serde_json::{Map, Value, json};

/// What the rules read; `None` where they read nothing.
pub fn evidence(facts: &Facts, reads: &Reads) -> Option<String> {
    let mut all = Map::new();
    let mut add = |name: &str, value: Value| drop(all.insert(name.to_owned(), value));
    if reads.has(Kind::Country) {
        add("country", signal(facts, facts.country.as_ref(), |country| json!(&**country)));
    }
    if reads.has(Kind::Asn) {
        add("asn", signal(facts, facts.asn.as_ref(), |asn| json!(asn)));
    }
    if reads.has(Kind::Address) {
        add("networks", reads.networks(facts.address).map(|label| &**label).collect());
    }
    if reads.has(Kind::Authentication) {
        add("authentication", authentication(facts));
    }
    if reads.has(Kind::Device) {
        add(
            "device",
            signal(
                facts,
                facts.device.as_ref(),
                |known| json!({ "standing": known.standing.code(), "id": known.device.as_ref().map(|device| &device.id) }),
            ),
        );
    }
    if reads.has(Kind::Risk) {
        add("risk", signal(facts, facts.risk.as_ref(), |risk| json!(risk.level.code())));
    }
    let asked: Vec<String> = reads.asked_of(facts.asked).filter_map(said).collect();
    if !asked.is_empty() {
        add("request", asked.into());
    }
    (!all.is_empty()).then(|| Value::Object(all).to_string())
}

fn said(asked: &Asked) -> Option<String> {
    match asked {
        Asked::Header(name, Some(value)) => Some(format!("{name}: {value}")),
        // With a value that no rule names, it says nothing.
        Asked::Header(_, None) => None,
        Asked::Path(patterns) => Some(patterns.label.to_string()),
        Asked::Browser => Some("browser".to_owned()),
    }
}

fn authentication(facts: &Facts) -> Value {
    let authentication = &facts.authentication;
    json!({
        "mfa": authentication.mfa,
        "phishing_resistant": authentication.phishing_resistant,
        "acr": authentication.acr,
        "source": crate::model::Source::Provider.code(),
        "observed_at": facts.auth_age().map(|_| written(authentication.at)),
    })
}

fn signal<T>(facts: &Facts, observed: Option<&Observed<T>>, value: impl Fn(&T) -> Value) -> Value {
    let state = state(observed, facts.now);
    let Some(observed) = observed else { return json!({ "state": state }) };
    json!({
        "value": value(&observed.value),
        "state": state,
        "source": observed.source.code(),
        "observed_at": written(observed.observed_at),
    })
}

/// RFC 3339, to the second.
pub(super) fn written(time: Timestamp) -> String {
    let seconds = i64::try_from(time.seconds()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).map(|time| time.to_string()).unwrap_or_default()
}
