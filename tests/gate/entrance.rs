//! Connections before there is a request: whose they are, how many there may be, and how long they may rest.

use crate::world::frames::{Frames, GOAWAY};
use crate::world::wire::{Connection, PATIENCE, shake_hands_over};
use crate::world::{ALICE, ROUGH, SHOP, Setup, WIKI, World, eventually};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Doorward behind a proxy that sends PROXY headers.
fn behind_a_proxy() -> Setup {
    Setup { listen: ", proxy_protocol: true", more: "trusted_proxies: [127.0.0.9, 10.0.0.0/8]", ..Setup::default() }
}
const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);

async fn connect(port: u16, from: Ipv4Addr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.unwrap()
}

/// The status of a request by a connection of this peer that begins with these bytes, each part on its own; nothing when it comes
/// to nothing.
async fn ask(world: &World, from: Ipv4Addr, parts: &[&[u8]], path: &str, lines: &str) -> Option<u16> {
    let mut stream = connect(world.ports.https(), from).await;
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        stream.write_all(part).await.unwrap();
    }
    let stream = shake_hands_over(stream, world, WIKI, &[b"http/1.1"]).await.ok()?;
    let mut connection = Connection::over(stream);
    connection.write(world.head("GET", WIKI, path, lines)).await;
    Some(connection.answer().await.status)
}

