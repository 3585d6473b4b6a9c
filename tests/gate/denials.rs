//! What a refused person is told on the page, what a stranger is not, and how the same request is explained afterwards.

use crate::world::browser::NAVIGATION;
use crate::world::wire::{Answer, Connection};
use crate::world::{ALICE, MALLORY, SHOP, Setup, TOKEN, Who, World};
use serde_json::{Value, json};
use std::process::Command;

const RULES: &str = "    contact: shop-owners@corp.example
    allow:
      - domains: [corp.example]
        when: { device: managed, network: [198.51.100.0/24] }
      - users: [cfo@corp.example]
        when: { phishing_resistant: true }
";

async fn world(rules: &str) -> World {
    let apps = format!("\n  shop:\n    url: https://shop.corp.test:HTTPS\n    upstream: http://127.0.0.1:APP\n{rules}");
    World::of(Setup { apps, ..Setup::default() }).await
}

/// Signing in ends at the app, which refuses everybody here.
async fn cookie(world: &World, who: Who) -> String {
    let mut browser = world.browser();
    browser.sign_in(&world.url(SHOP, "/"), who).await;
    format!("Cookie: __Host-doorward={}\r\n", browser.cookie(SHOP, "__Host-doorward").unwrap())
}

async fn page(world: &World, who: Who) -> String {
    let lines = format!("{NAVIGATION}{}", cookie(world, who).await);
    let answer = world.get(SHOP, "/refused", &lines).await;
    assert_eq!(answer.status, 403);
    answer.text()
}

