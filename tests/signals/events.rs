//! What each event does, and to whom.

use crate::world::authority::{Authority, Shown};
use crate::world::wire::Connection;
use crate::world::{ALICE, BOB, LOGIN, SHOP, Setup, WIKI, World, eventually};
use crate::{CAEP, RISC, Scene, watchful};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::json;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_named_is_out_before_the_event_is_acknowledged_and_nobody_else() {
    let scene = Scene::pushed().await;
    let staff = format!("http://127.0.0.1:{}", scene.world.ports.staff());
    let bob = scene.session(BOB).await;
    let named = [
        scene.of_alice(),
        json!({ "format": "iss_sub", "iss": scene.hr.issuer, "sub": "s-alice" }),
        json!({ "format": "email", "email": "Alice@corp.example" }),
        json!({ "format": "opaque", "id": "s-alice" }),
        json!({ "format": "account", "uri": "acct:alice@corp.example" }),
        json!({ "format": "aliases", "identifiers": [{ "format": "email", "email": "nobody@corp.example" }, scene.of_alice()] }),
        json!({ "format": "complex", "user": scene.of_alice(), "tenant": { "format": "opaque", "id": "t" } }),
        json!({ "user": { "format": "email", "email": "alice@corp.example" }, "device": { "format": "opaque", "id": "mac-1" } }),
    ];
    for subject in named {
        let alice = scene.session(ALICE).await;
        assert!(scene.lives(&alice).await);
        scene.happens(&format!("{CAEP}session-revoked"), subject.clone(), json!({})).await;
        assert!(!scene.lives(&alice).await, "{subject}");
    }
    let alice = scene.session(ALICE).await;
    let nobody = [
        json!({ "format": "iss_sub", "iss": "https://other.example", "sub": "s-alice" }),
        json!({ "format": "iss_sub", "iss": staff, "sub": "s-nobody" }),
        json!({ "format": "email", "email": "lice@corp.example" }),
        json!({ "format": "email", "email": "%" }),
        json!({ "format": "phone_number", "phone_number": "+1 555 0100" }),
        json!({ "format": "did", "url": "did:example:alice" }),
        json!({ "format": "complex", "user": { "format": "email", "email": "x@y.example" }, "session": { "format": "opaque", "id": "1" } }),
        json!({ "format": "complex", "tenant": { "format": "opaque", "id": "t" } }),
        json!({}),
    ];
    for subject in nobody {
        scene.happens(&format!("{CAEP}session-revoked"), subject.clone(), json!({})).await;
        assert!(scene.lives(&alice).await, "{subject}");
    }
    scene.record(json!({ "event": "session-revoked", "outcome": "unmatched" })).await;
    assert!(scene.lives(&bob).await);
    let done = "doorward_signals_total{event=\"session-revoked\",outcome=\"done\",transmitter=\"hr\"}";
    assert_eq!(scene.world.metric(done).await, 8.0);
    assert_eq!(scene.world.metric(&done.replace("done", "unmatched")).await, 9.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_leaves_a_record_of_who_what_and_why() {
    let scene = Scene::pushed().await;
    let alice = scene.session(ALICE).await;
    let details = json!({
        "initiating_entity": "policy", "reason_admin": { "de": "Verlust", "en": "Laptop lost" }, "reason_user": { "de": "Verlust" },
        // In milliseconds, as examples have it.
        "event_timestamp": 1_615_304_991_643_u64,
    });
    scene.happens(&format!("{CAEP}session-revoked"), scene.of_alice(), details).await;
    let record = scene.record(json!({ "event": "session-revoked" })).await;
    assert_eq!(
        [&record["transmitter"], &record["provider"], &record["outcome"], &record["transaction"]],
        ["hr", "staff", "done", "8675309"]
    );
    assert_eq!(record["why"], json!(["Laptop lost", "Verlust"]));
    assert_eq!(
        (&record["people"], &record["ended"], &record["initiated_by"]),
        (&json!(["staff:s-alice"]), &json!(1), &json!("policy"))
    );
    assert!(!scene.lives(&alice).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_another_provider_are_out_of_reach() {
    let scene =
        Scene::of("deliver: push, authorization: { file: authorization }", Setup { partners: true, ..Setup::default() }).await;
    // Two providers know the same person.
    let mut browser = scene.world.browser();
    let to = format!("/.doorward/login?to={}&provider=partners", scene.world.url(WIKI, "/x"));
    assert_eq!(browser.sign_in(&scene.world.url(LOGIN, &to), ALICE).await.status, 200);
    let alice = format!("__Host-doorward={}", browser.cookie(WIKI, "__Host-doorward").unwrap());
    let partners = format!("http://127.0.0.1:{}", scene.world.ports.partners());
    for subject in [
        json!({ "format": "email", "email": "alice@corp.example" }),
        json!({ "format": "opaque", "id": "s-alice" }),
        json!({ "format": "iss_sub", "iss": partners, "sub": "s-alice" }),
    ] {
        for event in ["session-revoked", "credential-change"] {
            scene.happens(&format!("{CAEP}{event}"), subject.clone(), json!({ "change_type": "update" })).await;
        }
        for event in ["account-disabled", "account-purged", "credential-compromise"] {
            scene.happens(&format!("{RISC}{event}"), subject.clone(), json!({})).await;
        }
        assert!(scene.lives(&alice).await, "{subject}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sign_ins_that_are_older_than_a_new_credential_or_a_weaker_level_end() {
    let scene = Scene::pushed().await;
    for (event, details, ends) in [
        ("credential-change", json!({ "change_type": "create", "credential_type": "fido2-roaming" }), false),
        ("credential-change", json!({ "change_type": "update", "event_timestamp": 1000 }), false),
        ("credential-change", json!({ "change_type": "update", "credential_type": "password" }), true),
        ("credential-change", json!({ "change_type": "odd" }), true),
        (
            "assurance-level-change",
            json!({ "namespace": "NIST-AAL", "current_level": "nist-aal2", "change_direction": "increase" }),
            false,
        ),
        (
            "assurance-level-change",
            json!({ "namespace": "NIST-AAL", "current_level": "nist-aal1", "change_direction": "decrease" }),
            true,
        ),
        ("assurance-level-change", json!({ "namespace": "NIST-AAL", "current_level": "nist-aal1" }), true),
    ] {
        let alice = scene.session(ALICE).await;
        scene.happens(&format!("{CAEP}{event}"), scene.of_alice(), details.clone()).await;
        assert_eq!(scene.lives(&alice).await, !ends, "{event} {details}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_have_changed_are_asked_for_before_they_are_used_again() {
    let scene = Scene::pushed().await;
    let alice = scene.session(ALICE).await;
    assert_eq!(scene.status(WIKI, "/read/x", &alice).await, 200);
    for event in [format!("{CAEP}token-claims-change"), format!("{RISC}identifier-changed")] {
        let groups = if event.contains("claims") { vec![] } else { vec!["engineering".to_owned()] };
        let expected = if groups.is_empty() { 403 } else { 200 };
        scene.world.staff.idp.change(ALICE.0, |person| person.groups = groups.clone());
        scene.happens(&event, scene.of_alice(), json!({ "claims": { "groups": [] } })).await;
        assert_eq!(scene.status(WIKI, "/read/x", &alice).await, expected, "{event}");
    }
    scene.record(json!({ "event": "identifier-changed", "renewed": 1 })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_risk_counts_for_as_long_as_its_transmitter_is_heard_of() {
    let more = "deliver: push, authorization: { file: authorization }, silent_after: 3s";
    let scene = Scene::of(more, Setup { apps: watchful(), ..Setup::default() }).await;
    let alice = scene.world.session(SHOP, ALICE).await;
    let statuses = async || (scene.status(SHOP, "/low/x", &alice).await, scene.status(SHOP, "/not-high/x", &alice).await);
    assert_eq!(statuses().await, (403, 200), "unknown is not low");
    assert_eq!(scene.world.administer("POST", "/api/v1/signals/hr/stream", "", "").await.status, 200);
    let risk = async |level: &str| {
        let details = json!({ "current_level": level, "principal": "USER", "risk_reason": "IMPOSSIBLE_TRAVEL" });
        scene.happens(&format!("{CAEP}risk-level-change"), scene.of_alice(), details).await;
    };
    risk("LOW").await;
    eventually("what is low is let in", async || (statuses().await == (200, 200)).then_some(())).await;
    scene.hr.behaviour().verifies = false;
    eventually("what is stale helps nobody in", async || (statuses().await == (403, 200)).then_some(())).await;
    assert_eq!(scene.shown().await["silent"], true);
    let silent = "doorward_signals_silent{transmitter=\"hr\"}";
    eventually("it is counted as silent", async || (scene.world.metric(silent).await == 1.0).then_some(())).await;
    scene.hr.behaviour().verifies = true;
    eventually("a stream that lives again revives what it said", async || (statuses().await == (200, 200)).then_some(())).await;
    risk("HIGH").await;
    assert_eq!(statuses().await, (403, 403));
    scene.hr.behaviour().verifies = false;
    eventually("it falls silent", async || (scene.shown().await["silent"] == true).then_some(())).await;
    assert_eq!(statuses().await, (403, 403), "whoever was a risk does not become harmless by silence");
    assert_eq!(scene.world.administer("DELETE", "/api/v1/risks/user/staff:s-alice", "", "").await.status, 204);
    assert_eq!(statuses().await, (403, 200), "an administrator has the last word");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compromised_credential_ends_sign_ins_and_is_a_risk_until_the_person_has_signed_in_anew() {
    let scene =
        Scene::of("deliver: push, authorization: { file: authorization }", Setup { apps: watchful(), ..Setup::default() }).await;
    let mut browser = scene.world.browser();
    assert_eq!(browser.sign_in(&scene.world.url(SHOP, "/not-high/x"), ALICE).await.status, 200);
    scene.happens(&format!("{RISC}credential-compromise"), scene.of_alice(), json!({ "credential_type": "password" })).await;
    // The provider still knows the browser, and says when the person signed in there: before.
    assert_eq!(browser.go(&scene.world.url(SHOP, "/not-high/x")).await.status, 403);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let mut other = scene.world.browser();
    assert_eq!(other.sign_in(&scene.world.url(SHOP, "/not-high/x"), ALICE).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compromise_counts_from_when_it_is_told_not_from_when_it_may_have_begun() {
    let scene =
        Scene::of("deliver: push, authorization: { file: authorization }", Setup { apps: watchful(), ..Setup::default() }).await;
    let mut browser = scene.world.browser();
    assert_eq!(browser.sign_in(&scene.world.url(SHOP, "/not-high/x"), ALICE).await.status, 200);
    scene.happens(&format!("{RISC}credential-compromise"), scene.of_alice(), json!({ "event_timestamp": 1000 })).await;
    assert_eq!(browser.go(&scene.world.url(SHOP, "/not-high/x")).await.status, 403, "whoever signed in between may know it");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_device_that_may_be_another_provider_s_only_bad_news_counts() {
    let authority = Authority::new("devices");
    let mac = authority.issue("mac-1", 1);
    for (owner, compliant) in [("alice@corp.example", 403), ("shared", 403), ("staff:s-alice", 200)] {
        let devices = format!("id,owner,fingerprint,managed\nmac-1,{owner},{},true\n", mac.fingerprint());
        let setup = Setup {
            tls: ", device_ca: devices.pem",
            files: vec![("devices.pem", authority.pem().into()), ("devices.csv", devices.into())],
            more: "devices: { file: devices.csv }",
            apps: watchful(),
            partners: true,
            ..Setup::default()
        };
        let scene = Scene::of("deliver: push, authorization: { file: authorization }", setup).await;
        let mut browser = scene.world.browser();
        let to = format!("/.doorward/login?to={}&provider=staff", scene.world.url(SHOP, "/x"));
        assert_eq!(browser.sign_in(&scene.world.url(LOGIN, &to), ALICE).await.status, 200);
        let alice = format!("__Host-doorward={}", browser.cookie(SHOP, "__Host-doorward").unwrap());
        for (status, expected) in [("compliant", compliant), ("not-compliant", 403)] {
            let device = json!({ "format": "opaque", "id": "mac-1" });
            scene.happens(&format!("{CAEP}device-compliance-change"), device, json!({ "current_status": status })).await;
            assert_eq!(with_device(&scene.world, "/compliant/x", &alice, &mac).await, expected, "{owner} {status}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_purged_leaves_nothing_behind() {
    let scene = Scene::pushed().await;
    let alice = scene.session(ALICE).await;
    let risk = json!({ "current_level": "HIGH", "principal": "USER" });
    scene.happens(&format!("{CAEP}risk-level-change"), scene.of_alice(), risk).await;
    scene.happens(&format!("{RISC}account-purged"), scene.of_alice(), json!({})).await;
    assert!(!scene.lives(&alice).await);
    let risks = scene.world.admin("/api/v1/risks").await.json();
    assert_eq!(risks["risks"], json!([]));
    scene.happens(&format!("{CAEP}session-revoked"), scene.of_alice(), json!({})).await;
    // Nobody of that name is known any more.
    scene.record(json!({ "event": "session-revoked", "outcome": "unmatched" })).await;
}

/// A gate that knows Alice's device, and what that shows.
pub(crate) fn with_mac() -> (Setup, Shown) {
    let authority = Authority::new("devices");
    let mac = authority.issue("mac-1", 1);
    let devices = format!("id,owner,fingerprint,managed\nmac-1,alice@corp.example,{},true\n", mac.fingerprint());
    let setup = Setup {
        tls: ", device_ca: devices.pem",
        files: vec![("devices.pem", authority.pem().into()), ("devices.csv", devices.into())],
        more: "devices: { file: devices.csv }",
        apps: watchful(),
        ..Setup::default()
    };
    (setup, mac)
}

/// A connection on which a device shows its certificate.
pub(crate) async fn connect(world: &World, shown: &Shown) -> Connection {
    let builder = ClientConfig::builder().with_root_certificates(Arc::clone(&world.roots));
    let client = builder.with_client_auth_cert(shown.chain.clone(), shown.key.clone_key()).unwrap();
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, world.port)).await.unwrap();
    let stream = TlsConnector::from(Arc::new(client)).connect(ServerName::try_from(SHOP).unwrap(), stream).await.unwrap();
    Connection::over(stream)
}

/// One request by somebody's session, with a device's certificate.
async fn with_device(world: &World, path: &str, session: &str, shown: &Shown) -> u16 {
    let mut connection = connect(world, shown).await;
    connection.write(world.head("GET", SHOP, path, &format!("Cookie: {session}\r\n"))).await;
    connection.answer().await.status
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_keeps_the_rules_for_as_long_as_its_transmitter_says_so() {
    let (setup, mac) = with_mac();
    let scene = Scene::of("deliver: push, authorization: { file: authorization }", setup).await;
    let alice = scene.world.session(SHOP, ALICE).await;
    let ask = async || with_device(&scene.world, "/compliant/x", &alice, &mac).await;
    assert_eq!(ask().await, 403, "nobody has said so");
    let device = json!({ "format": "complex", "device": { "format": "opaque", "id": "mac-1" }, "user": scene.of_alice() });
    let changes = |status: &str| json!({ "current_status": status, "previous_status": "unknown" });
    for (subject, status, expected) in [
        (device.clone(), "compliant", 200),
        (device.clone(), "not-compliant", 403),
        (json!({ "format": "opaque", "id": "mac-1" }), "compliant", 200),
        (json!({ "format": "opaque", "id": "mac-2" }), "not-compliant", 200),
        (device, "odd", 403),
    ] {
        scene.happens(&format!("{CAEP}device-compliance-change"), subject.clone(), changes(status)).await;
        assert_eq!(ask().await, expected, "{subject} {status}");
        let asked = json!({ "app": "shop", "path": "/compliant/x", "user": "alice@corp.example", "device_id": "mac-1" });
        let explained = scene.world.administer("POST", "/api/v1/explain", "", &asked.to_string()).await.json();
        assert_eq!(explained["decision"], if expected == 200 { "allow" } else { "deny" }, "{explained}");
    }
    assert_eq!(scene.world.administer("DELETE", "/api/v1/signals/hr", "", "").await.status, 204);
    assert_eq!(ask().await, 403);
}

/// An event of which nobody here knows anything, and one that the operator does not want.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_or_not_wanted_is_acknowledged_and_does_nothing() {
    let more = "deliver: push, authorization: { file: authorization }, events: [credential-change]";
    let scene = Scene::of(more, Setup::default()).await;
    let alice = scene.session(ALICE).await;
    for uri in [format!("{CAEP}session-revoked"), format!("{CAEP}session-presented"), "https://example.com/odd".to_owned()] {
        scene.happens(&uri, scene.of_alice(), json!({})).await;
        assert!(scene.lives(&alice).await, "{uri}");
    }
    scene.record(json!({ "event": "unknown", "outcome": "ignored" })).await;
    scene.happens(&format!("{RISC}account-credential-change-required"), scene.of_alice(), json!({})).await;
    assert!(!scene.lives(&alice).await, "RISC has another name for what is wanted");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_disabled_stays_out_until_the_same_transmitter_or_an_administrator_lets_them_in() {
    let scene = Scene::pushed().await;
    let alice = scene.session(ALICE).await;
    let signs_in = async || scene.world.browser().sign_in(&scene.world.url(WIKI, "/x"), ALICE).await.status == 200;
    let disabled = format!("{RISC}account-disabled");
    scene.happens(&disabled, scene.of_alice(), json!({ "reason": "hijacking" })).await;
    assert!(!scene.lives(&alice).await && !signs_in().await);
    scene.record(json!({ "event": "account-disabled", "why": ["hijacking"] })).await;
    let lock = json!({ "reason": "an administrator's own" }).to_string();
    let path = "/api/v1/locks/user/staff:s-alice";
    assert_eq!(scene.world.administer("PUT", path, "X-Why: case 7\r\n", &lock).await.status, 200);
    scene.happens(&format!("{RISC}account-enabled"), scene.of_alice(), json!({})).await;
    assert!(!signs_in().await, "what an administrator has locked, no transmitter lifts");
    assert_eq!(scene.world.administer("DELETE", path, "X-Why: case 7\r\n", "").await.status, 204);
    assert!(signs_in().await);
    scene.happens(&disabled, scene.of_alice(), json!({})).await;
    assert!(!signs_in().await);
    scene.happens(&format!("{RISC}account-enabled"), scene.of_alice(), json!({})).await;
    assert!(signs_in().await);
    scene.happens(&disabled, scene.of_alice(), json!({})).await;
    assert_eq!(scene.world.administer("DELETE", path, "X-Why: case 7\r\n", "").await.status, 204);
    assert!(signs_in().await, "an administrator has the last word");
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_are_known_to_be_outdated_help_nobody_in_until_they_are_renewed() {
    let scene = Scene::pushed().await;
    let alice = scene.session(ALICE).await;
    let mut events = Connection::tls(&scene.world, WIKI).await;
    events.write(scene.world.head("GET", WIKI, "/events", &format!("Cookie: {alice}\r\n"))).await;
    assert_eq!(events.head().await.status, 200);
    scene.world.staff.is_up(false);
    scene.happens(&format!("{CAEP}token-claims-change"), scene.of_alice(), json!({ "claims": {} })).await;
    for _ in 0..3 {
        let answer = scene.world.get(WIKI, "/read/x", &format!("Cookie: {alice}\r\n")).await;
        assert_eq!((answer.status, &*answer.reason()), (503, "provider_unavailable"), "also between two tries");
    }
    assert_eq!(scene.status(WIKI, "/public/x", &alice).await, 200);
    assert_eq!(scene.status(WIKI, "/.doorward/session", &alice).await, 200, "nobody is signed out by it");
    // What flows may go on for a moment, in which the provider may answer.
    tokio::time::sleep(std::time::Duration::from_secs(14)).await;
    events.rest().await;
    let record = scene.world.record("/events").await;
    assert_eq!((&record["reason"], &record["cause"]), (&json!("access_ended"), &json!("provider_unavailable")));
    scene.world.staff.is_up(true);
    eventually("the claims are renewed", async || (scene.status(WIKI, "/read/x", &alice).await == 200).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_sees_and_lifts_what_a_transmitter_has_locked() {
    let scene = Scene::pushed().await;
    scene.session(ALICE).await;
    scene.happens(&format!("{RISC}account-disabled"), scene.of_alice(), json!({ "reason": "hijacking" })).await;
    let path = "/api/v1/locks/user/staff:s-alice";
    let locks = async || scene.world.admin("/api/v1/locks").await.json()["locks"].as_array().unwrap().clone();
    let all = locks().await;
    let lock =
        json!({ "kind": "user", "name": "staff:s-alice", "source": "transmitter hr", "reason": "hijacking", "expires_at": null });
    assert_eq!(all.len(), 1);
    assert!(lock.as_object().unwrap().iter().all(|(key, value)| all[0][key] == *value), "{all:?}");
    assert_eq!(scene.world.admin(path).await.json(), all[0]);
    // By whatever name she is asked for.
    for user in ["staff:s-alice", ALICE.0] {
        let asked = json!({ "app": "wiki", "path": "/x", "user": user, "groups": ["employees"] }).to_string();
        let answer = scene.world.administer("POST", "/api/v1/explain", "", &asked).await.json();
        assert_eq!((&answer["decision"], &answer["lock"]["source"]), (&json!("deny"), &json!("transmitter hr")), "{answer}");
    }
    let own = json!({ "reason": "an administrator's own" }).to_string();
    assert_eq!(scene.world.administer("PUT", path, "X-Why: case 7\r\n", &own).await.status, 200);
    let sources: Vec<_> = locks().await.iter().map(|lock| lock["source"].clone()).collect();
    assert_eq!(sources, ["administration", "transmitter hr"]);
    let by_address = scene.world.administer("DELETE", &format!("/api/v1/locks/user/{}", ALICE.0), "", "").await;
    assert_eq!(by_address.status, 404);
    assert!(by_address.text().contains("is on `provider:subject`"), "{}", by_address.text());
    assert_eq!(scene.world.administer("DELETE", path, "X-Why: case 7\r\n", "").await.status, 204);
    assert!(locks().await.is_empty());
    assert!(scene.world.browser().sign_in(&scene.world.url(WIKI, "/x"), ALICE).await.status == 200);
}
