//! How much of what an app takes: what is beyond never reaches it, and what has ended no longer counts.

use crate::world::browser::NAVIGATION;
use crate::world::http2::Http2;
use crate::world::wire::{Answer, Connection, shake_hands};
use crate::world::{ALICE, BOB, LOGIN, ROUGH, SHOP, Setup, WIKI, World, eventually};
use bytes::Bytes;
use futures_util::stream;
use http::Request;
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use sqlx::Executor as _;

const APPS: &str = "
  shop:
    url: https://shop.corp.test:HTTPS
    upstream: http://127.0.0.1:APP
    max_body: 1000B
    limits: { in_flight: '2', in_flight_per_session: '1' }
    allow: [{}]
    paths: [{ match: /public/**, public: true }, { match: /drip, public: true }, { match: /wait, public: true }, { match: /ws, public: true }]
";

fn refused(answer: &Answer, status: u16, reason: &str) {
    assert_eq!((answer.status, &*answer.reason()), (status, reason));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_says_that_it_is_too_long_does_not_reach_the_app() {
    let world = World::with_apps(APPS).await;
    let post = |lines: &str| world.head("POST", SHOP, "/public/x", lines);
    for (lines, body) in [
        ("Content-Length: 1001\r\n", String::new()),
        ("Content-Length: 1001\r\n", "x".repeat(1001)),
        ("Content-Length: 9223372036854775807\r\n", "x".repeat(100_000)),
        ("Content-Length: 1001\r\nExpect: 100-continue\r\n", String::new()),
    ] {
        let mut connection = Connection::tls(&world, SHOP).await;
        connection.write(post(lines) + &body).await;
        let answer = connection.answer().await;
        refused(&answer, 413, "body_too_large");
        assert_eq!(answer.header("connection"), Some("close"), "{lines}");
    }
    assert!(world.app.all().is_empty());
    let mut h2 = Http2::connect(&world, SHOP).await;
    let request = Request::post(world.url(SHOP, "/public/x")).body(Full::new(Bytes::from(vec![b'x'; 1001]))).unwrap();
    refused(&h2.send(request).await.unwrap(), 413, "body_too_large");
    assert!(world.app.all().is_empty());
    // What just fits, fits; over the same connection.
    let request = Request::post(world.url(SHOP, "/public/x")).body(Full::new(Bytes::from(vec![b'x'; 1000]))).unwrap();
    assert_eq!(h2.send(request).await.unwrap().status, 200);
    assert_eq!(world.app.only().body().len(), 1000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_nobody_reads_takes_no_place() {
    let world = World::with_apps(APPS).await;
    let stream = TokioIo::new(shake_hands(&world, SHOP, &[b"h2"]).await);
    // A client that lets nobody send it content.
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let (mut sender, connection) = builder.initial_stream_window_size(0).handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut unread = Vec::new();
    for _ in 0..3 {
        let request = Request::post(world.url(SHOP, "/public/x")).body(Full::new(Bytes::from(vec![b'x'; 1001]))).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 413);
        unread.push(answer);
    }
    assert_eq!(world.get(SHOP, "/public/x", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_upload_is_read_away_so_that_the_answer_arrives() {
    let world = World::with_apps(APPS).await;
    for lines in ["Content-Length: 8000000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut connection = Connection::tls(&world, SHOP).await;
        connection.write(world.head("POST", SHOP, "/public/x", lines)).await;
        // More than any buffer between here and there takes: it only goes through if somebody reads it.
        let part = format!("{:x}\r\n{}\r\n", 100_000, "x".repeat(100_000));
        for number in 0..79 {
            assert!(connection.wrote(&part).await, "part {number}");
        }
        refused(&connection.answer().await, 413, "body_too_large");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_becomes_too_long_is_cut_and_the_app_never_sees_its_end() {
    let world = World::with_apps(APPS).await;
    let mut connection = Connection::tls(&world, SHOP).await;
    let part = format!("1f4\r\n{}\r\n", "x".repeat(500));
    connection.write(world.head("POST", SHOP, "/public/x", "Transfer-Encoding: chunked\r\n") + &part + &part).await;
    let seen = eventually("the app has what is allowed", async || {
        world.app.all().first().filter(|seen| seen.body().len() == 1000).cloned()
    })
    .await;
    connection.write("1\r\nx\r\n0\r\n\r\n").await;
    refused(&connection.answer().await, 413, "body_too_large");
    assert!(!seen.has_ended() && seen.body().len() == 1000);
    let record = world.record("/public/x").await;
    assert_eq!((&record["reason"], &record["decision"]), (&"body_too_large".into(), &"allow".into()));
    // The app takes the next one.
    let small = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n";
    assert_eq!(world.send(SHOP, world.head("POST", SHOP, "/public/y", small)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_length_is_cut_over_http2_too() {
    let world = World::with_apps(APPS).await;
    let stream = shake_hands(&world, SHOP, &[b"h2"]).await;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut post = async |count: usize| {
        let frames = (0..count).map(|_| Ok::<_, std::convert::Infallible>(Frame::data(Bytes::from(vec![b'x'; 100]))));
        let request = Request::post(world.url(SHOP, "/public/x")).body(StreamBody::new(stream::iter(frames.collect::<Vec<_>>())));
        sender.send_request(request.unwrap()).await.unwrap().status().as_u16()
    };
    assert_eq!([post(10).await, post(11).await, post(5000).await, post(10).await], [200, 413, 413, 200]);
    let ended: Vec<_> = world.app.all().iter().filter(|seen| seen.has_ended()).map(|seen| seen.body().len()).collect();
    assert_eq!(ended, [1000, 1000]);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_apps_take_bodies_as_long_as_they_like() {
    let world = World::with_apps(APPS).await;
    let head = world.head("POST", WIKI, "/public/x", "Content-Length: 3000000\r\n");
    assert_eq!(world.send(WIKI, [head.as_bytes(), &vec![b'x'; 3_000_000]].concat()).await.status, 200);
    assert_eq!(world.app.only().body().len(), 3_000_000);
}

/// Begins a download that does not end by itself.
async fn begin(world: &World, cookie: &str) -> Connection {
    let mut connection = Connection::tls(world, SHOP).await;
    connection.write(world.head("GET", SHOP, "/endless", &format!("Cookie: {cookie}\r\n"))).await;
    assert_eq!(connection.head().await.status, 200);
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_has_no_more_requests_in_flight_than_it_takes() {
    let world = World::with_apps(APPS).await;
    let get = async || world.get(SHOP, "/public/x", "").await;
    let mut held = Vec::new();
    for path in ["/drip", "/drip"] {
        let mut connection = Connection::tls(&world, SHOP).await;
        connection.write(world.head("GET", SHOP, path, "")).await;
        assert_eq!(connection.head().await.status, 200);
        held.push(connection);
    }
    let busy = get().await;
    refused(&busy, 503, "app_busy");
    assert!(busy.header("retry-after").is_some());
    let page = world.get(SHOP, "/public/x", NAVIGATION).await;
    assert!(page.status == 503 && page.text().contains("app_busy"));
    // Other apps are not concerned, and neither is the sign-in.
    assert_eq!(world.get(ROUGH, "/fine", "").await.status, 200);
    assert_eq!(world.get(SHOP, "/.doorward/jwks.json", "").await.status, 200);
    // One ends as it should, and one because the client goes away.
    world.app.go_on.notify_one();
    eventually("the first has ended", async || (get().await.status == 200).then_some(())).await;
    drop(held);
    for _ in 0..3 {
        assert_eq!(get().await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_up_before_there_is_an_answer_no_longer_counts() {
    let world = World::with_apps(APPS).await;
    for _ in 0..4 {
        let mut connection = Connection::tls(&world, SHOP).await;
        connection.write(world.head("GET", SHOP, "/wait", "")).await;
        eventually("it is in flight", async || (!world.app.all().is_empty()).then_some(())).await;
        drop(connection);
        world.app.forget();
        eventually("its place is free", async || {
            let (one, other) = tokio::join!(world.get(SHOP, "/public/x", ""), world.get(SHOP, "/public/x", ""));
            (one.status == 200 && other.status == 200).then_some(())
        })
        .await;
        world.app.forget();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_in_flight_until_it_ends() {
    const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let world = World::with_apps(APPS).await;
    let mut sockets = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::tls(&world, SHOP).await;
        connection.write(world.head("GET", SHOP, "/ws", UPGRADE)).await;
        assert_eq!(connection.head().await.status, 101);
        connection.write("a").await;
        assert_eq!(connection.some().await, b"aa");
        sockets.push(connection);
    }
    refused(&world.get(SHOP, "/public/x", "").await, 503, "app_busy");
    sockets.pop();
    eventually("its place is free", async || (world.get(SHOP, "/public/x", "").await.status == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_can_not_take_all_places_of_an_app() {
    let world = World::with_apps(APPS).await;
    let (alice, bob) = (world.session(SHOP, ALICE).await, world.session(SHOP, BOB).await);
    let get = async |cookie: &str| world.get(SHOP, "/x", &format!("Cookie: {cookie}\r\n")).await;
    let held = begin(&world, &alice).await;
    let busy = get(&alice).await;
    refused(&busy, 429, "session_busy");
    assert_eq!(busy.header("retry-after"), Some("1"));
    assert_eq!(get(&bob).await.status, 200);
    drop(held);
    eventually("her place is free", async || (get(&alice).await.status == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_client_is_told_that_a_resource_is_exhausted() {
    let world = World::with_apps(APPS).await;
    let alice = world.session(SHOP, ALICE).await;
    let _held = begin(&world, &alice).await;
    let mut h2 = Http2::connect(&world, SHOP).await;
    let headers = [("cookie", &*alice), ("content-type", "application/grpc")];
    let answer = h2.ask("POST", &world.url(SHOP, "/x"), &headers).await.unwrap();
    assert_eq!(
        (answer.status, answer.header("grpc-status"), answer.header("grpc-message")),
        (200, Some("8"), Some("session_busy"))
    );
}

const RATES: &str = "
  shop:
    url: https://shop.corp.test:HTTPS
    upstream: http://127.0.0.1:APP
    limits: { rate_per_session: 5/m, rate_per_address: 30/m }
    allow: [{}]
    paths: [{ match: /public/**, public: true }]
  other:
    url: https://shop.corp.test:HTTPS/other
    upstream: http://127.0.0.1:APP
    limits: { rate_per_address: 10/m }
    paths: [{ match: /other/**, public: true }]
";

/// How many of so many requests get through, and what the first that does not gets.
async fn flood(world: &World, count: usize, path: &str, lines: &str) -> (usize, Option<Answer>) {
    let mut connection = Connection::tls(world, SHOP).await;
    let (mut passed, mut first) = (0, None);
    for _ in 0..count {
        connection.write(world.head("GET", SHOP, path, lines)).await;
        let answer = connection.answer().await;
        match answer.status {
            429 => drop(first.get_or_insert(answer)),
            _ => passed += 1,
        }
    }
    (passed, first)
}

fn seconds(answer: Option<Answer>) -> u32 {
    let answer = answer.unwrap();
    refused(&answer, 429, "rate_limited");
    answer.header("retry-after").unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_asks_as_often_as_it_may_and_guesses_do_not_reach_the_store() {
    let world = World::with_apps(RATES).await;
    let (passed, first) = flood(&world, 40, "/x", "Cookie: __Host-doorward=guess\r\n").await;
    assert_eq!(passed, 30);
    assert!((1..=60).contains(&seconds(first)));
    // What is public counts as well, and other apps count for themselves.
    assert_eq!(flood(&world, 3, "/public/x", "").await.0, 0);
    assert_eq!(flood(&world, 12, "/other/x", "").await.0, 10);
    // An address that a client only claims to have is not another one.
    assert_eq!(flood(&world, 3, "/x", "X-Forwarded-For: 203.0.113.9\r\n").await.0, 0);
    assert!(world.records("/x").iter().filter(|record| record["reason"] == "rate_limited").count() >= 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_asks_as_often_as_it_may_whatever_connection_it_comes_by() {
    let world = World::with_apps(RATES).await;
    let cookie = format!("Cookie: {}\r\n", world.session(SHOP, ALICE).await);
    // Signing in took one.
    let (one, other) = tokio::join!(flood(&world, 4, "/x", &cookie), flood(&world, 4, "/x", &cookie));
    assert_eq!(one.0 + other.0, 4);
    seconds(one.1.or(other.1));
    let bob = format!("Cookie: {}\r\n", world.session(SHOP, BOB).await);
    assert_eq!(flood(&world, 1, "/x", &bob).await.0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_forgets_neither_rates_nor_what_is_in_flight() {
    let world = World::with_apps(APPS).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut connection = Connection::tls(&world, SHOP).await;
        connection.write(world.head("GET", SHOP, "/drip", "")).await;
        assert_eq!(connection.head().await.status, 200);
        held.push(connection);
    }
    let yaml = std::fs::read_to_string(world.path("doorward.yaml")).unwrap();
    let changed = yaml.replace("max_body: 1000B", "max_body: 2000B");
    std::fs::write(world.path("doorward.yaml"), changed).unwrap();
    eventually("it is reloaded", async || (world.metric("doorward_config_epoch").await > 1.0).then_some(())).await;
    refused(&world.get(SHOP, "/public/x", "").await, 503, "app_busy");
    drop(held);
    eventually("they have ended", async || (world.get(SHOP, "/public/x", "").await.status == 200).then_some(())).await;
}

/// A gate behind a proxy, which the tests are: where a request comes from is what they say.
async fn with_reserved(more: &'static str) -> World {
    World::of(Setup { more, ..Setup::default() }).await
}

const FEW: &str = "trusted_proxies: [127.0.0.1]\nlimits: { reserved: { rate_per_address: 20/m } }";

/// Every path of Doorward's own that is answered to strangers, with its host and method.
const RESERVED: [(&str, &str, &str); 8] = [
    ("GET", LOGIN, "/.doorward/login"),
    ("GET", LOGIN, "/.doorward/callback?code=guess&state=guess"),
    ("GET", WIKI, "/.doorward/callback?code=guess&flow=guess"),
    ("POST", LOGIN, "/.doorward/logout"),
    ("GET", WIKI, "/.doorward/session"),
    ("GET", WIKI, "/.doorward/jwks.json"),
    ("GET", LOGIN, "/.doorward/assets/doorward.css"),
    ("GET", LOGIN, "/.doorward/start"),
];

#[tokio::test(flavor = "multi_thread")]
async fn one_address_floods_doorward_s_own_paths_no_more_than_it_may_whichever_it_chooses() {
    let world = with_reserved(FEW).await;
    let ask = async |(method, host, path): (&str, &str, &str), from: &str| {
        let lines = format!("X-Forwarded-For: {from}\r\nContent-Length: 0\r\nConnection: close\r\n");
        world.send(host, world.head(method, host, path, &lines)).await
    };
    let mut passed = 0;
    for asked in RESERVED.into_iter().cycle().take(40) {
        let answer = ask(asked, "198.51.100.7").await;
        if answer.status != 429 {
            passed += 1;
            continue;
        }
        refused(&answer, 429, "rate_limited");
        let wait: u32 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait) && answer.header("x-request-id").is_some());
    }
    assert_eq!(passed, 20);
    for asked in RESERVED {
        assert_eq!(ask(asked, "198.51.100.7").await.status, 429, "{asked:?}");
        assert_ne!(ask(asked, "203.0.113.9").await.status, 429, "{asked:?}: somebody else");
    }
    // Apps have limits of their own.
    assert_eq!(ask(("GET", WIKI, "/public/x"), "198.51.100.7").await.status, 200);
    let records =
        eventually("the records are written", async || Some(world.records("/.doorward/start")).filter(|all| all.len() > 6)).await;
    assert!(records.iter().any(|record| record["reason"] == "rate_limited" && record["peer"] == "198.51.100.7"), "{records:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_a_network_of_ipv6_is_one_address_to_doorward_s_own_paths_too() {
    let world = with_reserved(FEW).await;
    let ask = async |from: String| world.get(LOGIN, "/.doorward/jwks.json", &format!("X-Forwarded-For: {from}\r\n")).await.status;
    for number in 0..20 {
        assert_eq!(ask(format!("2001:db8::{number:x}")).await, 200);
    }
    assert_eq!((ask("2001:db8::ffff".to_owned()).await, ask("2001:db8:0:1::1".to_owned()).await), (429, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_asks_too_often_gets_a_page_that_says_so() {
    let world = with_reserved("limits: { reserved: { rate_per_address: 1/m } }").await;
    let ask = async || world.get(LOGIN, "/.doorward/login", NAVIGATION).await;
    ask().await;
    let page = ask().await;
    assert_eq!((page.status, page.header("content-type")), (429, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("Too many requests") && page.header("retry-after").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_holds_no_more_of_doorward_s_own_answers_than_it_may() {
    let world = with_reserved("trusted_proxies: [127.0.0.1]\nlimits: { reserved: { in_flight_per_address: 2 } }").await;
    let from = |address: &str| format!("X-Forwarded-For: {address}\r\n");
    let session = world.session(WIKI, ALICE).await;
    let database = format!("sqlite:{}", world.path("doorward.db").display());
    let mut writer = <sqlx::SqliteConnection as sqlx::Connection>::connect(&database).await.unwrap();
    writer.execute("BEGIN IMMEDIATE").await.unwrap();
    let ask = async |path: &str, address: &str| world.get(LOGIN, path, &from(address)).await;
    // Whoever signs out waits for whoever writes, until they give up, and then again.
    let lines = format!("{}Cookie: {session}\r\n", from("198.51.100.7"));
    let held = async || while world.get(WIKI, "/.doorward/logout", &lines).await.status != 200 {};
    let asked = async {
        for path in ["/.doorward/jwks.json", "/.doorward/login"] {
            let refusal = async || Some(ask(path, "198.51.100.7").await).filter(|answer| answer.status == 429);
            let refusal = eventually("both are in flight", refusal).await;
            refused(&refusal, 429, "rate_limited");
            assert_eq!(refusal.header("retry-after"), Some("1"));
        }
        assert_eq!(ask("/.doorward/jwks.json", "203.0.113.9").await.status, 200, "somebody else");
        assert_eq!(world.get(WIKI, "/public/x", &from("198.51.100.7")).await.status, 200, "an app");
    };
    tokio::select! {
        () = held() => panic!("nobody can write"),
        () = held() => panic!("nobody can write"),
        () = asked => {}
    }
    writer.execute("ROLLBACK").await.unwrap();
    eventually("they have ended", async || (ask("/.doorward/jwks.json", "198.51.100.7").await.status == 200).then_some(())).await;
}
