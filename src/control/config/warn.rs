//! What can't have been meant. In: a configuration without errors. Out: warnings of rules that never match or never
//! matter. Must never change anything.

mod paths;
mod rules;
mod silence;

use super::compile::{Access, Draft, Drafted, Written};
use super::file::{self, File};
use super::findings::{Findings, Wrong};
use super::place::Place;
use crate::model::ProviderName;
use crate::policy::{Condition, Test};
use std::collections::BTreeSet;

/// What the providers that an app takes can say of a person.
struct Known<'a> {
    providers: &'a [ProviderName],
    claims: BTreeSet<&'a str>,
    groups: bool,
}

/// Looks at everything.
pub(super) fn warn(file: &File, draft: &Draft, findings: &mut Findings) {
    providers(file, draft, findings);
    for app in &draft.apps {
        one(app, draft, file, findings);
    }
}

fn providers(file: &File, draft: &Draft, findings: &mut Findings) {
    for name in file.identity_providers.keys() {
        let used = draft.apps.iter().any(|app| has_rules(app) && app.providers.iter().any(|accepted| accepted.as_str() == name));
        if !used {
            let place = Place::root().key("identity_providers").key(name);
            findings.warning(&place, Wrong::plain(format!("no app takes sign-ins of `{name}`")));
        }
    }
}

fn one(app: &Drafted, draft: &Draft, file: &File, findings: &mut Findings) {
    let known = Known::of(app, file);
    if !has_a_way_in(app) && file.policies.0.is_empty() {
        let wrong = Wrong::new(format!("nobody can use `{}`: nothing is allowed or public", app.name), "add `allow:`");
        findings.warning(&app.place, wrong);
    }
    rules::list(&app.allow, &app.deny, None, &known, findings);
    rules::list(&app.deny, &[], None, &known, findings);
    for entry in &app.entries {
        if let Access::Rules { allow, deny } = &entry.access {
            let refused: Vec<Written> = deny.iter().chain(&app.deny).cloned().collect();
            let methods = entry.methods.as_deref();
            rules::list(allow.as_deref().unwrap_or_default(), &refused, methods, &known, findings);
            rules::list(deny, &[], methods, &known, findings);
        }
    }
    paths::warn(app, &draft.apps, findings);
    unverified(app, file, findings);
}

fn has_a_way_in(app: &Drafted) -> bool {
    let opens = |access: &Access| match access {
        Access::Public => true,
        Access::Rules { allow, .. } => allow.is_some(),
    };
    !app.allow.is_empty() || app.entries.iter().any(|entry| opens(&entry.access))
}

fn has_rules(app: &Drafted) -> bool {
    !app.allow.is_empty() || app.entries.iter().any(|entry| matches!(&entry.access, Access::Rules { allow: Some(_), .. }))
}

fn all_rules(app: &Drafted) -> impl Iterator<Item = &Written> {
    let of_entries = app.entries.iter().flat_map(|entry| match &entry.access {
        Access::Public => Vec::new(),
        Access::Rules { allow, deny } => allow.iter().flatten().chain(deny).collect(),
    });
    app.allow.iter().chain(&app.deny).chain(of_entries)
}

/// An address that nobody vouches for decides who gets in.
fn unverified(app: &Drafted, file: &File, findings: &mut Findings) {
    let trusting = accepted(app, file).find(|(_, provider)| provider.assume_email_verified);
    let by_address = all_rules(app).find(|written| written.rule.parts().iter().any(names_a_domain));
    if let (Some((name, _)), Some(written)) = (trusting, by_address) {
        let message = format!("`{name}` has `assume_email_verified`: whoever can set an address there can claim this domain");
        findings.warning(&written.place.key("domains"), Wrong::plain(message));
    }
}

fn names_a_domain(condition: &Condition) -> bool {
    match condition {
        Condition::Test(test) => matches!(test, Test::Domains(_)),
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(names_a_domain),
        Condition::Not(part) => names_a_domain(part),
    }
}

fn accepted<'a>(app: &'a Drafted, file: &'a File) -> impl Iterator<Item = (&'a str, &'a file::Provider)> {
    let find = |name: &ProviderName| file.identity_providers.get_key_value(name.as_str());
    app.providers.iter().filter_map(find).map(|(name, provider)| (&**name, provider))
}

impl<'a> Known<'a> {
    fn of(app: &'a Drafted, file: &'a File) -> Self {
        let asks = |provider: &file::Provider| {
            let scopes = provider.scopes.as_ref().map_or(&[][..], |scopes| &scopes.0);
            let directory = provider.scim.as_ref().is_some_and(|scim| scim.groups != Some(file::scim::ScimGroups::Ignore));
            directory
                || provider.claims.contains_key("groups")
                || scopes.iter().any(|scope| scope.contains("groups") || scope.contains("roles"))
        };
        Self {
            providers: &app.providers,
            claims: accepted(app, file).flat_map(|(_, provider)| provider.words()).collect(),
            groups: accepted(app, file).any(|(_, provider)| asks(provider)),
        }
    }
}
