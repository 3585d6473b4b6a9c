//! What is changed on the way to an app and back: its paths, its host, its headers, and what it says of itself. Nothing foreign
//! becomes ours, and nothing of ours foreign.

use crate::world::browser::NAVIGATION;
use crate::world::http2::Http2;
use crate::world::wire::{Answer, Connection};
use crate::world::{ALICE, LOGIN, SHOP, World};
use url::form_urlencoded::Serializer;

/// Beside each other on one host: an app that knows neither its prefix nor its name, one that has another prefix inside, one
/// that is taken as it is.
const APPS: &str = "
  stripped:
    url: https://shop.corp.test:HTTPS/wiki
    upstream: http://127.0.0.1:APP
    strip_prefix: true
    host: shop.internal
    paths: [{ match: /wiki/**, public: true }, { match: /wiki/admin/**, allow: [{ groups: [admins] }] }]
  moved:
    url: https://shop.corp.test:HTTPS/moved
    upstream: http://127.0.0.1:APP
    strip_prefix: true
    add_prefix: /base/x
    paths: [{ match: /moved/**, public: true }]
  added:
    url: https://shop.corp.test:HTTPS/added
    upstream: http://127.0.0.1:APP
    add_prefix: /base
    paths: [{ match: /added/**, public: true }]
  entries:
    url: https://shop.corp.test:HTTPS/entries
    upstream: http://127.0.0.1:APP
    strip_prefix: true
    paths:
      - { match: /entries/**, public: true }
      - { match: /entries/out, public: true, redirect: { to: /portal/ } }
      - { match: /entries/in, public: true, redirect: { to: 'http://127.0.0.1:APP/' } }
  plain:
    url: https://shop.corp.test:HTTPS
    upstream: http://127.0.0.1:APP
    forwarded: true
    request_headers: { set: { X-Env: prod, X-Forwarded-Port: '443' }, remove: [X-Debug, Accept-Language] }
    response_headers: { set: { X-Frame-Options: DENY }, remove: [Server, X-Powered-By] }
    paths: [{ match: /**, public: true }]
";

/// A path at which the app answers with these headers.
fn say(prefix: &str, headers: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(headers);
    format!("{prefix}/say?{}", query.finish())
}

/// What comes back of a header that the app sends.
async fn returned(world: &World, prefix: &str, name: &str, value: &str) -> String {
    let answer = world.get(SHOP, &say(prefix, &[("status", "302"), (name, value)]), "").await;
    assert_eq!(answer.status, 302, "{}", answer.text());
    answer.header(name).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_gets_the_path_without_and_with_its_prefixes_and_otherwise_byte_for_byte() {
    let world = World::with_apps(APPS).await;
    let mut h2 = Http2::connect(&world, SHOP).await;
    for (public, internal) in [
        ("/wiki/", "/"),
        ("/wiki/a/b", "/a/b"),
        ("/wiki/?q=/wiki/%2F", "/?q=/wiki/%2F"),
        ("/wiki/group%2Fproject;v=1//x/", "/group%2Fproject;v=1//x/"),
        ("/wiki/wiki/a", "/wiki/a"),
        ("/wiki/caf%E9/%20~x:y@z!$&'()*+,=", "/caf%E9/%20~x:y@z!$&'()*+,="),
        ("/wiki/.hidden/...", "/.hidden/..."),
        ("/moved/a%2Fb", "/base/x/a%2Fb"),
        ("/moved//a", "/base/x//a"),
        ("/moved/", "/base/x/"),
        ("/added", "/base/added"),
        ("/added/", "/base/added/"),
        ("/added//a;b", "/base/added//a;b"),
        ("/other//a%2Fb", "/other//a%2Fb"),
    ] {
        world.app.forget();
        assert_eq!(world.get(SHOP, public, "").await.status, 200, "{public}");
        assert_eq!(h2.ask("GET", &world.url(SHOP, public), &[]).await.unwrap().status, 200, "{public}");
        let seen: Vec<_> = world.app.all().iter().map(|seen| seen.path.clone()).collect();
        assert_eq!(seen, [internal, internal], "{public}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_would_become_another_by_stripping_is_refused() {
    let world = World::with_apps(APPS).await;
    for path in [
        "/wiki/../admin",
        "/wiki%2F..%2Fadmin",
        "/wiki/..%2fx",
        "/wiki//evil.example/",
        "/wiki//",
        "/wiki/%2Fevil.example",
        "/wiki/%2fevil.example/..",
        "/wiki/%5Cevil.example",
        "/wiki/;x/evil.example",
        "/wiki/%252Fevil.example",
        "/%77iki/a",
        "/w%69ki/",
        "/wiki;x=1/a",
        "/wiki%2fa",
        "//wiki/a",
        "/wiki%5Ca",
    ] {
        let answer = world.get(SHOP, path, "").await;
        assert_eq!((answer.status, &*answer.reason()), (400, "ambiguous_target"), "{path}");
    }
    assert!(world.app.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_and_audit_read_the_public_path() {
    let world = World::with_apps(APPS).await;
    assert_eq!(world.get(SHOP, "/wiki/admin/x", "").await.status, 401);
    assert_eq!(world.get(SHOP, "/wiki/wiki/admin/x", "").await.status, 200);
    assert_eq!(world.app.only().path, "/wiki/admin/x");
    let record = world.record("/wiki/wiki/admin/x").await;
    assert_eq!((&record["app"], &record["route"]), (&"stripped".into(), &"stripped /wiki/**".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_start_of_a_stripped_app_has_a_slash_so_that_its_links_stay_inside() {
    let world = World::with_apps(APPS).await;
    let answer = world.get(SHOP, "/wiki?q=1", "").await;
    assert_eq!((answer.status, answer.location()), (307, "/wiki/?q=1"));
    assert!(world.app.all().is_empty());
    assert_eq!(world.record("/wiki").await["reason"], "public_route");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_of_the_configuration_is_public_already() {
    let world = World::with_apps(APPS).await;
    let inside = format!("http://127.0.0.1:{}/", world.ports.app());
    for (path, to) in [("/entries/out", "/portal/"), ("/entries/in", &*inside)] {
        assert_eq!(world.get(SHOP, path, "").await.location(), to);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_is_kept_or_set_and_the_public_one_is_told() {
    let world = World::with_apps(APPS).await;
    let public = world.authority(SHOP);
    for (path, host, prefix) in [
        ("/x", &*public, vec![]),
        ("/wiki/x", "shop.internal", vec!["/wiki"]),
        ("/moved/x", &public, vec!["/moved"]),
        ("/added/x", &public, vec![]),
    ] {
        world.app.forget();
        let lines = "X-Forwarded-Prefix: /evil\r\nX_Forwarded_Prefix: /evil\r\n";
        assert_eq!(world.get(SHOP, path, lines).await.status, 200);
        let seen = world.app.only();
        assert_eq!((seen.folded("host"), seen.folded("x-forwarded-host")), (vec![host], vec![&*public]), "{path}");
        assert_eq!(seen.folded("x-forwarded-prefix"), prefix, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redirects_of_the_app_come_back_to_its_public_name() {
    let world = World::with_apps(APPS).await;
    let (up, public) = (format!("127.0.0.1:{}", world.ports.app()), world.url(SHOP, ""));
    let clear = public.replace("https", "http");
    for (prefix, from, to) in [
        ("", format!("http://{up}/a%2Fb?q=1#f"), format!("{public}/a%2Fb?q=1#f")),
        ("", format!("HTTP://{up}"), public.clone()),
        ("", format!("http://{up}?q"), format!("{public}?q")),
        ("", format!("//{up}/a"), format!("{public}/a")),
        ("", format!("https://{up}/a"), format!("{public}/a")),
        ("", format!("{clear}/a"), format!("{public}/a")),
        ("", "/a".to_owned(), "/a".to_owned()),
        ("/wiki", format!("http://{up}/login?next=/"), format!("{public}/wiki/login?next=/")),
        ("/wiki", "http://shop.internal/login".to_owned(), format!("{public}/wiki/login")),
        ("/wiki", "https://SHOP.internal/login".to_owned(), format!("{public}/wiki/login")),
        ("/wiki", "http://shop.internal".to_owned(), format!("{public}/wiki/")),
        ("/wiki", "/login?next=%2F".to_owned(), "/wiki/login?next=%2F".to_owned()),
        ("/wiki", "/".to_owned(), "/wiki/".to_owned()),
        ("/wiki", "/wiki/login".to_owned(), "/wiki/login".to_owned()),
        ("/wiki", "/wikis".to_owned(), "/wiki/wikis".to_owned()),
        ("/wiki", "login".to_owned(), "login".to_owned()),
        ("/wiki", "?q=1".to_owned(), "?q=1".to_owned()),
        ("/moved", "/base/x/login".to_owned(), "/moved/login".to_owned()),
        ("/moved", format!("http://{up}/base/x"), format!("{public}/moved")),
        ("/added", "/base/added/login".to_owned(), "/added/login".to_owned()),
    ] {
        assert_eq!(returned(&world, prefix, "Location", &from).await, to, "{prefix} {from}");
        assert_eq!(returned(&world, prefix, "Content-Location", &from).await, to, "{prefix} {from}");
        let (from, to) = (format!("0; URL={from}"), format!("0; URL={to}"));
        assert_eq!(returned(&world, prefix, "Refresh", &from).await, to);
    }
    assert_eq!(returned(&world, "/wiki", "Refresh", "3;url='/login'").await, "3;url=/wiki/login");
    assert_eq!(returned(&world, "/wiki", "Refresh", "3").await, "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_to_somewhere_else_stays_one_and_none_becomes_one() {
    let world = World::with_apps(APPS).await;
    let (up, port, public) = (format!("127.0.0.1:{}", world.ports.app()), world.ports.app(), world.url(SHOP, ""));
    for (prefix, value) in [
        ("/wiki", "https://evil.example/".to_owned()),
        ("/wiki", "//evil.example/x".to_owned()),
        ("/wiki", "/\\evil.example/x".to_owned()),
        ("/wiki", "/\t/evil.example/x".to_owned()),
        ("", format!("http://{up}.evil.example/")),
        ("", format!("http://{up}@evil.example/")),
        ("", format!("http://user@{up}/")),
        ("", format!("http://{up}\\@evil.example/")),
        ("", format!("http:\\\\{up}/")),
        ("", format!("http:/{up}/")),
        ("", format!("ftp://{up}/")),
        ("", "http://127.0.0.1/x".to_owned()),
        ("", format!("http://127.0.0.1:0{port}1/")),
        ("", format!("http://127.0.0.1:+{port}/")),
        ("", format!("http://evil.example/?http://{up}/")),
        ("", format!("javascript://{up}/%0aalert(1)")),
        ("/wiki", "http://shop.internal.evil.example/".to_owned()),
        ("/wiki", "http://xshop.internal/".to_owned()),
        ("/wiki", "http://shop.internal:8080/".to_owned()),
        // Another app of the same host.
        ("/wiki", format!("{public}/portal")),
        ("/wiki", format!("//{}/portal", world.authority(SHOP))),
        // Nothing public leads there; and without its prefix this one would be a host.
        ("/added", "/other".to_owned()),
        ("/added", "/based".to_owned()),
        ("/added", "/base//evil.example/".to_owned()),
        ("/added", format!("http://{up}/other")),
    ] {
        assert_eq!(returned(&world, prefix, "Location", &value).await, value, "{prefix}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_of_an_app_that_believes_in_its_internal_name_come_back() {
    let world = World::with_apps(APPS).await;
    for (prefix, from, to) in [
        ("/wiki", "a=1; Path=/; HttpOnly", "a=1; Path=/wiki; HttpOnly"),
        ("/wiki", "a=1; path=/admin;Secure", "a=1; Path=/wiki/admin;Secure"),
        ("/wiki", "a=1; Path=/wiki/x", "a=1; Path=/wiki/x"),
        ("/wiki", "a=1; Domain=shop.internal; Path=/", "a=1; Path=/wiki"),
        ("/wiki", "a=1; DOMAIN=.Shop.Internal", "a=1"),
        ("/wiki", "a=1; Domain=internal", "a=1"),
        ("/wiki", "a=1; Domain=corp.test", "a=1; Domain=corp.test"),
        ("/wiki", "a=1; Domain=evil.example", "a=1; Domain=evil.example"),
        ("/wiki", "a=1; Domain=op.internal", "a=1; Domain=op.internal"),
        ("/wiki", "__Host-a=1; Path=/; Secure", "__Host-a=1; Path=/; Secure"),
        ("/wiki", "a=Path=/; b", "a=Path=/; b"),
        ("/wiki", "a=1", "a=1"),
        ("/moved", "a=1; Path=/base", "a=1; Path=/moved"),
        ("/moved", "a=1; Path=/base/x/y", "a=1; Path=/moved/y"),
        ("/moved", "a=1; Path=/elsewhere", "a=1; Path=/elsewhere"),
        ("/added", "a=1; Path=/base", "a=1; Path=/added"),
        ("/added", "a=1; Path=/base/added", "a=1; Path=/added"),
        ("", "a=1; Domain=127.0.0.1; Path=/x", "a=1; Path=/x"),
        ("", "a=1; Path=/x", "a=1; Path=/x"),
    ] {
        assert_eq!(returned(&world, prefix, "Set-Cookie", from).await, to, "{prefix} {from}");
    }
    let several =
        say("/wiki", &[("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "__Host-doorward=x; Path=/"), ("Set-Cookie", "b=2; Path=/c")]);
    assert_eq!(world.get(SHOP, &several, "").await.all("set-cookie"), ["a=1; Path=/wiki", "b=2; Path=/wiki/c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_shares_with_its_internal_origin_shares_with_its_public_one() {
    let world = World::with_apps(APPS).await;
    let (up, public) = (format!("http://127.0.0.1:{}", world.ports.app()), world.url(SHOP, ""));
    for (prefix, from, to) in [
        ("", &*up, &*public),
        ("/wiki", "http://shop.internal", &public),
        ("/wiki", "https://shop.internal", &public),
        ("", "*", "*"),
        ("", "null", "null"),
        ("", "https://spa.example", "https://spa.example"),
        ("", "http://127.0.0.1.evil.example", "http://127.0.0.1.evil.example"),
        ("", &format!("{up}/"), &format!("{up}/")),
    ] {
        assert_eq!(returned(&world, prefix, "Access-Control-Allow-Origin", from).await, to, "{prefix}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_requests_are_set_and_removed_in_every_spelling() {
    let world = World::with_apps(APPS).await;
    let lines = "X-Env: dev\r\nX_ENV: dev\r\nx.env: dev\r\nX-Debug: 1\r\nX_Debug: 1\r\nAccept-Language: de\r\nX-Kept: 1\r\n";
    assert_eq!(world.get(SHOP, "/x", lines).await.status, 200);
    let seen = world.app.only();
    for (name, values) in [
        ("x-env", vec!["prod"]),
        ("x-debug", vec![]),
        ("accept-language", vec![]),
        ("x-kept", vec!["1"]),
        ("x-forwarded-port", vec!["443"]),
    ] {
        assert_eq!(seen.folded(name), values, "{name}");
    }
    assert_eq!(seen.folded("forwarded"), [format!("for=127.0.0.1;host=\"{}\";proto=https", world.authority(SHOP))]);
    world.app.forget();
    assert_eq!(world.get(SHOP, "/wiki/x", lines).await.status, 200);
    assert_eq!(world.app.only().folded("x-env"), ["dev", "dev", "dev"], "another app is not concerned");
    assert!(world.app.only().folded("forwarded").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_answers_are_set_and_removed() {
    let world = World::with_apps(APPS).await;
    let said = [("Server", "old/1.0"), ("X-Powered-By", "x"), ("X-Frame-Options", "SAMEORIGIN"), ("X-Other", "1")];
    let answer = world.get(SHOP, &say("", &said), "").await;
    assert_eq!((answer.header("server"), answer.header("x-powered-by")), (None, None));
    assert_eq!((answer.header("x-frame-options"), answer.header("x-other")), (Some("DENY"), Some("1")));
    assert!(answer.header("x-request-id").is_some());
}

fn security(answer: &Answer) -> (Option<&str>, Option<&str>) {
    (answer.header("strict-transport-security"), answer.header("x-content-type-options"))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_asks_for_tls_and_for_types_to_be_believed() {
    let world = World::with_apps(APPS).await;
    let expected = (Some("max-age=31536000"), Some("nosniff"));
    for (host, path, lines, status) in [
        (SHOP, "/x", "", 200),
        (SHOP, "/teapot", "", 418),
        (SHOP, "/wiki/admin/x", "", 401),
        (SHOP, "/wiki/admin/x", NAVIGATION, 302),
        (SHOP, "/.doorward/session", "", 401),
        (SHOP, "/.doorward/jwks.json", "", 200),
        (LOGIN, "/.doorward/login", NAVIGATION, 303),
        (LOGIN, "/x", "", 404),
        (SHOP, "/wiki", "", 307),
    ] {
        let answer = world.get(host, path, lines).await;
        assert_eq!((answer.status, security(&answer)), (status, expected), "{host}{path}");
    }
    // Where the target can't be read, nobody knows which host this would be said for; nor for a host that is not ours.
    for (path, host) in [("/a%00", world.authority(SHOP)), ("/x", "intranet.corp.test".to_owned())] {
        let answer = world.send(SHOP, format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(security(&answer), (None, Some("nosniff")), "{host}");
    }
    // The app's own word counts.
    let own = say("", &[("Strict-Transport-Security", "max-age=1"), ("X-Content-Type-Options", "")]);
    assert_eq!(security(&world.get(SHOP, &own, "").await), (Some("max-age=1"), Some("")));
    // In clear text it would mean nothing (RFC 6797, section 7.2).
    let mut clear = Connection::plain(world.ports.http()).await;
    clear.write(format!("GET / HTTP/1.1\r\nHost: {SHOP}\r\n\r\n")).await;
    assert_eq!(clear.answer().await.header("strict-transport-security"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_can_have_other_defaults_which_then_count_for_its_whole_host() {
    let world = World::with_apps(
        "
  shop:
    url: https://shop.corp.test:HTTPS
    upstream: http://127.0.0.1:APP
    response_headers: { set: { Strict-Transport-Security: max-age=0 }, remove: [X-Content-Type-Options] }
    allow: [{}]
",
    )
    .await;
    let session = world.session(SHOP, ALICE).await;
    let cookie = format!("Cookie: {session}\r\n");
    let said = say("", &[("Strict-Transport-Security", "max-age=7"), ("X-Content-Type-Options", "nosniff")]);
    assert_eq!(security(&world.get(SHOP, &said, &cookie).await), (Some("max-age=0"), None));
    for path in ["/x", "/.doorward/nothing"] {
        // On our own pages nosniff stays.
        assert_eq!(security(&world.get(SHOP, path, "").await), (Some("max-age=0"), Some("nosniff")), "{path}");
    }
}
