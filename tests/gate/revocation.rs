//! Access ends when it should: what is already flowing is cut when the right to it ends, and nothing else is.

use crate::world::http2::Http2;
use crate::world::wire::Connection;
use crate::world::{ALICE, BOB, LOGIN, PAYROLL, SHOP, Setup, WIKI, World, eventually};
use doorward::clock;
use serde_json::json;
use std::fs;
use std::time::Duration;

pub(crate) const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// A masked text frame, `hi`.
const FRAME: &[u8] = &[0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
/// What says to a client that it has to go.
pub(crate) const FAREWELL: &[u8] = b"\x88\x0e\x03\xf0access ended";

async fn open(world: &World, host: &str, path: &str, cookie: &str, lines: &str) -> Connection {
    let mut connection = Connection::tls(world, host).await;
    connection.write(world.head("GET", host, path, &format!("Cookie: {cookie}\r\n{lines}"))).await;
    let head = connection.head().await;
    assert!(matches!(head.status, 101 | 200), "{} at {path}", head.status);
    connection
}

/// An open WebSocket through which something has passed.
pub(crate) async fn websocket(world: &World, host: &str, path: &str, cookie: &str) -> Connection {
    let mut connection = open(world, host, path, cookie, UPGRADE).await;
    assert!(speaks(&mut connection).await);
    connection
}

/// Whether a frame comes back, twice as the app does it.
pub(crate) async fn speaks(connection: &mut Connection) -> bool {
    connection.write(FRAME).await;
    let mut heard = Vec::new();
    while heard.len() < FRAME.len() * 2 {
        let some = connection.some().await;
        if some.is_empty() {
            return false;
        }
        heard.extend(some);
    }
    heard == FRAME.repeat(2)
}

/// The sign-in of a person: the cookie at one app and, for what ends it, the browser.
async fn sign_out(world: &World, cookie: &str) {
    let answer = world.get(WIKI, "/.doorward/logout", &format!("Cookie: {cookie}\r\nSec-Fetch-Site: none\r\n")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Why the record of this path says that it was cut.
pub(crate) async fn cause(world: &World, path: &str) -> String {
    let record = world.record(path).await;
    assert_eq!((&record["decision"], &record["reason"]), (&json!("allow"), &json!("access_ended")), "{record}");
    // A refusal in place of the app's answer went out whole.
    assert_eq!(record["complete"], record["status"] == 403, "{record}");
    record["cause"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_closed_with_a_reason_when_the_session_ends() {
    let world = World::start().await;
    let alice = world.session(WIKI, ALICE).await;
    let bob = world.session(WIKI, BOB).await;
    let mut of_bob = websocket(&world, WIKI, "/b/ws", &bob).await;
    let mut of_alice = websocket(&world, WIKI, "/a/ws", &alice).await;
    sign_out(&world, &alice).await;
    assert_eq!(of_alice.rest().await, FAREWELL, "whole frames, then the end");
    assert_eq!(cause(&world, "/a/ws").await, "session_invalid");
    assert!(speaks(&mut of_bob).await, "who is still signed in goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_on_its_way_is_not_cut_in_two_by_the_farewell() {
    let world = World::start().await;
    let alice = world.session(WIKI, ALICE).await;
    let mut tunnel = websocket(&world, WIKI, "/ws", &alice).await;
    // The app says the beginning of a frame, whose rest never comes.
    tunnel.write([0x82, 0x7F, 0, 0]).await;
    let begun = tunnel.some().await;
    sign_out(&world, &alice).await;
    let rest = tunnel.rest().await;
    assert!(rest.is_empty(), "what follows {begun:?} would be taken for its payload: {rest:?}");
    assert_eq!(cause(&world, "/ws").await, "session_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn downloads_event_streams_and_uploads_are_cut_when_the_session_ends() {
    let world = World::start().await;
    let alice = world.session(WIKI, ALICE).await;
    let mut download = open(&world, WIKI, "/endless", &alice, "").await;
    let mut events = open(&world, WIKI, "/events", &alice, "").await;
    assert_eq!(events.some().await, b"6\r\nfirst \r\n");
    let mut upload = Connection::tls(&world, WIKI).await;
    upload.write(world.head("POST", WIKI, "/upload", &format!("Cookie: {alice}\r\nContent-Length: 1000000\r\n"))).await;
    upload.write("begun").await;
    let seen = eventually("the app has the beginning", async || {
        world.app.all().iter().find(|seen| seen.path == "/upload" && seen.body() == b"begun").cloned()
    })
    .await;
    sign_out(&world, &alice).await;
    assert!(!download.rest().await.ends_with(b"0\r\n\r\n"), "what was cut does not look whole");
    assert_eq!(events.rest().await, b"");
    let answer = upload.answer().await;
    assert_eq!((answer.status, &*answer.reason()), (403, "access_ended"));
    assert!(!seen.has_ended());
    for path in ["/endless", "/events", "/upload"] {
        assert_eq!(cause(&world, path).await, "session_invalid", "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_nobody_reads_is_cut_too() {
    let world = World::start().await;
    let alice = world.session(WIKI, ALICE).await;
    let _unread = open(&world, WIKI, "/endless", &alice, "").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    sign_out(&world, &alice).await;
    assert_eq!(cause(&world, "/endless").await, "session_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_a_group_loses_what_it_gave_and_keeps_the_rest() {
    let world = World::of(Setup { token_life: Duration::from_secs(2), ..Setup::default() }).await;
    let alice = world.session(WIKI, ALICE).await;
    let mut by_group = websocket(&world, WIKI, "/read/ws", &alice).await;
    let mut by_domain = websocket(&world, WIKI, "/ws", &alice).await;
    world.staff.idp.change(ALICE.0, |person| person.groups = vec!["employees".into()]);
    // No request asks for the new claims: what flows does.
    assert_eq!(by_group.rest().await, FAREWELL);
    assert_eq!(cause(&world, "/read/ws").await, "not_allowed");
    assert!(speaks(&mut by_domain).await);
    world.staff.idp.remove(ALICE.0);
    assert_eq!(by_domain.rest().await, FAREWELL);
    assert_eq!(cause(&world, "/ws").await, "session_invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_configuration_cuts_what_it_refuses_and_nothing_else() {
    let world = World::start().await;
    let (alice, bob) = (world.session(WIKI, ALICE).await, world.session(PAYROLL, BOB).await);
    let mut refused = websocket(&world, WIKI, "/read/ws", &alice).await;
    let mut public = open(&world, WIKI, "/public/ws", "none=1", UPGRADE).await;
    let mut kept = websocket(&world, PAYROLL, "/ws", &bob).await;
    let path = world.path("doorward.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let changed = text
        .replace("groups: [engineering]", "groups: [managers]")
        .replace("/public/**, public: true", "/public/**, allow: [{ groups: [managers] }]");
    fs::write(&path, changed).unwrap();
    assert_eq!(refused.rest().await, FAREWELL);
    assert_eq!(public.rest().await, FAREWELL);
    assert_eq!(cause(&world, "/read/ws").await, "not_allowed");
    assert_eq!(cause(&world, "/public/ws").await, "not_signed_in");
    assert!(speaks(&mut kept).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_and_risk_cut_what_they_would_refuse() {
    let apps = format!(
        "  shop:\n    url: https://{SHOP}:HTTPS\n    upstream: http://127.0.0.1:APP\n    allow: [{{ domains: [corp.example], when: {{ auth_age: 6s }} }}]\n    \
         paths:\n      - {{ match: /risky/**, allow: [{{ domains: [corp.example] }}], deny: [{{ when: {{ risk: high }} }}] }}\n"
    );
    let world = World::of(Setup { apps, ..Setup::default() }).await;
    let alice = world.session(SHOP, ALICE).await;
    let mut aged = websocket(&world, SHOP, "/ws", &alice).await;
    let mut risky = websocket(&world, SHOP, "/risky/ws", &alice).await;
    let told = json!({ "level": "high" }).to_string();
    assert_eq!(world.administer("PUT", &format!("/api/v1/risks/user/{}", ALICE.0), "", &told).await.status, 200);
    assert_eq!(risky.rest().await, FAREWELL);
    assert_eq!(cause(&world, "/risky/ws").await, "denied_by_rule");
    assert_eq!(aged.rest().await, FAREWELL);
    assert_eq!(cause(&world, "/ws").await, "step_up_required");
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_in_a_stream_is_no_use_of_the_session_and_a_download_is() {
    let world = World::of(Setup { session: "{ idle: 3s, lifetime: 12h }", ..Setup::default() }).await;
    let (alice, bob) = (world.session(WIKI, ALICE).await, world.session(WIKI, BOB).await);
    let mut idle = websocket(&world, WIKI, "/ws", &alice).await;
    let mut download = open(&world, WIKI, "/endless", &bob, "").await;
    let mut beside = websocket(&world, WIKI, "/b/ws", &bob).await;
    let reading = tokio::spawn(async move { while !download.some().await.is_empty() {} });
    assert_eq!(idle.rest().await, FAREWELL);
    assert_eq!(cause(&world, "/ws").await, "session_expired");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(speaks(&mut beside).await && !reading.is_finished());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_use_keeps_a_stream_open_beyond_the_lifetime_of_its_session() {
    let world = World::of(Setup { session: "{ idle: 8s, lifetime: 8s }", ..Setup::default() }).await;
    let alice = world.session(WIKI, ALICE).await;
    let mut busy = websocket(&world, WIKI, "/ws", &alice).await;
    while speaks(&mut busy).await {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(cause(&world, "/ws").await, "session_expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_allowed_at_certain_hours_is_cut_when_they_are_over() {
    let apps = format!(
        "  shop:\n    url: https://{SHOP}:HTTPS\n    upstream: http://127.0.0.1:APP\n    allow: [{{ domains: [corp.example] }}]\n    \
         paths: [{{ match: /shift/**, allow: [{{ when: {{ hours: Mon-Sun UTC }} }}] }}]\n"
    );
    let world = World::of(Setup { apps, ..Setup::default() }).await;
    let alice = world.session(SHOP, ALICE).await;
    let mut shift = websocket(&world, SHOP, "/shift/ws", &alice).await;
    let mut always = websocket(&world, SHOP, "/ws", &alice).await;
    // The next end of a minute that leaves time for the new configuration to be in force.
    let now = clock::now().seconds();
    let ends = (now + 6).div_ceil(60);
    let time = |minute: u64| format!("{:02}:{:02}", minute / 60, minute % 60);
    let (begins, until) = ((ends + 720) % 1440, (ends + 1439) % 1440 + 1);
    let path = world.path("doorward.yaml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("Mon-Sun UTC", &format!("'{}-{} UTC'", time(begins), time(until)))).unwrap();
    tokio::time::sleep(Duration::from_secs(ends * 60 - now)).await;
    assert_eq!(shift.rest().await, FAREWELL);
    assert_eq!(cause(&world, "/shift/ws").await, "not_allowed");
    assert!(speaks(&mut always).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_list_and_a_changed_policy_cut_what_they_refuse_and_nothing_else() {
    let apps = format!(
        "  shop:\n    url: https://{SHOP}:HTTPS\n    upstream: http://127.0.0.1:APP\n    allow: [{{ domains: [corp.example] }}]\n    \
         paths: [{{ match: /office/**, allow: [{{ when: {{ network: $office }} }}] }}]\n"
    );
    let policy = |group: &str| format!("forbid (principal in Group::\"{group}\", action, resource == App::\"shop\");\n");
    let setup = Setup {
        apps,
        more: "lists: { office: 'file:office.txt' }\npolicies: [shop.cedar]",
        files: vec![("office.txt", b"127.0.0.0/8\n".to_vec()), ("shop.cedar", policy("interns").into_bytes())],
        ..Setup::default()
    };
    let world = World::of(setup).await;
    let (alice, bob) = (world.session(SHOP, ALICE).await, world.session(SHOP, BOB).await);
    let mut office = websocket(&world, SHOP, "/office/ws", &bob).await;
    let mut of_alice = websocket(&world, SHOP, "/a/ws", &alice).await;
    let mut of_bob = websocket(&world, SHOP, "/b/ws", &bob).await;
    fs::write(world.path("office.txt"), "192.0.2.0/24\n").unwrap();
    assert_eq!(office.rest().await, FAREWELL);
    assert_eq!(cause(&world, "/office/ws").await, "not_allowed");
    assert!(speaks(&mut of_alice).await);
    fs::write(world.path("shop.cedar"), policy("engineering")).unwrap();
    assert_eq!(of_alice.rest().await, FAREWELL);
    assert_eq!(cause(&world, "/a/ws").await, "denied_by_rule");
    assert!(speaks(&mut of_bob).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_connection_when_the_session_ends_is_never_sent() {
    let apps = format!(
        "  shop:\n    url: https://{WIKI}:HTTPS/shop\n    upstream: http://127.0.0.1:APP\n    pool: {{ max_connections: 1 }}\n    \
         timeouts: {{ connect: 15s }}\n    allow: [{{ domains: [corp.example] }}]\n"
    );
    let world = World::of(Setup { apps, ..Setup::default() }).await;
    let (alice, bob) = (world.session(WIKI, ALICE).await, world.session(WIKI, BOB).await);
    // As many tunnels as there can be workers, each of which has a place of its own.
    let mut held = Vec::new();
    for _ in 0..64 {
        let mut connection = Connection::tls(&world, WIKI).await;
        connection.write(world.head("GET", WIKI, "/shop/ws", &format!("Cookie: {bob}\r\n{UPGRADE}"))).await;
        held.push(connection);
    }
    let mut waiting = Connection::tls(&world, WIKI).await;
    waiting.write(world.head("GET", WIKI, "/shop/late", &format!("Cookie: {alice}\r\n"))).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    sign_out(&world, &alice).await;
    let answer = waiting.answer().await;
    assert_eq!((answer.status, &*answer.reason()), (401, "session_invalid"));
    assert!(world.app.all().iter().all(|seen| seen.path != "/shop/late"));
    assert_eq!(world.record("/shop/late").await["decision"], "challenge");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_signs_out_of_everything_loses_the_streams_of_every_app() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), BOB).await;
    assert_eq!(browser.go(&world.url(PAYROLL, "/")).await.status, 200);
    let cookie = |host: &str| format!("__Host-doorward={}", browser.cookie(host, "__Host-doorward").unwrap());
    let mut wiki = websocket(&world, WIKI, "/ws", &cookie(WIKI)).await;
    let mut payroll = websocket(&world, PAYROLL, "/p/ws", &cookie(PAYROLL)).await;
    browser.step(&world.url(LOGIN, "/.doorward/logout?scope=all"), None).await;
    assert_eq!((wiki.rest().await, payroll.rest().await), (FAREWELL.to_vec(), FAREWELL.to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_streams_end_one_by_one_and_the_connection_goes_on() {
    let world = World::start().await;
    let (alice, bob) = (world.session(WIKI, ALICE).await, world.session(WIKI, BOB).await);
    let connection = Http2::connect(&world, WIKI).await;
    let mut client = connection.clone();
    // After an answer the client knows what the other side can.
    assert_eq!(client.ask("GET", &world.url(WIKI, "/x"), &[("cookie", &bob)]).await.unwrap().status, 200);
    let mut tunnel = Connection::over(client.websocket(&world.url(WIKI, "/ws"), &alice).await);
    assert!(speaks(&mut tunnel).await);
    let (mut other, url, cookie) = (connection.clone(), world.url(WIKI, "/grpc"), alice.clone());
    let calls = tokio::spawn(async move { other.call(&url, &cookie).await });
    let (mut other, url, cookie) = (connection.clone(), world.url(WIKI, "/events"), alice.clone());
    let events = tokio::spawn(async move { other.ask("GET", &url, &[("cookie", &cookie)]).await });
    for path in ["/grpc", "/events"] {
        eventually("it has begun", async || world.app.all().iter().any(|seen| seen.path == path).then_some(())).await;
    }
    sign_out(&world, &alice).await;
    assert_eq!(tunnel.rest().await, FAREWELL);
    assert!(events.await.unwrap().is_none(), "a stream that was cut is reset");
    let trailers = calls.await.unwrap().expect("a call ends with a status");
    assert_eq!((trailers["grpc-status"].as_bytes(), trailers["grpc-message"].as_bytes()), (&b"16"[..], &b"session_invalid"[..]));
    assert_eq!(client.ask("GET", &world.url(WIKI, "/x"), &[("cookie", &bob)]).await.unwrap().status, 200);
    assert_eq!((cause(&world, "/ws").await, cause(&world, "/grpc").await), ("session_invalid".into(), "session_invalid".into()));
}