fn binary(command: u8, kind: u8, rest: &[u8]) -> Vec<u8> {
    [b"\r\n\r\n\0\r\nQUIT\n", &[0x20 | command, kind, 0, u8::try_from(rest.len()).unwrap()][..], rest].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_says_whose_connection_it_is() {
    let world = World::of(behind_a_proxy()).await;
    let inet = [198, 51, 100, 7, 10, 0, 0, 1, 1, 1, 1, 1];
    let text: &[u8] = b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 443\r\n";
    let (two, local) = (binary(1, 0x11, &inet), binary(0, 0, b""));
    let pieces: Vec<&[u8]> = text.chunks(9).collect();
    let bytes: Vec<&[u8]> = two.chunks(5).collect();
    let cases: [(&str, Vec<&[u8]>, &str, &str); 8] = [
        ("text", vec![text], "", "198.51.100.7"),
        ("text-in-pieces", pieces, "", "198.51.100.7"),
        ("binary", vec![&two], "", "198.51.100.7"),
        ("binary-in-pieces", bytes, "", "198.51.100.7"),
        ("unknown", vec![b"PROXY UNKNOWN\r\n"], "", "127.0.0.9"),
        ("local", vec![&local], "", "127.0.0.9"),
        ("forged-header", vec![text], "X-Forwarded-For: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\n", "198.51.100.7"),
        ("chain", vec![b"PROXY TCP4 10.0.0.2 10.0.0.1 1 1\r\n"], "X-Forwarded-For: 9.9.9.9, 203.0.113.9\r\n", "203.0.113.9"),
    ];
    for (name, parts, lines, client) in cases {
        let path = format!("/public/{name}");
        assert_eq!(ask(&world, PROXY, &parts, &path, lines).await, Some(200), "{name}");
        assert_eq!(world.record(&path).await["peer"], client, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_that_does_not_say_it_has_its_connection_closed() {
    let world = World::of(behind_a_proxy()).await;
    let starts: [&[u8]; 4] =
        [b"", b"PROXY TCP4 198.51.100.7\r\n", b"GET / HTTP/1.1\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x01\x01"];
    for start in starts {
        assert_eq!(ask(&world, PROXY, &[start], "/public/x", "").await, None, "{start:?}");
    }
    let failed = async || world.metric("doorward_tls_handshake_failures_total").await;
    eventually("all are counted", async || (failed().await > 3.5).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_is_believed() {
    let world = World::of(behind_a_proxy()).await;
    let header: &[u8] = b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 443\r\n";
    assert_eq!(ask(&world, STRANGER, &[header], "/public/forged", "").await, None);
    let lines = "X-Forwarded-For: 198.51.100.7\r\nForwarded: for=198.51.100.7\r\n";
    assert_eq!(ask(&world, STRANGER, &[], "/public/plain", lines).await, Some(200));
    assert_eq!(world.record("/public/plain").await["peer"], "127.0.0.1");
    assert!(world.records("/public/forged").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_protocol_a_header_is_no_handshake_whoever_sends_it() {
    let world = World::of(Setup { more: "trusted_proxies: [127.0.0.9]", ..Setup::default() }).await;
    let header: &[u8] = b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 443\r\n";
    assert_eq!(ask(&world, PROXY, &[header], "/public/x", "").await, None);
    assert_eq!(ask(&world, PROXY, &[], "/public/y", "Forwarded: for=198.51.100.7\r\n").await, Some(200));
    assert_eq!(world.record("/public/y").await["peer"], "198.51.100.7");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_the_address_of_the_proxy_by_contradicting_it() {
    let world = World::of(Setup { more: "trusted_proxies: [127.0.0.9]", ..Setup::default() }).await;
    for (path, lines) in [
        ("/public/two", "X-Forwarded-For: 198.51.100.7\r\nForwarded: for=203.0.113.9\r\n"),
        ("/public/none", "X-Forwarded-For: 198.51.100.7\r\nForwarded: for=unknown\r\n"),
        ("/public/escaped", "Forwarded: for=198.51.100.7;host=\"x\\\", for=9.9.9.9;host=\\\"y\"\r\n"),
        ("/.doorward/session", "X-Forwarded-For: 198.51.100.7\r\nForwarded: for=203.0.113.9\r\n"),
    ] {
        assert_eq!(ask(&world, PROXY, &[], path, lines).await, Some(400), "{path}");
        let record = world.record(path).await;
        assert_eq!((&record["reason"], &record["peer"]), (&"bad_request".into(), &"127.0.0.9".into()), "{path}");
    }
    assert!(world.app.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clear_text_port_takes_the_header_too() {
    let world = World::of(behind_a_proxy()).await;
    let request = format!("GET /a HTTP/1.1\r\nHost: {WIKI}\r\n\r\n");
    for (from, header, status) in
        [(PROXY, "PROXY TCP4 198.51.100.7 10.0.0.1 4711 80\r\n", Some(308)), (STRANGER, "", Some(308)), (PROXY, "", None)]
    {
        let mut stream = connect(world.ports.http(), from).await;
        stream.write_all(format!("{header}{request}").as_bytes()).await.unwrap();
        let mut answer = vec![0; 1024];
        let length = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap_or(0);
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        assert_eq!(answer.split(' ').nth(1).and_then(|status| status.parse().ok()), status, "{header} {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_limit_a_connection_is_closed_at_once_and_one_that_ends_makes_room() {
    let world = World::of(Setup { more: "limits: { connections: 3 }", provider_up: false, ..Setup::default() }).await;
    let is_served = async |stream: TcpStream| {
        let shaken = shake_hands_over(stream, &world, WIKI, &[b"http/1.1"]).await;
        let mut connection = Connection::over(shaken.ok()?);
        connection.write(world.head("GET", WIKI, "/public/x", "")).await;
        (connection.answer().await.status == 200).then_some(connection)
    };
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(is_served(connect(world.ports.https(), STRANGER).await).await.expect("there is room"));
    }
    assert!(is_served(connect(world.ports.https(), STRANGER).await).await.is_none());
    let mut plain = connect(world.ports.http(), STRANGER).await;
    assert!(matches!(plain.read(&mut [0]).await, Ok(0) | Err(_)), "both ports count");
    assert!(world.metric("doorward_connections_refused_total{limit=\"connections\"}").await > 1.5);
    held.pop();
    eventually("there is room again", async || is_served(connect(world.ports.https(), STRANGER).await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_a_connection_for_as_long_as_it_is_open() {
    let apps = "
  shop:
    url: https://shop.corp.test:HTTPS
    upstream: http://127.0.0.1:APP
    paths: [{ match: /ws, public: true }]
";
    let more = "limits: { connections: 1 }";
    let world = World::of(Setup { apps: apps.to_owned(), more, provider_up: false, ..Setup::default() }).await;
    let open = async || {
        let stream = connect(world.ports.https(), STRANGER).await;
        let mut tunnel = Connection::over(shake_hands_over(stream, &world, SHOP, &[b"http/1.1"]).await.ok()?);
        tunnel.write(world.head("GET", SHOP, "/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n")).await;
        assert_eq!(tunnel.head().await.status, 101);
        tunnel.write("hello").await;
        assert_eq!(tunnel.some().await, b"hellohello");
        Some(tunnel)
    };
    let tunnel = open().await.expect("there is room");
    assert!(world.metric("doorward_connections").await > 0.5);
    assert!(open().await.is_none());
    drop(tunnel);
    eventually("there is room again", open).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_can_not_take_the_places_of_others() {
    let more = "limits: { connections_per_address: 2 }\ntrusted_proxies: [127.0.0.9]";
    let world = World::of(Setup { listen: ", proxy_protocol: true", more, provider_up: false, ..Setup::default() }).await;
    let mut held = Vec::new();
    let mut is_served = async |client: &str| {
        let mut stream = connect(world.ports.https(), PROXY).await;
        stream.write_all(format!("PROXY TCP4 {client} 10.0.0.1 1 1\r\n").as_bytes()).await.unwrap();
        let shaken = shake_hands_over(stream, &world, WIKI, &[b"http/1.1"]).await;
        let served = shaken.is_ok();
        held.extend(shaken);
        served
    };
    for (client, served) in
        [("198.51.100.7", true), ("198.51.100.7", true), ("198.51.100.7", false), ("198.51.100.8", true), ("198.51.100.7", false)]
    {
        assert_eq!(is_served(client).await, served, "{client}");
    }
    let refused = async || world.metric("doorward_connections_refused_total{limit=\"address\"}").await;
    eventually("both are counted", async || (refused().await > 1.5).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_is_not_one_client() {
    let more = "limits: { connections_per_address: 2 }\ntrusted_proxies: [127.0.0.9]";
    let world = World::of(Setup { more, provider_up: false, ..Setup::default() }).await;
    let is_served = async |from| {
        let stream = connect(world.ports.https(), from).await;
        shake_hands_over(stream, &world, WIKI, &[b"http/1.1"]).await.ok()
    };
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(is_served(PROXY).await.expect("its clients have room"));
    }
    for _ in 0..2 {
        held.push(is_served(STRANGER).await.expect("there is room"));
    }
    assert!(is_served(STRANGER).await.is_none());
}

/// Long enough for a connection to be seen as resting.
const REST: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_rested_is_as_good_as_before() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    let mut connection = Connection::tls(&world, WIKI).await;
    tokio::time::sleep(REST).await;
    let cookie = format!("Cookie: {session}\r\n");
    for round in 0..3 {
        connection.write(world.head("GET", WIKI, "/get", &cookie)).await;
        assert_eq!(connection.answer().await.status, 200, "{round}");
        let post = world.head("POST", WIKI, "/post", &format!("{cookie}Content-Length: 4\r\n"));
        connection.write(format!("{post}body{}", world.head("GET", WIKI, "/piped", &cookie))).await;
        assert_eq!([connection.answer().await.status, connection.answer().await.status], [200, 200], "{round}");
        tokio::time::sleep(REST).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_may_come_slowly_but_not_for_ever() {
    let world = World::start().await;
    let head = world.head("GET", WIKI, "/public/slow", "");
    let (start, rest) = head.split_at(20);
    let (mut slow, mut stuck) = (Connection::tls(&world, WIKI).await, Connection::tls(&world, WIKI).await);
    slow.write(world.head("GET", WIKI, "/public/first", "")).await;
    assert_eq!(slow.answer().await.status, 200);
    slow.write(start).await;
    stuck.write(start).await;
    tokio::time::sleep(REST).await;
    slow.write(rest).await;
    assert_eq!(slow.answer().await.status, 200, "a head that took a while");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(stuck.is_closed().await, "a head that took too long");
    assert!(world.records("/public/slow").len() == 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_last_request_had_a_body_rests_like_any_other() {
    let world = World::start().await;
    for (framing, body) in [("Content-Length: 4\r\n", "body"), ("Transfer-Encoding: chunked\r\n", "4\r\nbody\r\n0\r\n\r\n")] {
        let mut connection = Connection::tls(&world, WIKI).await;
        connection.write(world.head("POST", WIKI, "/public/post", framing) + body).await;
        assert_eq!(connection.answer().await.status, 200);
        // Longer than a head may take.
        tokio::time::sleep(Duration::from_secs(23)).await;
        connection.write(world.head("GET", WIKI, "/public/get", "")).await;
        assert_eq!(connection.answer().await.status, 200, "{framing}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nobody_reads_is_never_taken_for_a_request() {
    let world = World::start().await;
    let smuggled = world.head("GET", WIKI, "/public/smuggled", "");
    let mut connection = Connection::tls(&world, WIKI).await;
    let (start, rest) = smuggled.split_at(10);
    let lines = format!("Content-Length: {}\r\n", smuggled.len());
    connection.write(world.head("POST", WIKI, "/private", &lines) + start).await;
    assert_eq!(connection.answer().await.status, 401);
    tokio::time::sleep(REST).await;
    connection.write(rest).await;
    assert!(connection.is_closed().await || world.records("/public/smuggled").is_empty());
    assert!(world.app.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http2_that_asks_nothing_is_told_that_it_is_over() {
    let world = World::start().await;
    let mut silent = Frames::connect(&world, WIKI).await;
    assert!(silent.gets(GOAWAY, Duration::from_secs(40)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_lengths_are_refused_also_after_a_rest_in_the_middle_of_the_head() {
    let world = World::start().await;
    let mut connection = Connection::tls(&world, WIKI).await;
    connection.write(world.head("GET", WIKI, "/public/first", "")).await;
    assert_eq!(connection.answer().await.status, 200);
    let lines = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    let head = world.head("POST", WIKI, "/public/two", lines);
    let (start, rest) = head.split_at(head.find("Transfer").unwrap());
    connection.write(start).await;
    tokio::time::sleep(REST).await;
    connection.write(format!("{rest}0\r\n\r\n")).await;
    assert_eq!(connection.answer().await.status, 400);
    assert!(world.app.all().iter().all(|seen| seen.path != "/public/two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_nobody_reads_for_a_while_is_not_a_rest() {
    let world = World::start().await;
    let mut connection = Connection::tls(&world, ROUGH).await;
    connection.write(world.head("GET", ROUGH, "/large", "")).await;
    tokio::time::sleep(REST).await;
    let answer = connection.answer().await;
    assert_eq!((answer.status, answer.body.len()), (200, 4 << 20));
    connection.write(world.head("GET", ROUGH, "/fine", "")).await;
    assert_eq!(connection.answer().await.status, 200);
}
