//! What attackers try: other people's tokens, other people's users, requests that are meant to hurt.

use crate::client::{
    PARTNERS, PAST, PATCH, READER, STAFF, USER, call, get, group, patch, send, setup, two_directories, user, world,
};
use crate::world::wire::Connection;
use crate::world::{BOB, LOGIN, PAYROLL, World, eventually};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn only_a_good_token_opens_anything() {
    let world = world().await;
    for token in ["", "x", PAST, &STAFF[1..], &format!("{STAFF} "), &format!("{STAFF}x"), &STAFF.to_uppercase()] {
        let answer = send(&world, token, "GET", "/Users", "", "").await;
        // A trailing space is no part of a header.
        let expected = if token == format!("{STAFF} ") { 200 } else { 401 };
        assert_eq!(answer.status, expected, "{token}");
    }
    let answer = send(&world, "x", "GET", "/Users", "", "").await;
    assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer") && answer.json()["status"] == "401");
    let basic = world.get(LOGIN, "/scim/v2/Users", &format!("Authorization: Basic {STAFF}\r\n")).await;
    assert_eq!(basic.status, 401);
    let in_query = world.get(LOGIN, &format!("/scim/v2/Users?access_token={STAFF}"), "").await;
    assert_eq!(in_query.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_which_only_the_hash_is_configured_opens_the_directory_and_the_hash_does_not() {
    // `printf %s TOKEN | sha256sum`
    const HASH: &str = "c724ff4058f1178eb56e5e98107cc3f8b3147f7974b7dea5eb5a340c7c587245";
    const HASHED: &str = "    scim: { tokens: [{ sha256: c724ff4058f1178eb56e5e98107cc3f8b3147f7974b7dea5eb5a340c7c587245 }] }\n";
    let world = World::of(setup(HASHED)).await;
    for (token, expected) in [(STAFF, 200), (HASH, 401), (READER, 401)] {
        assert_eq!(send(&world, token, "GET", "/Users", "", "").await.status, expected, "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_tries_tokens_is_told_to_wait_and_others_are_not() {
    let world = world().await;
    let mut last = 0;
    for _ in 0..25 {
        last = send(&world, "a-guess-that-is-long-enough", "GET", "/Users", "", "").await.status;
    }
    assert_eq!(last, 429);
    assert_eq!(send(&world, STAFF, "GET", "/Users", "", "").await.status, 200, "a good token is taken all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_look_changes_nothing() {
    let world = world().await;
    let id = user(&world, "a", json!({})).await;
    let body = json!({ "schemas": [USER], "userName": "b" }).to_string();
    let change = json!({ "schemas": [PATCH], "Operations": [{ "op": "remove", "path": "title" }] }).to_string();
    let one = format!("/Users/{id}");
    for (method, path, body) in [
        ("POST", "/Users", &*body),
        ("PUT", &*one, &*body),
        ("PATCH", &*one, &*change),
        ("DELETE", &*one, ""),
        ("POST", "/Bulk", "{}"),
        ("POST", "/Groups", "{}"),
    ] {
        assert_eq!(send(&world, READER, method, path, "", body).await.status, 403, "{method} {path}");
    }
    assert_eq!(send(&world, READER, "GET", &one, "", "").await.status, 200);
    let search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"] }).to_string();
    assert_eq!(send(&world, READER, "POST", "/.search", "", &search).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_one_provider_does_not_exist_for_another() {
    let world = two_directories().await;
    let theirs = user(&world, "bob@corp.example", json!({ "externalId": "s-bob" })).await;
    let their_group = group(&world, "finance", &[&theirs]).await;
    let rename =
        json!({ "schemas": [PATCH], "Operations": [{ "op": "replace", "path": "displayName", "value": "mine" }] }).to_string();
    let body = json!({ "schemas": [USER], "userName": "bob@corp.example", "active": false }).to_string();
    let (one, finance) = (format!("/Users/{theirs}"), format!("/Groups/{their_group}"));
    for (method, path, body) in [
        ("GET", &one, ""),
        ("PUT", &one, &*body),
        ("PATCH", &one, &*rename),
        ("DELETE", &one, ""),
        ("GET", &finance, ""),
        ("PATCH", &finance, &*rename),
        ("DELETE", &finance, ""),
    ] {
        assert_eq!(send(&world, PARTNERS, method, path, "", body).await.status, 404, "{method} {path}");
    }
    for path in ["/Users", "/Groups", "", "/Users?filter=userName+pr", "/Users?sortBy=userName"] {
        assert_eq!(send(&world, PARTNERS, "GET", path, "", "").await.json()["totalResults"], 0, "{path}");
    }
    let filter = format!("/Users?filter=id+eq+%22{theirs}%22");
    assert_eq!(send(&world, PARTNERS, "GET", &filter, "", "").await.json()["totalResults"], 0);
    // The same name may be there twice, in two directories, and what is said there concerns nobody here.
    assert_eq!(send(&world, PARTNERS, "POST", "/Users", "", &body).await.status, 201);
    let session = world.session(PAYROLL, BOB).await;
    assert_eq!(world.get(PAYROLL, "/", &format!("Cookie: {session}\r\n")).await.status, 200);
    // Nobody is taken into a group of another directory.
    let mine = json!({ "schemas": [crate::client::GROUP], "displayName": "admins", "members": [{ "value": theirs }] }).to_string();
    let made = send(&world, PARTNERS, "POST", "/Groups", "", &mine).await.json();
    assert!(made["members"].is_null(), "{made}");
    assert_eq!(get(&world, &one).await["groups"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_taken_whatever_its_case() {
    let world = world().await;
    user(&world, "Ända@corp.example", json!({})).await;
    for name in ["ända@corp.example", "ÄNDA@CORP.EXAMPLE"] {
        assert_eq!(call(&world, "POST", "/Users", &json!({ "schemas": [USER], "userName": name })).await.0, 409, "{name}");
    }
    let id = user(&world, "b", json!({})).await;
    let taken =
        patch(&world, &format!("/Users/{id}"), json!([{ "op": "replace", "value": { "userName": "ÄNDA@corp.example" } }])).await;
    assert_eq!(taken.0, 409);
    // A letter that only looks like one in lower case makes nobody else of it.
    let kelvin = json!({ "schemas": [USER], "userName": "bob@corp.example".replace('b', "\u{212a}"), "active": false });
    assert_eq!(call(&world, "POST", "/Users", &kelvin).await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_too_deep_or_not_json_is_refused() {
    let world = world().await;
    let nested = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let long = json!({ "schemas": [USER], "userName": "a", "title": "x".repeat(1 << 20) }).to_string();
    let wide = json!({ "schemas": [USER], "userName": "a", "name": { "formatted": "x".repeat(300 << 10) } }).to_string();
    for (body, expected) in [(&*nested, 400), (&*long, 413), (&*wide, 413), ("", 400), ("{", 400), ("\u{0}", 400)] {
        let answer = send(&world, STAFF, "POST", "/Users", "", body).await;
        assert_eq!(answer.status, expected, "{}", answer.text());
    }
    let id = user(&world, "a", json!({})).await;
    let many: Vec<Value> = (0..1001).map(|_| json!({ "op": "add", "path": "title", "value": "x" })).collect();
    assert_eq!(patch(&world, &format!("/Users/{id}"), many.into()).await.0, 400);
    let mut status = 200;
    for n in 0..9 {
        let emails: Vec<_> = (0..90).map(|m| json!({ "value": format!("{n}-{m}@{}.example", "x".repeat(400)) })).collect();
        status = patch(&world, &format!("/Users/{id}"), json!([{ "op": "add", "path": "emails", "value": emails }])).await.0;
    }
    assert_eq!(status, 413, "a resource does not grow for ever, piece by piece");
    let text = "Content-Type: text/xml";
    let mut connection = Connection::tls(&world, LOGIN).await;
    let lines = format!("Authorization: Bearer {STAFF}\r\n{text}\r\nContent-Length: 4\r\n");
    connection.write(world.head("POST", LOGIN, "/scim/v2/Users", &lines) + "<x/>").await;
    assert_eq!(connection.answer().await.status, 415);
}

#[tokio::test(flavor = "multi_thread")]
async fn methods_that_mean_nothing_are_refused_and_do_nothing() {
    let world = world().await;
    let id = user(&world, "a", json!({})).await;
    for (method, path, expected) in [
        ("DELETE", "/Users".to_owned(), 405),
        ("PUT", "/Users".to_owned(), 405),
        ("POST", format!("/Users/{id}"), 405),
        ("GET", "/Bulk".to_owned(), 405),
        ("POST", "/Schemas".to_owned(), 405),
        ("GET", format!("/Users/{id}/title"), 404),
        ("GET", "/Robots".to_owned(), 404),
        ("DELETE", "/".to_owned(), 405),
    ] {
        assert_eq!(send(&world, STAFF, method, &path, "", "").await.status, expected, "{method} {path}");
    }
    assert_eq!(get(&world, "/Users").await["totalResults"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_counts_with_the_next_configuration_and_the_old_one_no_more() {
    let world = world().await;
    let path = world.path("doorward.yaml");
    let next = "the-token-that-comes-next-2026";
    std::fs::write(world.path("next-token"), next).unwrap();
    let text = std::fs::read_to_string(&path).unwrap().replace("{ file: staff-token }", "{ file: next-token }");
    std::fs::write(&path, text).unwrap();
    eventually("the configuration is reloaded", async || {
        (send(&world, next, "GET", "/Users", "", "").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(send(&world, STAFF, "GET", "/Users", "", "").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_patch_makes_no_large_resource() {
    let world = world().await;
    let id = user(&world, "a", json!({})).await;
    let path = format!("/Users/{id}");
    let items: Vec<_> = (0..2000).map(|number| json!({ "value": format!("{number}") })).collect();
    let long = "x".repeat(400 << 10);
    let half = "x".repeat(60 << 10);
    let cases = [
        json!([{ "op": "add", "path": "phoneNumbers", "value": items }]),
        json!([{ "op": "replace", "path": "title", "value": long }]),
        json!([{ "op": "add", "path": "ims", "value": items[..900] }, { "op": "replace", "path": "ims.display", "value": half }]),
        json!([{ "op": "add", "path": "ims", "value": items[..900] }, { "op": "add", "path": "ims[value pr].display", "value": half }]),
    ];
    for operations in cases {
        let (status, said) = patch(&world, &path, operations).await;
        assert!(status == 400 || status == 413, "{status} {said}");
    }
    let body = json!({ "schemas": [USER], "userName": "a", "phoneNumbers": items });
    assert_eq!(call(&world, "PUT", &path, &body).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_are_asked_for_often_are_shown_once() {
    let world = world().await;
    let id = user(&world, "a", json!({ "title": "t" })).await;
    let names = vec!["title"; 50_000];
    let search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "attributes": names });
    let (status, said) = call(&world, "POST", "/Users/.search", &search).await;
    assert_eq!((status, &said["Resources"][0]["title"]), (200, &json!("t")));
    assert_eq!(said["Resources"][0]["id"], id);
}
