//! Large directories and large groups: what is shown of them at once, and who nobody mentions any more.

use crate::client::{GROUP, STAFF, USER, call, filtered, get, group, patch, send, user, world};
use crate::effects::sign_in;
use crate::world::{ALICE, BOB, MALLORY, WIKI, World};
use serde_json::{Value, json};
use sqlx::Executor as _;
use std::process::Command;

async fn users(world: &World, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let some = ids.len()..count.min(ids.len() + 1000);
        let make = |n: usize| json!({ "method": "POST", "path": "/Users", "bulkId": format!("{n}"), "data": { "schemas": [USER], "userName": format!("u{n}") } });
        let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": some.map(make).collect::<Vec<_>>() });
        let (done, said) = call(world, "POST", "/Bulk", &body).await;
        assert_eq!(done, 200, "{said}");
        let id = |made: &Value| made["location"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        ids.extend(said["Operations"].as_array().unwrap().iter().map(id));
    }
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_only_so_many_members_and_says_how_to_ask_for_less() {
    let world = world().await;
    let ids = users(&world, 1001).await;
    let members: Vec<_> = ids.iter().map(|id| json!({ "value": id })).collect();
    let mut last = String::new();
    for number in 0..30 {
        let body = json!({ "schemas": [GROUP], "displayName": format!("g{number}"), "members": members });
        let (done, made) = call(&world, "POST", "/Groups", &body).await;
        assert_eq!((done, made["members"].as_array().map(Vec::len)), (201, Some(1001)));
        made["id"].as_str().unwrap().clone_into(&mut last);
    }
    for path in ["/Groups", "/Groups?filter=displayName+pr", "/Groups?sortBy=displayName"] {
        let (done, said) = call(&world, "GET", path, &Value::Null).await;
        assert_eq!((done, &said["scimType"]), (400, &json!("tooMany")), "{path}");
        assert!(said["detail"].as_str().unwrap().contains("excludedAttributes=members"), "{said}");
    }
    assert_eq!(get(&world, "/Groups?excludedAttributes=members").await["totalResults"], 30);
    assert_eq!(get(&world, "/Groups?attributes=displayName").await["totalResults"], 30);
    assert_eq!(get(&world, "/Groups?count=29").await["Resources"][28]["members"].as_array().unwrap().len(), 1001);
    // What a PATCH does to a large group is not answered with all of its members, unless that is asked for.
    let leaves = json!([{ "op": "remove", "path": format!("members[value eq \"{}\"]", ids[0]) }]);
    let joins = json!([{ "op": "add", "path": "members", "value": [{ "value": ids[0] }] }]);
    let path = format!("/Groups/{last}");
    assert_eq!(patch(&world, &path, leaves).await.1["members"].as_array().unwrap().len(), 1000);
    let (done, said) = patch(&world, &path, joins.clone()).await;
    assert_eq!((done, said), (204, Value::Null));
    for (query, shown) in
        [("?attributes=members", Some(1001)), ("?attributes=displayName", None), ("?excludedAttributes=members", None)]
    {
        let (done, said) = patch(&world, &format!("{path}{query}"), joins.clone()).await;
        assert_eq!((done, said["members"].as_array().map(Vec::len)), (200, shown), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_found_in_and_taken_out_of_however_large_a_group() {
    let world = world().await;
    let (inside, outside) = (user(&world, "inside", json!({})).await, user(&world, "outside", json!({})).await);
    let large = group(&world, "large", &[&inside]).await;
    let database = format!("sqlite:{}", world.path("doorward.db").display());
    let mut database = <sqlx::SqliteConnection as sqlx::Connection>::connect(&database).await.unwrap();
    // With one more than an answer has; who they are does not matter.
    let fill = format!(
        "PRAGMA foreign_keys = OFF; WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 30000)
         INSERT INTO directory_members (group_id, user_id) SELECT '{large}', 'u' || i FROM n"
    );
    database.execute(sqlx::AssertSqlSafe(fill)).await.unwrap();
    let found = async |path: &str, filter: String| {
        let path = format!("{}&excludedAttributes=members,groups", filtered(path, &filter));
        let (status, said) = call(&world, "GET", &path, &Value::Null).await;
        if status == 200 { Ok(said["totalResults"].as_u64().unwrap()) } else { Err(said["scimType"].clone()) }
    };
    for (filter, expected) in [
        (format!("members.value eq \"{inside}\""), Ok(1)),
        (format!("members.value eq \"{outside}\""), Ok(0)),
        (format!("members eq \"{inside}\" and displayName pr"), Ok(1)),
        (format!("id eq \"{large}\" and members[value eq \"{inside}\"]"), Ok(1)),
        (format!("not (members[value eq \"{outside}\"])"), Ok(1)),
        (format!("members.value eq \"{outside}\" or displayName eq \"large\""), Ok(1)),
        (format!("members.value eq \"{inside}\" and members.type eq \"User\""), Err(json!("tooMany"))),
    ] {
        assert_eq!(found("/Groups", filter.clone()).await, expected, "{filter}");
    }
    for (group, expected) in [(&large, 1), (&inside, 0)] {
        assert_eq!(found("/Users", format!("groups.value eq \"{group}\"")).await, Ok(expected));
    }
    let leave = json!([{ "op": "remove", "path": format!("members[value eq \"{inside}\" or value eq \"{outside}\"]") }]);
    assert_eq!(patch(&world, &format!("/Groups/{large}"), leave).await.0, 204);
    assert_eq!(found("/Groups", format!("members.value eq \"{inside}\"")).await, Ok(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_of_a_user_changes_with_their_groups_and_that_of_a_group_with_its_members() {
    let world = world().await;
    let (id, other) = (user(&world, "a", json!({})).await, user(&world, "b", json!({})).await);
    let tag = async |path: &str| send(&world, STAFF, "GET", path, "", "").await.header("etag").unwrap().to_owned();
    let (one, of_other) = (format!("/Users/{id}"), tag(&format!("/Users/{other}")).await);
    let mut before = tag(&one).await;
    let made = crate::client::group(&world, "g", &[]).await;
    let group = format!("/Groups/{made}");
    for operation in [
        json!({ "op": "add", "path": "members", "value": [{ "value": id }] }),
        json!({ "op": "replace", "path": "displayName", "value": "h" }),
        json!({ "op": "remove", "path": "members" }),
        json!({ "op": "add", "path": "members", "value": [{ "value": id }] }),
    ] {
        assert_eq!(patch(&world, &group, json!([operation])).await.0, 200);
        let condition = format!("If-None-Match: {before}\r\n");
        assert_eq!(send(&world, STAFF, "GET", &one, &condition, "").await.status, 200, "{operation}");
        before = tag(&one).await;
    }
    assert_eq!(tag(&format!("/Users/{other}")).await, of_other, "nobody else's");
    let with_member = tag(&group).await;
    assert_eq!(call(&world, "DELETE", &one, &Value::Null).await.0, 204);
    assert_ne!(tag(&group).await, with_member);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_lists_whom_no_provider_mentions_any_more() {
    let world = world().await;
    let bob = user(&world, "bob@corp.example", json!({})).await;
    user(&world, "al", json!({ "externalId": "s-alice" })).await;
    for who in [ALICE, BOB, MALLORY] {
        assert_eq!(sign_in(&world, WIKI, who).await.0, 200);
    }
    assert_eq!(call(&world, "DELETE", &format!("/Users/{bob}"), &Value::Null).await.0, 204);
    let config = world.path("doorward.yaml");
    let doorward = async |words: &'static [&'static str]| {
        let config = config.clone();
        let run = move || Command::new(env!("CARGO_BIN_EXE_doorward")).args(words).arg("-c").arg(config).output().unwrap();
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, table) = doorward(&["orphans"]).await;
    let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((code, lines.len(), lines[0][0]), (0, 3, "USER"), "{table}");
    assert_eq!((lines[1][0], lines[1][1], lines[1][3]), ("staff:s-bob", "bob@corp.example", "deleted"), "{table}");
    assert_eq!((lines[2][0], lines[2][3]), ("staff:s-mallory", "not_in_directory"), "{table}");
    let (code, listed) = doorward(&["orphans", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((code, listed.as_array().unwrap().len(), &listed[0]["user"]), (0, 2, &json!("staff:s-bob")));
}
