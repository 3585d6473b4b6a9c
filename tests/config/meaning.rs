//! What a file means for requests.

use crate::scene::{BASE, Scene, with};
use doorward::model::identity::{Profile, Subject};
use doorward::model::{Email, Identity, ProviderName, Timestamp};
use doorward::policy::{Decision, Facts, Principal};
use doorward::snapshot::hosts::Host;
use doorward::snapshot::servers::live::Grade;
use doorward::snapshot::servers::{Ejection, Order};
use doorward::snapshot::upstream::Address;
use doorward::snapshot::{Access, App, Attribute, Snapshot};
use http::Method;
use std::time::Duration;

const RULES: &str = r#"    allow:
      - groups: [staff]
    deny:
      - groups: [suspended]
    paths:
      - { match: /health, public: true }
      - { match: /ping, public: true, methods: [GET] }
      - { match: /read/**, methods: [GET] }
      - match: [/admin/**, /users/*/keys]
        methods: [GET, POST]
        allow:
          - groups: [admins]
          - { groups: [clerks], methods: [POST, PUT] }
        deny: [{ users: [mallory@corp.example] }]
"#;

fn rules() -> Snapshot {
    let loaded = Scene::new().fine(&with("    allow:\n      - groups: [staff]\n", RULES));
    assert_eq!(loaded.rules, 5);
    loaded.snapshot
}

fn person(name: &str, groups: &[&str]) -> Principal {
    let subject = Subject { provider: ProviderName::parse("staff").unwrap(), subject: name.to_owned() };
    let profile = Profile {
        email: Some(Email::parse(&format!("{name}@corp.example")).unwrap()),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..Profile::default()
    };
    let authenticated_at = Timestamp::from_seconds(0);
    Principal::new(&Identity { subject, profile, authenticated_at }).unwrap()
}

/// The rule that decides; `public`, or `-` for nothing.
fn decided(snapshot: &Snapshot, principal: &Principal, method: &Method, path: &str) -> String {
    let app = &snapshot.apps[0];
    let route = snapshot.route(app.paths.find(path).unwrap()).unwrap();
    match &route.access {
        Access::Public(None) => "public".to_owned(),
        Access::Public(Some(methods)) => if methods.contains(method) { "public" } else { "-" }.to_owned(),
        Access::Rules(rules) => match rules.evaluate(principal, &Facts::bare(Timestamp::default(), method.clone())).decision {
            Decision::Allow(id) => format!("+{}", id.0),
            Decision::Deny(id) => format!("!{}", id.0),
            Decision::NoRule => "-".to_owned(),
            Decision::Error(error) => panic!("{error}"),
        },
    }
}

#[test]
fn entries_inherit_what_they_do_not_say() {
    let snapshot = rules();
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    let cases: &[(&str, &[&str], &Method, &str, &str)] = &[
        ("eve", &["staff"], &get, "/", "+wiki.allow[0]"),
        ("eve", &["staff"], &put, "/any/thing", "+wiki.allow[0]"),
        ("eve", &[], &get, "/", "-"),
        ("eve", &["staff", "suspended"], &get, "/", "!wiki.deny[0]"),
        ("eve", &[], &put, "/health", "public"),
        ("eve", &[], &get, "/ping", "public"),
        ("eve", &["staff"], &post, "/ping", "-"),
        ("eve", &["staff"], &get, "/read/x", "+wiki.allow[0]"),
        ("eve", &["staff"], &post, "/read/x", "-"),
        ("eve", &["staff", "suspended"], &post, "/read/x", "!wiki.deny[0]"),
        ("eve", &["staff"], &get, "/admin", "-"),
        ("eve", &["admins"], &get, "/admin/x", "+wiki.paths[3].allow[0]"),
        ("eve", &["admins"], &put, "/admin/x", "-"),
        ("eve", &["clerks"], &post, "/users/bob/keys", "+wiki.paths[3].allow[1]"),
        ("eve", &["clerks"], &put, "/users/bob/keys", "-"),
        ("eve", &["clerks"], &get, "/users/bob/keys", "-"),
        ("eve", &["admins", "suspended"], &get, "/admin/x", "!wiki.deny[0]"),
        ("mallory", &["admins"], &get, "/admin/x", "!wiki.paths[3].deny[0]"),
    ];
    for (name, groups, method, path, expected) in cases {
        assert_eq!(decided(&snapshot, &person(name, groups), method, path), *expected, "{name} {groups:?} {method} {path}");
    }
    let labels: Vec<&str> = snapshot.routes.iter().map(|route| &*route.label).collect();
    assert_eq!(labels, ["wiki /health", "wiki /ping", "wiki /read/**", "wiki /admin/**", "wiki"]);
}

