//! Devices that are locked, and what a device gave that is over: streams end with it.

use super::devices::{APPS, BOTH, asking, client, connect, served};
use super::revocation::{FAREWELL, UPGRADE, cause, speaks};
use crate::world::authority::{Authority, Shown};
use crate::world::wire::Connection;
use crate::world::{ALICE, BOB, SHOP, World};
use doorward::clock;
use serde_json::{Value, json};
use std::time::Duration;

/// A world that asks for certificates.
async fn world_of(authority: &Authority) -> World {
    let mut setup = asking(authority);
    setup.apps = APPS.to_owned();
    World::of(setup).await
}

/// An open WebSocket of somebody who shows this certificate.
async fn websocket(world: &World, session: &str, shown: Option<&Shown>, path: &str) -> Connection {
    let mut connection = Connection::over(connect(world, &client(world, BOTH[1], shown)).await.unwrap());
    connection.write(world.head("GET", SHOP, path, &format!("Cookie: {session}\r\n{UPGRADE}"))).await;
    assert_eq!(connection.head().await.status, 101, "{path}");
    assert!(speaks(&mut connection).await);
    connection
}

async fn put(world: &World, path: &str, body: &Value) -> Value {
    let answer = world.administer("PUT", &format!("/api/v1/{path}"), "", &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_word_expires_loses_the_stream_that_it_gave_and_no_other() {
    let ours = Authority::new("devices");
    let world = world_of(&ours).await;
    let (session, shown) = (world.session(SHOP, ALICE).await, ours.issue("mac-1", 1));
    let expires = clock::now().plus(Duration::from_secs(8)).to_string();
    let device = json!({ "owner": ALICE.0, "managed": true, "fingerprint": shown.fingerprint(), "expires_at": expires });
    put(&world, "devices/mac-1", &device).await;
    let mut by_device = websocket(&world, &session, Some(&shown), "/managed/ws").await;
    let mut by_certificate = websocket(&world, &session, Some(&shown), "/open/ws").await;
    assert_eq!(by_device.rest().await, FAREWELL);
    assert_eq!(cause(&world, "/managed/ws").await, "not_allowed");
    assert!(speaks(&mut by_certificate).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_device_is_refused_and_cut_and_ends_the_sign_ins_that_were_used_with_it() {
    let ours = Authority::new("devices");
    let world = world_of(&ours).await;
    let (alice, bob) = (world.session(SHOP, ALICE).await, world.session(SHOP, BOB).await);
    let (lost, kept) = (ours.issue("mac-1", 1), ours.issue("mac-2", 2));
    put(&world, "devices/mac-1", &json!({ "owner": "shared", "fingerprint": lost.fingerprint() })).await;
    let mut of_alice = websocket(&world, &alice, Some(&lost), "/a/ws").await;
    let mut of_bob = websocket(&world, &bob, Some(&kept), "/b/ws").await;
    let by_device = world.admin("/api/v1/sessions?device=mac-1").await.json();
    assert_eq!(by_device["sessions"][0]["email"], ALICE.0);
    let by_certificate = world.admin(&format!("/api/v1/sessions?device={}", kept.fingerprint())).await.json();
    assert_eq!(by_certificate["sessions"][0]["email"], BOB.0);
    let locked = put(&world, "locks/device/mac-1", &json!({ "reason": "stolen" })).await;
    assert_eq!(locked["sign_ins"], 1, "{locked}");
    assert_eq!(of_alice.rest().await, FAREWELL);
    assert!(speaks(&mut of_bob).await);
    // Without the certificate too: the thief has the cookies.
    assert_eq!(served(&world, &alice, None, "/x").await.0, 401);
    // Whoever else comes with it is refused, also once the inventory has forgotten it.
    assert_eq!(served(&world, &bob, Some(&lost), "/x").await.1.as_deref(), Some("device_locked"));
    assert_eq!(world.administer("DELETE", "/api/v1/devices/mac-1", "", "").await.status, 204);
    assert_eq!(served(&world, &bob, Some(&lost), "/x").await.1.as_deref(), Some("device_locked"));
    assert_eq!(served(&world, &bob, Some(&kept), "/x").await.0, 200);
    assert_eq!(world.administer("DELETE", "/api/v1/locks/device/mac-1", "", "").await.status, 204);
    assert_eq!(served(&world, &bob, Some(&lost), "/x").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_by_certificate_cuts_what_others_have_open_with_it() {
    let ours = Authority::new("devices");
    let world = world_of(&ours).await;
    let (bob, lost) = (world.session(SHOP, BOB).await, ours.issue("mac-1", 1));
    let expires = clock::now().plus(Duration::from_secs(8)).to_string();
    let mut public = Connection::over(connect(&world, &client(&world, BOTH[1], Some(&lost))).await.unwrap());
    public.write(world.head("GET", "wiki.corp.test", "/public/ws", UPGRADE)).await;
    assert_eq!(public.head().await.status, 101);
    let lock = json!({ "reason": "stolen", "expires_at": expires });
    let locked = put(&world, &format!("locks/device/{}", lost.fingerprint()), &lock).await;
    assert_eq!(locked["sign_ins"], 0);
    assert_eq!(public.rest().await, FAREWELL, "nobody's session was used with it");
    assert_eq!(cause(&world, "/public/ws").await, "device_locked");
    assert_eq!(served(&world, &bob, Some(&lost), "/x").await.0, 403);
    crate::world::eventually("the lock is over", async || (served(&world, &bob, Some(&lost), "/x").await.0 == 200).then_some(()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn saying_a_lock_again_frees_no_certificate_that_the_inventory_has_forgotten() {
    let ours = Authority::new("devices");
    let world = world_of(&ours).await;
    let bob = world.session(SHOP, BOB).await;
    let (stolen, renewed) = (ours.issue("mac-1", 1), ours.issue("mac-1", 2));
    let device = |shown: &Shown| json!({ "owner": "shared", "fingerprint": shown.fingerprint() });
    let is_locked = async |shown: &Shown| served(&world, &bob, Some(shown), "/x").await.1.as_deref() == Some("device_locked");
    put(&world, "devices/mac-1", &device(&stolen)).await;
    put(&world, "locks/device/mac-1", &json!({ "reason": "stolen" })).await;
    assert_eq!(world.administer("DELETE", "/api/v1/devices/mac-1", "", "").await.status, 204);
    put(&world, "locks/device/mac-1", &json!({ "reason": "stolen, case 7" })).await;
    assert!(is_locked(&stolen).await, "forgotten");
    put(&world, "devices/mac-1", &device(&renewed)).await;
    put(&world, "locks/device/mac-1", &json!({ "reason": "stolen, case 8" })).await;
    assert!(is_locked(&stolen).await && is_locked(&renewed).await, "enrolled again");
    assert_eq!(world.administer("DELETE", "/api/v1/devices/mac-1", "", "").await.status, 204);
    assert!(is_locked(&stolen).await && is_locked(&renewed).await, "forgotten again");
    assert_eq!(world.administer("DELETE", "/api/v1/locks/device/mac-1", "", "").await.status, 204);
    assert!(!is_locked(&stolen).await && !is_locked(&renewed).await, "lifted");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_signs_in_with_a_locked_device() {
    let ours = Authority::new("devices");
    let world = world_of(&ours).await;
    let lost = ours.issue("mac-1", 1);
    put(&world, &format!("locks/device/{}", lost.fingerprint()), &json!({ "reason": "stolen" })).await;
    for (path, status) in [
        ("/.doorward/callback?code=x", 403),
        ("/.doorward/session", 403),
        ("/.doorward/logout", 403),
        ("/.doorward/assets/doorward.css", 200),
        ("/.doorward/jwks.json", 200),
    ] {
        assert_eq!(served(&world, "x=y", Some(&lost), path).await.0, status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_has_one_lock_however_it_is_written() {
    let ours = Authority::new("devices");
    let world = world_of(&ours).await;
    let bob = world.session(SHOP, BOB).await;
    let lost = ours.issue("mac-1", 1);
    let plain = lost.fingerprint().to_lowercase().replace(':', "");
    let bytes: Vec<String> =
        plain.to_uppercase().as_bytes().chunks(2).map(|two| String::from_utf8(two.to_vec()).unwrap()).collect();
    put(&world, &format!("locks/device/{}", bytes.join(":")), &json!({ "reason": "stolen" })).await;
    assert_eq!(served(&world, &bob, Some(&lost), "/x").await.0, 403);
    assert_eq!(world.administer("DELETE", &format!("/api/v1/locks/device/{plain}"), "", "").await.status, 204);
    assert_eq!(served(&world, &bob, Some(&lost), "/x").await.0, 200);
}
