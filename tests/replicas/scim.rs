//! What a directory says at one replica is so at the others: by the real way, SCIM at the one and requests and streams at the other.

use crate::cluster::Cluster;
use crate::world::wire::{Answer, Connection, PATIENCE};
use crate::world::{LOGIN, PAYROLL, Setup, WIKI, eventually};
use serde_json::{Value, json};

pub(crate) const TOKEN: &str = "the-token-of-the-staff-directory";
pub(crate) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub(crate) const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

async fn cluster() -> Option<Cluster> {
    let files = vec![("staff-token", TOKEN.as_bytes().to_vec())];
    let setup = Setup { provider: "    scim: { tokens: [{ file: staff-token }] }\n", files, ..Setup::default() };
    Cluster::of(2, "5m", setup).await
}

/// What the first replica answers to a directory.
async fn call(cluster: &Cluster, method: &str, path: &str, body: &str) -> Answer {
    call_at(cluster, 0, method, path, body).await
}

/// The same of another one.
pub(crate) async fn call_at(cluster: &Cluster, replica: usize, method: &str, path: &str, body: &str) -> Answer {
    let lines = format!("Authorization: Bearer {TOKEN}\r\nContent-Type: application/scim+json\r\n");
    cluster.send(replica, method, (LOGIN, &format!("/scim/v2{path}")), &lines, body).await
}

pub(crate) async fn create(cluster: &Cluster, path: &str, body: Value) -> String {
    let made = call(cluster, "POST", path, &body.to_string()).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["id"].as_str().unwrap().to_owned()
}

async fn patch(cluster: &Cluster, path: &str, operation: Value) {
    let body = json!({ "schemas": [PATCH], "Operations": [operation] }).to_string();
    let done = call(cluster, "PATCH", path, &body).await;
    assert_eq!(done.status, 200, "{}", done.text());
}

/// What the other replica has been asked.
async fn asked(cluster: &Cluster, host: &str, path: &str, cookie: &str) -> Connection {
    let mut connection = Connection::tls(&cluster.replicas[1].entrance, host).await;
    connection.write(cluster.world.head("GET", host, path, cookie)).await;
    connection
}

async fn status(cluster: &Cluster, host: &str, cookie: &str) -> u16 {
    asked(cluster, host, "/", cookie).await.answer().await.status
}

async fn stream(cluster: &Cluster, host: &str, cookie: &str) -> Connection {
    let mut stream = asked(cluster, host, "/events", cookie).await;
    assert_eq!(stream.head().await.status, 200);
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_directory_takes_away_at_one_replica_is_gone_at_another_streams_included() {
    let Some(cluster) = cluster().await else { return };
    let ana = create(&cluster, "/Users", json!({ "schemas": [USER], "userName": "ana@corp.example" })).await;
    let finance =
        create(&cluster, "/Groups", json!({ "schemas": [GROUP], "displayName": "finance", "members": [{ "value": ana }] })).await;
    let (payroll, wiki) = (cluster.sign_in_at(PAYROLL).await, cluster.sign_in_at(WIKI).await);
    let (mut money, mut pages) = (stream(&cluster, PAYROLL, &payroll).await, stream(&cluster, WIKI, &wiki).await);
    assert_eq!((status(&cluster, PAYROLL, &payroll).await, status(&cluster, WIKI, &wiki).await), (200, 200));
    let out = json!({ "op": "remove", "path": format!("members[value eq \"{ana}\"]") });
    patch(&cluster, &format!("/Groups/{finance}"), out).await;
    eventually("the group is lost", async || (status(&cluster, PAYROLL, &payroll).await == 403).then_some(())).await;
    tokio::time::timeout(PATIENCE, money.rest()).await.expect("so is what it gave");
    assert_eq!(status(&cluster, WIKI, &wiki).await, 200, "and nothing else");
    patch(&cluster, &format!("/Users/{ana}"), json!({ "op": "replace", "path": "active", "value": false })).await;
    eventually("the person is out", async || (status(&cluster, WIKI, &wiki).await == 401).then_some(())).await;
    tokio::time::timeout(PATIENCE, pages.rest()).await.expect("with all streams");
    assert_eq!(status(&cluster, PAYROLL, &payroll).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_postgresql_cannot_keep_is_the_fault_of_who_sends_it() {
    let Some(cluster) = cluster().await else { return };
    let patched = json!({ "schemas": [PATCH], "Operations": [{ "op": "replace", "path": "displayName", "value": "a\0b" }] });
    let ana = create(&cluster, "/Users", json!({ "schemas": [USER], "userName": "ana" })).await;
    let bulk = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": [{ "method": "DELETE", "path": "/Users/a\0b" }] });
    for (method, path, body, expected) in [
        ("GET", "/Users/a%00b", String::new(), 400),
        ("GET", "/Users?filter=id%20eq%20%22a%00b%22", String::new(), 400),
        ("GET", "/Users?filter=id%20eq%20%22a%5Cu0000b%22", String::new(), 400),
        ("POST", "/Users", json!({ "schemas": [USER], "userName": "a\0b" }).to_string(), 400),
        ("POST", "/Users/.search", json!({ "filter": "userName eq \"a\\u0000b\"" }).to_string(), 400),
        ("POST", "/Groups", json!({ "schemas": [GROUP], "displayName": "a", "members": [{ "value": "a\0b" }] }).to_string(), 400),
        ("PATCH", &format!("/Users/{ana}"), patched.to_string(), 400),
        ("POST", "/Bulk", bulk.to_string(), 400),
    ] {
        let answer = call(&cluster, method, path, &body).await;
        assert_eq!(answer.status, expected, "{method} {path} {body}: {}", answer.text());
    }
}
