//! Which host belongs to whom. In: the sign-in's and the apps' addresses. Out: contradictions.

use super::Context;
use super::apps::Drafted;
use super::values::{Address, address};
use crate::control::config::file::File;
use crate::control::config::findings::{Findings, Wrong};
use crate::control::config::place::Place;
use crate::model::Origin;
use crate::snapshot::tls::Tls;
use http::HeaderValue;
use std::collections::HashMap;

/// Where people sign in: a whole host.
pub(super) fn auth(file: &File, context: &mut Context<'_>) -> Option<Address> {
    let checked = address(&file.auth.url).and_then(|address| {
        if !address.prefix.is_empty() {
            return Err(Wrong::plain("the sign-in has a host of its own, without a path"));
        }
        if address.origin.host().starts_with("*.") {
            return Err(Wrong::plain("the sign-in has one host"));
        }
        Ok(address)
    });
    context.findings.take(&auth_place(), checked)
}

fn auth_place() -> Place {
    Place::root().key("auth").key("url")
}

/// No two things at one place, no host with two ports, nothing beside the sign-in.
pub(super) fn check(auth: Option<&Address>, apps: &[Drafted], findings: &mut Findings) {
    let mut ports: HashMap<&str, (u16, &str)> = HashMap::new();
    let mut transport: HashMap<&str, (Option<&HeaderValue>, &str)> = HashMap::new();
    let mut taken: HashMap<(&str, &str), &str> = HashMap::new();
    for (app, address) in with_address(apps) {
        let (place, host, port) = (app.place.key("url"), address.origin.host(), address.origin.port());
        if auth.is_some_and(|auth| auth.origin.host() == host) {
            let wrong = Wrong::new("this host is the sign-in's", "give the sign-in (`auth.url`) a host of its own");
            findings.error(&place, wrong);
        }
        let (first, owner) = *ports.entry(host).or_insert((port, &app.name));
        if first != port {
            let wrong = Wrong::plain(format!("`{owner}` has this host with port {first}: cookies do not tell ports apart"));
            findings.error(&place, wrong);
        }
        let hsts = app.rewriting.hsts();
        let (first, owner) = *transport.entry(host).or_insert((hsts, &app.name));
        if first != hsts {
            let wrong =
                Wrong::plain(format!("`{owner}` has this host with another `Strict-Transport-Security`, which is a whole host's"));
            findings.error(&place, wrong);
        }
        if let Some(other) = taken.insert((host, &address.prefix), &app.name) {
            findings.error(&place, Wrong::plain(format!("`{other}` has this URL already")));
        }
    }
}

/// A host that no certificate is for can't be visited without a warning of the browser.
pub(super) fn check_certificates(tls: &Tls, auth: Option<&Address>, apps: &[Drafted], findings: &mut Findings) {
    let apps = with_address(apps).map(|(app, address)| (app.place.key("url"), address));
    let auth = auth.map(|address| (auth_place(), address));
    for (place, address) in auth.into_iter().chain(apps) {
        if !is_covered(tls, &address.origin) {
            let wrong = Wrong::plain(format!("no certificate is for `{}`", address.origin.host()));
            findings.warning(&place, wrong);
        }
    }
}

fn is_covered(tls: &Tls, origin: &Origin) -> bool {
    match origin.host().strip_prefix("*.") {
        Some(parent) => tls.wildcard.contains_key(parent),
        None => {
            let above = origin.host().split_once('.').map(|(_, parent)| parent);
            tls.exact.contains_key(origin.host()) || above.is_some_and(|parent| tls.wildcard.contains_key(parent))
        }
    }
}

fn with_address(apps: &[Drafted]) -> impl Iterator<Item = (&Drafted, &Address)> {
    apps.iter().filter_map(|app| Some((app, app.address.as_ref()?)))
}
