//! What flows at one replica ends when another one ends the right to it.

use crate::cluster::Cluster;
use crate::world::WIKI;
use crate::world::wire::Connection;

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
