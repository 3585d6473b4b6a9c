//! Requests are decided by their circumstances: what a person may from one place, they may not from another.

use crate::world::mmdb::{asn, country, database, registered};
use crate::world::wire::Connection;
use crate::world::{ALICE, SHOP, Setup, World, eventually};
use serde_json::json;

/// Where a request comes from, by the word of the proxy that the tests are.
fn from(address: &str, cookie: &str) -> String {
    format!("Cookie: {cookie}\r\nX-Forwarded-For: {address}\r\n")
}

const GERMANY: &str = "198.51.100.7";
const RUSSIA: &str = "203.0.113.9";
/// The database says of it where it is registered, and not where it is.
const NOWHERE: &str = "192.0.2.1";

fn countries(days_old: u64) -> Vec<u8> {
    let networks: [(&[u8], _); 3] =
        [(&[198, 51, 100], country("DE")), (&[203, 0, 113], country("RU")), (&[192, 0, 2], registered("DE"))];
    database(&networks, days_old)
}

async fn world(rules: &str, more: &'static str, files: Vec<(&'static str, Vec<u8>)>) -> (World, String) {
    let apps = format!("\n  shop:\n    url: https://shop.corp.test:HTTPS\n    upstream: http://127.0.0.1:APP\n{rules}");
    let world = World::of(Setup { apps, more, files, ..Setup::default() }).await;
    // Signing in ends at the app, which may refuse what comes from here.
    let mut browser = world.browser();
    browser.sign_in(&world.url(SHOP, "/"), ALICE).await;
    let cookie = format!("__Host-doorward={}", browser.cookie(SHOP, "__Host-doorward").unwrap());
    (world, cookie)
}

const GEO: &str = "geo: { country: country.mmdb, asn: asn.mmdb }\ntrusted_proxies: [127.0.0.1]";

