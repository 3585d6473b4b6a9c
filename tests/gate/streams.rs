//! Nothing is kept back: uploads, downloads and tunnels pass as they come.

use crate::world::http2::Http2;
use crate::world::wire::Connection;
use crate::world::{ALICE, WIKI, World, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_reaches_the_app_before_it_has_ended() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    for (framing, first, last) in
        [("Content-Length: 6\r\n", "abc", "def"), ("Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n", "3\r\ndef\r\n0\r\n\r\n")]
    {
        world.app.forget();
        let mut connection = Connection::tls(&world, WIKI).await;
        connection.write(world.head("POST", WIKI, "/upload", &format!("Cookie: {session}\r\n{framing}")) + first).await;
        let seen = eventually("the app has the first half", async || {
            world.app.all().first().filter(|seen| seen.body() == b"abc").cloned()
        })
        .await;
        assert!(!seen.has_ended());
        connection.write(last).await;
        assert_eq!(connection.answer().await.status, 200);
        assert_eq!(seen.body(), b"abcdef");
        assert!(seen.has_ended());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_reaches_the_client_before_it_has_ended() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    let mut connection = Connection::tls(&world, WIKI).await;
    connection.write(world.head("GET", WIKI, "/drip", &format!("Cookie: {session}\r\n"))).await;
    assert_eq!(connection.head().await.status, 200);
    assert_eq!(connection.some().await, b"6\r\nfirst \r\n");
    world.app.go_on.notify_one();
    let mut rest = Vec::new();
    while !rest.ends_with(b"0\r\n\r\n") {
        rest.extend(connection.some().await);
    }
    assert_eq!(rest, b"6\r\nsecond\r\n0\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_share_one_connection_without_waiting_for_each_other() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    let connection = Http2::connect(&world, WIKI).await;
    let (mut slow, mut fast) = (connection.clone(), connection);
    let headers = [("cookie", &*session)];
    let (drip, quick) = (world.url(WIKI, "/drip"), world.url(WIKI, "/quick"));
    let slow = slow.ask("GET", &drip, &headers);
    let fast = async {
        for _ in 0..20 {
            assert_eq!(fast.ask("GET", &quick, &headers).await.unwrap().status, 200);
        }
        world.app.go_on.notify_one();
    };
    let (slow, ()) = tokio::join!(slow, fast);
    assert_eq!(slow.unwrap().text(), "first second");
}

const UPGRADE: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_passes_both_ways_with_the_identity_and_without_what_was_forged() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    world.app.forget();
    let mut connection = Connection::tls(&world, WIKI).await;
    let lines = format!("Cookie: {session}\r\nX-Remote-User: root\r\n{UPGRADE}");
    // The first bytes of the tunnel come with the head.
    connection.write(world.head("GET", WIKI, "/ws", &lines) + "early").await;
    assert_eq!(connection.head().await.status, 101);
    assert_eq!(connection.some().await, b"earlyearly");
    connection.write("hello").await;
    assert_eq!(connection.some().await, b"hellohello");
    let seen = world.app.only();
    assert_eq!(seen.folded("x-remote-user"), [ALICE.0]);
    assert_eq!((seen.folded("upgrade"), seen.folded("cookie").len()), (vec!["websocket"], 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_needs_a_session_and_a_right_like_everything_else() {
    let world = World::start().await;
    let alice = world.session(WIKI, ALICE).await;
    world.app.forget();
    for (path, cookie, status) in [("/ws", "x=1", 401), ("/admin/ws", &*alice, 403), ("/ws", "__Host-doorward=x", 401)] {
        let answer = world.get(WIKI, path, &format!("Cookie: {cookie}\r\n{UPGRADE}")).await;
        assert_eq!(answer.status, status, "{path}");
    }
    assert!(world.app.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_progress_end_before_the_process_does() {
    let mut world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    let mut connection = Connection::tls(&world, WIKI).await;
    connection.write(world.head("GET", WIKI, "/drip", &format!("Cookie: {session}\r\n"))).await;
    assert_eq!(connection.head().await.status, 200);
    assert_eq!(connection.some().await, b"6\r\nfirst \r\n");
    let go_on = world.app.go_on.clone();
    tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        go_on.notify_one();
    });
    world.stop().await;
    assert_eq!(connection.some().await, b"6\r\nsecond\r\n0\r\n\r\n");
    assert_eq!(world.records("/drip").len(), 1);
}
