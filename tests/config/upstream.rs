//! How servers are reached and verified: what the file means, and what it can't mean.

use crate::scene::{Scene, with};
use doorward::control::config::Problem;
use doorward::snapshot::Upstream;
use doorward::snapshot::upstream::{Address, Pooling, Timeouts, Transport};
use std::path::PathBuf;
use std::time::Duration;

const UPSTREAM: &str = "upstream: http://127.0.0.1:8080";

fn upstream(scene: &Scene, lines: &str) -> Upstream {
    (*scene.fine(&with(UPSTREAM, lines)).snapshot.apps[0].servers.only().unwrap().upstream).clone()
}

/// The one error of an app that is reached like this.
fn error(scene: &Scene, lines: &str) -> Problem {
    let mut errors = scene.errors(&with(UPSTREAM, lines));
    assert_eq!(errors.len(), 1, "{lines}: {errors:#?}");
    errors.remove(0)
}

/// A scene with an authority, and a certificate with its key.
fn scene() -> Scene {
    let scene = Scene::new();
    for name in ["ca", "other-ca", "client", "other-client"] {
        scene.certificate(name, &["payroll.internal"]);
    }
    scene.write("empty.pem", "");
    scene
}

#[test]
fn an_address_names_the_transport_the_host_and_the_port() {
    let scene = scene();
    let tcp = |host: &str, port| Address::Tcp { host: host.into(), port };
    let cases = [
        ("http://app", tcp("app", 80), "http://app:80"),
        ("http://app:8080/", tcp("app", 8080), "http://app:8080"),
        ("HTTP://App:80", tcp("app", 80), "http://app:80"),
        ("h2c://10.0.0.1", tcp("10.0.0.1", 80), "h2c://10.0.0.1:80"),
        ("h2c://[fd00::1]:81", tcp("fd00::1", 81), "h2c://[fd00::1]:81"),
        ("https://app\n    upstream_tls: { ca: ca.pem }", tcp("app", 443), "https://app:443"),
        ("https://app:80\n    upstream_tls: { ca: ca.pem }", tcp("app", 80), "https://app:80"),
        ("unix:/run/app.sock", Address::Unix(PathBuf::from("/run/app.sock")), "unix:/run/app.sock"),
        ("unix:///run/app.sock", Address::Unix(PathBuf::from("/run/app.sock")), "unix:/run/app.sock"),
    ];
    for (text, address, name) in cases {
        let upstream = upstream(&scene, &format!("upstream: {text}"));
        assert_eq!((upstream.address(), &*upstream.to_string()), (&address, name), "{text}");
        let fits = match upstream.transport() {
            Transport::Http1 => name.starts_with("http:") || name.starts_with("unix:"),
            Transport::Http2 => name.starts_with("h2c:"),
            Transport::Tls(_) => name.starts_with("https:"),
        };
        assert!(fits, "{text}");
    }
    let beside = upstream(&scene, "upstream: unix:run/app.sock");
    assert_eq!(*beside.address(), Address::Unix(scene.path("run/app.sock")));
}

#[test]
fn what_can_t_be_reached_or_verified_is_an_error() {
    let scene = scene();
    let cases = [
        ("upstream: 'unix:'", "path of a socket"),
        ("upstream: unix:/run/", "path of a socket"),
        ("upstream: h2c://127.0.0.1/app", "no path"),
        ("upstream: https://eve:pw@127.0.0.1", "a user or password"),
        ("upstream: https://", "not a URL"),
        ("upstream: https://127.0.0.1\n    upstream_tls: { ca: ca.pem, name: '' }", "not a name"),
        ("upstream: https://127.0.0.1\n    upstream_tls: { ca: ca.pem, name: '*' }", "not a name"),
        ("upstream: https://127.0.0.1\n    upstream_tls: { ca: ca.pem, name: 'a b' }", "not a name"),
        ("upstream: https://127.0.0.1\n    upstream_tls: { ca: '' }", "can't read"),
        ("upstream: https://127.0.0.1\n    upstream_tls: { ca: empty.pem }", "no certificate"),
        ("upstream: https://127.0.0.1\n    upstream_tls: { ca: ca.key }", "no certificate"),
        ("upstream: https://127.0.0.1\n    upstream_tls: { ca: absent.pem }", "can't read `absent.pem`"),
        ("upstream: https://127.0.0.1\n    upstream_tls: { ca: ca.pem, verify: false }", "unknown key `verify`"),
        ("upstream: https://127.0.0.1\n    upstream_tls: { ca: ca.pem, cert: client.pem }", "there is no `key`"),
        ("upstream: https://127.0.0.1\n    upstream_tls: { ca: ca.pem, key: client.key }", "there is no `cert`"),
        ("upstream: https://127.0.0.1\n    upstream_tls: { ca: ca.pem, cert: client.pem, key: ca.key }", "not the key of"),
        ("upstream: https://127.0.0.1\n    upstream_tls: { ca: ca.pem, cert: empty.pem, key: client.key }", "no certificate"),
        ("upstream: http://127.0.0.1\n    upstream_tls: { ca: ca.pem }", "by https"),
        ("upstream: h2c://127.0.0.1\n    upstream_tls: { ca: ca.pem, http2: true }", "by https"),
        ("upstream: unix:/run/app.sock\n    upstream_tls: { ca: ca.pem }", "by https"),
    ];
    for (lines, message) in cases {
        let error = error(&scene, lines);
        assert!(error.message.contains(message), "{lines}: {}", error.message);
    }
    let long = format!("upstream: unix:/{}", "x".repeat(107));
    assert!(error(&scene, &long).message.contains("107 bytes"));
}

