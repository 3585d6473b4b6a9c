//! Who is out stays out, whatever is done to names; and what changes groups does what it says or is refused.

use crate::client::{PATCH, USER, call, get, group, patch, setup, user, world};
use crate::effects::{SUBJECT, sign_in, status, told};
use crate::world::{ALICE, BOB, PAYROLL, WIKI, World, eventually};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_out_stays_out_whatever_their_entry_is_called() {
    let mails = |mail: &str| json!({ "active": false, "userName": mail, "emails": [{ "value": mail, "primary": true }] });
    let cases = [
        (json!({ "userName": "bob@corp.example" }), mails("gone@corp.example")),
        (json!({ "userName": "b", "externalId": SUBJECT }), json!({ "active": false, "externalId": "nobody" })),
        (json!({ "userName": "b", "externalId": SUBJECT }), json!({ "active": false, "userName": "c", "externalId": "nobody" })),
    ];
    for (made, changed) in cases {
        for signed_in in [true, false] {
            let world = world().await;
            let id = user(&world, "x", made.clone()).await;
            let session = if signed_in { world.session(WIKI, BOB).await } else { String::new() };
            let (done, said) = patch(&world, &format!("/Users/{id}"), json!([{ "op": "replace", "value": changed }])).await;
            assert_eq!(done, 200, "{said}");
            if signed_in {
                assert_eq!(status(&world, WIKI, "/", &session).await, 401, "{made} {changed}");
            }
            let (refused, page) = sign_in(&world, WIKI, BOB).await;
            assert!(refused == 403 && page.contains("account_deactivated"), "{made} {changed}: {page}");
            assert_eq!(call(&world, "DELETE", &format!("/Users/{id}"), &Value::Null).await.0, 204);
            assert_eq!(sign_in(&world, WIKI, BOB).await.0, 403, "{made} {changed}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_out_stays_out_with_another_address_and_is_back_when_activated() {
    let world = world().await;
    let id = user(&world, "bob@corp.example", json!({})).await;
    world.session(WIKI, BOB).await;
    world.staff.idp.change(BOB.0, |person| person.email = "robert@corp.example".into());
    let bob = ("robert@corp.example", BOB.1);
    let session = world.session(WIKI, bob).await;
    let active = |active: bool| json!([{ "op": "replace", "path": "active", "value": active }]);
    assert_eq!(patch(&world, &format!("/Users/{id}"), active(false)).await.0, 200);
    assert_eq!(status(&world, WIKI, "/", &session).await, 401, "the session of the other address too");
    let (refused, page) = sign_in(&world, WIKI, bob).await;
    assert!(refused == 403 && page.contains("account_deactivated"), "{page}");
    assert_eq!(patch(&world, &format!("/Users/{id}"), active(true)).await.0, 200);
    assert_eq!(sign_in(&world, WIKI, bob).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namesake_neither_revives_who_was_deleted_nor_lends_them_their_entry() {
    let world = world().await;
    let id = user(&world, "bob@corp.example", json!({ "externalId": SUBJECT })).await;
    assert_eq!(call(&world, "DELETE", &format!("/Users/{id}"), &Value::Null).await.0, 204);
    let namesake = user(&world, "bob@corp.example", json!({ "externalId": "s-another-bob" })).await;
    group(&world, "finance", &[&namesake]).await;
    let (refused, page) = sign_in(&world, PAYROLL, BOB).await;
    assert!(refused == 403 && page.contains("account_deactivated"), "{page}");
    assert_eq!(call(&world, "DELETE", &format!("/Users/{namesake}"), &Value::Null).await.0, 204);
    assert_eq!(sign_in(&world, PAYROLL, BOB).await.0, 403);
    user(&world, "robert", json!({ "externalId": SUBJECT })).await;
    assert_eq!(sign_in(&world, WIKI, BOB).await.0, 200, "the same externalId is the same person");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_active_away_activates_nobody() {
    let world = world().await;
    let id = user(&world, "bob@corp.example", json!({ "active": false })).await;
    for operation in [json!({ "op": "remove", "path": "active" }), json!({ "op": "replace", "path": "active", "value": null })] {
        let (done, said) = patch(&world, &format!("/Users/{id}"), json!([operation])).await;
        assert_eq!((done, said.get("active")), (200, None), "{operation}");
        assert_eq!(sign_in(&world, WIKI, BOB).await.0, 403, "{operation}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_said_of_an_active_person_bars_nobody() {
    let world = world().await;
    let id = user(&world, "bob@corp.example", json!({ "active": true })).await;
    let (done, said) = patch(&world, &format!("/Users/{id}"), json!([{ "op": "remove", "path": "active" }])).await;
    assert_eq!((done, said.get("active")), (200, None));
    assert_eq!(sign_in(&world, WIKI, BOB).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_as_a_key_says_what_is_beneath_it() {
    let world = world().await;
    let id = user(&world, "bob@corp.example", json!({})).await;
    let operation = json!([{ "op": "replace", "value": { USER: { "active": false } } }]);
    let (done, said) = patch(&world, &format!("/Users/{id}"), operation).await;
    assert_eq!((done, &said["active"]), (200, &json!(false)), "{said}");
    assert_eq!(sign_in(&world, WIKI, BOB).await.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_can_remove_nobody_is_refused() {
    let world = world().await;
    let id = user(&world, "bob@corp.example", json!({})).await;
    let finance = group(&world, "finance", &[&id]).await;
    for part in ["display", "nothing"] {
        let operation = json!([{ "op": "remove", "path": format!("members[{part} eq \"bob@corp.example\"]") }]);
        let (done, said) = patch(&world, &format!("/Groups/{finance}"), operation).await;
        assert_eq!((done, &said["scimType"]), (400, &json!("invalidPath")), "{said}");
    }
    let place = get(&world, &format!("/Users/{id}")).await["meta"]["location"].clone();
    let operation = json!([{ "op": "remove", "path": format!("members[$ref eq {place}]") }]);
    let (done, said) = patch(&world, &format!("/Groups/{finance}"), operation).await;
    assert_eq!((done, said.get("members")), (200, None), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_many_is_changed_as_a_whole() {
    let world = world().await;
    let mut ids = vec![user(&world, "bob@corp.example", json!({})).await];
    for number in 0..3 {
        let operation = |n: u32| json!({ "method": "POST", "path": "/Users", "bulkId": format!("{n}"), "data": { "schemas": [USER], "userName": format!("many-{n}") } });
        let all: Vec<_> = (number * 150..number * 150 + 150).map(operation).collect();
        let bulk = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": all });
        let (done, said) = call(&world, "POST", "/Bulk", &bulk).await;
        assert_eq!(done, 200, "{said}");
        let id = |made: &Value| made["location"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        ids.extend(said["Operations"].as_array().unwrap().iter().map(id));
    }
    let session = world.session(WIKI, BOB).await;
    let some: Vec<_> = ids.iter().map(String::as_str).chain(["nobody-at-all"]).collect();
    let large = group(&world, "everybody", &some).await;
    assert_eq!(get(&world, &format!("/Groups/{large}")).await["members"].as_array().unwrap().len(), ids.len());
    assert_eq!(told(&world, &session, "x-remote-groups").await, "everybody");
    let operation = json!([{ "op": "replace", "path": "members", "value": [] }]);
    assert_eq!(patch(&world, &format!("/Groups/{large}"), operation).await.0, 200);
    assert_eq!(told(&world, &session, "x-remote-groups").await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_of_a_bulk_is_on_record_whether_it_was_done_or_not() {
    let world = world().await;
    let id = user(&world, "bob@corp.example", json!({})).await;
    world.session(WIKI, BOB).await;
    let operations = json!([
        { "method": "PATCH", "path": format!("/Users/{id}"), "data": { "schemas": [PATCH], "Operations": [{ "op": "replace", "value": { "active": false } }] } },
        { "method": "DELETE", "path": "/Users/nobody" },
    ]);
    let bulk = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations });
    assert_eq!(call(&world, "POST", "/Bulk", &bulk).await.0, 200);
    for (path, status, what) in
        [(format!("/scim/v2/Users/{id}"), 200, "sign_ins_ended"), ("/scim/v2/Users/nobody".to_owned(), 404, "refused")]
    {
        let record =
            eventually("it is on record", async || world.records(&path).into_iter().find(|record| record["status"] == status))
                .await;
        assert!(record["what"].get(what).is_some(), "{record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_refused_once_is_refused_by_another_address_too() {
    let world = world().await;
    user(&world, "bob@corp.example", json!({ "active": false })).await;
    assert_eq!(sign_in(&world, WIKI, BOB).await.0, 403);
    world.staff.idp.change(BOB.0, |person| person.email = "robert@corp.example".into());
    let (refused, page) = sign_in(&world, WIKI, ("robert@corp.example", BOB.1)).await;
    assert!(refused == 403 && page.contains("account_deactivated"), "{page}");
    assert_eq!(sign_in(&world, WIKI, ALICE).await.0, 200, "nobody else is concerned");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_refused_for_one_of_several_is_not_taken_for_that_one_later() {
    let world = world().await;
    user(&world, "bob@corp.example", json!({})).await;
    let mails = |mail: &str| json!([{ "value": mail, "primary": true }]);
    let second = user(&world, "robert", json!({ "active": false, "emails": mails("bob@corp.example") })).await;
    assert_eq!(sign_in(&world, WIKI, BOB).await.0, 403, "it could be the one who is out");
    let away = json!([{ "op": "replace", "path": "emails", "value": mails("robert@corp.example") }]);
    assert_eq!(patch(&world, &format!("/Users/{second}"), away).await.0, 200);
    assert_eq!(sign_in(&world, WIKI, BOB).await.0, 200, "and now it can't be");
}

/// Lays the directory over the claims in another way from now on.
fn lay(world: &World, from: &str, to: &str) {
    let path = world.path("doorward.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    std::fs::write(&path, text.replace(from, to)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_configuration_has_refused_is_not_good_again_when_that_is_taken_back() {
    let world = World::of(setup("    scim: { tokens: [{ file: staff-token }], required: false }\n")).await;
    user(&world, "bob@corp.example", json!({})).await;
    let (alice, bob) = (world.session(WIKI, ALICE).await, world.session(WIKI, BOB).await);
    lay(&world, "required: false", "required: true");
    let listed = async || world.admin("/api/v1/sessions").await.json()["sessions"].as_array().unwrap().len();
    eventually("the sign-in has ended, its row too", async || (listed().await == 1).then_some(())).await;
    assert_eq!(status(&world, WIKI, "/", &alice).await, 401);
    lay(&world, "required: true", "required: false");
    eventually("it is taken back", async || (sign_in(&world, WIKI, ALICE).await.0 == 200).then_some(())).await;
    assert_eq!(status(&world, WIKI, "/", &alice).await, 401, "what has ended does not come back");
    assert_eq!(status(&world, WIKI, "/", &bob).await, 200, "whoever is in the directory goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_signed_in_when_addresses_begin_to_count_is_remembered_by_theirs() {
    let world = World::of(setup("    scim: { tokens: [{ file: staff-token }], groups: add, match: [external_id] }\n")).await;
    let id = user(&world, "bob@corp.example", json!({})).await;
    let session = world.session(WIKI, BOB).await;
    group(&world, "found", &[&id]).await;
    lay(&world, "[external_id]", "[external_id, email]");
    eventually("the address counts", async || told(&world, &session, "x-remote-groups").await.contains("found").then_some(()))
        .await;
    let tied = async || world.admin("/api/v1/orphans").await.json()["orphans"].as_array().unwrap().is_empty();
    assert!(tied().await);
    world.staff.idp.change(BOB.0, |person| person.email = "robert@corp.example".into());
    let robert = ("robert@corp.example", BOB.1);
    eventually("who it is has been written down", async || {
        let off = json!([{ "op": "replace", "path": "active", "value": false }]);
        assert_eq!(patch(&world, &format!("/Users/{id}"), off).await.0, 200);
        (sign_in(&world, WIKI, robert).await.0 == 403).then_some(())
    })
    .await;
}