#[test]
fn an_entry_for_everything_stands_in_for_the_app() {
    let loaded = Scene::new().fine(&with("    allow:\n      - groups: [staff]\n", "    paths: [{ match: /**, public: true }]\n"));
    let snapshot = loaded.snapshot;
    assert_eq!(decided(&snapshot, &person("eve", &[]), &Method::GET, "/x"), "public");
    assert_eq!(snapshot.routes.len(), 1);
}

#[test]
fn hosts_and_prefixes_find_their_app() {
    let more = "  any: { url: 'https://*.corp.example', upstream: 'http://[::1]:81', allow: [{ groups: x }] }
  zoo: { url: 'https://Wiki.corp.example/zoo/', upstream: 'http://zoo', allow: [{ groups: x }] }\n";
    let snapshot = Scene::new().fine(&format!("{BASE}{more}")).snapshot;
    let found = |host: &str, path: &str| match snapshot.hosts.find(host) {
        Some(Host::Auth) => "auth",
        Some(Host::Apps(paths)) => paths.find(path).and_then(|index| snapshot.app(index)).map_or("-", |app| &app.name),
        None => "-",
    };
    let cases = [
        ("login.corp.example", "/", "auth"),
        ("wiki.corp.example", "/", "wiki"),
        ("wiki.corp.example", "/zoo", "zoo"),
        ("wiki.corp.example", "/zoo/ape", "zoo"),
        ("wiki.corp.example", "/zoology", "wiki"),
        ("else.corp.example", "/x", "any"),
        ("a.b.corp.example", "/", "-"),
        ("corp.example", "/", "-"),
    ];
    for (host, path, app) in cases {
        assert_eq!(found(host, path), app, "{host}{path}");
    }
    let zoo = snapshot.apps.iter().find(|app| &*app.name == "zoo").unwrap();
    assert_eq!((&*zoo.url, &*zoo.prefix), ("https://wiki.corp.example/zoo", "/zoo"));
    let address = |app: &App| app.servers.as_ref().unwrap().only().unwrap().upstream.address().clone();
    assert_eq!(address(zoo), Address::Tcp { host: "zoo".into(), port: 80 });
    let any = snapshot.apps.iter().find(|app| &*app.name == "any").unwrap();
    assert_eq!(address(any), Address::Tcp { host: "::1".into(), port: 81 });
}

#[test]
fn defaults_are_what_the_contract_says() {
    let scene = Scene::new();
    let loaded = scene.fine(BASE);
    let (snapshot, provider) = (&loaded.snapshot, loaded.snapshot.providers.values().next().unwrap());
    assert_eq!(snapshot.lifetimes.idle, Duration::from_secs(3600));
    assert_eq!(snapshot.lifetimes.lifetime, Duration::from_secs(12 * 3600));
    assert_eq!(provider.scopes, ["openid", "email", "profile"]);
    assert_eq!(provider.leeway, Duration::from_secs(60));
    assert_eq!(&*provider.title, "staff");
    assert!(!provider.assume_email_verified && provider.client_secret.is_none() && provider.ca.is_none());
    assert!(!snapshot.audit_sheds && snapshot.trusted_proxies.is_empty());
    assert!(!snapshot.entrance.proxy_protocol && snapshot.entrance.per_address.is_none());
    assert_eq!(snapshot.entrance.connections, 50_000);
    assert_eq!(loaded.store.to_string(), format!("sqlite:{}", scene.path("doorward.db").display()));
    assert_eq!((loaded.listen.http, loaded.listen.admin, loaded.audit.file, loaded.audit.rotation), (None, None, None, None));
    assert_eq!(snapshot.apps[0].providers.len(), 1);
}

