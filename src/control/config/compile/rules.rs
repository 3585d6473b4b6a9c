//! `allow:` and `deny:`. In: rules as they are written. Out: rules for the policy, each with its place.

use super::Context;
use super::values::{domain, method};
use crate::control::config::file;
use crate::control::config::findings::Wrong;
use crate::control::config::near::did_you_mean;
use crate::control::config::place::Place;
use crate::model::{Email, ProviderName, RuleId};
use crate::policy::rules::User;
use crate::policy::{Effect, Rule};
use http::Method;
use std::collections::BTreeMap;

/// Words with a key of their own in a rule.
const OWN_KEY: [(&str, &str); 5] =
    [("groups", "groups"), ("email", "users"), ("user", "users"), ("domain", "domains"), ("method", "methods")];

/// A rule and where it stands.
#[derive(Clone, Debug)]
pub(in crate::control::config) struct Written {
    pub(in crate::control::config) place: Place,
    pub(in crate::control::config) rule: Rule,
}

/// The rules of one list. `place` is the list's, `id` what its rules are called in logs.
pub(super) fn list(
    rules: Option<&[file::Rule]>,
    place: &Place,
    id: &str,
    effect: Effect,
    context: &mut Context<'_>,
) -> Vec<Written> {
    let rules = rules.inspect(|rules| context.refuse_empty(rules, place)).unwrap_or_default();
    let each = rules.iter().enumerate().map(|(index, rule)| {
        let place = place.index(index);
        let id = RuleId(format!("{id}[{index}]").into());
        let rule = one(rule, &place, id, effect, context);
        Written { place, rule }
    });
    each.collect()
}

fn one(rule: &file::Rule, place: &Place, id: RuleId, effect: Effect, context: &mut Context<'_>) -> Rule {
    let at = |key: &str| place.key(key);
    let users = rule.users.as_ref().map(|users| context.each(users, &at("users"), user));
    let groups = rule.groups.as_ref().map(|groups| context.each(groups, &at("groups"), |text, _| group(text)));
    let domains = rule.domains.as_ref().map(|domains| context.each(domains, &at("domains"), |text, _| domain(text)));
    Rule {
        id,
        effect,
        users,
        groups,
        domains,
        claims: claims(rule, &at("claims"), context),
        methods: rule.methods.as_ref().map(|listed| methods(listed, &at("methods"), context)),
    }
}

/// `methods:` of a rule or of an entry under `paths:`.
pub(super) fn methods(listed: &file::Texts, place: &Place, context: &mut Context<'_>) -> Vec<Method> {
    context.each(listed, place, |text, _| method(text))
}

fn user(text: &str, context: &Context<'_>) -> Result<User, Wrong> {
    let named = text.split_once(':').and_then(|(name, subject)| Some((ProviderName::parse(name)?, subject)));
    match named {
        Some((name, subject)) if context.provider_keys.contains(name.as_str()) => match subject {
            "" => Err(Wrong::plain("no subject behind the provider's name")),
            _ => Ok(User::Subject(text.to_owned())),
        },
        Some((name, _)) => {
            let help = did_you_mean(name.as_str(), context.provider_keys.iter().copied());
            let message = format!("no provider is called `{name}`");
            Err(Wrong { message, help })
        }
        None => Email::parse(text).map(User::Email).map_err(|error| {
            let help = "an address such as `eve@corp.example`, or `provider:subject`";
            Wrong::new(error.to_string(), help)
        }),
    }
}

fn group(text: &str) -> Result<String, Wrong> {
    if text.is_empty() {
        return Err(Wrong::plain("a group has a name"));
    }
    Ok(text.to_owned())
}

fn claims(rule: &file::Rule, place: &Place, context: &mut Context<'_>) -> BTreeMap<String, Vec<String>> {
    let mut claims = BTreeMap::new();
    let Some(written) = &rule.claims else { return claims };
    if written.is_empty() {
        context.findings.error(place, Wrong::plain("no claim is listed here"));
    }
    for (name, values) in written {
        let place = place.key(name);
        if let Some((_, key)) = OWN_KEY.iter().find(|(word, _)| word == name) {
            context.findings.error(&place, Wrong::new(format!("`{name}` is not a mapped claim"), format!("use `{key}:`")));
        }
        claims.insert(name.clone(), context.each(values, &place, |text, _| Ok(text.to_owned())));
    }
    claims
}
