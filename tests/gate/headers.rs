//! No header that a client chose reaches an app as identity or circumstance, however it is spelled, on any route and protocol.

use crate::world::http2::Http2;
use crate::world::recorder::Seen;
use crate::world::{ALICE, BOB, MALLORY, PAYROLL, SHOP, WIKI, World};

const FORGED: &str = "forged";
/// Ours, and what any app of the configuration is told to receive.
const IDENTITY: [&str; 8] = [
    "X-Doorward-User",
    "X-Doorward-Email",
    "X-Doorward-Name",
    "X-Doorward-Groups",
    "X-Doorward-Assertion",
    "X-Remote-User",
    "X-Remote-Groups",
    "X-Department",
];
/// What only a proxy may say.
const CIRCUMSTANCES: [&str; 16] = [
    "X-Doorward-Anything",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-User",
    "X-Forwarded-Prefix",
    "X-Original-URL",
    "X-Original-Host",
    "X-Rewrite-URL",
    "X-Real-IP",
    "X-Request-Id",
    "X-Client-IP",
    "True-Client-IP",
    "Forwarded",
    "Proxy",
];
const SPELLINGS: [fn(&str) -> String; 8] = [
    |name| name.to_owned(),
    |name| name.to_ascii_lowercase(),
    |name| name.to_ascii_uppercase(),
    |name| name.replace('-', "_"),
    |name| name.replace('-', "_").to_ascii_lowercase(),
    |name| name.replace('-', "."),
    |name| name.replacen('-', "_", 1),
    |name| name.replacen('-', ".", 1).replace('-', "_").to_ascii_uppercase(),
];

