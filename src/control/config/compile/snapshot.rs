//! A checked draft to the snapshot. In: a [`Draft`] without errors. Out: a [`Snapshot`], or what the policy still refuses.

use super::apps::Drafted;
use super::paths::{Access as Written, Entry};
use super::{Draft, rules};
use crate::control::config::findings::{Findings, Wrong};
use crate::control::config::place::Place;
use crate::model::route::Pattern;
use crate::model::{AppIndex, Origin};
use crate::policy::{Compiler, Rule, Ruleset};
use crate::snapshot::hosts::{Host, Hosts};
use crate::snapshot::paths::Paths;
use crate::snapshot::{Access, App, FoldedNames, Route, RouteIndex, Snapshot};
use http::Method;

/// What the making of every route needs.
struct Making<'a> {
    compiler: Compiler,
    /// File and line of a place.
    line: &'a dyn Fn(&Place) -> String,
    findings: &'a mut Findings,
}

/// Everything, or nothing and at least one error.
pub(in crate::control::config) fn assemble(
    draft: Draft,
    epoch: u64,
    line: &dyn Fn(&Place) -> String,
    findings: &mut Findings,
) -> Option<Snapshot> {
    let mut making = Making { compiler: Compiler::beside(draft.policies), line, findings };
    let auth = draft.auth?.origin;
    let mut hosts = Hosts::default();
    *hosts.entry(auth.host()) = Host::Auth;
    let mut snapshot = Snapshot {
        epoch,
        apps: Vec::with_capacity(draft.apps.len()),
        routes: Vec::new(),
        hosts,
        auth,
        lifetimes: draft.lifetimes,
        store_grace: draft.store_grace,
        providers: draft.providers,
        transmitters: draft.transmitters,
        reserved_headers: reserved(&draft.apps),
        geo: draft.geo,
        trusted_proxies: draft.trusted_proxies,
        entrance: draft.entrance,
        reserved: draft.reserved,
        tls: draft.tls?,
        devices: draft.devices,
        audit_sheds: draft.audit.sheds,
        webhooks: draft.webhooks,
    };
    for app in draft.apps {
        add(&mut snapshot, app, &mut making)?;
    }
    Some(snapshot)
}

fn reserved(apps: &[Drafted]) -> FoldedNames {
    apps.iter().flat_map(|app| &app.identity).map(|(name, _)| name.as_str()).collect()
}

fn add(snapshot: &mut Snapshot, app: Drafted, making: &mut Making<'_>) -> Option<()> {
    let index = AppIndex(u32::try_from(snapshot.apps.len()).ok()?);
    let paths = routes(snapshot, &app, index, making)?;
    let address = app.address?;
    insert_host(&mut snapshot.hosts, &address.origin, &address.prefix, index)?;
    snapshot.apps.push(App {
        name: app.name.into(),
        title: app.title.into(),
        url: format!("{}{}", address.origin, address.prefix).into(),
        origin: address.origin,
        prefix: address.prefix.into(),
        servers: app.servers,
        timeouts: app.timeouts,
        pooling: app.pooling,
        rewriting: app.rewriting,
        limits: app.limits,
        identity: app.identity,
        providers: app.providers,
        cors_preflight: app.cors_preflight,
        denials: app.denials,
        paths,
    });
    Some(())
}

fn insert_host(hosts: &mut Hosts, origin: &Origin, prefix: &str, index: AppIndex) -> Option<()> {
    let pattern = Pattern::parse(&format!("{prefix}/**")).ok()?;
    match hosts.entry(origin.host()) {
        Host::Apps(paths) => paths.insert(&pattern, index).ok(),
        Host::Auth => None,
    }
}

/// The routes of an app: the one where no entry matches, and a tree of all of them.
fn routes(snapshot: &mut Snapshot, app: &Drafted, index: AppIndex, making: &mut Making<'_>) -> Option<Paths<RouteIndex>> {
    let whole = Pattern::parse("/**").ok()?;
    let entries: Vec<(&Entry, RouteIndex)> = app
        .entries
        .iter()
        .map(|entry| {
            let label = format!("{} {}", app.name, entry.patterns.first()?);
            let access = access(app, entry, making)?;
            let fixed = entry.fixed.as_ref().or(app.fixed.as_ref()).cloned();
            Some((entry, push(snapshot, Route { app: index, label: label.into(), access, fixed })?))
        })
        .collect::<Option<_>>()?;
    let everything = entries.iter().find(|(entry, _)| entry.patterns.contains(&whole));
    let default_route = match everything {
        Some((_, route)) => *route,
        None => {
            let access = compile(app, &app.place, app.allow.iter().chain(&app.deny), None, making)?;
            push(snapshot, Route { app: index, label: app.name.as_str().into(), access, fixed: app.fixed.clone() })?
        }
    };
    let mut paths = Paths::new(default_route);
    for (entry, route) in entries {
        for pattern in entry.patterns.iter().filter(|pattern| **pattern != whole) {
            paths.insert(pattern, route).ok()?;
        }
    }
    Some(paths)
}

fn push(snapshot: &mut Snapshot, route: Route) -> Option<RouteIndex> {
    let index = RouteIndex(u32::try_from(snapshot.routes.len()).ok()?);
    snapshot.routes.push(route);
    Some(index)
}

fn access(app: &Drafted, entry: &Entry, making: &mut Making<'_>) -> Option<Access> {
    match &entry.access {
        Written::Public => Some(Access::Public(entry.methods.clone())),
        Written::Rules { allow, deny } => {
            let allow = allow.as_ref().unwrap_or(&app.allow);
            let all = allow.iter().chain(deny).chain(&app.deny);
            compile(app, &entry.place, all, entry.methods.as_deref(), making)
        }
    }
}

fn compile<'a>(
    app: &Drafted,
    place: &Place,
    written: impl Iterator<Item = &'a rules::Written>,
    methods: Option<&[Method]>,
    making: &mut Making<'_>,
) -> Option<Access> {
    let rules = written.map(|written| Rule { place: (making.line)(&written.place).into(), ..limited(&written.rule, methods) });
    let compiled = Ruleset::compile(&app.name, rules.collect(), &mut making.compiler);
    let compiled = compiled.map_err(|error| Wrong::plain(error.to_string()));
    making.findings.take(place, compiled).map(|rules| Access::Rules(Box::new(rules)))
}

/// An allow rule lets through the methods that both it and its entry name; a deny rule stays what it is.
fn limited(rule: &Rule, methods: Option<&[Method]>) -> Rule {
    let mut rule = rule.clone();
    if let (crate::policy::Effect::Allow, Some(methods)) = (rule.effect, methods) {
        let own = rule.methods.as_deref();
        let both = methods.iter().filter(|method| own.is_none_or(|own| own.contains(method)));
        rule.methods = Some(both.cloned().collect());
    }
    rule
}
