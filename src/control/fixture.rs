//! What the tests of control share: a configuration, and a key that signs ID tokens.

pub(super) mod signer;

use crate::model::route::Pattern;
use crate::model::{AppIndex, Inventory, Lifetimes, Origin, ProviderName};
use crate::snapshot::hosts::{Host, Hosts};
use crate::snapshot::paths::Paths;
use crate::snapshot::rewriting::Rewriting;
use crate::snapshot::servers::Servers;
use crate::snapshot::upstream::{Address, Pooling, Timeouts, Transport};
use crate::snapshot::{Access, App, Provider, Route, RouteIndex, Snapshot, Upstream, tls::Tls};
use openidconnect::IssuerUrl;
use rustls::ServerConfig;
use rustls::server::ResolvesServerCertUsingSni;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// An app at each of these, and providers.
pub(super) fn snapshot(providers: Vec<Provider>) -> Snapshot {
    let names: Vec<_> = providers.iter().map(|provider| provider.name.clone()).collect();
    let mut hosts = Hosts::default();
    *hosts.entry("login.corp.example") = Host::Auth;
    let sites = [
        ("wiki.corp.example", 443, "/**"),
        ("payroll.other.test", 8443, "/**"),
        ("*.lab.example", 443, "/**"),
        ("shared.corp.example", 443, "/docs/**"),
    ];
    let apps = sites.into_iter().zip(0..).map(|((host, port, pattern), index)| {
        if let Host::Apps(paths) = hosts.entry(host) {
            paths.insert(&Pattern::parse(pattern).unwrap(), AppIndex(index)).unwrap();
        }
        app(host, port, pattern.trim_end_matches("/**"), &names)
    });
    let apps = apps.collect();
    let route = Route { app: AppIndex(0), label: "wiki".into(), access: Access::Public(None), fixed: None };
    Snapshot {
        epoch: 1,
        apps,
        routes: vec![route],
        hosts,
        auth: Origin::https("login.corp.example".to_owned(), 443),
        lifetimes: Lifetimes { idle: Duration::from_secs(3600), lifetime: Duration::from_secs(43_200) },
        transmitters: BTreeMap::new(),
        providers: providers.into_iter().map(|provider| (provider.name.clone(), provider)).collect(),
        geo: crate::snapshot::geo::Geo::default(),
        reserved_headers: crate::snapshot::FoldedNames::default(),
        trusted_proxies: Vec::new(),
        devices: Inventory::default(),
        entrance: Default::default(),
        reserved: Default::default(),
        tls: tls(),
        audit_sheds: false,
        store_grace: std::time::Duration::ZERO,
        webhooks: Vec::new(),
    }
}

fn app(host: &str, port: u16, prefix: &str, providers: &[ProviderName]) -> App {
    let address = Address::Tcp { host: "127.0.0.1".into(), port: 9 };
    App {
        name: host.into(),
        title: format!("The app at {host}").into(),
        origin: Origin::https(host.to_owned(), port),
        url: format!("https://{host}").into(),
        prefix: prefix.into(),
        servers: Some(Servers::single(Upstream::new(String::new(), address, Transport::Http1))),
        timeouts: Timeouts::default(),
        pooling: Pooling::default(),
        rewriting: Rewriting::default(),
        limits: None,
        identity: Vec::new(),
        providers: providers.to_vec(),
        cors_preflight: false,
        denials: Default::default(),
        paths: Paths::new(RouteIndex(0)),
    }
}

fn tls() -> Tls {
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ResolvesServerCertUsingSni::new()));
    Tls { exact: HashMap::new(), wildcard: HashMap::new(), default: Arc::new(config), devices: None }
}

/// A provider at this issuer.
pub(super) fn provider(name: &str, issuer: &str) -> Provider {
    Provider {
        name: ProviderName::parse(name).unwrap(),
        title: format!("Sign-in of {name}").into(),
        issuer: IssuerUrl::new(issuer.to_owned()).unwrap(),
        client_id: "doorward".to_owned(),
        client_secret: Some("a secret of the client".to_owned().into()),
        scopes: vec!["openid".to_owned(), "email".to_owned()],
        claims: BTreeMap::new(),
        assume_email_verified: false,
        strength: crate::model::Strength::default(),
        global_revocation: None,
        scim: None,
        leeway: Duration::from_secs(60),
        ca: None,
    }
}
