//! Everything that is neither an app nor a provider: addresses, lifetimes. In: what the file says. Out: values.

use super::values::{duration, network, socket};
use super::{Context, secret};
use crate::control::config::Listen;
use crate::control::config::file::File;
use crate::control::config::findings::{Findings, Wrong};
use crate::control::config::place::Place;
use crate::control::config::sources::Sources;
use crate::model::Lifetimes;
use ipnet::IpNet;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::time::Duration;

pub(super) fn listen(file: &File, context: &mut Context<'_>) -> Option<Listen> {
    let place = Place::root().key("listen");
    let mut one = |key: &str, text: Option<&str>| text.and_then(|text| context.findings.take(&place.key(key), socket(text)));
    let https = one("https", Some(&file.listen.https));
    let http = one("http", file.listen.http.as_deref());
    let admin = one("admin", file.listen.admin.as_deref());
    for (key, address, others) in [("http", http, [https, None]), ("admin", admin, [https, http])] {
        if address.is_some_and(|address| address.port() != 0 && others.contains(&Some(address))) {
            context.findings.error(&place.key(key), Wrong::plain("another listener has this address"));
        }
    }
    if admin.is_some_and(|address| !address.ip().to_canonical().is_loopback()) {
        let wrong = Wrong::new("administration can be reached from other machines", "listen on `127.0.0.1` or `[::1]`");
        context.findings.warning(&place.key("admin"), wrong);
    }
    Some(Listen { https: https?, http, admin })
}

pub(super) fn admin_token(file: &File, context: &mut Context<'_>) -> Option<SecretString> {
    let token = file.admin.as_ref()?.token.as_ref()?;
    let place = Place::root().key("admin").key("token");
    secret::compile(token, &place, context.sources, context.findings)
}

/// Where the administration API is, and the token for it.
pub(in crate::control::config) fn administration(
    file: &File,
    sources: &mut Sources,
    findings: &mut Findings,
) -> Option<(SocketAddr, SecretString)> {
    let (place, root) = (Place::root().key("listen"), Place::root().key("admin"));
    let wrong = || Wrong::new("there is no administration listener", "add `admin: \"127.0.0.1:9901\"`");
    let address = findings.take(&place, file.listen.admin.as_deref().ok_or_else(wrong))?;
    let address = findings.take(&place.key("admin"), socket(address))?;
    let wrong = || Wrong::new("the administration API has no token", "add `admin: { token: { file: PATH } }`");
    let token = file.admin.as_ref().and_then(|admin| admin.token.as_ref());
    let token = findings.take(&root, token.ok_or_else(wrong))?;
    Some((address, secret::compile(token, &root.key("token"), sources, findings)?))
}

pub(super) fn trusted_proxies(file: &File, context: &mut Context<'_>) -> Vec<IpNet> {
    let place = Place::root().key("trusted_proxies");
    let mut networks = Vec::new();
    for (index, text) in file.trusted_proxies.0.iter().enumerate() {
        let place = place.index(index);
        let Some(network) = context.findings.take(&place, network(text)) else {
            continue;
        };
        if network.prefix_len() == 0 {
            let wrong = Wrong::plain("this trusts everybody to say where a request comes from");
            context.findings.warning(&place, wrong);
        }
        networks.push(network);
    }
    networks
}

pub(super) fn lifetimes(file: &File, context: &mut Context<'_>) -> Lifetimes {
    let place = Place::root().key("auth").key("session");
    let session = file.auth.session.as_ref();
    let mut one = |key: &str, text: Option<&String>, default| {
        let read = text.map_or(Ok(default), |text| duration(text));
        context.findings.take(&place.key(key), read).unwrap_or(default)
    };
    let written = session.and_then(|session| session.lifetime.as_ref());
    let lifetime = one("lifetime", written, Duration::from_secs(12 * 3600));
    let default = Duration::from_secs(3600).min(lifetime);
    let idle = one("idle", session.and_then(|session| session.idle.as_ref()), default);
    if idle > lifetime {
        let wrong = Wrong::plain("`idle` is longer than `lifetime`, so that it never counts");
        context.findings.error(&place.key("idle"), wrong);
    }
    Lifetimes { idle, lifetime }
}