#[test]
fn an_issuer_keeps_its_spelling() {
    for issuer in
        ["https://idp.corp.example", "https://idp.corp.example/", "https://idp.corp.example/realms/a/", "http://127.0.0.1:9000"]
    {
        let loaded = Scene::new().fine(&with("https://idp.corp.example", issuer));
        assert_eq!(loaded.snapshot.providers.values().next().unwrap().issuer.as_str(), issuer);
    }
}

#[test]
fn servers_are_taken_in_every_form_and_looked_after_by_default() {
    let servers = |to: &str| {
        let snapshot = Scene::new().fine(&with("upstream: http://127.0.0.1:8080", to)).snapshot;
        let servers = snapshot.apps[0].servers.as_ref().unwrap();
        servers.iter().map(|server| (server.upstream.to_string(), server.weight)).collect::<Vec<_>>()
    };
    let (a, b) = (("http://a:80".to_owned(), 1), ("http://b:8080".to_owned(), 3));
    for (to, expected) in [
        ("upstream: http://a", vec![a.clone()]),
        ("upstream: [http://a]", vec![a.clone()]),
        ("upstream: { url: http://a }", vec![a.clone()]),
        ("upstream: { weight: 3, url: 'http://b:8080' }", vec![b.clone()]),
        ("upstream: [http://a, { url: http://b:8080, weight: 3 }]", vec![a.clone(), b.clone()]),
        ("upstream:\n      - url: http://a\n      - url: http://b:8080\n        weight: '3'", vec![a, b]),
    ] {
        assert_eq!(servers(to), expected, "{to}");
    }
    let app = |to: &str| Scene::new().fine(&with("upstream: http://127.0.0.1:8080", to)).snapshot.apps.remove(0);
    assert!(app("upstream: http://a").servers.as_ref().unwrap().only().is_some(), "a single server costs nothing");
    let plain = app("upstream: [http://a, http://b]").servers.unwrap();
    assert!(plain.only().is_none() && matches!(plain.order, Order::Turns(_)));
    assert_eq!(plain.care.ejection, Some(Ejection { failures: 5, time: Duration::from_secs(10) }));
    assert_eq!((&plain.care.health, plain.care.slow_start), (&None, None));
    let off = app("upstream: [http://a, http://b]\n    balance: least_in_flight\n    ejection: { failures: off }").servers.unwrap();
    assert!(off.care.ejection.is_none() && matches!(off.order, Order::Least(_)));
    let checked = app("upstream: http://a\n    health: { path: '/up?deep=1', status: [204, 300-302] }").servers.unwrap();
    assert!(checked.only().is_none(), "a check can take a single server down");
    let health = checked.care.health.unwrap();
    assert_eq!((health.path.as_str(), health.host.to_str().unwrap()), ("/up?deep=1", "wiki.corp.example"));
    assert_eq!((health.interval.as_secs(), health.timeout.as_secs(), health.healthy, health.unhealthy), (10, 2, 2, 3));
    assert_eq!(health.statuses, [204..=204, 300..=302]);
}

