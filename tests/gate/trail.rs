//! What a visit leaves: exactly one audit record, and a count.

use crate::world::browser::NAVIGATION;
use crate::world::http2::Http2;
use crate::world::wire::{Connection, shake_hands};
use crate::world::{ALICE, PAYROLL, ROUGH, WIKI, World, eventually};
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

#[tokio::test(flavor = "multi_thread")]
async fn every_visit_leaves_one_record_that_says_what_became_of_it() {
    let world = World::start().await;
    let alice = format!("Cookie: {}\r\n", world.session(WIKI, ALICE).await);
    let cases = [
        (WIKI, "/ok", &*alice, "wiki", "allow", "allowed", 200),
        (WIKI, "/public/ok", "", "wiki", "allow", "public_route", 200),
        (WIKI, "/nobody", "", "wiki", "challenge", "not_signed_in", 401),
        (WIKI, "/page", NAVIGATION, "wiki", "challenge", "not_signed_in", 302),
        (WIKI, "/forged", "Cookie: __Host-doorward=x\r\n", "wiki", "challenge", "session_invalid", 401),
        (WIKI, "/admin/no", &alice, "wiki", "deny", "not_allowed", 403),
        (WIKI, "/.doorward/session", &alice, "", "own", "reserved", 200),
        (ROUGH, "/nowhere/x", "", "nowhere", "allow", "upstream_unreachable", 502),
        (ROUGH, "/garbage", "", "rough", "allow", "upstream_failed", 502),
    ];
    for (host, path, lines, app, decision, reason, status) in cases {
        let answer = world.get(host, &format!("{path}?token=secret"), lines).await;
        assert_eq!(answer.status, status, "{path}");
        let record = world.record(path).await;
        let app = if app.is_empty() { json!(null) } else { json!(app) };
        assert_eq!(record["request_id"].as_str(), answer.header("x-request-id"), "{path}");
        assert_eq!((&record["app"], &record["decision"], &record["reason"]), (&app, &json!(decision), &json!(reason)), "{path}");
        assert_eq!((&record["status"], &record["method"]), (&json!(status), &json!("GET")));
        assert_eq!((&record["complete"], &record["peer"]), (&json!(true), &json!("127.0.0.1")), "{path}");
        assert_eq!(record["bytes_out"], answer.body.len(), "{path}");
        assert_eq!(record["host"], world.authority(host));
    }
    let allowed = world.record("/ok").await;
    assert_eq!((&allowed["user"], &allowed["email"]), (&json!("staff:s-alice"), &json!(ALICE.0)));
    assert_eq!((&allowed["rule"], &allowed["route"]), (&json!("wiki.allow[0]"), &json!("wiki")));
    let session = allowed["session"].as_str().unwrap();
    assert!(!alice.contains(session), "the trail does not give sessions away");
    let text = std::fs::read_to_string(world.path("audit.jsonl")).unwrap();
    assert!(!text.contains("secret"), "queries may hold secrets");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_visit_leaves_a_record_too() {
    let world = World::start().await;
    world.get(WIKI, "/a%00", "").await;
    world.send(WIKI, "GET /x HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
    let trail = eventually("there are two records", async || Some(world.trail()).filter(|trail| trail.len() >= 2)).await;
    // Each worker writes its own records.
    let mut reasons: Vec<_> = trail.iter().map(|record| record["reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["ambiguous_target", "unknown_host"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_can_not_be_read_leaves_a_record_too() {
    let world = World::start().await;
    world.send(WIKI, world.head("GET", WIKI, "/x", "X : 1\r\n")).await;
    world.send(WIKI, world.head("GET", WIKI, "/x", &format!("X: {}\r\n", "x".repeat(60_000)))).await;
    world.send(WIKI, "\x16\x03\x01\r\n\r\n").await;
    let trail = eventually("there are three records", async || Some(world.trail()).filter(|trail| trail.len() >= 3)).await;
    // Each worker writes its own records.
    let mut statuses: Vec<_> = trail.iter().map(|record| record["status"].as_u64().unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [400, 400, 431]);
    for record in trail {
        assert_eq!((&record["reason"], &record["decision"]), (&json!("bad_request"), &json!("deny")));
        assert_eq!((&record["method"], &record["path"], &record["peer"]), (&json!("-"), &json!(null), &json!("127.0.0.1")));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_the_client_breaks_off_leaves_one_incomplete_record() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    let mut connection = Connection::tls(&world, WIKI).await;
    connection.write(world.head("GET", WIKI, "/endless", &format!("Cookie: {session}\r\n"))).await;
    assert_eq!(connection.head().await.status, 200);
    connection.some().await;
    assert!(world.records("/endless").is_empty(), "a visit ends with its body");
    drop(connection);
    let record = world.record("/endless").await;
    assert_eq!((&record["complete"], &record["status"]), (&json!(false), &json!(200)));
    assert!(record["bytes_out"].as_u64().unwrap() >= 1024);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_the_client_breaks_off_leaves_one_record() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    let mut connection = Connection::tls(&world, WIKI).await;
    let lines = format!("Cookie: {session}\r\nContent-Length: 100\r\n");
    connection.write(world.head("POST", WIKI, "/upload", &lines) + "only a part").await;
    eventually("the app has the part", async || world.app.all().iter().find(|seen| seen.body() == b"only a part").cloned()).await;
    drop(connection);
    let record = world.record("/upload").await;
    assert_eq!((&record["reason"], &record["bytes_in"]), (&json!("bad_request"), &json!(11)), "the app is not to blame");
    assert_eq!(record["decision"], "allow", "the app has seen a part of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_status_is_499_was_not_given_up_by_the_client() {
    let world = World::start().await;
    let url = world.url(WIKI, "/public/say?status=499");
    let client = Http2::connect(&world, WIKI).await;
    // Beyond what a connection may give up; that is looked at every half second.
    for _ in 0..3 {
        let all = (0..300).map(|_| {
            let (mut client, url) = (client.clone(), url.clone());
            async move { client.ask("GET", &url, &[]).await.map(|answer| answer.status) }
        });
        let statuses = futures_util::future::join_all(all).await;
        assert!(statuses.iter().all(|status| *status == Some(499)));
    }
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(client.clone().ask("GET", &url, &[]).await.unwrap().status, 499);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_wait_for_the_answer_leaves_one_record() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    let mut connection = Connection::tls(&world, WIKI).await;
    connection.write(world.head("GET", WIKI, "/wait", &format!("Cookie: {session}\r\n"))).await;
    eventually("the app was asked", async || world.app.all().iter().find(|seen| seen.path == "/wait").cloned()).await;
    drop(connection);
    let record = world.record("/wait").await;
    assert_eq!((&record["complete"], &record["status"]), (&json!(false), &json!(499)));
    assert_eq!((&record["decision"], &record["user"]), (&json!("allow"), &json!("staff:s-alice")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_closes_its_half_has_gone_away_and_leaves_one_record() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    for (count, waits) in [(1, true), (2, false)] {
        let mut stream = shake_hands(&world, WIKI, &[b"http/1.1"]).await;
        stream.write_all(world.head("GET", WIKI, "/wait", &format!("Cookie: {session}\r\n")).as_bytes()).await.unwrap();
        if waits {
            eventually("the app was asked", async || world.app.all().iter().find(|seen| seen.path == "/wait").cloned()).await;
        }
        stream.shutdown().await.unwrap();
        assert_eq!(Connection::over(stream).rest().await, b"");
        // One that is gone before anybody has looked at what it asks for leaves no path behind.
        let gone = || world.trail().iter().filter(|record| record["status"] == 499 && record["complete"] == false).count();
        eventually("there is a record", async || (gone() >= count).then_some(())).await;
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        assert_eq!(gone(), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_breaks_off_leaves_one_incomplete_record() {
    let world = World::start().await;
    let mut connection = Connection::tls(&world, ROUGH).await;
    connection.write(world.head("GET", ROUGH, "/half-a-body", "")).await;
    assert_eq!(connection.head().await.status, 200);
    assert_eq!(connection.some().await, b"abc");
    assert!(connection.is_closed().await, "the client can tell that something is missing");
    assert_eq!(world.record("/half-a-body").await["complete"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_leaves_one_record_when_it_ends() {
    let world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    let mut connection = Connection::tls(&world, WIKI).await;
    let lines = format!("Cookie: {session}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
    connection.write(world.head("GET", WIKI, "/ws", &lines)).await;
    assert_eq!(connection.head().await.status, 101);
    connection.write("hello").await;
    assert_eq!(connection.some().await, b"hellohello");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert!(world.records("/ws").is_empty(), "the visit goes on");
    drop(connection);
    let record = world.record("/ws").await;
    assert_eq!((&record["status"], &record["bytes_out"]), (&json!(101), &json!(10)));
    assert_eq!((&record["reason"], &record["user"]), (&json!("allowed"), &json!("staff:s-alice")));
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_counted_once() {
    let world = World::start().await;
    let alice = format!("Cookie: {}\r\n", world.session(WIKI, ALICE).await);
    let count = async |labels: &str| world.metric(&format!("doorward_requests_total{{{labels}}}")).await;
    let allowed = "app=\"wiki\",decision=\"allow\",status=\"200\"";
    let before = eventually("the sign-in", async || Some(count(allowed).await).filter(|count| *count > 0.5)).await;
    for _ in 0..5 {
        world.get(WIKI, "/x", &alice).await;
        world.get(WIKI, "/admin/x", &alice).await;
        world.get(PAYROLL, "/x", "").await;
        world.get(WIKI, "/a%00", "").await;
    }
    let cases = [
        (allowed, before + 5.0),
        ("app=\"wiki\",decision=\"deny\",status=\"403\"", 5.0),
        ("app=\"payroll\",decision=\"challenge\",status=\"401\"", 5.0),
        ("app=\"\",decision=\"deny\",status=\"400\"", 5.0),
    ];
    for (labels, expected) in cases {
        eventually(labels, async || (count(labels).await >= expected).then_some(())).await;
        assert!((count(labels).await - expected).abs() < 0.5, "{labels}");
    }
    assert!(world.metric("doorward_decision_seconds_count").await < 5.0, "decisions are remembered");
    assert!(world.metric("doorward_logins_total{outcome=\"success\",provider=\"staff\"}").await > 0.5);
}
