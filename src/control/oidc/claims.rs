//! From a provider's claims to our words. In: checked claims. Out: a [`Profile`]. Must never take an unverified e-mail address
//! for one, nor leave groups out, be they too many, unreadable or kept elsewhere: a deny rule might name one of them.

use crate::model::Email;
use crate::model::identity::{MOST_GROUPS, Profile};
use crate::snapshot::Provider;
use serde_json::{Map, Value};

/// The longest name of a group, and of anything else, in bytes.
const LONGEST: usize = 256;

/// The claims can't be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    /// The provider has a claim that it did not send (OpenID Connect Core 1.0, section 5.6.2).
    #[error(
        "The sign-in service keeps the claim “{0}” elsewhere in place of sending it, as some do when there are too many groups."
    )]
    Elsewhere(String),
    /// A group that rules can't be held against.
    #[error("A group is not a plain text of at most {LONGEST} bytes.")]
    OddGroup,
    /// A claim that rules can't be held against.
    #[error("The claim “{0}” is not made of plain texts of at most {LONGEST} bytes.")]
    OddClaim(String),
    /// More groups than rules can be sure of.
    #[error("There are more than {MOST_GROUPS} groups.")]
    TooManyGroups,
}

/// What we keep of these claims.
pub(super) fn profile(provider: &Provider, claims: &Map<String, Value>) -> Result<Profile, Unusable> {
    let mapped = |ours: &str| find(claims, provider_name(provider, ours));
    if let Some(name) = names(provider).find(|name| is_elsewhere(claims, name)) {
        return Err(Unusable::Elsewhere(name.to_owned()));
    }
    let others = provider.claims.iter().filter(|(ours, _)| !is_own(ours));
    Ok(Profile {
        email: email(provider, claims),
        name: mapped("name").and_then(Value::as_str).and_then(display_name),
        groups: mapped("groups").map(groups).transpose()?.unwrap_or_default(),
        claims: others.map(|(ours, theirs)| other(claims, ours, theirs)).collect::<Result<_, _>>()?,
        amr: claims.get("amr").and_then(texts).unwrap_or_default(),
        acr: claims.get("acr").and_then(Value::as_str).map(str::to_owned),
    })
}

/// Whether a mapped claim is not among these, so that it is worth asking for more.
pub(super) fn misses(provider: &Provider, claims: &Map<String, Value>) -> bool {
    names(provider).any(|theirs| find(claims, theirs).is_none())
}

/// The provider's names of all claims that we keep.
fn names(provider: &Provider) -> impl Iterator<Item = &str> {
    let own = ["groups", "email", "name"].map(|ours| provider_name(provider, ours));
    own.into_iter().chain(provider.claims.values().map(String::as_str))
}

/// Whether the provider says that this claim is to be had from another place, and did not send it: a distributed claim
/// (OpenID Connect Core 1.0, section 5.6.2), or what Entra ID sends for too many groups in an implicit flow (`hasgroups`).
fn is_elsewhere(claims: &Map<String, Value>, name: &str) -> bool {
    let distributed = claims.get("_claim_names").and_then(Value::as_object);
    let first = name.split_once('.').map_or(name, |(first, _)| first);
    let named = distributed.is_some_and(|names| names.contains_key(name) || names.contains_key(first));
    let has_groups = name == "groups" && claims.get("hasgroups").is_some_and(is_true);
    (named || has_groups) && find(claims, name).is_none()
}

/// `true`, also where a provider writes it as a text.
fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true) || value.as_str() == Some("true")
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

