//! `apps:`. In: what the file says. Out: drafts of apps.

use super::paths::{self, Access, Entry};
use super::rules::{self, Written};
use super::values::{Address, address, is_key};
use super::{Context, denials, fixed, headers, limits, rewriting, servers, upstream};
use crate::control::config::file::{self, File};
use crate::control::config::findings::Wrong;
use crate::control::config::near::did_you_mean;
use crate::control::config::place::Place;
use crate::model::ProviderName;
use crate::policy::Effect;
use crate::snapshot::Attribute;
use crate::snapshot::denials::Denials;
use crate::snapshot::fixed::Fixed;
use crate::snapshot::limits::Limits;
use crate::snapshot::rewriting::Rewriting;
use crate::snapshot::servers::Servers;
use crate::snapshot::upstream::{Pooling, Timeouts};
use http::HeaderName;
use std::sync::Arc;

/// An app, complete when there are no errors.
pub(in crate::control::config) struct Drafted {
    pub(in crate::control::config) name: String,
    pub(in crate::control::config) title: String,
    pub(in crate::control::config) place: Place,
    pub(in crate::control::config) address: Option<Address>,
    /// `None` also where the app has an answer of its own.
    pub(in crate::control::config) servers: Option<Servers>,
    pub(in crate::control::config) timeouts: Timeouts,
    pub(in crate::control::config) pooling: Pooling,
    pub(in crate::control::config) fixed: Option<Arc<Fixed>>,
    pub(in crate::control::config) rewriting: Rewriting,
    pub(in crate::control::config) limits: Option<Box<Limits>>,
    pub(in crate::control::config) identity: Vec<(HeaderName, Attribute)>,
    pub(in crate::control::config) providers: Vec<ProviderName>,
    pub(in crate::control::config) cors_preflight: bool,
    pub(in crate::control::config) denials: Denials,
    pub(in crate::control::config) allow: Vec<Written>,
    pub(in crate::control::config) deny: Vec<Written>,
    pub(in crate::control::config) entries: Vec<Entry>,
}

/// Every app, by name.
pub(super) fn compile(file: &File, context: &mut Context<'_>) -> Vec<Drafted> {
    let top = Place::root().key("apps");
    file.apps.iter().map(|(name, app)| one(name, app, top.key(name), file, context)).collect()
}

fn one(name: &str, app: &file::App, place: Place, file: &File, context: &mut Context<'_>) -> Drafted {
    if !is_key(name) {
        context.findings.error(&place, Wrong::plain("the name of an app has letters, digits, `-` and `_` only"));
    }
    let accepted = accepted(app, &place, context);
    if app.providers.is_none() && accepted.is_empty() && app.allow.is_some() {
        let wrong = Wrong::new("nobody can sign in", "name at least one provider under `identity_providers`");
        context.findings.error(&place.key("allow"), wrong);
    }
    let address = context.findings.take(&place.key("url"), address(&app.url));
    let (servers, fixed) = destination(app, &place, address.as_ref(), context);
    let timeouts = upstream::timeouts(app, &place, context);
    let pooling = upstream::pooling(app, &place, context);
    let identity = headers::compile(app, &place, &accepted, file, context);
    let rewriting = rewriting::compile(app, &place, (address.as_ref(), servers.as_ref()), &identity, context);
    let limits = limits::compile(app, &place, context);
    let denials = denials::compile(app, &place, context);
    let mut list = |key: &str, rules: &Option<Vec<file::Rule>>, effect| {
        rules::list(rules.as_deref(), &place.key(key), &format!("{name}.{key}"), effect, context)
    };
    let allow = list("allow", &app.allow, Effect::Allow);
    let deny = list("deny", &app.deny, Effect::Deny);
    let prefix = address.as_ref().map(|address| &*address.prefix);
    let entries = paths::compile(name, app, &place, prefix, context);
    Drafted {
        name: name.to_owned(),
        title: app.name.as_deref().unwrap_or(name).to_owned(),
        place,
        address,
        servers,
        timeouts,
        pooling,
        fixed,
        rewriting,
        limits,
        identity,
        providers: accepted.iter().filter_map(|name| ProviderName::parse(name)).collect(),
        cors_preflight: app.cors_preflight,
        denials,
        allow,
        deny,
        entries,
    }
}

/// Where its requests go: to an upstream, or nowhere because it has an answer of its own.
fn destination(
    app: &file::App,
    place: &Place,
    address: Option<&Address>,
    context: &mut Context<'_>,
) -> (Option<Servers>, Option<Arc<Fixed>>) {
    let fixed = fixed::compile(app.redirect.as_ref(), app.respond.as_ref(), place, context);
    let answers = app.redirect.is_some() || app.respond.is_some();
    match &app.upstream {
        Some(_) if answers => {
            let wrong = Wrong::new(
                "an app with an answer of its own has no upstream",
                "keep either; an entry under `paths` can have the other",
            );
            context.findings.error_in_key(&place.key("upstream"), wrong);
            (None, fixed)
        }
        Some(_) => (servers::compile(app, place, address, context), fixed),
        None if answers => (None, fixed),
        None => {
            let place = place.key("upstream");
            let wrong =
                Wrong::new(format!("`{place}` is missing"), "say where the app is, or in its place `redirect` or `respond`");
            context.findings.error(&place, wrong);
            (None, None)
        }
    }
}

/// The keys of the providers that the app takes.
fn accepted<'a>(app: &file::App, place: &Place, context: &mut Context<'a>) -> Vec<&'a str> {
    let place = place.key("providers");
    let Some(named) = &app.providers else {
        return context.provider_keys.iter().copied().collect();
    };
    context.each(named, &place, |text, context| {
        context.provider_keys.get(text).copied().ok_or_else(|| {
            let help = did_you_mean(text, context.provider_keys.iter().copied());
            let message = format!("no provider is called `{text}`");
            Wrong { message, help }
        })
    })
}

impl Drafted {
    /// How many rules the file has for this app.
    pub(in crate::control::config) fn rules(&self) -> usize {
        let of_entries = self.entries.iter().map(|entry| match &entry.access {
            Access::Public => 0,
            Access::Rules { allow, deny } => allow.as_ref().map_or(0, Vec::len) + deny.len(),
        });
        self.allow.len() + self.deny.len() + of_entries.sum::<usize>()
    }
}
