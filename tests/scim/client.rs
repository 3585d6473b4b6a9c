//! A SCIM client as plain as it gets. In: a world, a token. Out: answers.

use crate::world::wire::{Answer, Connection};
use crate::world::{LOGIN, Setup, World};
use serde_json::{Value, json};

pub(crate) const STAFF: &str = "the-token-of-the-staff-directory";
pub(crate) const READER: &str = "the-token-that-may-read-only-1";
pub(crate) const PAST: &str = "the-token-whose-time-is-over-1";
pub(crate) const PARTNERS: &str = "the-token-of-the-partner-directory";
pub(crate) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub(crate) const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
pub(crate) const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
pub(crate) const PATCH: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

const TOKENS: &str = "    scim:
      tokens:
        - { file: staff-token }
        - { file: reader-token, read_only: true }
        - { file: past-token, expires: '2020-01-01T00:00:00Z' }
";

/// A world whose provider tells of its directory.
pub(crate) async fn world() -> World {
    World::of(setup(TOKENS)).await
}

/// The same with a second provider, which tells of its own.
pub(crate) async fn two_directories() -> World {
    World::of(Setup { partners: true, ..setup(TOKENS) }).await
}

/// What the first is made of, with other lines under the provider.
pub(crate) fn setup(provider: &'static str) -> Setup {
    let files = [("staff-token", STAFF), ("reader-token", READER), ("past-token", PAST), ("partner-token", PARTNERS)];
    let files = files.into_iter().map(|(name, token)| (name, token.as_bytes().to_vec())).collect();
    Setup { provider, partner: "    scim: { tokens: [{ file: partner-token }] }\n", files, ..Setup::default() }
}

/// Sends a request with a token.
pub(crate) async fn send(world: &World, token: &str, method: &str, path: &str, lines: &str, body: &str) -> Answer {
    let length = body.len();
    let lines =
        format!("Authorization: Bearer {token}\r\nContent-Type: application/scim+json\r\n{lines}Content-Length: {length}\r\n");
    let mut connection = Connection::tls(world, LOGIN).await;
    connection.write(world.head(method, LOGIN, &format!("/scim/v2{path}"), &lines) + body).await;
    connection.answer().await
}

/// The same with the usual token: the status, and what the body says.
pub(crate) async fn call(world: &World, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let answer = send(world, STAFF, method, path, "", &text).await;
    let said = if answer.body.is_empty() { Value::Null } else { answer.json() };
    (answer.status, said)
}

pub(crate) async fn get(world: &World, path: &str) -> Value {
    let (status, said) = call(world, "GET", path, &Value::Null).await;
    assert_eq!(status, 200, "{said}");
    said
}

/// Makes a user with these members beside a name; the id.
pub(crate) async fn user(world: &World, name: &str, more: Value) -> String {
    let mut body = json!({ "schemas": [USER, ENTERPRISE], "userName": name });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, made) = call(world, "POST", "/Users", &body).await;
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

/// Makes a group of these users; the id.
pub(crate) async fn group(world: &World, name: &str, members: &[&str]) -> String {
    let members: Vec<_> = members.iter().map(|id| json!({ "value": id })).collect();
    let (status, made) =
        call(world, "POST", "/Groups", &json!({ "schemas": [GROUP], "displayName": name, "members": members })).await;
    assert_eq!(status, 201, "{made}");
    made["id"].as_str().unwrap().to_owned()
}

pub(crate) async fn patch(world: &World, path: &str, operations: Value) -> (u16, Value) {
    call(world, "PATCH", path, &json!({ "schemas": [PATCH], "Operations": operations })).await
}

/// A path with a filter in its query.
pub(crate) fn filtered(path: &str, filter: &str) -> String {
    let query: String = url::form_urlencoded::Serializer::new(String::new()).append_pair("filter", filter).finish();
    format!("{path}?{query}")
}

/// How many resources match.
pub(crate) async fn count(world: &World, path: &str, filter: &str) -> u64 {
    get(world, &filtered(path, filter)).await["totalResults"].as_u64().unwrap()
}
