//! One resource at a time, and many in one request: versions, errors, bulk.

use crate::client::{ENTERPRISE, GROUP, PATCH, STAFF, USER, call, get, group, patch, send, user, world};
use crate::world::World;
use serde_json::{Value, json};

const BULK: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";

#[tokio::test(flavor = "multi_thread")]
async fn a_version_tells_whether_somebody_was_faster() {
    let world = world().await;
    let id = user(&world, "a", json!({})).await;
    let path = format!("/Users/{id}");
    let first = send(&world, STAFF, "GET", &path, "", "").await;
    let tag = first.header("etag").unwrap().to_owned();
    assert_eq!(first.json()["meta"]["version"], *tag);
    let unchanged = send(&world, STAFF, "GET", &path, &format!("If-None-Match: {tag}\r\n"), "").await;
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    let rename = json!({ "schemas": [PATCH], "Operations": [{ "op": "replace", "path": "title", "value": "x" }] }).to_string();
    let matching = format!("If-Match: {tag}\r\n");
    let changed = send(&world, STAFF, "PATCH", &path, &matching, &rename).await;
    assert!(changed.status == 200 && changed.header("etag") != Some(&tag), "{}", changed.text());
    let whole = json!({ "schemas": [USER], "userName": "a" }).to_string();
    for (method, body) in [("PATCH", &*rename), ("PUT", &*whole), ("DELETE", "")] {
        let late = send(&world, STAFF, method, &path, &matching, body).await;
        assert_eq!((late.status, &late.json()["status"]), (412, &json!("412")), "{method}");
    }
    assert_eq!(send(&world, STAFF, "GET", &path, &matching.replace("If-Match", "If-None-Match"), "").await.status, 200);
    let unreadable = send(&world, STAFF, "DELETE", &path, "If-Match: \"\u{e9}\"\r\n", "").await.status;
    assert_eq!(unreadable, 412, "a tag that can't be read is no tag of ours, and not no condition");
    assert_eq!(send(&world, STAFF, "DELETE", &path, "If-Match: *\r\n", "").await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_change_the_same_version_one_does() {
    let world = world().await;
    let id = user(&world, "a", json!({})).await;
    let path = format!("/Users/{id}");
    let tag = send(&world, STAFF, "GET", &path, "", "").await.header("etag").unwrap().to_owned();
    let one = async |n: usize| {
        let body = json!({ "schemas": [PATCH], "Operations": [{ "op": "replace", "path": "title", "value": n.to_string() }] });
        send(&world, STAFF, "PATCH", &path, &format!("If-Match: {tag}\r\n"), &body.to_string()).await.status
    };
    let mut statuses = futures_util::future::join_all((0..8).map(one)).await;
    statuses.sort_unstable();
    assert_eq!(statuses, [[200].as_slice(), &[412; 7]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_are_added_at_once_are_all_there() {
    let world = world().await;
    let mut users = Vec::new();
    for n in 0..6 {
        users.push(user(&world, &format!("u{n}"), json!({})).await);
    }
    let path = format!("/Groups/{}", group(&world, "g", &[]).await);
    let add =
        async |id: &String| patch(&world, &path, json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }])).await.0;
    assert_eq!(futures_util::future::join_all(users.iter().map(add)).await, [200; 6]);
    assert_eq!(get(&world, &path).await["members"].as_array().unwrap().len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_right_is_refused_with_the_word_for_it_and_changes_nothing() {
    let world = world().await;
    let id = user(&world, "a", json!({ "emails": [{ "type": "work", "value": "a@corp.example" }] })).await;
    user(&world, "b", json!({})).await;
    let (users, one) = ("/Users".to_owned(), format!("/Users/{id}"));
    let of = |operations: Value| json!({ "schemas": [PATCH], "Operations": operations });
    let before = get(&world, &one).await;
    let cases = [
        ("POST", &users, json!([]), 400, "invalidSyntax"),
        ("POST", &users, json!({ "userName": "x" }), 400, "invalidValue"),
        ("POST", &users, json!({ "schemas": [GROUP], "userName": "x" }), 400, "invalidValue"),
        ("POST", &users, json!({ "schemas": [USER] }), 400, "invalidValue"),
        ("POST", &users, json!({ "schemas": [USER], "userName": "" }), 400, "invalidValue"),
        ("POST", &users, json!({ "schemas": [USER], "userName": 7 }), 400, "invalidValue"),
        ("POST", &users, json!({ "schemas": [USER], "userName": "x\r\ny" }), 400, "invalidValue"),
        ("POST", &users, json!({ "schemas": [USER], "userName": "x".repeat(300) }), 400, "invalidValue"),
        ("POST", &users, json!({ "schemas": [USER], "userName": "x", "active": "perhaps" }), 400, "invalidValue"),
        ("POST", &users, json!({ "schemas": [USER], "userName": "x", "USERNAME": "y" }), 400, "invalidSyntax"),
        ("POST", &users, json!({ "schemas": [USER], "userName": "x", ENTERPRISE: { "department": "a\nb" } }), 400, "invalidValue"),
        (
            "POST",
            &users,
            json!({ "schemas": [USER], "userName": "x", "emails": [{ "value": "1", "primary": true }, { "value": "2", "primary": true }] }),
            400,
            "invalidValue",
        ),
        ("POST", &users, json!({ "schemas": [USER], "userName": "A" }), 409, "uniqueness"),
        ("PUT", &one, json!({ "schemas": [USER], "userName": "B" }), 409, "uniqueness"),
        ("PUT", &one, json!({ "schemas": [USER], "userName": "a", "id": "another" }), 400, "mutability"),
        ("PATCH", &one, json!({ "Operations": [] }), 400, "invalidSyntax"),
        ("PATCH", &one, of(json!([])), 400, "invalidValue"),
        ("PATCH", &one, of(json!([{ "op": "swap", "path": "title" }])), 400, "invalidSyntax"),
        ("PATCH", &one, of(json!([{ "op": "remove" }])), 400, "noTarget"),
        ("PATCH", &one, of(json!([{ "op": "add", "path": "title" }])), 400, "invalidValue"),
        ("PATCH", &one, of(json!([{ "op": "replace", "path": "shoeSize", "value": "43" }])), 400, "invalidPath"),
        ("PATCH", &one, of(json!([{ "op": "replace", "path": "emails[type eq", "value": "x" }])), 400, "invalidPath"),
        (
            "PATCH",
            &one,
            of(json!([{ "op": "replace", "path": "emails[type eq \"work\"].shoe", "value": "x" }])),
            400,
            "invalidPath",
        ),
        ("PATCH", &one, of(json!([{ "op": "replace", "path": "title[type eq \"work\"]", "value": "x" }])), 400, "invalidPath"),
        ("PATCH", &one, of(json!([{ "op": "replace", "path": "emails[type eq \"home\"].value", "value": "x" }])), 400, "noTarget"),
        ("PATCH", &one, of(json!([{ "op": "replace", "path": "id", "value": "x" }])), 400, "mutability"),
        ("PATCH", &one, of(json!([{ "op": "replace", "value": { "id": "x" } }])), 400, "mutability"),
        (
            "PATCH",
            &one,
            of(json!([{ "op": "replace", "path": "meta.created", "value": "2000-01-01T00:00:00Z" }])),
            400,
            "mutability",
        ),
        ("PATCH", &one, of(json!([{ "op": "add", "path": "groups", "value": [{ "value": "x" }] }])), 400, "mutability"),
        ("PATCH", &one, of(json!([{ "op": "remove", "path": "schemas" }])), 400, "mutability"),
        ("PATCH", &one, of(json!([{ "op": "remove", "path": "userName" }])), 400, "invalidValue"),
        ("PATCH", &one, of(json!([{ "op": "replace", "path": "userName", "value": "B" }])), 409, "uniqueness"),
        (
            "PATCH",
            &one,
            of(json!([{ "op": "replace", "path": "title", "value": "half" }, { "op": "remove", "path": "userName" }])),
            400,
            "invalidValue",
        ),
    ];
    for (method, path, body, expected, word) in cases {
        let (status, said) = call(&world, method, path, &body).await;
        assert_eq!((status, said["scimType"].as_str()), (expected, Some(word)), "{method} {body}: {said}");
        assert_eq!(said["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:Error"]));
        assert!(said["detail"].is_string() && said["status"].as_str() == Some(&*expected.to_string()));
    }
    assert_eq!(get(&world, &one).await, before);
    assert_eq!(get(&world, "/Users").await["totalResults"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_primary_takes_that_from_what_was() {
    let world = world().await;
    let emails =
        json!([{ "type": "work", "value": "a@corp.example", "primary": true }, { "type": "home", "value": "a@home.example" }]);
    let id = user(&world, "a", json!({ "emails": emails })).await;
    let operations =
        json!([{ "op": "add", "path": "emails", "value": [{ "type": "other", "value": "a@other.example", "primary": true }] }]);
    let (status, said) = patch(&world, &format!("/Users/{id}"), operations).await;
    let primary = |said: &Value| -> Vec<String> {
        let all = said["emails"].as_array().unwrap().iter().filter(|email| email["primary"] == true);
        all.map(|email| email["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!((status, primary(&said)), (200, vec!["other".to_owned()]), "{said}");
    let operations = json!([{ "op": "replace", "path": "emails[type eq \"home\"].primary", "value": true }]);
    let (status, said) = patch(&world, &format!("/Users/{id}"), operations).await;
    assert_eq!((status, primary(&said)), (200, vec!["home".to_owned()]), "{said}");
}

async fn bulk(world: &World, stop_after: u64, operations: Value) -> (u16, Vec<Value>) {
    let body = json!({ "schemas": [BULK], "failOnErrors": stop_after, "Operations": operations });
    let (status, said) = call(world, "POST", "/Bulk", &body).await;
    (status, said["Operations"].as_array().cloned().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_may_name_what_it_makes_itself_also_before_it_does() {
    let world = world().await;
    let operations = json!([
        { "method": "POST", "path": "/Groups", "bulkId": "g", "data": { "schemas": [GROUP], "displayName": "finance", "members": [{ "value": "bulkId:u" }] } },
        { "method": "POST", "path": "/Users", "bulkId": "u", "data": { "schemas": [USER], "userName": "bob" } },
        { "method": "PATCH", "path": "/Users/bulkId:u", "data": { "schemas": [PATCH], "Operations": [{ "op": "replace", "path": "title", "value": "x" }] } },
        { "method": "DELETE", "path": "/Users/nobody" }
    ]);
    let (status, results) = bulk(&world, 0, operations).await;
    let statuses: Vec<_> = results.iter().map(|result| result["status"].as_str().unwrap()).collect();
    assert_eq!((status, statuses), (200, vec!["201", "201", "200", "404"]), "{results:?}");
    assert!(results[3]["response"]["detail"].is_string() && results[0]["bulkId"] == "g" && results[1]["version"].is_string());
    let group = results[0]["location"].as_str().unwrap().split("/scim/v2").nth(1).unwrap().to_owned();
    let user = results[1]["location"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert_eq!(get(&world, &group).await["members"][0]["value"], *user);
    assert_eq!(get(&world, &format!("/Users/{user}")).await["title"], "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_ends_where_it_is_told_to_and_never_goes_round() {
    let world = world().await;
    let wrong = |id: &str| json!({ "method": "POST", "path": "/Users", "bulkId": id, "data": { "schemas": [USER] } });
    let (_, results) = bulk(&world, 2, json!([wrong("1"), wrong("2"), wrong("3"), wrong("4")])).await;
    assert_eq!(results.len(), 2);
    let manager = |id: &str, of: &str| {
        let data = json!({ "schemas": [USER, ENTERPRISE], "userName": id, ENTERPRISE: { "manager": { "value": format!("bulkId:{of}") } } });
        json!({ "method": "POST", "path": "/Users", "bulkId": id, "data": data })
    };
    let (status, results) = bulk(&world, 0, json!([manager("a", "b"), manager("b", "a"), manager("c", "c")])).await;
    assert_eq!((status, results.len()), (200, 3));
    assert!(results.iter().all(|result| result["status"] == "400"), "{results:?}");
    for (operations, expected) in [
        (json!([{ "method": "POST", "path": "/Users", "data": {} }]), 400),
        (json!([{ "path": "/Users" }]), 400),
        (json!("x"), 400),
        (json!(vec![json!({ "method": "DELETE", "path": "/Users/x" }); 1001]), 413),
    ] {
        assert_eq!(bulk(&world, 0, operations).await.0, expected);
    }
    let (_, results) = bulk(&world, 0, json!([{ "method": "POST", "path": "/Bulk", "bulkId": "x", "data": {} }])).await;
    assert_eq!(results[0]["status"], "404", "no bulk in a bulk");
    assert_eq!(get(&world, "/Users").await["totalResults"], 0);
}