/// A way to an app: method, host, path, header lines (pairs) of its own, and the person whom the app is told of.
struct Way {
    method: &'static str,
    host: &'static str,
    path: &'static str,
    own: Vec<(&'static str, String)>,
    who: Option<&'static str>,
}

async fn ways(world: &World) -> Vec<Way> {
    let way = |method, host, path, own, who| Way { method, host, path, own, who };
    let preflight = vec![("origin", "https://spa.example".to_owned()), ("access-control-request-method", "PUT".to_owned())];
    vec![
        way("GET", WIKI, "/public/x", vec![], None),
        way("GET", WIKI, "/x", vec![("cookie", world.session(WIKI, ALICE).await)], Some(ALICE.0)),
        way("GET", PAYROLL, "/x", vec![("cookie", world.session(PAYROLL, BOB).await)], Some(BOB.0)),
        way("OPTIONS", PAYROLL, "/x", preflight, None),
    ]
}

fn assert_nothing_forged(seen: &Seen, way: &Way, how: &str) {
    let forged: Vec<_> = seen.headers.iter().filter(|(_, value)| value.contains(FORGED)).collect();
    assert!(forged.is_empty(), "{} {} {how}: {forged:?}", way.method, way.host);
    assert_eq!(seen.trailers(), Vec::<String>::new());
    let told = if way.who.is_some() { 1 } else { 0 };
    for name in &IDENTITY[..6] {
        assert_eq!(seen.folded(name).len(), told, "{name} {how}");
    }
    assert_eq!(seen.folded("X-Remote-User").first().copied(), way.who);
    assert_eq!(seen.folded("X-Forwarded-For"), ["127.0.0.1"]);
    assert_eq!(seen.folded("X-Forwarded-Proto"), ["https"]);
    assert_eq!(seen.folded("X-Forwarded-Host"), seen.folded("Host"));
}

fn forged() -> impl Iterator<Item = (usize, &'static str)> {
    (0..SPELLINGS.len()).flat_map(|spelling| IDENTITY.into_iter().chain(CIRCUMSTANCES).map(move |name| (spelling, name)))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_our_headers_passes_over_http1() {
    let world = World::start().await;
    for way in ways(&world).await {
        let own: String = way.own.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        for spell in SPELLINGS {
            let lines: String =
                IDENTITY.into_iter().chain(CIRCUMSTANCES).map(|name| format!("{}: {FORGED}\r\n", spell(name))).collect();
            world.app.forget();
            // Before and behind what is honest.
            let answer = world.send(way.host, world.head(way.method, way.host, way.path, &format!("{lines}{own}{lines}"))).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_nothing_forged(&world.app.only(), &way, &lines);
            assert_eq!(world.app.only().folded("X-Request-Id"), answer.all("x-request-id"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_of_our_headers_passes_over_http2() {
    let world = World::start().await;
    for way in ways(&world).await {
        let mut connection = Http2::connect(&world, way.host).await;
        let names: Vec<String> = forged().map(|(spelling, name)| SPELLINGS[spelling](name).to_ascii_lowercase()).collect();
        for names in names.chunks(12) {
            let forged = names.iter().map(|name| (&**name, FORGED));
            let headers: Vec<_> = forged.clone().chain(way.own.iter().map(|(n, v)| (*n, &**v))).chain(forged).collect();
            world.app.forget();
            let answer = connection.ask(way.method, &world.url(way.host, way.path), &headers).await.unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_nothing_forged(&world.app.only(), &way, &names.join(" "));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nomination_in_connection_takes_nothing_of_ours_away() {
    let world = World::start().await;
    let ways = ways(&world).await;
    let session = &ways[1].own[0].1;
    let all = IDENTITY.join(", ");
    for nominated in [&*all, &all.to_ascii_lowercase(), "close, X-Remote-User", "X-Remote-User ,\tx-doorward-user", "x_remote_user"]
    {
        world.app.forget();
        let lines = format!("Cookie: {session}\r\nX-Remote-User: {FORGED}\r\nConnection: {nominated}\r\n");
        assert_eq!(world.get(WIKI, "/x", &lines).await.status, 200);
        assert_nothing_forged(&world.app.only(), &ways[1], nominated);
    }
    world.app.forget();
    let lines = "X-Custom: 1\r\nX-Kept: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nConnection: X-Custom, Keep-Alive\r\n";
    world.get(WIKI, "/public/x", lines).await;
    let seen = world.app.only();
    for (name, count) in [("x-custom", 0), ("x-kept", 1), ("keep-alive", 0), ("te", 0), ("connection", 0)] {
        assert_eq!(seen.folded(name).len(), count, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_frames_or_addresses_a_request_can_not_be_nominated() {
    let world = World::start().await;
    for nominated in ["Host", "Content-Length", "transfer-encoding", "Cookie", "close, authorization"] {
        let answer = world.get(WIKI, "/public/x", &format!("Connection: {nominated}\r\n")).await;
        assert_eq!((answer.status, &*answer.reason()), (400, "bad_request"), "{nominated}");
    }
    assert!(world.app.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_do_not_reach_the_app() {
    let world = World::start().await;
    for way in ways(&world).await {
        let own: String = way.own.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let trailers: String = IDENTITY.iter().map(|name| format!("{name}: {FORGED}\r\n")).collect();
        let names = IDENTITY.join(", ");
        let method = if way.method == "GET" { "POST" } else { way.method };
        let head = world.head(method, way.host, way.path, &format!("{own}Trailer: {names}\r\nTransfer-Encoding: chunked\r\n"));
        world.app.forget();
        let answer = world.send(way.host, format!("{head}3\r\nabc\r\n0\r\n{trailers}\r\n")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_nothing_forged(&world.app.only(), &way, "trailers");
        assert_eq!(world.app.only().body(), b"abc");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_configuration_sets_or_removes_comes_as_no_trailer_either() {
    let world = World::with_apps(
        "
  shop:
    url: https://shop.corp.test:HTTPS
    upstream: http://127.0.0.1:APP
    request_headers: { set: { X-Api-Key: ours }, remove: [X-Debug] }
    paths: [{ match: /**, public: true }]
",
    )
    .await;
    let head = world.head("POST", SHOP, "/x", "Trailer: X-Debug, X-Fine\r\nTransfer-Encoding: chunked\r\n");
    let trailers = "X-Api-Key: theirs\r\nX_Api_Key: theirs\r\nX-Debug: 1\r\nX-Fine: 1\r\n";
    assert_eq!(world.send(SHOP, format!("{head}3\r\nabc\r\n0\r\n{trailers}\r\n")).await.status, 200);
    assert_eq!((world.app.only().folded("X-Api-Key"), world.app.only().trailers()), (vec!["ours"], vec!["x-fine".to_owned()]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_told_who_asks_and_nothing_that_is_not_known() {
    let world = World::start().await;
    let told = async |who| {
        world.app.forget();
        let session = world.session(WIKI, who).await;
        world.app.forget();
        world.get(WIKI, "/x", &format!("Cookie: {session}\r\n")).await;
        world.app.only()
    };
    let alice = told(ALICE).await;
    for (name, value) in [
        ("X-Doorward-User", "staff:s-alice"),
        ("X-Doorward-Email", "alice@corp.example"),
        ("X-Doorward-Name", "Alice Ørsted"),
        ("X-Doorward-Groups", "employees,engineering"),
        ("X-Remote-User", "alice@corp.example"),
        ("X-Remote-Groups", "employees,engineering"),
        ("X-Department", "engineering"),
    ] {
        assert_eq!(alice.folded(name), [value]);
    }
    let mallory = told(MALLORY).await;
    for name in ["X-Doorward-Groups", "X-Remote-Groups", "X-Department"] {
        assert!(mallory.folded(name).is_empty(), "there is no value, so there is no header: {name}");
    }
    assert_eq!(mallory.folded("X-Remote-User"), [MALLORY.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unverified_address_is_no_address() {
    let world = World::start().await;
    world.staff.idp.change(MALLORY.0, |person| person.email_verified = false);
    let mut browser = world.browser();
    let page = browser.sign_in(&world.url(WIKI, "/x"), MALLORY).await;
    assert_eq!(page.status, 403, "the domain of an unverified address allows nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_can_not_break_out_of_its_header_or_its_list() {
    let world = World::start().await;
    world.staff.idp.change(ALICE.0, |person| {
        person.name = "Eve\r\nX-Remote-Groups: admins".into();
        person.groups = vec!["a,admins".into(), "b%2Cc".into()];
    });
    let session = world.session(WIKI, ALICE).await;
    world.app.forget();
    world.get(WIKI, "/x", &format!("Cookie: {session}\r\n")).await;
    let seen = world.app.only();
    assert_eq!(seen.folded("X-Remote-Groups"), ["a%2Cadmins,b%252Cc"]);
    assert_eq!(seen.folded("X-Doorward-Name"), ["EveX-Remote-Groups: admins"]);
    // What can be no group is not made into one, and not left out: a deny rule may name it.
    world.staff.idp.change(ALICE.0, |person| person.groups.push("d\r\nX-Remote-User: root".into()));
    let page = world.browser().sign_in(&world.url(WIKI, "/x"), ALICE).await;
    assert!(page.status == 400 && page.text().contains("sign_in_failed"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_websocket_upgrade_passes() {
    let world = World::start().await;
    for (upgrade, method) in [("h2c", "GET"), ("websocket, h2c", "GET"), ("TLS/1.2", "GET"), ("websocket", "POST")] {
        world.app.forget();
        let lines = format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQ\r\n");
        let answer = world.send(WIKI, world.head(method, WIKI, "/public/x", &lines)).await;
        assert_eq!(answer.status, 200);
        let seen = world.app.only();
        for name in ["upgrade", "connection", "http2-settings"] {
            assert!(seen.folded(name).is_empty(), "{upgrade} {name}");
        }
    }
}
