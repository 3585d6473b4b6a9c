//! What flows at one replica ends when another one ends the right to it.

use crate::cluster::Cluster;
use crate::world::http2::Http2;
use crate::world::wire::Connection;
use crate::world::{WIKI, eventually};

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// A masked text frame, `hi`.
const FRAME: &[u8] = &[0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
/// What says to a client that it has to go.
const FAREWELL: &[u8] = b"\x88\x0e\x03\xf0access ended";

async fn open(cluster: &Cluster, replica: usize, path: &str, lines: &str) -> Connection {
    let mut connection = cluster.connect(replica).await;
    connection.write(cluster.world.head("GET", WIKI, path, lines)).await;
    let status = connection.head().await.status;
    assert!(matches!(status, 101 | 200), "{status} at {path}");
    connection
}

/// An open WebSocket through which something has passed.
async fn websocket(cluster: &Cluster, replica: usize, cookie: &str) -> Connection {
    let mut connection = open(cluster, replica, "/ws", &format!("{cookie}{UPGRADE}")).await;
    assert!(speaks(&mut connection).await);
    connection
}

/// Whether a frame comes back, twice as the app does it.
async fn speaks(connection: &mut Connection) -> bool {
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

#[tokio::test(flavor = "multi_thread")]
async fn websockets_and_downloads_are_cut_at_every_replica_when_one_of_them_ends_the_session() {
    let Some(cluster) = Cluster::start(3, "5m").await else { return };
    let (ends, stays) = (cluster.sign_in().await, cluster.sign_in().await);
    let (mut cut, mut kept) = (Vec::new(), Vec::new());
    for replica in 0..3 {
        cut.push((websocket(&cluster, replica, &ends).await, open(&cluster, replica, "/endless", &ends).await));
        kept.push(websocket(&cluster, replica, &stays).await);
    }
    assert!(cluster.revoke(0, &ends).await);
    for (replica, (websocket, download)) in cut.iter_mut().enumerate() {
        assert_eq!(websocket.rest().await, FAREWELL, "at {replica}");
        assert!(!download.rest().await.ends_with(b"0\r\n\r\n"), "what was cut does not look whole, at {replica}");
    }
    for websocket in &mut kept {
        assert!(speaks(websocket).await, "who is still signed in goes on");
    }
}

/// An upload of ten bytes, half of which have reached the app.
async fn upload(cluster: &Cluster, replica: usize, path: &str, cookie: &str) -> Connection {
    let mut upload = cluster.connect(replica).await;
    upload.write(cluster.world.head("POST", WIKI, path, &format!("{cookie}Content-Length: 10\r\n")) + "begun").await;
    eventually("the app has the beginning", async || {
        cluster.world.app.all().iter().any(|seen| seen.path == path && seen.body() == b"begun").then_some(())
    })
    .await;
    upload
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_and_http2_streams_are_cut_at_one_replica_when_another_one_ends_the_session() {
    let Some(cluster) = Cluster::start(2, "5m").await else { return };
    let (world, ends, stays) = (&cluster.world, cluster.sign_in().await, cluster.sign_in().await);
    let (mut cut, mut kept) = (upload(&cluster, 1, "/cut", &ends).await, upload(&cluster, 1, "/kept", &stays).await);
    let connection = Http2::connect(&cluster.replicas[1].entrance, WIKI).await;
    let cookie = |line: &str| line.trim_start_matches("Cookie: ").trim_end().to_owned();
    let stream = |path: &str, line: &str| {
        let (mut client, url, cookie) = (connection.clone(), world.url(WIKI, path), cookie(line));
        tokio::spawn(async move { client.ask("GET", &url, &[("cookie", &cookie)]).await })
    };
    let (mut client, url, of_call) = (connection.clone(), world.url(WIKI, "/grpc"), cookie(&ends));
    let call = tokio::spawn(async move { client.call(&url, &of_call).await });
    let (events, goes_on) = (stream("/events", &ends), stream("/drip", &stays));
    for path in ["/grpc", "/events", "/drip"] {
        eventually("it has begun", async || world.app.all().iter().any(|seen| seen.path == path).then_some(())).await;
    }
    assert!(cluster.revoke(0, &ends).await);
    let answer = cut.answer().await;
    assert_eq!((answer.status, &*answer.reason()), (403, "access_ended"));
    assert!(!world.app.all().iter().any(|seen| seen.path == "/cut" && seen.has_ended()), "it never looks whole to the app");
    assert!(events.await.unwrap().is_none(), "a stream that was cut is reset");
    let trailers = call.await.unwrap().expect("a call ends with a status");
    assert_eq!((trailers["grpc-status"].as_bytes(), trailers["grpc-message"].as_bytes()), (&b"16"[..], &b"session_invalid"[..]));
    kept.write("ended").await;
    assert_eq!(kept.answer().await.status, 200, "who is still signed in goes on");
    eventually("so it is with what the same connection carries", async || {
        world.app.go_on.notify_waiters();
        goes_on.is_finished().then_some(())
    })
    .await;
    assert_eq!(goes_on.await.unwrap().unwrap().text(), "first second");
}
