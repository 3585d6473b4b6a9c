//! `allow:`, `deny:` and `rules:`. In: rules as they are written. Out: rules for the policy, each with its place.

use super::Context;
use super::values::{domain, is_key, method};
use super::when;
use crate::control::config::file;
use crate::control::config::findings::Wrong;
use crate::control::config::near::did_you_mean;
use crate::control::config::place::Place;
use crate::model::{Email, ProviderName, RuleId};
use crate::policy::rules::User;
use crate::policy::{Condition, Effect, Rule};
use http::Method;
use std::collections::BTreeMap;

/// Words with a key of their own in a rule.
const OWN_KEY: [(&str, &str); 5] =
    [("groups", "groups"), ("email", "users"), ("user", "users"), ("domain", "domains"), ("method", "methods")];

/// How many rules one `any` or `all` can join: Cedar nests them.
const MOST_ALTERNATIVES: usize = 50;

/// A rule and where it stands.
#[derive(Clone, Debug)]
pub(in crate::control::config) struct Written {
    pub(in crate::control::config) place: Place,
    pub(in crate::control::config) rule: Rule,
}

/// The rules that have a name: as they are written, and what became of them.
pub(super) struct Named<'a> {
    written: &'a BTreeMap<String, file::Rule>,
    done: BTreeMap<&'a str, Condition>,
    /// Those that are being compiled: a rule can't stand for itself.
    open: Vec<&'a str>,
}

impl<'a> Named<'a> {
    pub(super) const fn of(written: &'a BTreeMap<String, file::Rule>) -> Self {
        Self { written, done: BTreeMap::new(), open: Vec::new() }
    }
}

/// Compiles the rules that have a name, whether or not another names them.
pub(super) fn named(context: &mut Context<'_>) {
    for name in context.named.written.keys() {
        if !is_key(name) {
            let place = Place::root().key("rules").key(name);
            context.findings.error(&place, Wrong::plain("the name of a rule has letters, digits, `-` and `_` only"));
        }
        // What is wrong is found, and noted, once.
        let _ = called(name, context);
    }
}

/// The conditions of the rule of this name.
fn called(name: &str, context: &mut Context<'_>) -> Result<Condition, Wrong> {
    if let Some(done) = context.named.done.get(name) {
        return Ok(done.clone());
    }
    let Some((name, rule)) = context.named.written.get_key_value(name) else {
        let help = did_you_mean(name, context.named.written.keys().map(String::as_str));
        return Err(Wrong { message: format!("no rule is called `{name}`"), help });
    };
    if context.named.open.contains(&&**name) {
        return Err(Wrong::plain(format!("`{name}` would stand for itself")));
    }
    context.named.open.push(name);
    let condition = nested(rule, &Place::root().key("rules").key(name), context);
    context.named.open.pop();
    context.named.done.insert(name, condition.clone());
    Ok(condition)
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
    let users = rule.users.as_ref().map(|users| context.each_listed(users, &at("users"), user));
    let groups = rule.groups.as_ref().map(|groups| context.each_listed(groups, &at("groups"), |text, _| group(text)));
    let domains = rule.domains.as_ref().map(|domains| context.each_listed(domains, &at("domains"), |text, _| domain(text)));
    Rule {
        users,
        groups,
        domains,
        claims: claims(rule, &at("claims"), context),
        methods: rule.methods.as_ref().map(|listed| methods(listed, &at("methods"), context)),
        conditions: conditions(rule, place, context),
        shadow: rule.shadow,
        ..Rule::new(id, effect)
    }
}

/// Everything beyond the person and the method.
fn conditions(rule: &file::Rule, place: &Place, context: &mut Context<'_>) -> Vec<Condition> {
    let mut all = Vec::new();
    if let Some(names) = &rule.rule {
        let place = place.key("rule");
        for (place, name) in context.texts(names, &place) {
            let found = called(name, context);
            all.extend(context.findings.take(&place, found));
        }
    }
    if let Some(when) = &rule.when {
        all.extend(when::compile(when, &place.key("when"), context));
    }
    let mut joined = |rules: &Option<Vec<file::Rule>>, key: &str| {
        let (rules, place) = (rules.as_deref()?, place.key(key));
        context.refuse_empty(rules, &place);
        if rules.len() > MOST_ALTERNATIVES {
            let wrong = Wrong::plain(format!("more than {MOST_ALTERNATIVES} rules can't be joined: name what they have in common"));
            context.findings.error(&place, wrong);
        }
        Some(rules.iter().enumerate().map(|(index, rule)| nested(rule, &place.index(index), context)).collect())
    };
    let (any, every) = (joined(&rule.any, "any"), joined(&rule.all, "all"));
    all.extend(any.map(Condition::Any));
    all.extend(every.map(Condition::All));
    all.extend(rule.not.as_ref().map(|rule| Condition::Not(Box::new(nested(rule, &place.key("not"), context)))));
    all
}

/// A rule inside another one: it has no effect of its own.
fn nested(rule: &file::Rule, place: &Place, context: &mut Context<'_>) -> Condition {
    if rule.shadow {
        let wrong =
            Wrong::new("only a whole rule can be in the shadow", "write `shadow: true` beside `allow`'s or `deny`'s own parts");
        context.findings.error_in_key(&place.key("shadow"), wrong);
    }
    let parts = one(rule, place, RuleId("".into()), Effect::Allow, context).parts();
    if parts.is_empty() {
        context.findings.error(place, Wrong::plain("this says nothing: it would match everybody"));
    }
    Condition::All(parts)
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
        claims.insert(name.clone(), context.each_listed(values, &place, |text, _| Ok(text.to_owned())));
    }
    claims
}
