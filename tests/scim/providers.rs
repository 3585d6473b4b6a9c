//! What Entra ID and Okta really send, as their documentation shows it, and what has to come of it.

use crate::client::{ENTERPRISE, GROUP, USER, call, count, get, group, patch, user, world};
use serde_json::{Value, json};

/// Operations on a user, and what a part of the user is then.
fn of_entra() -> Vec<(Value, &'static str, Value)> {
    let enterprise = |name: &str| format!("/{}/{name}", ENTERPRISE);
    let at = |name: &str| -> &'static str { Box::leak(enterprise(name).into_boxed_str()) };
    vec![
        (json!([{ "op": "Replace", "path": "active", "value": "False" }]), "/active", json!(false)),
        (json!([{ "op": "Add", "path": "active", "value": "True" }]), "/active", json!(true)),
        (json!([{ "op": "Replace", "path": "displayName", "value": "Bob B." }]), "/displayName", json!("Bob B.")),
        (json!([{ "op": "Add", "path": "name.givenName", "value": "Bob" }]), "/name/givenName", json!("Bob")),
        (
            json!([{ "op": "Add", "path": "emails[type eq \"work\"].value", "value": "b@corp.example" }]),
            "/emails",
            json!([{ "type": "work", "value": "b@corp.example" }]),
        ),
        (
            json!([{ "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "bb@corp.example" }]),
            "/emails/0/value",
            json!("bb@corp.example"),
        ),
        (
            json!([{ "op": "Add", "path": "phoneNumbers[type eq \"mobile\"].value", "value": "+49 1" }]),
            "/phoneNumbers/0",
            json!({ "type": "mobile", "value": "+49 1" }),
        ),
        (
            json!([{ "op": "Add", "path": "roles[primary eq \"True\"].value", "value": "auditor" }]),
            "/roles",
            json!([{ "primary": true, "value": "auditor" }]),
        ),
        (json!([{ "op": "Add", "path": format!("{ENTERPRISE}:department"), "value": "audit" }]), at("department"), json!("audit")),
        (
            json!([{ "op": "Add", "path": format!("{ENTERPRISE}:manager"), "value": "m-1" }]),
            at("manager"),
            json!({ "value": "m-1" }),
        ),
        (
            json!([{ "op": "Replace", "path": format!("{ENTERPRISE}:manager"), "value": { "value": "m-2" } }]),
            at("manager/value"),
            json!("m-2"),
        ),
        (
            json!([{ "op": "replace", "value": { "displayName": "B", format!("{ENTERPRISE}:employeeNumber"): "7", "name.familyName": "Brown" } }]),
            at("employeeNumber"),
            json!("7"),
        ),
        (
            json!([{ "op": "replace", "value": { "emails[type eq \"work\"].value": "bbb@corp.example" } }]),
            "/emails/0/value",
            json!("bbb@corp.example"),
        ),
        (json!([{ "op": "Remove", "path": "phoneNumbers[type eq \"mobile\"]" }]), "/phoneNumbers", Value::Null),
        (json!([{ "op": "Remove", "path": format!("{ENTERPRISE}:department") }]), at("department"), Value::Null),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn entra_id_changes_users_as_it_does() {
    let world = world().await;
    let id = user(&world, "bob@corp.example", json!({ "externalId": "0a21f0f2", "active": true })).await;
    for (operations, pointer, expected) in of_entra() {
        let (status, said) = patch(&world, &format!("/Users/{id}"), operations.clone()).await;
        assert_eq!(status, 200, "{operations}: {said}");
        let kept = get(&world, &format!("/Users/{id}")).await;
        let pointer = pointer.replace(ENTERPRISE, &ENTERPRISE.replace('~', "~0").replace('/', "~1"));
        assert_eq!(kept.pointer(&pointer).cloned().unwrap_or_default(), expected, "{operations}: {kept}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn entra_id_finds_and_fills_groups_as_it_does() {
    let world = world().await;
    let (first, second) = (user(&world, "a", json!({})).await, user(&world, "b", json!({})).await);
    let made = json!({
        "schemas": [GROUP, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "externalId": "8aa1a0c0", "displayName": "Finance", "meta": { "resourceType": "Group" }, "members": []
    });
    let (status, made) = call(&world, "POST", "/Groups", &made).await;
    assert_eq!(status, 201, "{made}");
    let path = format!("/Groups/{}", made["id"].as_str().unwrap());
    let add = |id: &str| json!([{ "op": "Add", "path": "members", "value": [{ "$ref": null, "value": id }] }]);
    for (operations, members) in [
        (add(&first), 1),
        (add(&second), 2),
        (add(&second), 2),
        (json!([{ "op": "Remove", "path": "members", "value": [{ "$ref": null, "value": first }] }]), 1),
        (json!([{ "op": "Remove", "path": format!("members[value eq \"{second}\"]") }]), 0),
        (json!([{ "op": "Add", "path": "members", "value": [{ "value": first }, { "value": second }] }]), 2),
        (json!([{ "op": "Remove", "path": "members" }]), 0),
        (add(&first), 1),
    ] {
        let (status, said) = patch(&world, &path, operations.clone()).await;
        assert_eq!((status, said["members"].as_array().map_or(0, Vec::len)), (200, members), "{operations}: {said}");
    }
    let id = made["id"].as_str().unwrap();
    assert_eq!(count(&world, "/Groups", &format!("id eq \"{id}\" and members eq \"{first}\"")).await, 1);
    assert_eq!(count(&world, "/Groups", &format!("id eq \"{id}\" and members eq \"{second}\"")).await, 0);
    assert_eq!(count(&world, "/Groups", "displayName eq \"finance\"").await, 1);
    let without = get(&world, &format!("{path}?excludedAttributes=members")).await;
    assert!(without.get("members").is_none() && without["displayName"] == "Finance", "{without}");
    let answer = get(&world, &crate::client::filtered("/Users", "userName eq \"non-existent user\"")).await;
    assert_eq!((&answer["totalResults"], &answer["Resources"]), (&json!(0), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn okta_provisions_and_deprovisions_as_it_does() {
    let world = world().await;
    let body = json!({
        "schemas": [USER], "userName": "test.user@okta.local", "name": { "givenName": "Test", "familyName": "User" },
        "emails": [{ "primary": true, "value": "test.user@okta.local", "type": "work" }], "displayName": "Test User",
        "locale": "en-US", "externalId": "00ujl29u0le5T6Aj10h7", "groups": [], "password": "1mz050nq", "active": true
    });
    assert_eq!(count(&world, "/Users", "userName eq \"test.user@okta.local\"").await, 0);
    let (status, made) = call(&world, "POST", "/Users", &body).await;
    assert!(status == 201 && made.get("password").is_none() && made["meta"]["resourceType"] == "User", "{made}");
    let (status, again) = call(&world, "POST", "/Users", &body).await;
    assert_eq!((status, &again["scimType"], &again["status"]), (409, &json!("uniqueness"), &json!("409")), "{again}");
    let id = made["id"].as_str().unwrap();
    let path = format!("/Users/{id}");
    let mut changed = made.clone();
    changed["name"]["middleName"] = "Excited".into();
    let (status, said) = call(&world, "PUT", &path, &changed).await;
    assert_eq!((status, &said["name"]["middleName"]), (200, &json!("Excited")), "{said}");
    let (status, said) = patch(&world, &path, json!([{ "op": "replace", "value": { "active": false } }])).await;
    assert_eq!((status, &said["active"]), (200, &json!(false)));
    let mut whole = made.clone();
    whole.as_object_mut().unwrap().remove("active");
    let (status, said) = call(&world, "PUT", &path, &whole).await;
    assert_eq!((status, &said["active"]), (200, &json!(false)), "what is not said activates nobody: {said}");
    let all = get(&world, "/Users?startIndex=1&count=2").await;
    assert_eq!((&all["totalResults"], &all["itemsPerPage"], &all["startIndex"]), (&json!(1), &json!(1), &json!(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn okta_pushes_groups_as_it_does() {
    let world = world().await;
    let (first, second) = (user(&world, "a", json!({})).await, user(&world, "b", json!({})).await);
    let id = group(&world, "Test SCIMv2", &[]).await;
    let path = format!("/Groups/{id}");
    let names = |said: &Value| -> Vec<String> {
        let all = said["members"].as_array().cloned().unwrap_or_default();
        let mut ids: Vec<_> = all.iter().map(|member| member["value"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let mut both = vec![first.clone(), second.clone()];
    both.sort();
    let add = json!([
        { "op": "add", "path": "members", "value": [{ "value": first, "display": "a" }] },
        { "op": "add", "path": "members", "value": [{ "value": second, "display": "b" }] }
    ]);
    assert_eq!(names(&patch(&world, &path, add).await.1), both);
    let exchange = json!([
        { "op": "remove", "path": format!("members[value eq \"{first}\"]") },
        { "op": "replace", "value": { "id": id, "displayName": "Renamed" } }
    ]);
    let (status, said) = patch(&world, &path, exchange).await;
    assert_eq!((status, &said["displayName"], names(&said)), (200, &json!("Renamed"), vec![second.clone()]), "{said}");
    let all = json!([{ "op": "replace", "path": "members", "value": [{ "value": first, "display": "a" }] }]);
    assert_eq!(names(&patch(&world, &path, all).await.1), vec![first.clone()]);
    let body = json!({ "schemas": [GROUP], "id": id, "displayName": "Renamed", "members": [{ "value": second, "display": "b" }] });
    let (status, said) = call(&world, "PUT", &path, &body).await;
    assert_eq!((status, names(&said)), (200, vec![second.clone()]), "{said}");
    let member = get(&world, &format!("/Users/{second}")).await;
    assert_eq!(member["groups"][0]["display"], "Renamed");
    assert_eq!(call(&world, "DELETE", &format!("/Users/{second}"), &Value::Null).await.0, 204);
    assert_eq!(names(&get(&world, &path).await), Vec::<String>::new());
    assert_eq!(call(&world, "DELETE", &path, &Value::Null).await.0, 204);
}
