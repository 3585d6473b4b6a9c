//! Rules that never match or never matter. In: the rules of one list. Out: warnings.

use super::{Known, silence};
use crate::control::config::compile::Written;
use crate::control::config::findings::{Findings, Wrong};
use crate::policy::rules::User;
use crate::policy::{Effect, Rule};
use http::Method;

/// One list, the deny rules that apply to it, and the methods of its entry.
pub(super) fn list(list: &[Written], refused: &[Written], methods: Option<&[Method]>, known: &Known<'_>, findings: &mut Findings) {
    for (index, written) in list.iter().enumerate() {
        let before = list.get(..index).unwrap_or_default();
        let never = never_matches(&written.rule, methods, known);
        for (key, message) in never {
            findings.warning(&written.place.key(key), Wrong::plain(message));
        }
        silence::look(written, findings);
        if let Some(message) = never_matters(&written.rule, before, refused) {
            findings.warning(&written.place, Wrong::plain(message));
        } else if is_unconditional(&written.rule) {
            findings.warning(&written.place, Wrong::plain(everybody(&written.rule, known)));
        }
    }
}

/// The part that never matches, and why.
fn never_matches(rule: &Rule, methods: Option<&[Method]>, known: &Known<'_>) -> Vec<(&'static str, String)> {
    let mut never = Vec::new();
    if let Some(message) = users_outside_domains(rule) {
        never.push(("users", message));
    }
    never.extend(foreign_subjects(rule, known).map(|message| ("users", message)));
    if rule.groups.is_some() && !known.groups {
        let message = "no provider of this app is asked for groups: map a claim to `groups`, or ask for a scope with them";
        never.push(("groups", message.to_owned()));
    }
    for name in rule.claims.keys().filter(|name| !known.claims.contains(&***name)) {
        never.push(("claims", format!("no provider of this app maps a claim to `{name}`, so that this never matches")));
    }
    if let (Some(own), Some(entry)) = (&rule.methods, methods)
        && own.iter().all(|method| !entry.contains(method))
    {
        never.push(("methods", "none of these is among the `methods` of the entry, so that this never matches".to_owned()));
    }
    never
}

fn users_outside_domains(rule: &Rule) -> Option<String> {
    let (users, domains) = (rule.users.as_ref()?, rule.domains.as_ref()?);
    let outside = |user: &User| match user {
        User::Email(email) => !domains.iter().any(|domain| domain == email.domain()),
        User::Subject(_) => false,
    };
    users
        .iter()
        .all(outside)
        .then(|| "none of these addresses is in the `domains` of the rule, so that this never matches".to_owned())
}

fn foreign_subjects(rule: &Rule, known: &Known<'_>) -> impl Iterator<Item = String> {
    let accepted = |subject: &str| known.providers.iter().any(|name| subject.split(':').next() == Some(name.as_str()));
    let foreign = move |user: &User| match user {
        User::Subject(subject) if !accepted(subject) => {
            Some(format!("this app does not take sign-ins of the provider of `{subject}`"))
        }
        _ => None,
    };
    rule.users.iter().flatten().filter_map(foreign)
}

fn never_matters(rule: &Rule, before: &[Written], refused: &[Written]) -> Option<String> {
    if let Some(twin) = before.iter().find(|other| same(&other.rule, rule)) {
        return Some(format!("this is the same as `{}`", twin.rule.id.0));
    }
    let deny = refused.iter().find(|deny| is_covered(rule, &deny.rule))?;
    Some(format!("`{}` denies everybody whom this allows", deny.rule.id.0))
}

fn same(a: &Rule, b: &Rule) -> bool {
    let person = a.users == b.users && a.groups == b.groups && a.domains == b.domains && a.claims == b.claims;
    person && a.methods == b.methods && a.conditions == b.conditions && a.shadow == b.shadow
}

/// Whether whatever matches `rule` matches `deny` too: every part of `deny` is there in `rule` with no more values.
fn is_covered(rule: &Rule, deny: &Rule) -> bool {
    let claims = deny.claims.iter().all(|(name, values)| within(rule.claims.get(name), Some(values)));
    // What an allow rule is certain of, the same condition of a deny rule takes for said.
    let conditions = deny.conditions.iter().all(|condition| rule.conditions.contains(condition));
    !deny.shadow
        && conditions
        && within(rule.users.as_ref(), deny.users.as_ref())
        && within(rule.groups.as_ref(), deny.groups.as_ref())
        && within(rule.domains.as_ref(), deny.domains.as_ref())
        && within(rule.methods.as_ref(), deny.methods.as_ref())
        && claims
}

fn within<T: PartialEq>(inner: Option<&Vec<T>>, outer: Option<&Vec<T>>) -> bool {
    match (inner, outer) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(inner), Some(outer)) => inner.iter().all(|value| outer.contains(value)),
    }
}

fn is_unconditional(rule: &Rule) -> bool {
    let person = rule.users.is_none() && rule.groups.is_none() && rule.domains.is_none() && rule.claims.is_empty();
    person && rule.conditions.is_empty()
}

fn everybody(rule: &Rule, known: &Known<'_>) -> String {
    let names = known.providers.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match (rule.effect, &rule.methods) {
        (Effect::Allow, _) => format!("this allows everybody who can sign in at {names}"),
        (Effect::Deny, None) => "this denies everybody".to_owned(),
        (Effect::Deny, Some(_)) => "this denies everybody these methods".to_owned(),
    }
}