#[test]
fn what_is_known_of_a_server_outlives_a_reload_while_the_app_has_it() {
    let snapshot = |servers: &str, more: &str| {
        let text = format!("upstream: {servers}\n    health: {{ path: /up }}\n    slow_start: 30s\n{more}");
        Scene::new().fine(&with("upstream: http://127.0.0.1:8080", &text)).snapshot
    };
    let (before, mut after) = (snapshot("[http://a, http://b]", ""), snapshot("[http://c, { url: http://b, weight: 2 }]", ""));
    let b = before.apps[0].servers.as_ref().unwrap().at(1).unwrap().live.clone();
    let held = b.enter();
    b.set_down(true, 1);
    after.take_over(&before, 1000);
    let [new, kept] = [0, 1].map(|index| after.apps[0].servers.as_ref().unwrap().at(index).unwrap().live.clone());
    assert!(std::sync::Arc::ptr_eq(&kept, &b) && kept.is_down() && kept.load() == 1);
    drop(held);
    assert_eq!((kept.load(), new.grade(1000, Some(Duration::from_secs(30)), 255)), (0, Grade::Warming));
    let mut unchecked = Scene::new().fine(&with("upstream: http://127.0.0.1:8080", "upstream: http://b")).snapshot;
    unchecked.take_over(&after, 2000);
    assert!(!b.is_down(), "nobody is left who would say that it works again");
    let mut renamed =
        Scene::new().fine(&with("upstream: http://127.0.0.1:8080", "upstream: http://b").replace("  wiki:", "  else:")).snapshot;
    renamed.take_over(&after, 2000);
    assert!(!std::sync::Arc::ptr_eq(&renamed.apps[0].servers.as_ref().unwrap().at(0).unwrap().live, &b));
}

#[test]
fn every_header_of_every_app_is_reserved() {
    let yaml = with("    allow:", "    identity: { X-Remote-User: email, x_dept: department }\n    allow:");
    let snapshot = Scene::new().fine(&yaml).snapshot;
    assert!(["x-dept", "x-remote-user"].iter().all(|name| snapshot.reserved_headers.contains(name)));
    assert!(!snapshot.reserved_headers.contains("x-remote-dept"));
    assert!(snapshot.apps[0].identity.contains(&("x_dept".parse().unwrap(), Attribute::Claim("department".to_owned()))));
}

#[test]
fn secrets_come_without_the_line_break_of_their_file() {
    use secrecy::ExposeSecret as _;
    let scene = Scene::new();
    scene.write("secret", "hunter2\r\n");
    let yaml = with("    client_id", "    client_secret: { file: secret }\n    client_id");
    let snapshot = scene.fine(&yaml).snapshot;
    let secret = snapshot.providers.values().next().unwrap().client_secret.as_ref().unwrap();
    assert_eq!(secret.expose_secret(), "hunter2");
}

#[test]
fn names_in_certificates_choose_among_them() {
    let scene = Scene::new();
    scene.certificate("one", &["wiki.corp.example"]);
    let yaml = with("key: apps.key }", "key: apps.key }\n    - { cert: one.pem, key: one.key }");
    let tls = scene.fine(&yaml).snapshot.tls;
    assert!(std::sync::Arc::ptr_eq(&tls.default, tls.find(Some("else.corp.example"))));
    assert!(std::sync::Arc::ptr_eq(&tls.default, tls.find(Some("unknown.example"))));
    assert!(!std::sync::Arc::ptr_eq(&tls.default, tls.find(Some("wiki.corp.example"))));
    assert_eq!(tls.default.max_early_data_size, 0);
    assert_eq!(tls.default.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    let again = scene.fine(&yaml).snapshot.tls;
    assert!(std::sync::Arc::ptr_eq(&tls.default.ticketer, &again.default.ticketer));
}

#[test]
fn texts_need_no_quotes_and_lists_of_one_no_brackets() {
    let yaml = with("groups: [staff]", "groups: 1234\n        claims: { department: [17, true, null_device] }");
    Scene::new().fine(&yaml);
    let aliases = with("groups: [staff]", "groups: &g [staff]\n    paths: [{ match: /a, allow: [{ groups: *g }] }]");
    Scene::new().fine(&aliases);
}

#[test]
fn a_large_configuration_is_read_in_bearable_time() {
    let mut yaml = BASE.to_owned();
    for number in 0..300 {
        yaml.push_str(&format!(
            "  app{number}:\n    url: https://app{number}.corp.example\n    upstream: http://127.0.0.1:8080\n    allow: [{{ groups: [g{number}] }}]\n"
        ));
    }
    let start = std::time::Instant::now();
    assert_eq!(Scene::new().fine(&yaml).snapshot.apps.len(), 301);
    assert!(start.elapsed().as_secs() < 30, "{:?}", start.elapsed());
}
