//! What a replica answers to whoever wants access ended while its database can't be reached: nothing that is not written is acknowledged.

use crate::cluster::Cluster;
use crate::scim::{self, PATCH, USER};
use crate::world::transmitter::{self, AUTHORIZATION, Transmitter};
use crate::world::wire::Answer;
use crate::world::{LOGIN, Setup, WIKI, eventually};
use serde_json::json;

const PROVIDER: &str = "    scim: { tokens: [{ file: staff-token }] }
    global_token_revocation: { token: { file: agreed-token } }
";
const AGREED: &str = "what-was-agreed-with-the-provider";
/// The ways to end the access of somebody, and what is answered once it has ended; the last one keeps them out for good.
const WAYS: [(&str, u16); 6] = [
    ("sign-out", 200),
    ("administration", 200),
    ("back channel", 200),
    ("global revocation", 204),
    ("event", 202),
    ("directory", 200),
];

/// Two replicas, both of which know the provider and what it signs with.
struct Scene {
    cluster: Cluster,
    hr: Transmitter,
    /// Ana's name in the directory.
    ana: String,
}

impl Scene {
    async fn start() -> Option<Self> {
        let hr = Transmitter::start("/tenants/corp").await;
        let files = [
            ("staff-token", scim::TOKEN),
            ("agreed-token", AGREED),
            ("api-token", transmitter::TOKEN),
            ("authorization", AUTHORIZATION),
        ];
        let files = files.into_iter().map(|(name, text)| (name, text.as_bytes().to_vec())).collect();
        let signals = hr.configured("hr", "deliver: push, authorization: { file: authorization }");
        let cluster = Cluster::of(2, "5m", Setup { provider: PROVIDER, files, signals, ..Setup::default() }).await?;
        let user = json!({ "schemas": [USER], "userName": "ana@corp.example" });
        let ana = scim::create(&cluster, "/Users", user).await;
        let scene = Self { cluster, hr, ana };
        eventually("the provider and the transmitter are discovered", async || {
            let at = &scene.cluster.replicas[1];
            let known = async |path: &str, pointer: &str| {
                at.administer("GET", path, "").await.json().pointer(pointer) == Some(&json!(true))
            };
            (known("/api/v1/status", "/providers/0/up").await && known("/api/v1/signals", "/transmitters/0/discovered").await)
                .then_some(())
        })
        .await;
        Some(scene)
    }

    /// What the second replica answers when the access of Ana, who has this session, is to end in this way.
    async fn end(&self, way: &str, cookie: &str) -> Answer {
        let (cluster, staff) = (&self.cluster, &self.cluster.world.staff);
        let ana = json!({ "format": "iss_sub", "iss": format!("http://127.0.0.1:{}", cluster.world.ports.staff()), "sub": "ana" });
        match way {
            "sign-out" => {
                cluster.send(1, "GET", (WIKI, "/.doorward/logout"), &format!("{cookie}Sec-Fetch-Site: none\r\n"), "").await
            }
            "administration" => {
                let meant = json!({ "user": "ana@corp.example" });
                cluster.replicas[1].administer("POST", "/api/v1/sessions/revoke", &meant.to_string()).await
            }
            "back channel" => {
                let lines = "Content-Type: application/x-www-form-urlencoded\r\n";
                self.post("/.doorward/backchannel-logout", lines, &format!("logout_token={}", staff.logout_token("ana"))).await
            }
            "global revocation" => {
                let lines = format!("Authorization: Bearer {AGREED}\r\nContent-Type: application/json\r\n");
                self.post("/.doorward/global-token-revocation", &lines, &json!({ "sub_id": ana }).to_string()).await
            }
            "event" => {
                let lines = format!("Authorization: {AUTHORIZATION}\r\nContent-Type: application/secevent+jwt\r\n");
                let uri = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";
                self.post("/.doorward/events", &lines, &self.hr.token(uri, &ana, &json!({}))).await
            }
            "directory" => {
                let out = json!({ "op": "replace", "path": "active", "value": false });
                let body = json!({ "schemas": [PATCH], "Operations": [out] }).to_string();
                scim::call_at(cluster, 1, "PATCH", &format!("/Users/{}", self.ana), &body).await
            }
            other => panic!("nobody ends access by {other}"),
        }
    }

    async fn post(&self, path: &str, lines: &str, body: &str) -> Answer {
        self.cluster.send(1, "POST", (LOGIN, path), lines, body).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_written_is_acknowledged_to_nobody_who_wants_access_ended() {
    let Some(scene) = Scene::start().await else { return };
    let cluster = &scene.cluster;
    let cookie = cluster.sign_in().await;
    assert!(cluster.uses(0, &cookie).await && cluster.uses(1, &cookie).await);
    cluster.replicas[1].wire.cut();
    for (way, _) in WAYS {
        let answer = scene.end(way, &cookie).await;
        assert_eq!(answer.status, 503, "{way}: {}", answer.text());
    }
    cluster.replicas[1].wire.mend();
    cluster.replicas[1].is_ready().await;
    assert!(cluster.uses(0, &cookie).await && cluster.uses(1, &cookie).await, "nothing was done in part");
    for (way, status) in WAYS {
        let cookie = cluster.sign_in().await;
        assert!(cluster.uses(1, &cookie).await, "{way}");
        let answer = scene.end(way, &cookie).await;
        assert_eq!(answer.status, status, "{way}: {}", answer.text());
        assert_eq!(cluster.ask(1, &cookie).await, Some(401), "{way}: it was the database alone that was missing");
    }
}
