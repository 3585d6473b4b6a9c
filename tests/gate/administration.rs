//! The administration API: what it takes, what it refuses, and what it leaves behind.

use crate::world::wire::Connection;
use crate::world::{ALICE, Setup, TOKEN, WIKI, World, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const FINGERPRINT: &str = "aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899";

async fn put(world: &World, path: &str, body: &Value) -> (u16, Value) {
    let answer = world.administer("PUT", path, "", &body.to_string()).await;
    (answer.status, answer.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_kept_until_it_is_taken_out_also_over_a_restart() {
    let mut world = World::start().await;
    let told = json!({
        "owner": "Alice@corp.example", "fingerprint": FINGERPRINT.to_uppercase(), "platform": "macOS", "managed": true,
        "disk_encryption": true, "tags": ["loan"], "expires_at": "2126-01-01T00:00:00Z"
    });
    let (status, kept) = put(&world, "/api/v1/devices/mac-1", &told).await;
    assert_eq!(status, 200, "{kept}");
    assert_eq!(
        [&kept["id"], &kept["owner"], &kept["fingerprint"], &kept["platform"], &kept["source"]],
        ["mac-1", "alice@corp.example", FINGERPRINT, "macos", "api"]
    );
    world.stop().await;
    world.run().await;
    assert_eq!(world.admin("/api/v1/devices/mac-1").await.json(), kept);
    let (status, _) = put(&world, "/api/v1/devices/mac-1", &json!({ "owner": "shared" })).await;
    let replaced = world.admin("/api/v1/devices/mac-1").await.json();
    assert_eq!((status, &replaced["owner"], replaced.get("platform")), (200, &json!("shared"), None), "nothing of before is left");
    assert_eq!(world.administer("DELETE", "/api/v1/devices/mac-1", "", "").await.status, 204);
    assert_eq!(world.administer("DELETE", "/api/v1/devices/mac-1", "", "").await.status, 404);
    assert_eq!(world.admin("/api/v1/devices/mac-1").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_not_right_in_every_part_is_not_taken() {
    let world = World::start().await;
    let (status, _) = put(&world, "/api/v1/devices/mac-1", &json!({ "owner": "shared", "fingerprint": FINGERPRINT })).await;
    assert_eq!(status, 200);
    let cases = [
        ("mac-2", json!({}), 400, "some values"),
        ("mac-2", json!({ "owner": "everybody" }), 400, "some values"),
        ("mac-2", json!({ "owner": "shared", "fingerprint": "aa" }), 400, "some values"),
        ("mac-2", json!({ "owner": "shared", "expires_at": "tomorrow" }), 400, "some values"),
        ("mac-2", json!({ "owner": "shared", "managed": "yes" }), 400, "not the JSON"),
        ("mac-2", json!({ "owner": "shared", "admin": true }), 400, "unknown field"),
        ("mac-2", json!({ "owner": "shared", "id": "mac-3" }), 400, "not the one in the path"),
        ("mac%202", json!({ "owner": "shared" }), 400, "some values"),
        ("mac%00", json!({ "owner": "shared" }), 400, "a NUL"),
        ("mac-2", json!({ "owner": "shared", "platform": "a\0b" }), 400, "a NUL"),
        ("mac-2", json!({ "owner": "shared", "fingerprint": FINGERPRINT }), 409, "`mac-1` has this certificate"),
    ];
    for (id, body, status, message) in cases {
        let answer = put(&world, &format!("/api/v1/devices/{id}"), &body).await;
        assert_eq!(answer.0, status, "{body}");
        assert!(answer.1["error"].as_str().unwrap().contains(message), "{} for {body}", answer.1);
    }
    let all = world.admin("/api/v1/devices").await.json();
    assert_eq!(all["devices"].as_array().unwrap().len(), 1, "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_before_it_is_read_is_refused_in_json_too() {
    let world = World::start().await;
    let large = "x".repeat(3 << 20);
    for (method, path, body, status) in [
        ("PUT", "/api/v1/devices/mac-1", &*large, 413),
        ("PUT", "/api/v1/risks/device/mac-1", &large, 413),
        ("POST", "/api/v1/explain", &large, 413),
        ("POST", "/api/v1/explain", "\u{1}", 400),
        ("GET", "/api/v1/devices?limit=%ff", "", 400),
        ("GET", "/api/v1/risks?after=a&after=b&%zz=%f0%28", "", 200),
        ("GET", "/api/v1/devices/%ff", "", 400),
    ] {
        let answer = world.administer(method, path, "", body).await;
        let kind = answer.header("content-type").unwrap_or_default().to_owned();
        assert_eq!((answer.status, &*kind), (status, "application/json"), "{method} {path}: {}", answer.text());
        assert!(status == 200 || answer.json()["error"].as_str().is_some_and(|error| !error.is_empty()), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_come_in_pages_with_those_of_the_file_among_them() {
    let files = vec![("devices.csv", format!("id,owner,fingerprint\nb,shared,{FINGERPRINT}\nd,shared,\n").into())];
    let world = World::of(Setup { files, more: "devices: { file: devices.csv }", ..Setup::default() }).await;
    for id in ["a", "c", "d"] {
        assert_eq!(put(&world, &format!("/api/v1/devices/{id}"), &json!({ "owner": "shared" })).await.0, 200);
    }
    let taken = json!({ "owner": "shared", "fingerprint": FINGERPRINT });
    assert_eq!(put(&world, "/api/v1/devices/e", &taken).await.0, 409, "a device of the file has it");
    let page = async |query: &str| {
        let page = world.admin(&format!("/api/v1/devices{query}")).await.json();
        let shown = |device: &Value| format!("{} {}", device["id"].as_str().unwrap(), device["source"].as_str().unwrap());
        (page["devices"].as_array().unwrap().iter().map(shown).collect::<Vec<_>>(), page["next"].clone())
    };
    assert_eq!(page("").await, (["a api", "b file", "c api", "d api"].map(String::from).to_vec(), Value::Null));
    assert_eq!(page("?limit=3").await, (["a api", "b file", "c api"].map(String::from).to_vec(), json!("c")));
    assert_eq!(page("?limit=3&after=c").await, (vec!["d api".to_owned()], Value::Null));
    assert_eq!(world.admin("/api/v1/devices?limit=0").await.status, 400);
    assert_eq!(world.administer("DELETE", "/api/v1/devices/b", "", "").await.status, 409, "it is the file's");
    assert_eq!(world.administer("DELETE", "/api/v1/devices/d", "", "").await.status, 204);
    assert_eq!(world.admin("/api/v1/devices/d").await.json()["source"], "file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_risk_is_kept_until_it_is_taken_back_also_over_a_restart() {
    let mut world = World::start().await;
    let told = json!({ "level": "high", "reasons": ["impossible travel"], "expires_at": "2126-01-01T00:00:00Z" });
    for (path, name) in
        [("user/Alice@corp.example", "alice@corp.example"), ("user/staff:a%2F1", "staff:a/1"), ("device/mac-1", "mac-1")]
    {
        let (status, kept) = put(&world, &format!("/api/v1/risks/{path}"), &told).await;
        assert_eq!((status, kept["name"].as_str(), &kept["level"]), (200, Some(name), &json!("high")), "{kept}");
    }
    world.stop().await;
    world.run().await;
    let all = world.admin("/api/v1/risks").await.json();
    assert_eq!(all["risks"].as_array().unwrap().len(), 3, "{all}");
    let one = world.admin("/api/v1/risks/user/alice@corp.example").await.json();
    assert_eq!((&one["reasons"], &one["expires_at"]), (&told["reasons"], &told["expires_at"]));
    for (path, body, status) in [
        ("user/alice", json!({ "level": "low" }), 404),
        ("group/staff:x", json!({ "level": "low" }), 404),
        ("user/bob@corp.example", json!({ "level": "none" }), 400),
        ("user/bob@corp.example", json!({}), 400),
        ("user/bob@corp.example", json!({ "level": "low", "expires_at": "soon" }), 400),
    ] {
        assert_eq!(put(&world, &format!("/api/v1/risks/{path}"), &body).await.0, status, "{path} {body}");
    }
    assert_eq!(world.admin("/api/v1/risks/user/bob@corp.example").await.status, 404, "unknown is not low");
    assert_eq!(world.administer("DELETE", "/api/v1/risks/device/mac-1", "", "").await.status, 204);
    assert_eq!(world.administer("DELETE", "/api/v1/risks/device/mac-1", "", "").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_act_leaves_a_record_of_who_what_and_why() {
    let mut world = World::start().await;
    let lines = "X-Administrator: carol\r\nX-Why: stolen on a train; \"case\" 7\r\n";
    let body = json!({ "level": "high" }).to_string();
    assert_eq!(world.administer("PUT", "/api/v1/risks/device/mac-1", lines, &body).await.status, 200);
    assert_eq!(world.administer("DELETE", "/api/v1/devices/none", "", "").await.status, 404);
    assert_eq!(world.admin("/api/v1/risks").await.status, 200);
    world.stop().await;
    let acts: Vec<Value> = world.trail().into_iter().filter(|record| record["act"] == "administration").collect();
    assert_eq!(acts.len(), 2, "a question is no act: {acts:?}");
    let [put, delete] = &acts[..] else { panic!("{acts:?}") };
    assert_eq!(
        [&put["method"], &put["path"], &put["administrator"], &put["why"], &put["peer"], &put["what"]["level"]],
        ["PUT", "/api/v1/risks/device/mac-1", "carol", "stolen on a train; \"case\" 7", "127.0.0.1", "high"]
    );
    assert_eq!((&put["status"], &delete["status"], &delete["why"]), (&json!(200), &json!(404), &Value::Null));
    assert!(put["time"].as_str().unwrap().ends_with('Z'));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_is_done_and_recorded_also_when_its_client_goes_away() {
    let world = World::start().await;
    let body = json!({ "level": "high" }).to_string();
    let path = |number: u8| format!("/api/v1/risks/device/mac-{number}");
    for number in 0..20 {
        let lines = format!("Host: admin\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: {}\r\n", body.len());
        let mut connection = Connection::plain(world.ports.admin()).await;
        connection.write(format!("PUT {} HTTP/1.1\r\n{lines}\r\n{body}", path(number))).await;
        // Sooner or later after it was read.
        tokio::time::sleep(Duration::from_micros(200 * u64::from(number))).await;
    }
    eventually("what was done is recorded, and nothing else", async || {
        for number in 0..20 {
            let done = world.admin(&path(number)).await.status == 200;
            if done != (world.records(&path(number)).len() == 1) {
                return None;
            }
        }
        Some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_the_description_has_is_there_and_needs_the_token() {
    let world = World::start().await;
    let description = world.admin("/api/v1/openapi.json").await.json();
    assert_eq!(description["openapi"], "3.1.0");
    let mut found = 0;
    for (path, operations) in description["paths"].as_object().unwrap() {
        let path = format!("/api/v1{}", path.replace("{kind}", "user").replace("{id}", "x").replace("{name}", "x@corp.example"));
        for method in operations.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            let method = method.to_uppercase();
            for token in ["", "Authorization: Bearer wrong\r\n", "Authorization: Basic dGhlOmFkbWlu\r\n"] {
                let mut connection = Connection::plain(world.ports.admin()).await;
                connection.write(format!("{method} {path} HTTP/1.1\r\nHost: admin\r\n{token}Content-Length: 0\r\n\r\n")).await;
                let answer = connection.answer().await;
                assert_eq!(answer.status, 401, "{method} {path}");
                assert!(method == "HEAD" || answer.text().contains("{\"error\":"), "{method} {path}");
            }
            let answer = world.administer(&method, &path, "", "{}").await;
            let is_there = answer.status != 405 && (answer.status != 404 || answer.json()["error"].is_string());
            assert!(is_there, "{method} {path}: {}", answer.status);
            found += 1;
        }
    }
    assert!(found >= 10, "{found}");
    let acts = world.trail().into_iter().filter(|record| record["act"] == "administration" && record["status"] == 401);
    assert_eq!(acts.count(), 0, "who has no token does nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_meant_is_recorded_and_not_denied_where_the_store_fails() {
    use sqlx::{Connection as _, Executor as _};
    let world = World::start().await;
    world.session(WIKI, ALICE).await;
    let store = format!("sqlite:{}", world.path("doorward.db").display());
    let mut store = sqlx::SqliteConnection::connect(&store).await.unwrap();
    for on in ["INSERT ON locks", "DELETE ON sign_ins"] {
        let name = on.split(' ').next().unwrap();
        let trigger = format!("CREATE TRIGGER refuse_{name} BEFORE {on} BEGIN SELECT RAISE(ABORT, 'no'); END");
        store.execute(sqlx::AssertSqlSafe(trigger)).await.unwrap();
    }
    let (lock, all) = (json!({ "reason": "left" }).to_string(), json!({ "everything": true }).to_string());
    for (method, path, body, meant) in [
        ("PUT", "/api/v1/locks/user/alice@corp.example", &lock, json!("alice@corp.example")),
        ("POST", "/api/v1/sessions/revoke", &all, json!(true)),
    ] {
        let answer = world.administer(method, path, "", body).await;
        assert_eq!(answer.status, 503);
        assert!(answer.text().contains("not known"), "{}", answer.text());
        let record = world.record(path).await;
        let said = &record["what"]["meant"];
        assert!([&said["name"], &said["everything"]].contains(&&meant), "{record}");
    }
}