const DEVICE: &str = "It asks for a managed device of yours. Use your managed laptop or phone.";
const NETWORK: &str = "It is not open to the network that you are in. Use a network of the organisation.";
const CONTACT: &str = "<a href=\"mailto:shop-owners@corp.example\">shop-owners@corp.example</a>";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_tells_whom_a_rule_is_for_what_failed_and_tells_nobody_else() {
    let world = world(RULES).await;
    let hers = page(&world, ALICE).await;
    for part in [DEVICE, NETWORK, CONTACT] {
        assert!(hers.contains(part), "{part}\n{hers}");
    }
    let others = page(&world, MALLORY).await;
    assert!(others.contains(CONTACT) && others.contains("your account may not open this"), "{others}");
    for page in [hers, others] {
        for secret in ["cfo", "198.51.100", "security key"] {
            assert!(!page.contains(secret), "{secret}\n{page}");
        }
    }
    let program = world.get(SHOP, "/program", &cookie(&world, ALICE).await).await.text();
    assert!(!program.contains("managed") && !program.contains("shop-owners"), "{program}");
    let stranger =
        world.get(SHOP, "/stranger", "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\nCookie: __Host-doorward=x\r\n").await;
    assert!(!stranger.text().contains("shop-owners"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_says_how_much_is_told() {
    for (tell, advice, contact) in [("contact_only", false, true), ("off", false, false)] {
        let world = world(&format!("    explain_denials: {tell}\n{RULES}")).await;
        let page = page(&world, ALICE).await;
        assert_eq!((page.contains(DEVICE), page.contains(CONTACT)), (advice, contact), "{page}");
    }
}

async fn asked(world: &World, token: &str, body: &Value) -> Answer {
    let (mut connection, body) = (Connection::plain(world.ports.admin()).await, body.to_string());
    let head = format!(
        "POST /api/v1/explain HTTP/1.1\r\nHost: admin\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    connection.write(head).await;
    connection.answer().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_explains_by_the_configuration_in_force() {
    let world = world(RULES).await;
    let question = json!({ "app": "shop", "user": "eve@corp.example", "ip": "198.51.100.9", "device": "managed" });
    let answer = asked(&world, TOKEN, &question).await;
    let value = answer.json();
    assert_eq!((answer.status, &value["decision"], &value["rule"]), (200, &json!("allow"), &json!("shop.allow[0]")));
    let value = asked(&world, TOKEN, &json!({ "app": "shop", "user": "eve@corp.example" })).await.json();
    assert_eq!((&value["decision"], &value["rules"][0]["conditions"][1]["state"]), (&json!("deny"), &json!("absent")));
    for (body, message) in [
        (json!({ "app": "shopp" }), "no app is called `shopp`"),
        (json!({ "app": "shop", "grups": "x" }), "unknown key `grups`"),
        (json!({ "app": "shop", "ip": "x" }), "`ip`: `x` is not an address"),
        (json!([]), "must be a mapping"),
    ] {
        let answer = asked(&world, TOKEN, &body).await;
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(answer.status == 400 && error.contains(message), "{error}");
    }
    assert_eq!(asked(&world, "x", &question).await.status, 401);
}

/// What the command says.
async fn command(world: &World, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    command.current_dir(world.folder.path()).args(arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_is_locked_out_is_said_to_be_by_which_lock_and_until_when() {
    let rules = "    allow: [{ domains: [corp.example] }]\n    paths: [{ match: /open/**, public: true }]\n";
    let world = world(rules).await;
    let asks = async |path: &str, user: &str, device: Option<&str>| {
        let question = json!({ "app": "shop", "path": path, "user": user, "device_id": device });
        let question: serde_json::Map<_, _> =
            question.as_object().unwrap().clone().into_iter().filter(|(_, value)| !value.is_null()).collect();
        asked(&world, TOKEN, &Value::Object(question)).await.json()
    };
    let put = async |path: &str, body: Value| {
        assert_eq!(world.administer("PUT", path, "X-Why: test\r\n", &body.to_string()).await.status, 200, "{path}");
    };
    assert_eq!(asks("/", ALICE.0, None).await["decision"], "allow");
    put("/api/v1/devices/mac-1", json!({ "owner": "shared" })).await;
    put("/api/v1/locks/user/ALICE@corp.example", json!({ "reason": "left", "expires_at": "2126-01-01T00:00:00Z" })).await;
    put("/api/v1/locks/device/mac-1", json!({ "reason": "stolen" })).await;
    let lock = |kind: &str, name: &str, reason: &str, until: Value| json!({ "kind": kind, "name": name, "source": "administration", "reason": reason, "expires_at": until });
    let (of_alice, of_device) =
        (lock("user", ALICE.0, "left", json!("2126-01-01T00:00:00Z")), lock("device", "mac-1", "stolen", json!(null)));
    for (path, user, device, decision, lock) in [
        ("/", ALICE.0, None, "deny", of_alice),
        ("/open/x", ALICE.0, None, "allow", json!(null)),
        ("/", "eve@corp.example", None, "allow", json!(null)),
        ("/", "eve@corp.example", Some("mac-1"), "deny", of_device.clone()),
        ("/open/x", "eve@corp.example", Some("mac-1"), "deny", of_device),
    ] {
        let answer = asks(path, user, device).await;
        assert_eq!((&answer["decision"], &answer["lock"]), (&json!(decision), &lock), "{path} {user} {device:?}: {answer}");
    }
    let explain = ["explain", "-c", "doorward.yaml", "--app", "shop", "--user", ALICE.0];
    let (code, text, problems) = command(&world, &explain).await;
    let said = "deny: shop\nlocked out: the user alice@corp.example, by administration, until 2126-01-01T00:00:00Z (left); without that:\nallowed by";
    assert!(code == Some(1) && text.starts_with(said) && problems.is_empty(), "{code:?} {text}{problems}");
    let (code, text, _) = command(&world, &[&explain[..], &["--at", "2126-01-02T00:00:00Z"]].concat()).await;
    assert!(code == Some(0) && text.starts_with("allow: shop\nallowed by"), "a lock that is over locks nobody out: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_risk_that_is_known_counts_where_none_is_given() {
    let world = world("    allow: [{ domains: [corp.example] }]\n    deny: [{ when: { risk: high } }]\n").await;
    let risk = json!({ "level": "high", "reasons": ["seen elsewhere"] }).to_string();
    let path = format!("/api/v1/risks/user/{}", ALICE.0);
    assert_eq!(world.administer("PUT", &path, "X-Why: test\r\n", &risk).await.status, 200);
    for (given, decision) in [(json!({}), "deny"), (json!({ "risk": "low" }), "allow")] {
        let mut question = json!({ "app": "shop", "user": ALICE.0 });
        question.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        assert_eq!(asked(&world, TOKEN, &question).await.json()["decision"], decision, "{given}");
    }
    let (code, text, _) = command(&world, &["explain", "-c", "doorward.yaml", "--app", "shop", "--user", ALICE.0]).await;
    assert!(code == Some(1) && text.contains("denied by shop.deny[0]"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_says_what_it_could_not_look_at() {
    let world = world("    allow: [{ domains: [corp.example] }]\n").await;
    let text = std::fs::read_to_string(world.path("doorward.yaml")).unwrap();
    let elsewhere: String = text
        .lines()
        .map(|line| if line.starts_with("store:") { "store: sqlite:gone.db\n".to_owned() } else { format!("{line}\n") })
        .collect();
    std::fs::write(world.path("elsewhere.yaml"), elsewhere).unwrap();
    let (code, _, problems) = command(&world, &["explain", "-c", "elsewhere.yaml", "--app", "shop", "--user", ALICE.0]).await;
    assert!(code == Some(0) && problems.contains("so that locks, risks, and devices that are not"), "{problems}");
    assert!(!world.path("gone.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_the_real_trail_is_explained_and_replayed_with_the_groups_of_its_time() {
    let world = world(RULES).await;
    let answer = world.get(SHOP, "/later", &cookie(&world, ALICE).await).await;
    world.record("/later").await;
    let trail = world.trail();
    let landed = trail.iter().find(|record| record["act"] == "landed").unwrap();
    assert!(landed["profile"]["groups"].is_array() && landed["profile"]["auth_time"].as_u64().unwrap() > 1_000_000_000, "{landed}");
    let id = answer.header("x-request-id").unwrap().to_owned();
    let folder = world.folder.path().to_owned();
    let run = move |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_doorward")).current_dir(&folder).args(arguments).output().unwrap()
    };
    tokio::task::spawn_blocking(move || {
        let output = run(&["explain", "-c", "doorward.yaml", "--request", &id]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with("deny: shop\nno rule allows it\n") && text.contains("+ domains: [corp.example]"), "{text}");
        let output = run(&["replay", "-c", "doorward.yaml", "--audit", "audit.jsonl", "--json"]);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), &value["loses"], &value["gains"]), (Some(0), &json!([]), &json!([])), "{value}");
        assert!(value["same"].as_u64().unwrap() >= 1 && value["by_store"] == 0, "{value}");
    })
    .await
    .unwrap();
}