#[test]
fn a_server_that_is_verified_otherwise_gets_connections_of_its_own() {
    let scene = scene();
    let of = |block: &str| upstream(&scene, &format!("upstream: https://127.0.0.1\n    upstream_tls: {block}"));
    let one = of("{ ca: ca.pem, name: payroll.internal, cert: client.pem, key: client.key }");
    assert_eq!(one, of("{ key: client.key, cert: client.pem, name: payroll.internal, ca: ca.pem }"), "after a reload too");
    let others = [
        of("{ ca: other-ca.pem, name: payroll.internal, cert: client.pem, key: client.key }"),
        of("{ ca: ca.pem, name: wages.internal, cert: client.pem, key: client.key }"),
        of("{ ca: ca.pem, cert: client.pem, key: client.key }"),
        of("{ ca: ca.pem, name: payroll.internal, cert: other-client.pem, key: other-client.key }"),
        of("{ ca: ca.pem, name: payroll.internal }"),
        of("{ ca: ca.pem, name: payroll.internal, cert: client.pem, key: client.key, http2: true }"),
    ];
    for other in others {
        assert_ne!(one, other, "{other}");
    }
    scene.certificate("ca", &["payroll.internal"]);
    assert_ne!(one, of("{ ca: ca.pem, name: payroll.internal, cert: client.pem, key: client.key }"), "the file is another");
}

#[test]
fn the_files_of_a_server_are_watched() {
    let scene = scene();
    let lines = "upstream: https://127.0.0.1\n    upstream_tls: { ca: ca.pem, cert: client.pem, key: client.key }";
    let loaded = scene.fine(&with(UPSTREAM, lines));
    let watched: Vec<_> = loaded.watched.paths().collect();
    for name in ["ca.pem", "client.pem", "client.key"] {
        assert!(watched.contains(&&*scene.path(name)), "{name}: {watched:?}");
    }
}

#[test]
fn what_is_not_said_of_time_and_connections_stays_as_it_is() {
    let scene = scene();
    let terms = |lines: &str| {
        let mut loaded = scene.fine(&with(UPSTREAM, &format!("{UPSTREAM}{lines}")));
        let app = loaded.snapshot.apps.remove(0);
        (app.timeouts, app.pooling)
    };
    assert_eq!(terms(""), Default::default());
    let seconds = |count| Some(Duration::from_secs(count));
    let (timeouts, pooling) = terms("\n    timeouts: { first_byte: 2m, total: 1h }\n    pool: { max_idle: 0 }");
    assert_eq!(timeouts, Timeouts { first_byte: seconds(120), total: seconds(3600), ..Timeouts::default() });
    assert_eq!(pooling, Pooling { max_idle: 0, ..Pooling::default() });
    let (timeouts, pooling) =
        terms("\n    timeouts: { connect: 1s, first_byte: off, idle: off }\n    pool: { idle: 5s, max_connections: 7 }");
    let connect = Duration::from_secs(1);
    assert_eq!(timeouts, Timeouts { connect, first_byte: None, idle: None, total: None });
    assert_eq!(pooling, Pooling { idle: Duration::from_secs(5), max_connections: 7, ..Pooling::default() });
    for (lines, message) in [
        ("timeouts: { connect: off }", "not a duration"),
        ("timeouts: { idle: 5 }", "not a duration"),
        ("timeouts: { first_byte: 0s }", "zero"),
        ("timeouts: { read: 5s }", "unknown key `read`"),
        ("pool: { max_connections: 0 }", "not a number"),
        ("pool: { max_idle: -1 }", "not a number"),
        ("pool: { max_idle: many }", "not a number"),
        ("pool: { idle: off }", "not a duration"),
    ] {
        let error = error(&scene, &format!("{UPSTREAM}\n    {lines}"));
        assert!(error.message.contains(message), "{lines}: {}", error.message);
    }
}
