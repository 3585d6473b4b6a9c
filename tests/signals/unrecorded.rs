//! What could leave no trace is not done: nobody's access is ended or changed while the audit trail can't be written.

use crate::world::wire::Answer;
use crate::world::{ALICE, LOGIN, Setup, WIKI};
use crate::{CAEP, Scene};
use serde_json::{Value, json};
use std::fs;

const PROVIDER: &str = "    scim: { tokens: [{ file: staff-token }] }
    global_token_revocation: { token: { file: agreed-token } }
";
const STAFF: &str = "the-token-of-the-staff-directory";
const AGREED: &str = "what-was-agreed-with-the-provider";
const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

impl Scene {
    /// Starts anew, with a trail that can't be written, until nothing more may wait to be written.
    async fn with_full_trail(&mut self, when_full: &str) {
        self.world.stop().await;
        let path = self.world.path("doorward.yaml");
        let text = fs::read_to_string(&path).unwrap();
        let full = text.replace("audit: { file: audit.jsonl }", &format!("audit: {{ file: /dev/full, when_full: {when_full} }}"));
        assert_ne!(full, text);
        fs::write(&path, full).unwrap();
        self.world.run().await;
        self.discovered().await;
        // What waits to be written is as long as these reasons.
        let why = format!("X-Why: {}\r\n", "\"".repeat(300_000));
        for _ in 0..200 {
            if self.world.administer("DELETE", "/api/v1/risks/device/none", &why, "").await.status == 503 {
                return;
            }
        }
        panic!("there is room for all of that");
    }

    async fn ask(&self, method: &str, path: &str, token: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let lines = format!("Authorization: Bearer {token}\r\nContent-Length: {}\r\n", body.len());
        self.world.send(LOGIN, self.world.head(method, LOGIN, path, &lines) + &body).await
    }

    /// Everybody who may have the access of Alice ended, or her claims changed, by the name of what they say.
    async fn everybody_asks(&self, user: &str) -> Vec<(&'static str, Answer)> {
        let administer =
            async |method: &str, path: &str, body: Value| self.world.administer(method, path, "", &body.to_string()).await;
        let event = self.hr.token(&format!("{CAEP}session-revoked"), &self.of_alice(), &json!({}));
        let away = json!({ "schemas": [USER], "userName": "alice", "externalId": "s-alice", "active": false });
        vec![
            ("revoke", administer("POST", "/api/v1/sessions/revoke", json!({ "user": "alice@corp.example" })).await),
            ("lock", administer("PUT", "/api/v1/locks/user/alice@corp.example", json!({ "reason": "left" })).await),
            ("risk", administer("PUT", "/api/v1/risks/user/alice@corp.example", json!({ "level": "high" })).await),
            ("replace", self.ask("PUT", &format!("/scim/v2/Users/{user}"), STAFF, &away).await),
            ("delete", self.ask("DELETE", &format!("/scim/v2/Users/{user}"), STAFF, &Value::Null).await),
            ("event", self.hr.push(&event).await),
            (
                "global revocation",
                self.ask("POST", "/.doorward/global-token-revocation", AGREED, &json!({ "sub_id": self.of_alice() })).await,
            ),
        ]
    }
}

/// Has everybody ask while the trail can't be written, and looks for what has come of it.
async fn nothing_is_done(when_full: &str) {
    let files = vec![("staff-token", STAFF.into()), ("agreed-token", AGREED.into())];
    let setup = Setup { provider: PROVIDER, files, ..Setup::default() };
    let mut scene = Scene::of("deliver: push, authorization: { file: authorization }", setup).await;
    let alice = format!("Cookie: {}\r\n", scene.session(ALICE).await);
    let made = json!({ "schemas": [USER], "userName": "alice", "externalId": "s-alice" });
    let user = scene.ask("POST", "/scim/v2/Users", STAFF, &made).await.json()["id"].as_str().unwrap().to_owned();
    scene.with_full_trail(when_full).await;
    for (what, answer) in scene.everybody_asks(&user).await {
        assert_eq!(answer.status, 503, "{what}: {}", answer.text());
    }
    let visit = scene.world.get(WIKI, "/x", &alice).await;
    match when_full {
        "shed" => assert_eq!(visit.status, 200, "{}", visit.text()),
        _ => assert_eq!((visit.status, &*visit.reason()), (503, "audit_unavailable")),
    }
    // Questions leave no record.
    let count = async |path: &str, of: &str| scene.world.admin(path).await.json()[of].as_array().unwrap().len();
    assert_eq!(count("/api/v1/sessions?user=alice@corp.example", "sessions").await, 1);
    assert_eq!((count("/api/v1/locks", "locks").await, count("/api/v1/risks", "risks").await), (0, 0));
    if when_full == "shed" {
        let kept = scene.ask("GET", &format!("/scim/v2/Users/{user}"), STAFF, &Value::Null).await;
        assert_eq!((kept.status, &kept.json()["active"]), (200, &json!(true)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_that_the_audit_trail_cannot_take() {
    nothing_is_done("refuse").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_without_a_record_where_visits_go_on_without_one() {
    nothing_is_done("shed").await;
}
