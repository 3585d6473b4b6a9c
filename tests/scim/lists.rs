//! Looking for things: filters, order, pages, and what is shown.

use crate::client::{ENTERPRISE, USER, call, count, filtered, get, group, user, world};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn filters_mean_what_the_grammar_says() {
    let world = world().await;
    let emails =
        json!([{ "type": "work", "value": "Ann@corp.example", "primary": true }, { "type": "home", "value": "ann@home.example" }]);
    let ann = json!({
        "externalId": "X1", "title": "Tour Guide", "name": { "familyName": "O'Malley" }, "emails": emails,
        ENTERPRISE: { "department": "audit" }
    });
    let id = user(&world, "ann@corp.example", ann).await;
    user(&world, "ben@corp.example", json!({ "externalId": "x1", "active": false, "displayName": "Ben \"B\" Ö" })).await;
    let finance = group(&world, "finance", &[&id]).await;
    let cases = [
        ("userName eq \"ANN@corp.example\"", 1),
        ("username EQ \"ann@corp.example\"", 1),
        ("userName ne \"ann@corp.example\"", 1),
        ("externalId eq \"X1\"", 1),
        ("externalId sw \"x\"", 1),
        ("externalId eq \"X1\" or externalId eq \"x1\"", 2),
        ("name.familyName co \"O'Malley\"", 1),
        ("name.familyName ew \"LEY\"", 1),
        ("urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"B\"", 1),
        (&format!("{ENTERPRISE}:department eq \"audit\""), 1),
        ("title pr", 1),
        ("not (title pr)", 1),
        ("title pr and userType eq \"x\"", 0),
        ("title pr or active eq false", 2),
        ("active eq true", 1),
        ("active eq \"False\"", 1),
        ("active ne true", 1),
        ("title eq null", 1),
        ("emails eq \"ann@corp.example\"", 1),
        ("emails co \"home.example\"", 1),
        ("emails.type eq \"home\"", 1),
        ("emails[type eq \"work\" and value co \"@corp.example\"]", 1),
        ("emails[type eq \"work\" and value co \"@home.example\"]", 0),
        ("emails[type eq \"work\"] and emails[value ew \"home.example\"]", 1),
        ("emails[not (type eq \"work\")]", 1),
        ("userName sw \"a\" and (title co \"x\" or title co \"guide\")", 1),
        ("userName sw \"a\" and title co \"x\" or active eq false", 1),
        ("displayName eq \"ben \\\"b\\\" \\u00d6\"", 1),
        ("userName gt \"b\"", 1),
        ("userName le \"ann@corp.example\"", 1),
        ("meta.created gt \"2020-01-01T00:00:00Z\"", 2),
        ("meta.lastModified lt \"2020-01-01T00:00:00+01:00\"", 0),
        ("meta.resourceType eq \"User\"", 2),
        ("groups.display eq \"finance\"", 1),
        (&format!("groups eq \"{finance}\""), 1),
        (&format!("id eq \"{id}\""), 1),
        ("id eq \"nothing\"", 0),
        ("shoeSize eq \"43\"", 0),
        ("shoeSize pr", 0),
        ("schemas eq \"urn:ietf:params:scim:schemas:core:2.0:User\"", 2),
    ];
    for (filter, expected) in cases {
        assert_eq!(count(&world, "/Users", filter).await, expected, "{filter}");
    }
    assert_eq!(count(&world, "", "meta.resourceType eq \"Group\"").await, 1);
    assert_eq!(get(&world, "").await["totalResults"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_filter_is_refused_as_one() {
    let world = world().await;
    user(&world, "a", json!({})).await;
    let deep = |open: &str, close: &str, levels| format!("{}userName pr{}", open.repeat(levels), close.repeat(levels));
    let cases = [
        "userName".to_owned(),
        "userName eq".to_owned(),
        "userName eq a".to_owned(),
        "userName is \"a\"".to_owned(),
        "userName eq \"a".to_owned(),
        "userName eq \"a\" and".to_owned(),
        "userName eq \"a\" userName eq \"a\"".to_owned(),
        "(userName eq \"a\"".to_owned(),
        "userName eq \"a\")".to_owned(),
        "emails[type eq \"work\"".to_owned(),
        "userName[value eq \"a\"]".to_owned(),
        "emails[emails[type eq \"a\"]]".to_owned(),
        "not userName".to_owned(),
        "active gt true".to_owned(),
        "active eq \"perhaps\"".to_owned(),
        "userName eq 7".to_owned(),
        "userName eq [\"a\"]".to_owned(),
        "userName gt null".to_owned(),
        "meta.created gt \"yesterday\"".to_owned(),
        "name eq \"a\"".to_owned(),
        "'; DROP TABLE directory; --".to_owned(),
        "\"a\" eq \"a\"".to_owned(),
        deep("(", ")", 20),
        deep("not (", ")", 5000),
        format!("userName eq \"{}\"", "a".repeat(5000)),
    ];
    for filter in cases {
        let (status, said) = call(&world, "GET", &filtered("/Users", &filter), &Value::Null).await;
        let start: String = filter.chars().take(60).collect();
        // The longest ones are no request any more.
        if status != 431 && status != 414 {
            assert_eq!((status, &said["scimType"]), (400, &json!("invalidFilter")), "{start}: {said}");
        }
        let search = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"], "filter": filter });
        let (status, said) = call(&world, "POST", "/Users/.search", &search).await;
        assert_eq!((status, &said["scimType"]), (400, &json!("invalidFilter")), "{start}: {said}");
    }
    assert_eq!(count(&world, "/Users", "userName eq \"' OR '1'='1\"").await, 0);
    assert_eq!(count(&world, "/Users", "userName eq \"%\"").await, 0);
    assert_eq!(count(&world, "/Users", "userName pr").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_have_everything_once() {
    let world = world().await;
    let operations: Vec<Value> = (0..260)
        .map(|n| {
            let name = format!("u{n:03}");
            json!({ "method": "POST", "path": "/Users", "bulkId": name, "data": { "schemas": [USER], "userName": name, "title": format!("t{}", n % 3) } })
        })
        .collect();
    let bulk = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": operations });
    assert_eq!(call(&world, "POST", "/Bulk", &bulk).await.0, 200);
    let names = |said: &Value| -> Vec<String> {
        said["Resources"].as_array().unwrap().iter().map(|user| user["userName"].as_str().unwrap().to_owned()).collect()
    };
    for query in ["", "&sortBy=userName", "&filter=userName+pr", "&filter=title+sw+%22t%22&sortBy=title&sortOrder=descending"] {
        let mut all = Vec::new();
        for start in (1..=260).step_by(90) {
            let page = get(&world, &format!("/Users?startIndex={start}&count=90{query}")).await;
            assert_eq!((&page["totalResults"], &page["startIndex"]), (&json!(260), &json!(start)));
            all.extend(names(&page));
        }
        all.sort();
        assert!(all.len() == 260 && all.windows(2).all(|pair| pair[0] != pair[1]), "{query}");
    }
    let sorted = names(&get(&world, "/Users?sortBy=userName&count=3").await);
    assert_eq!(sorted, ["u000", "u001", "u002"]);
    let sorted = names(&get(&world, "/Users?sortBy=userName&sortOrder=descending&count=2&startIndex=2").await);
    assert_eq!(sorted, ["u258", "u257"]);
    for (query, items) in
        [("count=0", 0), ("count=-5", 0), ("count=1000", 200), ("startIndex=-3&count=1", 1), ("startIndex=261", 0)]
    {
        let page = get(&world, &format!("/Users?{query}")).await;
        assert_eq!((page["Resources"].as_array().unwrap().len(), &page["totalResults"]), (items, &json!(260)), "{query}");
    }
    assert_eq!(call(&world, "GET", "/Users?count=many", &Value::Null).await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_is_what_was_asked_for() {
    let world = world().await;
    let said = json!({ "title": "Guide", "name": { "givenName": "A", "familyName": "B" }, ENTERPRISE: { "department": "audit", "division": "d" } });
    let id = user(&world, "a", said).await;
    group(&world, "g", &[&id]).await;
    let keys = async |query: &str| {
        let shown = get(&world, &format!("/Users/{id}?{query}")).await;
        let mut keys: Vec<_> = shown.as_object().unwrap().keys().map(|key| key.replace(ENTERPRISE, "enterprise")).collect();
        keys.sort();
        keys.join(" ")
    };
    let all = "active enterprise groups id meta name schemas title userName";
    assert_eq!(keys("").await, all);
    for (query, expected) in [
        ("attributes=userName", "id schemas userName"),
        ("attributes=TITLE,+name.givenName", "id name schemas title"),
        ("attributes=nothing", "id schemas"),
        (&format!("attributes={ENTERPRISE}"), "enterprise id schemas"),
        (&format!("attributes={ENTERPRISE}:department"), "enterprise id schemas"),
        ("attributes=groups", "groups id schemas"),
        ("excludedAttributes=groups,meta,id,name", "active enterprise id schemas title userName"),
        (&format!("excludedAttributes={ENTERPRISE}"), "active groups id meta name schemas title userName"),
    ] {
        assert_eq!(keys(query).await, expected, "{query}");
    }
    let part = get(&world, &format!("/Users/{id}?attributes=name.givenName,{ENTERPRISE}:department")).await;
    assert_eq!((&part["name"], &part[ENTERPRISE]), (&json!({ "givenName": "A" }), &json!({ "department": "audit" })));
    let part = get(&world, &format!("/Users/{id}?excludedAttributes=name.givenName")).await;
    assert_eq!(part["name"], json!({ "familyName": "B" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_what_it_can_do_and_no_more() {
    let world = world().await;
    let configuration = get(&world, "/ServiceProviderConfig").await;
    for feature in ["patch", "bulk", "filter", "sort", "etag"] {
        assert_eq!(configuration[feature]["supported"], true, "{feature}");
    }
    assert_eq!(configuration["changePassword"]["supported"], false);
    for (path, expected) in [("/Schemas", 3), ("/ResourceTypes", 2)] {
        let all = get(&world, path).await;
        assert_eq!(all["totalResults"], expected);
        for one in all["Resources"].as_array().unwrap() {
            let location = one["meta"]["location"].as_str().unwrap();
            let place = location.split("/scim/v2").nth(1).unwrap();
            assert_eq!(get(&world, place).await, *one);
        }
        assert_eq!(call(&world, "GET", &format!("{path}?filter=id+pr"), &Value::Null).await.0, 403);
        assert_eq!(call(&world, "GET", &format!("{path}/nothing"), &Value::Null).await.0, 404);
    }
    assert_eq!(call(&world, "GET", "/Me", &Value::Null).await.0, 501);
}
