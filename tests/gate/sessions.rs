//! Who is signed in, and the end of that by an administrator: by the API and by the commands, which ask the process that runs.

use super::devices::{APPS, asking, served};
use super::revocation::{FAREWELL, cause, speaks, websocket};
use crate::world::authority::{Authority, Shown};
use crate::world::scripted::more_than_a_second;
use crate::world::{ALICE, BOB, LOGIN, PAYROLL, SHOP, Setup, WIKI, Who, World, eventually};
use serde_json::{Value, json};
use std::process::Command;

async fn revoke(world: &World, meant: &Value) -> (u16, Value) {
    let (lines, body) = ("X-Administrator: carol\r\nX-Why: case 7\r\n", meant.to_string());
    let answer = world.administer("POST", "/api/v1/sessions/revoke", lines, &body).await;
    (answer.status, answer.json())
}

/// The status of a request with this cookie.
async fn status(world: &World, host: &str, cookie: &str) -> u16 {
    world.get(host, "/x", &format!("Cookie: {cookie}\r\nAccept: application/json\r\n")).await.status
}

async fn users(world: &World, query: &str) -> Vec<String> {
    let page = world.admin(&format!("/api/v1/sessions{query}")).await.json();
    let users = page["sessions"].as_array().unwrap_or_else(|| panic!("{page}")).iter();
    users.map(|sign_in| sign_in["email"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_who_is_signed_in_is_listed_and_found_without_a_cookie_being_shown() {
    let world = World::start().await;
    let alice = world.session(WIKI, ALICE).await;
    let bob = world.session(PAYROLL, BOB).await;
    assert_eq!(users(&world, "").await, [ALICE.0, BOB.0]);
    for (query, expected) in [
        ("?user=BOB@corp.example", vec![BOB.0]),
        ("?provider=staff", vec![ALICE.0, BOB.0]),
        ("?provider=none", vec![]),
        ("?app=payroll", vec![BOB.0]),
        ("?app=rough", vec![]),
        ("?device=mac-1", vec![]),
        ("?limit=1", vec![ALICE.0]),
    ] {
        assert_eq!(users(&world, query).await, expected, "{query}");
    }
    let first = world.admin("/api/v1/sessions?limit=1").await.json();
    assert_eq!(users(&world, &format!("?limit=1&after={}", first["next"].as_str().unwrap())).await, [BOB.0]);
    let one = &first["sessions"][0];
    assert_eq!((&one["provider"], &one["address"]), (&json!("staff"), &json!("127.0.0.1")), "{one}");
    assert_eq!(status(&world, WIKI, &alice).await, 200);
    let audited = world.record("/x").await["session"].as_str().unwrap().to_owned();
    assert_eq!(one["sessions"][0], json!({ "session": audited, "host": WIKI, "created_at": one["sessions"][0]["created_at"] }));
    for id in [&audited, &one["sign_in"].to_string()] {
        assert_eq!(world.admin(&format!("/api/v1/sessions/{id}")).await.json()["user"], one["user"]);
    }
    let everything = world.admin("/api/v1/sessions").await.text();
    for cookie in [&alice, &bob] {
        assert!(!everything.contains(cookie.split_once('=').unwrap().1));
    }
    for wrong in [
        "?user=",
        "?user=bob",
        "?users=x",
        "?app=none",
        "?device=",
        "?session=x",
        "?limit=0",
        "?after=x",
        "?user=a@b.c&app=wiki",
        "/x",
    ] {
        assert_eq!(world.admin(&format!("/api/v1/sessions{wrong}")).await.status, 400, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_said_exactly_ends_nothing() {
    let world = World::start().await;
    let alice = world.session(WIKI, ALICE).await;
    for meant in [
        json!({}),
        json!([]),
        json!({ "everything": false }),
        json!({ "everything": "true" }),
        json!({ "everything": true, "user": "alice@corp.example" }),
        json!({ "user": "" }),
        json!({ "user": null }),
        json!({ "user": "*" }),
        json!({ "user": "alice" }),
        json!({ "user": "staff:" }),
        json!({ "user": ["alice@corp.example"] }),
        json!({ "users": "alice@corp.example" }),
        json!({ "session": "" }),
        json!({ "sign_in": "" }),
        json!({ "sign_in": "1 OR 1=1" }),
        json!({ "device": "" }),
        json!({ "device": "%" }),
        json!({ "provider": "" }),
        json!({ "provider": "%" }),
        json!({ "app": "" }),
        json!({ "app": "*" }),
    ] {
        let (status, said) = revoke(&world, &meant).await;
        assert_eq!(status, 400, "{meant}: {said}");
    }
    assert_eq!(world.administer("DELETE", "/api/v1/sessions/%25", "", "").await.status, 400);
    assert_eq!(world.administer("DELETE", "/api/v1/sessions/999", "", "").await.status, 404);
    assert_eq!(status(&world, WIKI, &alice).await, 200);
    for meant in
        [json!({ "user": "staff:nobody" }), json!({ "provider": "partners" }), json!({ "sign_in": 999 }), json!({ "app": "rough" })]
    {
        let (status, said) = revoke(&world, &meant).await;
        assert_eq!((status, &said["sign_ins"], &said["sessions"]), (200, &json!(0), &json!(0)), "{meant}");
    }
    assert_eq!(status(&world, WIKI, &alice).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_ends_what_is_meant_with_its_streams_and_leaves_a_record() {
    let mut world = World::start().await;
    let (alice, bob) = (world.session(WIKI, ALICE).await, world.session(WIKI, BOB).await);
    let mut of_alice = websocket(&world, WIKI, "/a/ws", &alice).await;
    let mut of_bob = websocket(&world, WIKI, "/b/ws", &bob).await;
    let (ended, said) = revoke(&world, &json!({ "user": "Alice@corp.example" })).await;
    assert_eq!((ended, &said["sign_ins"], &said["sessions"]), (200, &json!(1), &json!(1)), "{said}");
    assert_eq!(status(&world, WIKI, &alice).await, 401, "from the next request on");
    assert_eq!(of_alice.rest().await, FAREWELL);
    assert_eq!(cause(&world, "/a/ws").await, "session_invalid");
    assert!(speaks(&mut of_bob).await);
    eventually("it is counted", async || {
        let ended = world.metric("doorward_revocations_total{cause=\"administration\"}").await;
        let cut = world.metric("doorward_cut_seconds_count").await;
        let open = world.metric("doorward_streams").await;
        (ended == 1.0 && cut == 1.0 && open == 1.0 && world.metric("doorward_revocation_lag_seconds_count").await >= 1.0)
            .then_some(())
    })
    .await;
    // The session alone: whoever is still signed in gets a new one.
    let session =
        world.admin("/api/v1/sessions?user=bob@corp.example").await.json()["sessions"][0]["sessions"][0]["session"].clone();
    let path = format!("/api/v1/sessions/{}", session.as_str().unwrap());
    assert_eq!(world.administer("DELETE", &path, "", "").await.json()["sign_ins"], 0);
    assert_eq!(of_bob.rest().await, FAREWELL);
    assert_eq!(users(&world, "").await, [BOB.0], "the sign-in goes on");
    world.stop().await;
    let acts: Vec<_> = world.trail().into_iter().filter(|record| record["act"] == "administration").collect();
    let what = &acts[0]["what"];
    assert_eq!(
        (&acts[0]["administrator"], &acts[0]["why"], &what["meant"]["user"]),
        (&json!("carol"), &json!("case 7"), &json!("Alice@corp.example"))
    );
    assert_eq!((&what["sign_ins"], what["users"].as_array().unwrap().len(), acts.len()), (&json!(1), 1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_of_an_app_end_at_its_host_and_everything_ends_everywhere() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), BOB).await;
    assert_eq!(browser.go(&world.url(PAYROLL, "/")).await.status, 200);
    let cookie = |host: &str| format!("__Host-doorward={}", browser.cookie(host, "__Host-doorward").unwrap());
    let (wiki, payroll) = (cookie(WIKI), cookie(PAYROLL));
    assert_eq!(revoke(&world, &json!({ "app": "payroll" })).await.1["sessions"], 1);
    assert_eq!((status(&world, WIKI, &wiki).await, status(&world, PAYROLL, &payroll).await), (200, 401));
    assert_eq!(revoke(&world, &json!({ "everything": true })).await.1["sign_ins"], 1);
    assert_eq!(status(&world, WIKI, &wiki).await, 401);
    assert_eq!(users(&world, "").await, Vec::<String>::new());
    // The sign-in is gone too: it takes the provider to get in again.
    browser.visited.clear();
    browser.go(&world.url(WIKI, "/")).await;
    assert!(browser.visited.iter().any(|url| url.contains("/authorize")), "{:?}", browser.visited);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_was_issued_before_a_revocation_is_worth_nothing_after_it() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(PAYROLL, "/"), BOB).await;
    let landing = browser.until(&world.url(WIKI, "/"), &format!("{WIKI}:{}/.doorward/callback", world.ports.https())).await;
    assert_eq!(revoke(&world, &json!({ "user": BOB.0 })).await.1["sign_ins"], 1);
    assert_eq!(browser.step(&landing, None).await.status, 400);
    assert!(browser.cookie(WIKI, "__Host-doorward").is_none());
}

/// What a command says, and how it ends.
async fn doorward(world: &World, words: &[&str]) -> (i32, String, String) {
    let (words, config): (Vec<String>, _) = (words.iter().map(|word| (*word).to_owned()).collect(), world.path("doorward.yaml"));
    let run = move || {
        Command::new(env!("CARGO_BIN_EXE_doorward")).args(words).arg("-c").arg(config).env("USER", "dora").output().unwrap()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_ask_the_process_that_runs() {
    let mut world = World::start().await;
    let (alice, bob) = (world.session(WIKI, ALICE).await, world.session(WIKI, BOB).await);
    let (code, listed, _) = doorward(&world, &["sessions", "list"]).await;
    assert!(code == 0 && listed.contains("alice@corp.example (staff)") && listed.contains(WIKI), "{listed}");
    let (_, listed, _) = doorward(&world, &["sessions", "list", "--user", BOB.0, "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let session = listed[0]["sessions"][0]["session"].as_str().unwrap();
    let (_, shown, _) = doorward(&world, &["sessions", "show", session]).await;
    assert!(shown.contains(BOB.0) && shown.contains(session), "{shown}");
    for words in [
        &["sessions", "revoke"][..],
        &["sessions", "revoke", "--all", "--user", BOB.0],
        &["sessions", "revoke", "--user", BOB.0, "--app", "wiki"],
    ] {
        assert_eq!(doorward(&world, words).await.0, 2, "{words:?}");
    }
    let (code, _, problem) = doorward(&world, &["sessions", "revoke", "--user", ""]).await;
    assert!(code == 1 && problem.contains("`user` is an e-mail address"), "{problem}");
    let (code, said, _) = doorward(&world, &["sessions", "revoke", "--session", session, "--why", "Gerät weg"]).await;
    assert!(code == 0 && said.contains("ended 1 session"), "{said}");
    assert_eq!((status(&world, WIKI, &alice).await, status(&world, WIKI, &bob).await), (200, 401));
    let (code, said, _) = doorward(&world, &["sessions", "revoke", "--all"]).await;
    assert!(code == 0 && said.contains("ended 2 sign-in(s)"), "{said}");
    assert_eq!(status(&world, WIKI, &alice).await, 401);
    std::fs::write(world.path("admin-token"), "another").unwrap();
    let (code, _, problem) = doorward(&world, &["sessions", "list"]).await;
    assert!(code == 1 && problem.contains("does not take the token"), "{problem}");
    world.stop().await;
    let (code, _, problem) = doorward(&world, &["sessions", "list"]).await;
    assert!(code == 1 && problem.contains("is doorward running?"), "{problem}");
    let act = world.trail().into_iter().find(|record| record["why"] == "Gerät weg").unwrap();
    assert_eq!(act["administrator"], "dora");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_end_what_is_of_a_person_and_what_is_at_an_app() {
    let world = World::start().await;
    let (alice, bob) = (world.session(WIKI, ALICE).await, world.session(WIKI, BOB).await);
    for ([option, name], ended, left) in [
        (["--user", ALICE.0], "ended 1 sign-in(s) with 1 session(s)", (401, 200)),
        (["--app", "wiki"], "ended 1 session(s) at apps", (401, 401)),
    ] {
        let (code, said, problem) = doorward(&world, &["sessions", "revoke", option, name]).await;
        assert!(code == 0 && said.starts_with(ended), "{option}: {said}{problem}");
        assert_eq!((status(&world, WIKI, &alice).await, status(&world, WIKI, &bob).await), left, "{option}");
    }
    assert_eq!(users(&world, "").await, [BOB.0], "the sign-in goes on");
}

async fn signed_in(world: &World, who: Who, provider: &str) -> String {
    let mut browser = world.browser();
    let to = format!("/.doorward/login?to={}&provider={provider}", world.url(SHOP, "/x"));
    assert_eq!(browser.sign_in(&world.url(LOGIN, &to), who).await.status, 200);
    format!("__Host-doorward={}", browser.cookie(SHOP, "__Host-doorward").unwrap())
}

/// Three sign-ins: one that was used with a device, one of the provider `partners`, and one of Bob's.
async fn three(world: &World, shown: &Shown) -> [String; 3] {
    let with_device = signed_in(world, ALICE, "staff").await;
    assert_eq!(served(world, &with_device, Some(shown), "/x").await.0, 200);
    [with_device, signed_in(world, ALICE, "partners").await, signed_in(world, BOB, "staff").await]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_a_provider_or_a_number_names_ends_alone_by_the_api_and_by_the_command() {
    let ours = Authority::new("devices");
    let world = World::of(Setup { partners: true, apps: APPS.to_owned(), ..asking(&ours) }).await;
    let shown = ours.issue("mac-1", 1);
    let device = json!({ "owner": "shared", "fingerprint": shown.fingerprint() }).to_string();
    assert_eq!(world.administer("PUT", "/api/v1/devices/mac-1", "", &device).await.status, 200);
    for by_command in [false, true] {
        let cookies = three(&world, &shown).await;
        let of_bob = world.admin("/api/v1/sessions?user=bob@corp.example").await.json();
        let number = of_bob["sessions"][0]["sign_in"].to_string();
        for (key, name, left) in
            [("device", "mac-1", [401, 200, 200]), ("provider", "partners", [401, 401, 200]), ("sign_in", &*number, [401; 3])]
        {
            if by_command {
                let option = format!("--{}", key.replace('_', "-"));
                let (code, said, problem) = doorward(&world, &["sessions", "revoke", &option, name]).await;
                assert!(code == 0 && said.starts_with("ended 1 sign-in(s) with 1 session(s)"), "{option}: {said}{problem}");
            } else {
                let (code, said) = revoke(&world, &json!({ key: name })).await;
                assert_eq!((code, &said["sign_ins"], &said["sessions"]), (200, &json!(1), &json!(1)), "{key}: {said}");
            }
            for (cookie, expected) in cookies.iter().zip(left) {
                assert_eq!(status(&world, SHOP, cookie).await, expected, "{key}, by the command: {by_command}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_keeps_a_person_out_until_it_is_lifted_and_other_people_in() {
    let world = World::start().await;
    let (alice, bob) = (world.session(WIKI, ALICE).await, world.session(WIKI, BOB).await);
    let mut of_alice = websocket(&world, WIKI, "/a/ws", &alice).await;
    let lock = json!({ "reason": "left the company" }).to_string();
    let locked = world.administer("PUT", "/api/v1/locks/user/ALICE@Corp.Example", "", &lock).await;
    assert_eq!((locked.status, &locked.json()["sign_ins"], &locked.json()["name"]), (200, &json!(1), &json!("alice@corp.example")));
    assert_eq!(of_alice.rest().await, FAREWELL);
    assert_eq!((status(&world, WIKI, &alice).await, status(&world, WIKI, &bob).await), (401, 200));
    let mut browser = world.browser();
    let page = browser.sign_in(&world.url(WIKI, "/"), ALICE).await;
    assert_eq!((page.status, page.url.starts_with(&world.url(LOGIN, ""))), (403, true));
    assert!(page.text().contains("user_locked") && !page.text().contains("left the company"), "{}", page.text());
    assert!(browser.cookie(LOGIN, "__Host-doorward-sso").is_none());
    assert_eq!(world.metric("doorward_locks{kind=\"user\"}").await, 1.0);
    assert_eq!(world.metric("doorward_logins_total{outcome=\"user_locked\",provider=\"staff\"}").await, 1.0);
    assert_eq!(world.admin("/api/v1/locks/user/alice@corp.example").await.json()["reason"], "left the company");
    assert_eq!(world.administer("DELETE", "/api/v1/locks/user/alice@corp.example", "", "").await.status, 204);
    assert_eq!(world.administer("DELETE", "/api/v1/locks/user/alice@corp.example", "", "").await.status, 404);
    assert_eq!(world.browser().sign_in(&world.url(WIKI, "/"), ALICE).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_would_keep_nobody_out_is_refused_and_one_outlives_a_restart() {
    let mut world = World::start().await;
    for (path, body, status) in [
        ("user/alice", json!({ "reason": "x" }), 404),
        ("user/", json!({ "reason": "x" }), 404),
        ("group/staff", json!({ "reason": "x" }), 404),
        ("device/a%2Fb", json!({ "reason": "x" }), 404),
        ("user/staff:u", json!({}), 400),
        ("user/staff:u", json!({ "reason": " " }), 400),
        ("user/staff:u", json!({ "reason": "x".repeat(501) }), 400),
        ("user/staff:u", json!({ "reason": "x", "expires_at": "2020-01-01T00:00:00Z" }), 400),
        ("user/staff:u", json!({ "reason": "x", "expires_at": "soon" }), 400),
        ("user/staff:u", json!({ "reason": "x", "until": "soon" }), 400),
    ] {
        let answer = world.administer("PUT", &format!("/api/v1/locks/{path}"), "", &body.to_string()).await;
        assert_eq!(answer.status, status, "{path} {body}: {}", answer.text());
    }
    let (code, said, problem) =
        doorward(&world, &["locks", "set", "--user", ALICE.0, "--why", "lost her badge", "--for", "8h"]).await;
    assert!(code == 0 && said.starts_with("locked; nothing was there to end"), "{said} {problem}");
    world.stop().await;
    world.run().await;
    eventually("the provider is discovered", async || {
        (world.admin("/api/v1/status").await.json()["providers"][0]["up"] == true).then_some(())
    })
    .await;
    assert_eq!(world.browser().sign_in(&world.url(WIKI, "/"), ALICE).await.status, 403);
    let (_, listed, _) = doorward(&world, &["locks", "list"]).await;
    assert!(listed.contains("alice@corp.example") && listed.contains("lost her badge"), "{listed}");
    let lift = ["locks", "lift", "--user", ALICE.0, "--why", "found it"];
    assert_eq!((doorward(&world, &lift).await.0, doorward(&world, &lift).await.0), (0, 1));
    assert_eq!(world.browser().sign_in(&world.url(WIKI, "/"), ALICE).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_is_under_way_when_the_person_is_locked_out_comes_to_nothing() {
    let world = World::start().await;
    let mut browser = world.browser();
    let form = browser.go(&world.url(WIKI, "/")).await;
    // The provider has said yes; its answer is on the way.
    let callback = browser.fill_in(&form, ALICE).await;
    let callback = browser.until(&callback, "/.doorward/callback").await;
    let lock = json!({ "reason": "now" }).to_string();
    assert_eq!(world.administer("PUT", "/api/v1/locks/user/alice@corp.example", "", &lock).await.status, 200);
    assert_eq!(browser.step(&callback, None).await.status, 403);
    assert!(browser.cookie(LOGIN, "__Host-doorward-sso").is_none());
    assert_eq!(users(&world, "").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_session_was_used_last_is_known_after_a_stop() {
    let mut world = World::start().await;
    let session = world.session(WIKI, ALICE).await;
    more_than_a_second().await;
    assert_eq!(world.get(WIKI, "/read/x", &format!("Cookie: {session}\r\n")).await.status, 200);
    world.stop().await;
    let database = format!("sqlite:{}", world.path("doorward.db").display());
    let mut database = <sqlx::SqliteConnection as sqlx::Connection>::connect(&database).await.unwrap();
    let later: i64 = sqlx::query_scalar("SELECT last_seen - created_at FROM sign_ins").fetch_one(&mut database).await.unwrap();
    assert!(later >= 1000, "{later} ms after the sign-in");
}