/// `email_verified` speaks of the claim that is named `email`, and of no other.
fn email(provider: &Provider, claims: &Map<String, Value>) -> Option<Email> {
    let name = provider_name(provider, "email");
    let text = find(claims, name)?.as_str()?;
    let verified = match claims.get("email_verified").filter(|_| name == "email") {
        Some(value) => is_true(value),
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

/// Every group; one that is not plain is neither dropped nor repaired: repaired, it could be the name of another one.
fn groups(claim: &Value) -> Result<Vec<String>, Unusable> {
    let entries = claim.as_array().map_or(std::slice::from_ref(claim), Vec::as_slice);
    let group = |entry: &Value| entry.as_str().filter(|text| is_plain(text)).map(str::to_owned);
    let mut groups = entries.iter().map(group).collect::<Option<Vec<_>>>().ok_or(Unusable::OddGroup)?;
    groups.sort_unstable();
    groups.dedup();
    (groups.len() <= MOST_GROUPS).then_some(groups).ok_or(Unusable::TooManyGroups)
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST && !text.chars().any(char::is_control)
}

/// A mapped claim; one that can't be kept whole is not kept in part, since a deny rule might name what is missing.
fn other(claims: &Map<String, Value>, ours: &str, theirs: &str) -> Result<(String, Vec<String>), Unusable> {
    let values = find(claims, theirs).map_or_else(|| Some(Vec::new()), texts);
    values.map(|values| (ours.to_owned(), values)).ok_or_else(|| Unusable::OddClaim(theirs.to_owned()))
}

/// A claim as a list of texts; `None` when any of it is something else.
fn texts(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        other => text(other).map(|text| vec![text]),
    }
}

fn text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    is_plain(&text).then_some(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::control::fixture;
    use serde_json::json;

    fn provider(mapped: &[(&str, &str)]) -> Provider {
        let mut provider = fixture::provider("staff", "https://idp.example");
        provider.claims = mapped.iter().map(|(ours, theirs)| ((*ours).to_owned(), (*theirs).to_owned())).collect();
        provider
    }

    fn profile_of(mapped: &[(&str, &str)], claims: Value) -> Profile {
        profile(&provider(mapped), claims.as_object().unwrap()).unwrap()
    }

    #[test]
    fn an_address_counts_only_when_it_is_verified_and_plain() {
        for (claims, email) in [
            (json!({"email": "Ana@Corp.example", "email_verified": true}), Some("ana@corp.example")),
            (json!({"email": "ana@corp.example", "email_verified": false}), None),
            (json!({"email": "ana@corp.example", "email_verified": "true"}), Some("ana@corp.example")),
            (json!({"email": "ana@corp.example", "email_verified": "false"}), None),
            (json!({"email": "ana@corp.example", "email_verified": "TRUE"}), None),
            (json!({"email": "ana@corp.example", "email_verified": 1}), None),
            (json!({"email": "ana@corp.example"}), None),
            (json!({"email": "ana@evil@corp.example", "email_verified": true}), None),
            (json!({"email": ["ana@corp.example"], "email_verified": true}), None),
        ] {
            assert_eq!(profile_of(&[], claims).email.as_ref().map(Email::as_str), email);
        }
    }

    #[test]
    fn a_provider_can_be_trusted_to_verify_but_not_against_its_word() {
        let mut provider = provider(&[]);
        provider.assume_email_verified = true;
        let email = |claims: Value| profile(&provider, claims.as_object().unwrap()).unwrap().email;
        assert!(email(json!({"email": "a@b.example"})).is_some());
        assert!(email(json!({"email": "a@b.example", "email_verified": false})).is_none());
    }

    #[test]
    fn a_verified_address_does_not_vouch_for_a_claim_of_another_name() {
        let mut provider = provider(&[("email", "upn")]);
        let claims = json!({"upn": "cfo@corp.example", "email": "ana@corp.example", "email_verified": true});
        let email = |provider: &Provider| profile(provider, claims.as_object().unwrap()).unwrap().email;
        assert_eq!(email(&provider), None);
        provider.assume_email_verified = true;
        assert_eq!(email(&provider).as_ref().map(Email::as_str), Some("cfo@corp.example"));
    }

    #[test]
    fn groups_are_found_by_name_or_path() {
        for (theirs, claims, groups) in [
            ("groups", json!({"groups": ["b", "a", "b"]}), vec!["a", "b"]),
            ("groups", json!({"groups": "staff"}), vec!["staff"]),
            ("groups", json!({"groups": null}), vec![]),
            ("groups", json!({}), vec![]),
            ("realm_access.roles", json!({"realm_access": {"roles": ["r"]}}), vec!["r"]),
            ("https://corp.example/groups", json!({"https://corp.example/groups": ["u"]}), vec!["u"]),
            ("a.b", json!({"a": ["x"]}), vec![]),
        ] {
            assert_eq!(profile_of(&[("groups", theirs)], claims).groups, groups, "{theirs}");
        }
    }

    #[test]
    fn a_group_that_is_not_plain_is_neither_dropped_nor_repaired() {
        let long = "x".repeat(257);
        for odd in [json!(7), json!(null), json!({"a": 1}), json!(["a"]), json!(""), json!("x\ny"), json!(long)] {
            let claims = json!({ "groups": ["ok", odd] });
            assert_eq!(profile(&provider(&[]), claims.as_object().unwrap()), Err(Unusable::OddGroup), "{odd}");
        }
        for odd in [json!({"a": 1}), json!(7), json!(true)] {
            let claims = json!({ "groups": odd });
            assert_eq!(profile(&provider(&[]), claims.as_object().unwrap()), Err(Unusable::OddGroup), "{odd}");
        }
    }

    #[test]
    fn a_claim_that_the_provider_keeps_elsewhere_is_not_taken_for_an_empty_one() {
        let elsewhere = |name: &str| Some(Unusable::Elsewhere(name.to_owned()));
        for (mapped, claims, error) in [
            (("groups", "groups"), json!({"_claim_names": {"groups": "src1"}}), elsewhere("groups")),
            (("groups", "groups"), json!({"_claim_names": {"groups": "src1"}, "groups": null}), elsewhere("groups")),
            (("groups", "groups"), json!({"hasgroups": true}), elsewhere("groups")),
            (("groups", "groups"), json!({"hasgroups": "true"}), elsewhere("groups")),
            (("groups", "org.groups"), json!({"_claim_names": {"org": "src1"}}), elsewhere("org.groups")),
            (("department", "dept"), json!({"_claim_names": {"dept": "src1"}}), elsewhere("dept")),
            (("groups", "groups"), json!({"_claim_names": {"groups": "src1"}, "groups": ["a"]}), None),
            (("groups", "groups"), json!({"_claim_names": {"address": "src1"}}), None),
            (("groups", "groups"), json!({"hasgroups": false}), None),
            (("groups", "roles"), json!({"hasgroups": true}), None),
        ] {
            assert_eq!(profile(&provider(&[mapped]), claims.as_object().unwrap()).err(), error, "{claims}");
        }
    }

    #[test]
    fn too_many_groups_are_refused_rather_than_cut_off() {
        let many: Vec<_> = (0..2_001).map(|n| n.to_string()).collect();
        let claims = json!({ "groups": many });
        assert_eq!(profile(&provider(&[]), claims.as_object().unwrap()), Err(Unusable::TooManyGroups));
        assert_eq!(profile_of(&[], json!({ "groups": many[1..] })).groups.len(), 2_000);
    }

    #[test]
    fn other_claims_become_lists_of_texts() {
        let mapped = [("department", "org.department"), ("level", "lvl"), ("absent", "nothing")];
        let profile = profile_of(&mapped, json!({"org": {"department": "finance"}, "lvl": [3, "x", true]}));
        assert_eq!(profile.claims["department"], ["finance"]);
        assert_eq!(profile.claims["level"], ["3", "x", "true"]);
        assert!(profile.claims["absent"].is_empty());
    }

    #[test]
    fn a_claim_that_can_not_be_kept_whole_refuses_the_sign_in() {
        for odd in [json!(["x", {}]), json!({"a": 1}), json!("a\nb"), json!("x".repeat(300)), json!([null])] {
            let claims = json!({ "lvl": odd });
            let outcome = profile(&provider(&[("level", "lvl")]), claims.as_object().unwrap());
            assert_eq!(outcome, Err(Unusable::OddClaim("lvl".to_owned())), "{claims}");
        }
    }

    #[test]
    fn names_lose_their_control_characters() {
        for (said, kept) in [("A\r\nna\u{7f}", Some("Ana")), ("\u{0}", None), ("  ", None), ("Żółć 😀", Some("Żółć 😀"))]
        {
            assert_eq!(profile_of(&[], json!({ "name": said })).name.as_deref(), kept);
        }
    }
}
