//! What a directory does to people who are signed in, or want to be.

use crate::client::{ENTERPRISE, GROUP, STAFF, USER, call, group, patch, send, setup, user, world};
use crate::world::wire::Connection;
use crate::world::{ALICE, BOB, LOGIN, MALLORY, PAYROLL, Setup, WIKI, Who, World, eventually};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const SUBJECT: &str = "s-bob";

pub(crate) async fn status(world: &World, host: &str, path: &str, cookie: &str) -> u16 {
    world.get(host, path, &format!("Cookie: {cookie}\r\n")).await.status
}

/// What a sign-in from the beginning leads to: the status, and the text of the page.
pub(crate) async fn sign_in(world: &World, host: &str, who: Who) -> (u16, String) {
    let page = world.browser().sign_in(&world.url(host, "/"), who).await;
    (page.status, page.text())
}

/// A header that the app gets.
pub(crate) async fn told(world: &World, cookie: &str, name: &str) -> String {
    world.app.forget();
    assert_eq!(status(world, WIKI, "/", cookie).await, 200);
    world.app.only().folded(name).join("; ")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_deactivated_is_out_at_once_and_stays_out_until_activated() {
    let world = world().await;
    let id = user(&world, "bob", json!({ "externalId": SUBJECT })).await;
    let finance = group(&world, "finance", &[&id]).await;
    assert!(!finance.is_empty());
    let session = world.session(PAYROLL, BOB).await;
    let other = world.session(WIKI, ALICE).await;
    assert_eq!(status(&world, PAYROLL, "/", &session).await, 200);
    let (done, said) = patch(&world, &format!("/Users/{id}"), json!([{ "op": "replace", "value": { "active": false } }])).await;
    assert_eq!((done, &said["active"]), (200, &json!(false)), "{said}");
    assert_eq!(status(&world, PAYROLL, "/", &session).await, 401, "the next request already");
    assert_eq!(status(&world, WIKI, "/", &other).await, 200, "nobody else is concerned");
    let (refused, page) = sign_in(&world, PAYROLL, BOB).await;
    assert!(refused == 403 && page.contains("account_deactivated"), "{page}");
    patch(&world, &format!("/Users/{id}"), json!([{ "op": "replace", "path": "active", "value": true }])).await;
    assert_eq!(status(&world, PAYROLL, "/", &session).await, 401, "what has ended does not come back");
    assert_eq!(sign_in(&world, PAYROLL, BOB).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_deleted_is_out_for_good_and_making_them_anew_revives_no_session() {
    let mut world = world().await;
    let id = user(&world, "bob@corp.example", json!({})).await;
    let session = world.session(WIKI, BOB).await;
    assert_eq!(call(&world, "DELETE", &format!("/Users/{id}"), &Value::Null).await.0, 204);
    assert_eq!(status(&world, WIKI, "/", &session).await, 401);
    assert_eq!(sign_in(&world, WIKI, BOB).await.0, 403);
    assert_eq!(call(&world, "GET", &format!("/Users/{id}"), &Value::Null).await.0, 404);
    world.stop().await;
    world.run().await;
    let (refused, page) = eventually("the provider is known again", async || {
        let (status, page) = sign_in(&world, WIKI, BOB).await;
        (status != 503).then_some((status, page))
    })
    .await;
    assert!(refused == 403 && page.contains("account_deactivated"), "a restart forgets nothing: {page}");
    let anew = user(&world, "Bob@Corp.example", json!({})).await;
    assert_ne!(anew, id);
    assert_eq!(status(&world, WIKI, "/", &session).await, 401);
    assert_eq!(sign_in(&world, WIKI, BOB).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_group_takes_what_it_gave_streams_included_and_nothing_else() {
    let world = world().await;
    let id = user(&world, "bob@corp.example", json!({})).await;
    let finance = group(&world, "finance", &[&id]).await;
    let session = world.session(PAYROLL, BOB).await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), BOB).await;
    let wiki = format!("__Host-doorward={}", browser.cookie(WIKI, "__Host-doorward").unwrap());
    let mut stream = Connection::tls(&world, PAYROLL).await;
    stream.write(world.head("GET", PAYROLL, "/events", &format!("Cookie: {session}\r\n"))).await;
    assert_eq!(stream.head().await.status, 200);
    let operation = json!([{ "op": "remove", "path": format!("members[value eq \"{id}\"]") }]);
    assert_eq!(patch(&world, &format!("/Groups/{finance}"), operation).await.0, 200);
    assert_eq!(status(&world, PAYROLL, "/", &session).await, 403);
    assert_eq!(status(&world, WIKI, "/", &wiki).await, 200, "the sign-in itself goes on");
    tokio::time::timeout(Duration::from_secs(10), stream.rest()).await.expect("the stream is cut");
    let record = world.record("/events").await;
    assert_eq!((&record["reason"], &record["cause"]), (&json!("access_ended"), &json!("not_allowed")), "{record}");
    let operation = json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }]);
    assert_eq!(patch(&world, &format!("/Groups/{finance}"), operation).await.0, 200);
    assert_eq!(status(&world, PAYROLL, "/", &session).await, 200, "and what is given counts at once too");
    assert_eq!(
        patch(&world, &format!("/Groups/{finance}"), json!([{ "op": "replace", "path": "displayName", "value": "money" }])).await.0,
        200
    );
    assert_eq!(status(&world, PAYROLL, "/", &session).await, 403, "a group by another name is another group");
    assert_eq!(call(&world, "DELETE", &format!("/Groups/{finance}"), &Value::Null).await.0, 204);
    assert_eq!(status(&world, WIKI, "/", &wiki).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_the_directory_count_as_the_configuration_says() {
    let cases = [
        ("    scim: { tokens: [{ file: staff-token }] }\n", "auditors", 403),
        ("    scim: { tokens: [{ file: staff-token }], groups: add }\n", "auditors,employees,finance", 200),
        ("    scim: { tokens: [{ file: staff-token }], groups: ignore }\n", "employees,finance", 200),
    ];
    for (provider, groups, payroll) in cases {
        let world = World::of(setup(provider)).await;
        let id = user(&world, "bob@corp.example", json!({})).await;
        group(&world, "auditors", &[&id]).await;
        let session = world.session(WIKI, BOB).await;
        assert_eq!(told(&world, &session, "x-remote-groups").await, groups, "{provider}");
        assert_eq!(sign_in(&world, PAYROLL, BOB).await.0, payroll, "{provider}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_directory_says_of_a_person_wins_over_the_claims_and_counts_at_once() {
    let apps = "  shop:\n    url: https://shop.corp.test:HTTPS\n    upstream: http://127.0.0.1:APP\n    identity: { X-Cost: costCenter }\n    allow: [{ claims: { costCenter: ['4711'] } }]\n";
    let world = World::of(Setup { apps: apps.to_owned(), ..setup("    scim: { tokens: [{ file: staff-token }] }\n") }).await;
    let said = json!({ ENTERPRISE: { "department": "audit", "costCenter": "4711" } });
    let id = user(&world, "bob@corp.example", said).await;
    let session = world.session(WIKI, BOB).await;
    assert_eq!(told(&world, &session, "x-department").await, "audit", "the claims say finance");
    let shop = world.session("shop.corp.test", BOB).await;
    let operation = json!([{ "op": "replace", "path": format!("{ENTERPRISE}:costCenter"), "value": "1" }]);
    assert_eq!(patch(&world, &format!("/Users/{id}"), operation).await.0, 200);
    assert_eq!(status(&world, "shop.corp.test", "/", &shop).await, 403);
    let operation = json!([{ "op": "remove", "path": format!("{ENTERPRISE}:department") }]);
    assert_eq!(patch(&world, &format!("/Users/{id}"), operation).await.0, 200);
    assert_eq!(told(&world, &session, "x-department").await, "finance", "what it does not say, the claims do");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_tied_by_what_is_sure_and_never_by_guess() {
    let world = world().await;
    // Two that it could be, and one of them is out: so is whoever it could be.
    user(&world, "bob@corp.example", json!({})).await;
    let second =
        user(&world, "robert", json!({ "active": false, "emails": [{ "value": "BOB@corp.example", "primary": true }] })).await;
    let (refused, page) = sign_in(&world, WIKI, BOB).await;
    assert!(refused == 403 && page.contains("account_deactivated"), "{page}");
    // Both are active: neither is chosen, and there are no groups but those of the directory.
    let activate = json!([{ "op": "replace", "path": "active", "value": true }]);
    assert_eq!(patch(&world, &format!("/Users/{second}"), activate).await.0, 200);
    let session = world.session(WIKI, BOB).await;
    assert_eq!(told(&world, &session, "x-remote-groups").await, "");
    // An address that is not the primary one says nothing.
    let emails = json!([{ "value": "a@corp.example", "primary": true }, { "value": "alice@corp.example" }]);
    user(&world, "somebody", json!({ "active": false, "emails": emails })).await;
    assert_eq!(sign_in(&world, WIKI, ALICE).await.0, 200);
    // The subject goes before the address.
    user(&world, "alice@corp.example", json!({ "active": false })).await;
    assert_eq!(sign_in(&world, WIKI, ALICE).await.0, 403);
    user(&world, "al", json!({ "externalId": "s-alice" })).await;
    assert_eq!(sign_in(&world, WIKI, ALICE).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_nobody_vouches_for_ties_nobody() {
    let world = World::of(setup("    scim: { tokens: [{ file: staff-token }], required: true }\n")).await;
    user(&world, "bob@corp.example", json!({})).await;
    assert_eq!(sign_in(&world, WIKI, BOB).await.0, 200);
    world.staff.idp.change(BOB.0, |person| person.email_verified = false);
    let (refused, page) = sign_in(&world, WIKI, BOB).await;
    assert!(refused == 403 && page.contains("not_in_directory"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_directory_is_required_whoever_is_not_in_it_is_refused() {
    let world = World::of(setup("    scim: { tokens: [{ file: staff-token }], required: true, match: external_id }\n")).await;
    user(&world, "alice@corp.example", json!({})).await;
    let (refused, page) = sign_in(&world, WIKI, ALICE).await;
    assert!(refused == 403 && page.contains("not_in_directory"), "an address does not count here: {page}");
    let id = user(&world, "bob", json!({ "externalId": SUBJECT })).await;
    let session = world.session(WIKI, BOB).await;
    let (changed, _) = patch(&world, &format!("/Users/{id}"), json!([{ "op": "remove", "path": "externalId" }])).await;
    assert_eq!((changed, status(&world, WIKI, "/", &session).await), (200, 401));
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_are_renewed_stay_under_the_directory() {
    let short = Setup { token_life: Duration::from_secs(2), ..setup("    scim: { tokens: [{ file: staff-token }] }\n") };
    let world = World::of(short).await;
    let id = user(&world, "bob@corp.example", json!({})).await;
    group(&world, "auditors", &[&id]).await;
    let session = world.session(WIKI, BOB).await;
    let before = world.staff.refreshes();
    eventually("claims are renewed", async || {
        assert_eq!(told(&world, &session, "x-remote-groups").await, "auditors");
        (world.staff.refreshes() > before + 1).then_some(())
    })
    .await;
    // The provider gives them the address of somebody who is out.
    user(&world, "robert@corp.example", json!({ "active": false })).await;
    world.staff.idp.change(BOB.0, |person| person.email = "robert@corp.example".into());
    eventually("the renewal ends it", async || (status(&world, WIKI, "/", &session).await == 401).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_is_deactivated_while_they_sign_in_gets_nowhere() {
    let world = world().await;
    let id = user(&world, "bob@corp.example", json!({})).await;
    let mut browser = world.browser();
    let form = browser.go(&world.url(WIKI, "/")).await;
    let callback = browser.fill_in(&form, BOB).await;
    // Signed in, and not yet handed over to the app.
    let handed = browser.until(&callback, &world.url(WIKI, "/.doorward/callback")).await;
    assert_eq!(
        patch(&world, &format!("/Users/{id}"), json!([{ "op": "Replace", "path": "active", "value": "False" }])).await.0,
        200
    );
    let answer = browser.step(&handed, None).await;
    assert!(answer.status >= 400, "{}", answer.status);
    assert!(browser.cookie(WIKI, "__Host-doorward").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_act_of_a_directory_is_on_record_with_whose_sign_ins_it_ended() {
    let world = world().await;
    let id = user(&world, "bob@corp.example", json!({})).await;
    world.session(WIKI, BOB).await;
    assert_eq!(patch(&world, &format!("/Users/{id}"), json!([{ "op": "replace", "path": "active", "value": false }])).await.0, 200);
    let path = format!("/scim/v2/Users/{id}");
    let record =
        eventually("it is on record", async || world.records(&path).into_iter().find(|record| record["act"] == "directory")).await;
    assert_eq!(
        [&record["provider"], &record["method"], &record["status"], &record["what"]["sign_ins_ended"]],
        [&json!("staff"), &json!("PATCH"), &json!(200), &json!(["staff:s-bob"])],
        "{record}"
    );
    assert!(!std::fs::read_to_string(world.path("audit.jsonl")).unwrap().contains(STAFF), "tokens are in no record");
    let labels = "{operation=\"patch\",provider=\"staff\",status=\"200\"}";
    assert!(world.metric(&format!("doorward_scim_requests_total{labels}")).await >= 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_directory_there_is_nothing_at_its_path() {
    let world = World::start().await;
    for path in ["/scim/v2", "/scim/v2/Users", "/scim/v2/ServiceProviderConfig"] {
        assert_eq!(world.get(LOGIN, path, "").await.status, 404, "{path}");
    }
    let world = crate::client::world().await;
    for (host, path, expected) in [
        (WIKI, "/scim/v2/Users", 401),
        (LOGIN, "/scim/v2/Users", 401),
        (LOGIN, "/scim/v2x", 404),
        (LOGIN, "/scim", 404),
        (LOGIN, "//scim/v2/Users", 404),
        (LOGIN, "/SCIM/v2/Users", 404),
    ] {
        let answer = world.get(host, path, "").await;
        assert_eq!(answer.status, expected, "{host}{path}");
        let is_ours = answer.header("content-type") == Some("application/scim+json");
        assert_eq!(is_ours, host == LOGIN && expected == 401, "{host}{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_a_session_by_a_token_nor_a_directory_by_a_cookie() {
    let world = world().await;
    let session = world.session(WIKI, ALICE).await;
    let answer = world.get(LOGIN, "/scim/v2/Users", &format!("Cookie: {session}\r\n")).await;
    assert_eq!(answer.status, 401);
    let answer = send(&world, STAFF, "GET", "/Users", "Cookie: __Host-doorward-sso=x\r\n", "").await;
    assert_eq!((answer.status, answer.header("set-cookie")), (200, None));
    let bodies = [json!({ "schemas": [USER], "userName": "x", "password": "hunter22" }), json!({ "schemas": [GROUP] })];
    let (status, made) = call(&world, "POST", "/Users", &bodies[0]).await;
    assert!(status == 201 && made.get("password").is_none(), "{made}");
    assert_eq!(call(&world, "POST", "/Groups", &bodies[1]).await.0, 400);
    let database = std::fs::read(world.path("doorward.db")).unwrap();
    let log = std::fs::read(world.path("doorward.db-wal")).unwrap_or_default();
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!holds(&database, "hunter22") && !holds(&log, "hunter22"), "passwords are kept nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_whom_no_provider_mentions_any_more_are_listed() {
    let world = world().await;
    let bob = user(&world, "bob@corp.example", json!({})).await;
    user(&world, "al", json!({ "externalId": "s-alice" })).await;
    for who in [ALICE, BOB, MALLORY] {
        assert_eq!(sign_in(&world, WIKI, who).await.0, 200);
    }
    assert_eq!(call(&world, "DELETE", &format!("/Users/{bob}"), &Value::Null).await.0, 204);
    let found = world.admin("/api/v1/orphans").await.json();
    let shown = |orphan: &Value| format!("{} {}", orphan["user"].as_str().unwrap(), orphan["why"].as_str().unwrap());
    let orphans: Vec<_> = found["orphans"].as_array().unwrap().iter().map(shown).collect();
    assert_eq!(orphans, ["staff:s-bob deleted", "staff:s-mallory not_in_directory"], "{found}");
    assert_eq!(world.admin("/api/v1/orphans?after=x").await.status, 400);
}
