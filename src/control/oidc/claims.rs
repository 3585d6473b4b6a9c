//! From a provider's claims to our words. In: checked claims. Out: a [`Profile`]. Must never take an unverified e-mail address
//! for one, nor leave groups out of a list that is too long: a deny rule might name one of them.

use crate::model::Email;
use crate::model::identity::Profile;
use crate::snapshot::Provider;
use serde_json::{Map, Value};

/// The most groups of one person.
const MOST_GROUPS: usize = 2000;
/// The longest name of a group, and of anything else, in bytes.
const LONGEST: usize = 256;

/// The claims can't be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    /// More groups than rules can be sure of.
    #[error("There are more than {MOST_GROUPS} groups.")]
    TooManyGroups,
}

/// What we keep of these claims.
pub(super) fn profile(provider: &Provider, claims: &Map<String, Value>) -> Result<Profile, Unusable> {
    let mapped = |ours: &str| find(claims, provider_name(provider, ours));
    let others = provider.claims.iter().filter(|(ours, _)| !is_own(ours));
    Ok(Profile {
        email: email(provider, claims),
        name: mapped("name").and_then(Value::as_str).and_then(display_name),
        groups: groups(provider, mapped("groups"))?,
        claims: others.map(|(ours, theirs)| (ours.clone(), find(claims, theirs).map(texts).unwrap_or_default())).collect(),
        amr: claims.get("amr").map(texts).unwrap_or_default(),
        acr: claims.get("acr").and_then(Value::as_str).map(str::to_owned),
    })
}

/// Whether a mapped claim is not among these, so that it is worth asking for more.
pub(super) fn misses(provider: &Provider, claims: &Map<String, Value>) -> bool {
    let own = ["groups", "email", "name"].map(|ours| provider_name(provider, ours));
    let others = provider.claims.values().map(String::as_str);
    own.into_iter().chain(others).any(|theirs| find(claims, theirs).is_none())
}

fn is_own(ours: &str) -> bool {
    matches!(ours, "groups" | "email" | "name")
}

/// The provider's name for a claim of ours.
fn provider_name<'a>(provider: &'a Provider, ours: &'a str) -> &'a str {
    provider.claims.get(ours).map_or(ours, String::as_str)
}

/// A claim by its exact name (which may have dots, as a URL does), or by a path of names.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let by_path = || {
        let (first, rest) = name.split_once('.')?;
        rest.split('.').try_fold(claims.get(first)?, |value, name| value.get(name))
    };
    claims.get(name).or_else(by_path).filter(|value| !value.is_null())
}

fn email(provider: &Provider, claims: &Map<String, Value>) -> Option<Email> {
    let text = find(claims, provider_name(provider, "email"))?.as_str()?;
    let verified = match claims.get("email_verified") {
        Some(value) => value.as_bool() == Some(true),
        None => provider.assume_email_verified,
    };
    let email = Email::parse(text);
    if !verified || email.is_err() {
        tracing::info!(provider = %provider.name, verified, "an e-mail address is not used: not verified, or not plain");
    }
    email.ok().filter(|_| verified)
}

/// Without control characters, which could pass for something else where the name is shown.
fn display_name(text: &str) -> Option<String> {
    let name: String = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

fn groups(provider: &Provider, claim: Option<&Value>) -> Result<Vec<String>, Unusable> {
    let named: Vec<&str> = match claim {
        Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
        Some(Value::String(one)) => vec![one],
        _ => Vec::new(),
    };
    let mut groups: Vec<_> = named.iter().filter(|group| is_group(group)).map(|group| (*group).to_owned()).collect();
    let said = match claim {
        Some(Value::Array(values)) => values.len(),
        other => usize::from(other.is_some()),
    };
    if groups.len() < said {
        tracing::warn!(provider = %provider.name, ignored = said - groups.len(), "some groups are not plain texts of at most 256 bytes");
    }
    groups.sort_unstable();
    groups.dedup();
    (groups.len() <= MOST_GROUPS).then_some(groups).ok_or(Unusable::TooManyGroups)
}

/// A group is dropped rather than repaired: repaired, it could be the name of another one.
fn is_group(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control)
}

/// A claim as a list of texts.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().filter_map(text).collect(),
        other => text(other).into_iter().collect(),
    }
}

fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    is_group(&text).then_some(text)
}