#[tokio::test(flavor = "multi_thread")]
async fn a_country_counts_for_each_request_of_a_connection_and_the_trail_says_which() {
    let rules = "    allow: [{ when: { country: [DE] } }]\n    paths: [{ match: /asn, allow: [{ when: { asn: [64500] } }] }]\n";
    let numbers = database(&[(&[198, 51, 100], asn(64_500))], 1);
    let (world, cookie) = world(rules, GEO, vec![("country.mmdb", countries(1)), ("asn.mmdb", numbers)]).await;
    let mut connection = Connection::tls(&world, SHOP).await;
    for (address, path, status, reason, state, value) in [
        (GERMANY, "/de", 200, "allowed", "fresh", json!("DE")),
        (RUSSIA, "/ru", 403, "not_allowed", "fresh", json!("RU")),
        (NOWHERE, "/nowhere", 403, "not_allowed", "absent", json!(null)),
        (GERMANY, "/de-again", 200, "allowed", "fresh", json!("DE")),
    ] {
        connection.write(world.head("GET", SHOP, path, &from(address, &cookie))).await;
        assert_eq!(connection.answer().await.status, status, "{path}");
        let record = world.record(path).await;
        assert_eq!(record["reason"], reason, "{path}");
        let signal = &record["signals"]["country"];
        assert_eq!((&signal["state"], &signal["value"]), (&json!(state), &value), "{path}");
    }
    assert_eq!(world.get(SHOP, "/asn", &from(GERMANY, &cookie)).await.status, 200);
    assert_eq!(world.get(SHOP, "/asn", &from(RUSSIA, &cookie)).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_read_again_and_a_broken_one_changes_nothing() {
    let rules = "    allow: [{ when: { country: [DE] } }]\n";
    let numbers = database(&[(&[198, 51, 100], asn(64_500))], 1);
    let (world, cookie) = world(rules, GEO, vec![("country.mmdb", countries(2)), ("asn.mmdb", numbers)]).await;
    let status = async |address: &str| world.get(SHOP, "/x", &from(address, &cookie)).await.status;
    let built = async || world.metric("doorward_geo_database_built_timestamp_seconds{database=\"country\"}").await;
    let first = built().await;
    assert!(first > 1.7e9);
    assert_eq!(status(RUSSIA).await, 403);
    let mut broken = countries(1);
    broken.truncate(broken.len() / 2);
    for bytes in [broken, b"nonsense".to_vec(), Vec::new()] {
        std::fs::write(world.path("country.mmdb"), bytes).unwrap();
        eventually("it is refused", async || (world.metric("doorward_config_broken").await > 0.0).then_some(())).await;
        assert_eq!((status(GERMANY).await, status(RUSSIA).await, built().await), (200, 403, first));
    }
    let moved = database(&[(&[203, 0, 113], country("DE"))], 1);
    std::fs::write(world.path("country.mmdb"), moved).unwrap();
    eventually("it is taken up", async || (status(RUSSIA).await == 200).then_some(())).await;
    assert_eq!(status(GERMANY).await, 403);
    assert!(built().await > first);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_too_old_lets_nobody_in() {
    let rules = "    allow: [{ when: { country: [DE] } }]\n";
    let more = "geo: { country: country.mmdb, max_age: 7d }\ntrusted_proxies: [127.0.0.1]";
    let (world, cookie) = world(rules, more, vec![("country.mmdb", countries(8))]).await;
    assert_eq!(world.get(SHOP, "/old", &from(GERMANY, &cookie)).await.status, 403);
    assert_eq!(world.record("/old").await["signals"]["country"]["state"], "stale");
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_in_files_are_read_again() {
    let rules = "    allow: [{ when: { network: $office } }]\n";
    let more = "lists: { office: 'file:office.txt' }\ntrusted_proxies: [127.0.0.1]";
    let (world, cookie) = world(rules, more, vec![("office.txt", b"# the office\n198.51.100.0/24\n".to_vec())]).await;
    let status = async |address: &str| world.get(SHOP, "/x", &from(address, &cookie)).await.status;
    assert_eq!((status(GERMANY).await, status(RUSSIA).await), (200, 403));
    std::fs::write(world.path("office.txt"), "203.0.113.0/24\n").unwrap();
    eventually("it is taken up", async || (status(RUSSIA).await == 200).then_some(())).await;
    assert_eq!(status(GERMANY).await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stronger_sign_in_would_open_is_a_challenge_and_nothing_else_is() {
    let rules = "    allow: [{ when: { mfa: true } }]\n    paths:
      - { match: /fresh, allow: [{ when: { auth_age: 7d } }] }
      - { match: /gold, allow: [{ when: { acr: [gold] } }] }
      - { match: /both, allow: [{ when: { mfa: true, device: managed } }] }\n";
    let (world, cookie) = world(rules, "", vec![]).await;
    let cookie = format!("Cookie: {cookie}\r\n");
    for (path, status, reason, decision) in [
        ("/fresh", 200, "allowed", "allow"),
        ("/strong", 401, "step_up_required", "challenge"),
        ("/gold", 403, "not_allowed", "deny"),
        ("/both", 403, "not_allowed", "deny"),
    ] {
        assert_eq!(world.get(SHOP, path, &cookie).await.status, status, "{path}");
        let record = world.record(path).await;
        assert_eq!((&record["reason"], &record["decision"]), (&json!(reason), &json!(decision)), "{path}");
        assert_eq!(record["signals"]["authentication"]["mfa"], json!(false), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_in_the_shadow_is_recorded_and_counted_and_changes_nothing() {
    let rules = "    allow: [{}]\n    deny: [{ shadow: true, when: { path: /secret/** } }]\n";
    let (world, cookie) = world(rules, "", vec![]).await;
    let cookie = format!("Cookie: {cookie}\r\n");
    for path in ["/open", "/secret/a", "/secret/b"] {
        assert_eq!(world.get(SHOP, path, &cookie).await.status, 200);
    }
    let record = world.record("/secret/b").await;
    assert_eq!((&record["shadow"], &record["shadow_rule"]), (&json!("deny"), &json!("shop.deny[0]")));
    assert_eq!((&record["decision"], &record["rule"]), (&json!("allow"), &json!("shop.allow[0]")));
    assert_eq!(world.record("/open").await["shadow"], json!(null));
    let counted = "doorward_shadow_decisions_total{app=\"shop\",decision=\"deny\"}";
    eventually("they are counted", async || (world.metric(counted).await >= 2.0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_in_cedar_count_beside_the_rules() {
    let policy = b"forbid (principal, action, resource == App::\"shop\") when { context.path like \"/x/*\" };".to_vec();
    let (world, cookie) = world("    allow: [{}]\n", "policies: ['*.cedar']", vec![("p.cedar", policy)]).await;
    let cookie = format!("Cookie: {cookie}\r\n");
    assert_eq!(world.get(SHOP, "/y", &cookie).await.status, 200);
    assert_eq!(world.get(SHOP, "/x/1", &cookie).await.reason(), "denied_by_rule");
    assert_eq!(world.record("/x/1").await["rule"], "p.cedar[0]");
    for path in ["/%78/1", "/X/1", "/y/..%2fx/1", "/a%2F%2e%2e/x/1", "/x%2F1"] {
        assert!(world.get(SHOP, path, &cookie).await.status >= 400, "{path} could be read as what is denied");
    }
    assert_eq!(world.get(SHOP, "/caf%C3%A9/Y", &cookie).await.status, 200, "however that is read, nothing denies it");
    std::fs::write(world.path("p.cedar"), "forbid (principal, action, resource) when { context.nothing };").unwrap();
    eventually("it is refused", async || (world.metric("doorward_config_broken").await > 0.0).then_some(())).await;
    assert_eq!(world.get(SHOP, "/x/2", &cookie).await.reason(), "denied_by_rule");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_can_not_be_evaluated_denies_whom_the_rules_let_in() {
    // Cedar leaves such a policy out, and would so let in whom it keeps out.
    let condition = "context.path like \"/x/*\" && context.now + 9223372036854775807 > 0";
    for effect in ["forbid", "permit"] {
        let policy = format!("{effect} (principal, action, resource == App::\"shop\") when {{ {condition} }};").into_bytes();
        let (world, cookie) = world("    allow: [{}]\n", "policies: ['*.cedar']", vec![("p.cedar", policy)]).await;
        let cookie = format!("Cookie: {cookie}\r\n");
        assert_eq!(world.get(SHOP, "/y", &cookie).await.status, 200, "where nothing overflows");
        let answer = world.get(SHOP, "/x/1", &cookie).await;
        assert_eq!((answer.status, &*answer.reason()), (403, "policy_error"), "{effect}");
        assert_eq!(world.record("/x/1").await["reason"], "policy_error");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_only_the_shadow_reads_in_two_ways_is_not_refused() {
    let rules = "    allow: [{}]\n    deny: [{ shadow: true, when: { path: /admin/** } }, { when: { path: /keys/** } }]\n";
    let shadow = "@shadow(\"true\") forbid (principal, action, resource) when { context.path like \"/x/*\" };";
    let permits =
        ["/api/*", "/API/*"].map(|path| format!("permit (principal, action, resource) when {{ context.path like \"{path}\" }};"));
    let policies = format!("{shadow}\n{}", permits.join("\n")).into_bytes();
    let (world, cookie) = world(rules, "policies: p.cedar", vec![("p.cedar", policies)]).await;
    let cookie = format!("Cookie: {cookie}\r\n");
    for path in ["/ADMIN/x", "/X/1", "/API/x", "/api/x"] {
        assert_eq!(world.get(SHOP, path, &cookie).await.status, 200, "{path}");
    }
    assert_eq!(world.get(SHOP, "/KEYS/x", &cookie).await.reason(), "ambiguous_target", "what is enforced may match");
    assert_eq!(world.record("/api/x").await["shadow"], json!(null));
}

#[test]
fn a_database_without_a_description_is_one_and_is_read_to_its_end_too() {
    let described = countries(1);
    let at = described.windows(11).rposition(|part| part == b"description").unwrap() + 11;
    // A map of nothing.
    let plain = [&described[..at], &[7 << 5]].concat();
    let parse = |bytes: Vec<u8>| doorward::snapshot::geo::Database::parse(bytes, std::time::Duration::MAX).is_ok();
    assert!(parse(described) && parse(plain.clone()));
    let code = plain.windows(2).position(|part| part == b"RU").unwrap();
    let mut broken = plain.clone();
    broken[code - 1] = 7 << 5 | 28;
    assert!(!parse(broken), "a record that can't be read");
    let mut turned = plain.clone();
    turned[..3].fill(0);
    turned[3..6].fill(0);
    assert!(!parse(turned), "a tree that leads back into itself");
    let metadata = plain.windows(3).rposition(|part| part == b"\xab\xcd\xef").unwrap();
    for at in 0..metadata {
        // Whatever is there, it is judged and nothing hangs or panics.
        parse(plain.iter().enumerate().map(|(index, byte)| if index == at { byte ^ 0x55 } else { *byte }).collect());
    }
}
