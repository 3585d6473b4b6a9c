//! What an event takes away while it is in use.

use crate::events::{connect, with_mac};
use crate::world::wire::Connection;
use crate::world::{ALICE, BOB, SHOP, Setup, World};
use crate::{CAEP, RISC, Scene, watchful};
use serde_json::json;

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// A masked text frame, `hi`, which comes back twice.
const FRAME: &[u8] = &[0x81, 0x82, 0, 0, 0, 0, b'h', b'i'];
const FAREWELL: &[u8] = b"\x88\x0e\x03\xf0access ended";

async fn websocket(world: &World, path: &str, session: &str) -> Connection {
    upgraded(Connection::tls(world, SHOP).await, world, path, session).await
}

async fn upgraded(mut connection: Connection, world: &World, path: &str, session: &str) -> Connection {
    connection.write(world.head("GET", SHOP, path, &format!("Cookie: {session}\r\n{UPGRADE}"))).await;
    assert_eq!(connection.head().await.status, 101, "{path}");
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn what_flows_is_cut_by_the_event_that_ends_it_and_goes_on_for_others() {
    let more = "deliver: push, authorization: { file: authorization }";
    let scene = Scene::of(more, Setup { apps: watchful(), ..Setup::default() }).await;
    let bob = scene.world.session(SHOP, BOB).await;
    let mut of_bob = websocket(&scene.world, "/not-high/bob/ws", &bob).await;
    for (path, event, details, cause) in [
        (
            "/not-high/ws",
            format!("{CAEP}risk-level-change"),
            json!({ "current_level": "HIGH", "principal": "USER" }),
            "denied_by_rule",
        ),
        ("/revoked/ws", format!("{CAEP}session-revoked"), json!({}), "session_invalid"),
        ("/disabled/ws", format!("{RISC}account-disabled"), json!({}), "session_invalid"),
    ] {
        let alice = scene.world.session(SHOP, ALICE).await;
        let mut of_alice = websocket(&scene.world, path, &alice).await;
        scene.happens(&event, scene.of_alice(), details).await;
        assert_eq!(of_alice.rest().await, FAREWELL, "{event}");
        let record = scene.world.record(path).await;
        assert_eq!((&record["reason"], &record["cause"]), (&json!("access_ended"), &json!(cause)), "{event}");
    }
    of_bob.write(FRAME).await;
    assert_eq!(of_bob.some().await.first(), FRAME.first());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_said_to_keep_the_rules_no_more_loses_what_that_gave_and_nothing_else() {
    let (setup, mac) = with_mac();
    let scene = Scene::of("deliver: push, authorization: { file: authorization }", setup).await;
    let (world, alice) = (&scene.world, scene.world.session(SHOP, ALICE).await);
    let device = json!({ "format": "complex", "device": { "format": "opaque", "id": "mac-1" }, "user": scene.of_alice() });
    let event = format!("{CAEP}device-compliance-change");
    scene.happens(&event, device.clone(), json!({ "current_status": "compliant" })).await;
    let mut by_device = upgraded(connect(world, &mac).await, world, "/compliant/ws", &alice).await;
    let mut by_domain = upgraded(connect(world, &mac).await, world, "/ws", &alice).await;
    scene.happens(&event, device, json!({ "current_status": "not-compliant" })).await;
    assert_eq!(by_device.rest().await, FAREWELL);
    let record = world.record("/compliant/ws").await;
    assert_eq!((&record["reason"], &record["cause"]), (&json!("access_ended"), &json!("not_allowed")));
    by_domain.write(FRAME).await;
    assert_eq!(by_domain.some().await.first(), FRAME.first());
}
