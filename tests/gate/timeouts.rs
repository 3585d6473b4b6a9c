//! How long an app may take, and who pays when nothing moves.

use crate::world::http2::Http2;
use crate::world::ports::Ports;
use crate::world::scripted::{Link, Scripted, in_time, more_than_a_second};
use crate::world::wire::Connection;
use crate::world::{Setup, WIKI, World, eventually};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

async fn world(app: &Scripted, scheme: &str, timeouts: &str) -> World {
    World::of(Setup { apps: app.app(WIKI, scheme, &format!("    timeouts: {timeouts}\n")), ..Setup::default() }).await
}

/// Every connection is over, from our side.
async fn all_closed(app: &Scripted) {
    eventually("the app's connections are closed", async || (app.closed() == app.connections()).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_takes_no_connection_is_given_up() {
    let ports = Ports::take();
    let address = (Ipv4Addr::LOCALHOST, ports.nth(1)).into();
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(address).unwrap();
    let listener = socket.listen(0).unwrap();
    // Nobody takes these: once the queue is full, the system leaves whoever else comes without an answer.
    let mut waiting = Vec::new();
    while let Ok(connected) = tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
    }
    let apps = |scheme| {
        format!(
            "  full:\n    url: https://{WIKI}:PORT/full\n    upstream: {scheme}://{address}\n    timeouts: {{ connect: 1s }}\n    \
             paths: [{{ match: /full/**, public: true }}]\n"
        )
    };
    for (scheme, makes_room) in [("http", false), ("https", true)] {
        let world = World::of(Setup { apps: apps(scheme), ..Setup::default() }).await;
        if makes_room {
            // The connection is made, and nobody shakes hands.
            waiting.clear();
            while let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(500), listener.accept()).await {}
        }
        let answer = world.get(WIKI, "/full/x", "").await;
        assert_eq!((answer.status, &*answer.reason()), (502, "upstream_unreachable"), "{scheme}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_does_not_begin_to_answer_is_given_up() {
    let app = Scripted::start(async |mut link: Link| link.until_closed().await).await;
    let world = world(&app, "http", "{ first_byte: 1s }").await;
    let answer = world.get(WIKI, "/scripted/x", "").await;
    assert_eq!((answer.status, &*answer.reason()), (504, "upstream_timeout"));
    all_closed(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_next_to_nothing_is_given_up_and_one_that_sends_slowly_is_not() {
    let app = Scripted::start(async |mut link: Link| {
        let head = link.head().await.unwrap();
        if head.contains("content-length: 6000") && link.body(6000).await {
            link.answer().await;
        }
        link.until_closed().await;
    })
    .await;
    let world = world(&app, "http", "{ first_byte: 1s }").await;
    let mut slow = Connection::tls(&world, WIKI).await;
    slow.write(world.head("POST", WIKI, "/scripted/slow", "Content-Length: 6000\r\n")).await;
    for _ in 0..12 {
        slow.write([b'x'; 500]).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(slow.answer().await.status, 200);
    for framing in ["Content-Length: 1000000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut trickle = Connection::tls(&world, WIKI).await;
        trickle.write(world.head("POST", WIKI, "/scripted/trickle", framing)).await;
        for _ in 0..20 {
            trickle.write("1\r\nx\r\n").await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let answer = trickle.answer().await;
        assert_eq!((answer.status, &*answer.reason()), (408, "upload_too_slow"), "{framing}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
    drop(slow);
    let silent = world.send(WIKI, world.head("POST", WIKI, "/scripted/silent", "Content-Length: 5\r\n")).await;
    assert_eq!(silent.status, 408);
}

/// An app that sends half of what it announces, and then nothing.
async fn answers_half() -> Scripted {
    Scripted::start(async |mut link: Link| {
        link.head().await;
        link.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf ").await;
        link.until_closed().await;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_stalls_is_cut_off_and_says_so() {
    let app = answers_half().await;
    let world = world(&app, "http", "{ idle: 1s }").await;
    let mut connection = Connection::tls(&world, WIKI).await;
    connection.write(world.head("GET", WIKI, "/scripted/stalls", "")).await;
    assert_eq!(connection.head().await.status, 200);
    assert_eq!(connection.rest().await, b"half ", "it ends before it is whole");
    all_closed(&app).await;
    assert_eq!(world.record("/scripted/stalls").await["complete"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_does_not_hold_the_app() {
    let app = Scripted::start(async |mut link: Link| {
        link.head().await;
        link.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
        while link.write(&"x".repeat(1 << 16)).await {}
    })
    .await;
    let world = world(&app, "http", "{ idle: 1s }").await;
    let mut h1 = Connection::tls(&world, WIKI).await;
    h1.write(world.head("GET", WIKI, "/scripted/x", "")).await;
    all_closed_after_one(&app, 1).await;
    let h2 = Http2::connect(&world, WIKI).await;
    let _unread = h2.clone().unread(&world.url(WIKI, "/scripted/x")).await;
    all_closed_after_one(&app, 2).await;
    // Its other requests go on.
    assert_eq!(h2.clone().ask("GET", &world.url(WIKI, "/public/x"), &[]).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_gives_its_place_back_and_leaves_a_record() {
    let app = Scripted::start(async |mut link: Link| {
        while link.head().await.is_some_and(|head| head.contains("/small")) {
            link.answer().await;
        }
        link.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
        while link.write(&"x".repeat(1 << 16)).await {}
    })
    .await;
    let more = "    timeouts: { idle: 1s }\n    limits: { in_flight: 2 }\n";
    let world = World::of(Setup { apps: app.app(WIKI, "http", more), provider_up: false, ..Setup::default() }).await;
    let mut h1 = Connection::tls(&world, WIKI).await;
    h1.write(world.head("GET", WIKI, "/scripted/h1", "")).await;
    let h2 = Http2::connect(&world, WIKI).await;
    let _unread = h2.clone().unread(&world.url(WIKI, "/scripted/h2")).await;
    eventually("both are in flight", async || (app.connections() == 2).then_some(())).await;
    assert_eq!(world.get(WIKI, "/scripted/small", "").await.reason(), "app_busy");
    for path in ["/scripted/h1", "/scripted/h2"] {
        let record = world.record(path).await;
        assert_eq!((&record["complete"], &record["status"]), (&false.into(), &200.into()), "{path}");
    }
    for _ in 0..2 {
        assert_eq!(h2.clone().ask("GET", &world.url(WIKI, "/scripted/small"), &[]).await.unwrap().status, 200);
    }
}

async fn all_closed_after_one(app: &Scripted, count: usize) {
    eventually("the app is asked", async || (app.connections() == count).then_some(())).await;
    all_closed(app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_is_for_everything_but_streams() {
    let app = Scripted::start(async |mut link: Link| {
        let head = link.head().await.unwrap();
        let kind = if head.contains("/events") { "text/event-stream" } else { "text/plain" };
        link.write(&format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n")).await;
        for _ in 0..12 {
            link.write("1\r\nx\r\n").await;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        if head.contains("/events") {
            // Silence is fine too.
            more_than_a_second().await;
        }
        link.write("0\r\n\r\n").await;
        link.until_closed().await;
    })
    .await;
    let world = world(&app, "http", "{ idle: 1s, total: 1s }").await;
    let mut connection = Connection::tls(&world, WIKI).await;
    connection.write(world.head("GET", WIKI, "/scripted/drips", "")).await;
    connection.head().await;
    let rest = connection.rest().await;
    assert!(rest.starts_with(b"1\r\nx") && !rest.ends_with(b"0\r\n\r\n"));
    let events = in_time("the stream ends by itself", world.get(WIKI, "/scripted/events", "")).await;
    assert_eq!(events.text(), "x".repeat(12));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_can_not_call_its_request_a_stream_to_be_spared() {
    let app = answers_half().await;
    let world = world(&app, "http", "{ idle: 1s }").await;
    let mut connection = Connection::tls(&world, WIKI).await;
    connection.write(world.head("GET", WIKI, "/scripted/x", "Content-Type: application/grpc\r\n")).await;
    assert_eq!(connection.head().await.status, 200);
    assert_eq!(connection.rest().await, b"half ");
    all_closed(&app).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn off_is_off() {
    let app = Scripted::start(async |mut link: Link| {
        link.head().await;
        more_than_a_second().await;
        link.answer().await;
        link.until_closed().await;
    })
    .await;
    let world = world(&app, "http", "{ first_byte: off, idle: off, total: off }").await;
    assert_eq!(world.get(WIKI, "/scripted/x", "").await.status, 200);
}
