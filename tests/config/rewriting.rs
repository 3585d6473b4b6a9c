//! What is changed on the way to an app and back, what is answered without one, and how much is taken: what may be written,
//! and what it means.

use crate::scene::{Scene, with};
use doorward::snapshot::fixed::Fixed;
use doorward::snapshot::limits::{Limits, Period, Rate};
use doorward::snapshot::prefix::Prefix;
use doorward::snapshot::rewriting::InternalOrigin;
use doorward::snapshot::{App, Snapshot};
use std::num::NonZeroU32;

const UPSTREAM: &str = "    upstream: http://127.0.0.1:8080\n";

/// The base with more lines for its app.
fn yaml(lines: &str) -> String {
    with(UPSTREAM, &format!("{UPSTREAM}{lines}"))
}

/// More lines for the app; the line of the error; what it says; what would be right.
type Case = (&'static str, usize, &'static str, &'static str);

fn check(cases: &[Case]) {
    let scene = Scene::new();
    for (lines, line, message, help) in cases {
        let errors = scene.errors(&yaml(lines));
        let [error] = errors.as_slice() else { panic!("{lines}: {errors:#?}") };
        assert!(error.message.contains(message), "{lines}: {}", error.message);
        assert_eq!(error.line, *line, "{lines}: {}", error.message);
        let given = error.help.as_deref().unwrap_or_default();
        assert!(given.contains(help), "{lines}: {given}");
    }
}

#[test]
fn hosts_and_prefixes_that_can_not_be() {
    check(&[
        ("    strip_prefix: true\n", 17, "nothing to strip", ""),
        ("    add_prefix: base\n", 17, "not a plain path prefix", "/base"),
        ("    add_prefix: /\n", 17, "not a plain path prefix", ""),
        ("    add_prefix: /a//b\n", 17, "not a plain path prefix", ""),
        ("    add_prefix: /a/../b\n", 17, "not a plain path prefix", ""),
        ("    add_prefix: /a%2Fb\n", 17, "not a plain path prefix", ""),
        ("    add_prefix: //evil.example\n", 17, "not a plain path prefix", ""),
        ("    host: ''\n", 17, "not a host", "keep"),
        ("    host: https://wiki.internal\n", 17, "not a host", ""),
        ("    host: wiki.internal/x\n", 17, "not a host", ""),
        ("    host: wiki.internal/\n", 17, "not a host", ""),
        ("    host: eve@wiki.internal\n", 17, "user", ""),
        ("    host: 'wiki internal'\n", 17, "not a host", ""),
    ]);
}

#[test]
fn headers_that_are_not_to_be_changed() {
    for name in [
        "Connection",
        "Content-Length",
        "content_length",
        "Transfer-Encoding",
        "TE",
        "Upgrade",
        "X-Request-Id",
        "X-Doorward-User",
        "x_doorward.anything",
    ] {
        for key in ["request_headers", "response_headers"] {
            for change in [format!("set: {{ {name}: x }}"), format!("remove: {name}")] {
                let errors = Scene::new().errors(&yaml(&format!("    {key}: {{ {change} }}\n")));
                assert!(errors.len() == 1 && errors[0].message.contains("is not to be changed"), "{key} {change}: {errors:?}");
            }
        }
    }
    check(&[
        ("    request_headers: { set: { Host: x } }\n", 17, "not to be changed", ""),
        ("    request_headers: { set: { Cookie: x } }\n", 17, "not to be changed", ""),
        ("    request_headers: { remove: X-Forwarded-For }\n", 17, "not to be changed", ""),
        ("    request_headers: { remove: [Forwarded] }\n", 17, "not to be changed", ""),
        ("    response_headers: { set: { Set-Cookie: x } }\n", 17, "not to be changed", ""),
        ("    request_headers: { set: { 'X Y': x } }\n", 17, "not a header name", ""),
        ("    request_headers: { set: { X-Env: \"a\\r\\nX-Admin: 1\" } }\n", 17, "no control characters", ""),
        ("    request_headers: { set: { X-Env: a, x_env: b } }\n", 17, "set twice", ""),
        ("    request_headers: { remove: [] }\n", 17, "an empty list", ""),
        ("    request_headers: { add: { X-Env: a } }\n", 17, "unknown key `add`", "set, remove"),
        (
            "    identity: { X-Remote-User: email }\n    request_headers: { set: { X_Remote_User: root } }\n",
            18,
            "carries an identity",
            "",
        ),
    ]);
}

#[test]
fn answers_that_can_not_be() {
    let redirect = |rest: &str| with(UPSTREAM, &format!("    redirect: {{ {rest} }}\n"));
    let scene = Scene::new();
    for (rest, message) in [
        ("status: '308'", "`apps.wiki.redirect.to` is missing"),
        ("to: new.example", "not a URL"),
        ("to: //new.example", "not a URL"),
        ("to: /\\new.example", "not a URL"),
        ("to: ftp://new.example", "not a URL"),
        ("to: 'javascript:alert(1)'", "not a URL"),
        ("to: 'https://new.example/a b'", "not a URL"),
        ("to: https://eve@new.example", "not a URL"),
        ("to: \"https://new.example/\\r\\nX: y\"", "not a URL"),
        ("to: https://new.example?q=1, keep_path: true", "query or fragment"),
        ("to: https://new.example, status: '200'", "status of a redirect"),
        ("to: https://new.example, status: '304'", "status of a redirect"),
        ("to: https://new.example, status: moved", "not a status"),
    ] {
        let errors = scene.errors(&redirect(rest));
        assert!(errors.len() == 1 && errors[0].message.contains(message), "{rest}: {errors:#?}");
        assert_eq!(errors[0].line, 16, "{rest}");
    }
    let cases = [
        ("respond: { status: '302' }", "not the status of an answer"),
        ("respond: { status: '101' }", "not the status of an answer"),
        ("respond: { status: '999' }", "not the status of an answer"),
        ("respond: { status: '204', body: x }", "has no body"),
        ("respond: { content_type: \"text/html\\n\" }", "not a type"),
        ("respond: {}, redirect: { to: https://new.example }", "there is `redirect` already"),
    ];
    for (entry, message) in cases {
        let errors = scene.errors(&yaml(&format!("    paths: [{{ match: /x, {entry} }}]\n")));
        assert!(errors.len() == 1 && errors[0].message.contains(message), "{entry}: {errors:#?}");
    }
    check(&[("    respond: {}\n", 16, "an app with an answer of its own has no upstream", "keep either")]);
    let errors = scene.errors(&with(UPSTREAM, ""));
    assert!(errors.len() == 1 && errors[0].message.contains("`apps.wiki.upstream` is missing"), "{errors:#?}");
}

#[test]
fn limits_that_can_not_be() {
    check(&[
        ("    max_body: 100\n", 17, "not a size", "100MB"),
        ("    max_body: -1MB\n", 17, "not a size", ""),
        ("    max_body: 0MB\n", 17, "not a size", ""),
        ("    max_body: 1.5MB\n", 17, "not a size", ""),
        ("    max_body: MB\n", 17, "not a size", ""),
        ("    max_body: 100mb\n", 17, "not a size", ""),
        ("    limits: { in_flight: 0 }\n", 17, "not a limit", ""),
        ("    limits: { in_flight: '+5' }\n", 17, "not a limit", ""),
        ("    limits: { in_flight: many }\n", 17, "not a limit", ""),
        ("    limits: { rate_per_session: 5 }\n", 17, "not a rate", "50/s"),
        ("    limits: { rate_per_session: 0/s }\n", 17, "not a rate", ""),
        ("    limits: { rate_per_address: 5/h }\n", 17, "not a rate", ""),
        ("    limits: { rate_per_adress: 5/s }\n", 17, "unknown key", "did you mean `rate_per_address`?"),
    ]);
}

#[test]
fn several_of_these_are_reported_at_once() {
    let lines = "    strip_prefix: true\n    host: a/b\n    max_body: 1\n    limits: { in_flight: 0, rate_per_session: x }\n";
    assert_eq!(Scene::new().errors(&yaml(lines)).len(), 5);
}

#[test]
fn hsts_is_a_whole_host_s() {
    let other = "  zoo:\n    url: https://wiki.corp.example/zoo\n    upstream: http://zoo\n    allow: [{}]\n\
        \x20   response_headers: { set: { Strict-Transport-Security: max-age=60 } }\n";
    let errors = Scene::new().errors(&(yaml("") + other));
    assert!(errors.len() == 1 && errors[0].message.contains("`wiki` has this host with another `Strict-Transport"), "{errors:#?}");
}

fn only(lines: &str) -> Snapshot {
    Scene::new().fine(&yaml(lines)).snapshot
}

fn app(snapshot: &Snapshot) -> &App {
    &snapshot.apps[0]
}

#[test]
fn nothing_is_changed_by_default_but_for_two_headers() {
    let snapshot = only("    host: keep\n");
    let rewriting = &app(&snapshot).rewriting;
    assert!(rewriting.request.is_none() && rewriting.prefix.is_none() && rewriting.response.is_empty());
    assert!(app(&snapshot).limits.is_none());
    let security: Vec<_> = rewriting.security.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    assert_eq!(security, ["strict-transport-security: max-age=31536000", "x-content-type-options: nosniff"]);
    assert_eq!(rewriting.internal, [InternalOrigin { host: "127.0.0.1".into(), port: 8080 }]);
}

#[test]
fn a_host_may_have_a_port() {
    for (host, value, origins) in [
        ("Wiki.internal", "wiki.internal", vec![("wiki.internal", 80), ("wiki.internal", 443)]),
        ("wiki.internal:81", "wiki.internal:81", vec![("wiki.internal", 81)]),
        ("wiki.internal:80", "wiki.internal:80", vec![("wiki.internal", 80)]),
        ("'[::1]:81'", "[::1]:81", vec![("::1", 81)]),
    ] {
        let snapshot = only(&format!("    host: {host}\n"));
        let rewriting = &app(&snapshot).rewriting;
        assert_eq!(rewriting.request.as_ref().unwrap().host.as_ref().unwrap(), value);
        let said: Vec<_> = rewriting.internal[1..].iter().map(|origin| (&*origin.host, origin.port)).collect();
        assert_eq!(said, origins, "{host}");
    }
}

#[test]
fn prefixes_lose_their_last_slash() {
    let yaml = yaml("    strip_prefix: true\n    add_prefix: /base/\n").replace("wiki.corp.example", "wiki.corp.example/wiki/");
    let snapshot = Scene::new().fine(&yaml).snapshot;
    assert_eq!(app(&snapshot).rewriting.prefix, Some(Prefix { public: "/wiki".into(), strip: true, add: "/base".into() }));
    assert_eq!(app(&snapshot).rewriting.request.as_ref().unwrap().stripped.as_ref().unwrap(), "/wiki");
}

#[test]
fn limits_are_numbers() {
    let snapshot = only(
        "    max_body: 100MB\n    limits: { in_flight: 200, in_flight_per_session: 20, rate_per_session: 50/s, rate_per_address: 600/m }\n",
    );
    let number = |number| NonZeroU32::new(number).unwrap();
    let expected = Limits {
        body: Some(100_000_000),
        in_flight: Some(number(200)),
        in_flight_per_session: Some(number(20)),
        rate_per_session: Some(Rate { count: number(50), per: Period::Second }),
        rate_per_address: Some(Rate { count: number(600), per: Period::Minute }),
    };
    assert_eq!(app(&snapshot).limits.as_deref(), Some(&expected));
    for (text, bytes) in [("1B", 1), ("512KB", 512_000), ("1MiB", 1 << 20), ("4GiB", 4 << 30)] {
        let snapshot = only(&format!("    max_body: {text}\n"));
        assert_eq!(app(&snapshot).limits.as_ref().unwrap().body, Some(bytes), "{text}");
    }
}

#[test]
fn an_entry_can_answer_otherwise_than_its_app() {
    let lines = "    redirect: { to: https://new.example/, keep_path: true }\n    paths: [{ match: /x, respond: { body: gone, status: '410' } }, { match: /y, deny: [{}] }]\n";
    let snapshot = Scene::new().fine(&with(UPSTREAM, lines)).snapshot;
    assert!(app(&snapshot).servers.is_none());
    let fixed = |path: &str| {
        let route = snapshot.route(app(&snapshot).paths.find(path).unwrap()).unwrap();
        match route.fixed.as_deref().unwrap() {
            Fixed::Redirect { status, to, keep_path } => format!("{} {to} {keep_path}", status.as_u16()),
            Fixed::Respond { status, body, .. } => format!("{} {}", status.as_u16(), String::from_utf8_lossy(body)),
        }
    };
    assert_eq!(
        (&*fixed("/x"), &*fixed("/y"), &*fixed("/z")),
        ("410 gone", "307 https://new.example true", "307 https://new.example true")
    );
}
