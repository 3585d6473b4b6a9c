//! Answers that need no app: redirects and texts, under the same policy as everything else.

use crate::world::http2::Http2;
use crate::world::{ALICE, BOB, SHOP, World};

const APPS: &str = "
  old:
    url: https://shop.corp.test:HTTPS/old
    redirect: { to: 'https://new.example/base/', status: '308', keep_path: true }
    paths: [{ match: /old/**, public: true }, { match: /old/secret/**, allow: [{ groups: [admins] }] }]
  shop:
    url: https://shop.corp.test:HTTPS
    upstream: http://127.0.0.1:APP
    response_headers: { set: { Cache-Control: no-store } }
    allow: [{ groups: [engineering] }]
    paths:
      - { match: /, public: true, redirect: { to: /start?from=root } }
      - { match: /moved/**, public: true, redirect: { to: /, keep_path: true } }
      - { match: /robots.txt, public: true, respond: { body: \"User-agent: *\\nDisallow: /\\n\" } }
      - { match: /gone/**, respond: { status: '410', content_type: 'text/html; charset=utf-8', body: '<p>gone' } }
      - { match: /nothing, public: true, methods: [GET], respond: { status: '204' } }
";

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_app_sends_people_on_with_what_they_asked_for() {
    let world = World::with_apps(APPS).await;
    for (path, to) in [
        ("/old", "https://new.example/base"),
        ("/old/", "https://new.example/base/"),
        ("/old/a%2Fb//c;d?q=/%0d%0a&to=//x", "https://new.example/base/a%2Fb//c;d?q=/%0d%0a&to=//x"),
        ("/old?q=1", "https://new.example/base/?q=1"),
        ("/old//evil.example/", "https://new.example/base//evil.example/"),
        ("/old/@evil.example", "https://new.example/base/@evil.example"),
    ] {
        let answer = world.get(SHOP, path, "").await;
        assert_eq!((answer.status, answer.location()), (308, to), "{path}");
    }
    let answer = world.get(SHOP, "/", "").await;
    assert_eq!((answer.status, answer.location()), (307, "/start?from=root"));
    assert!(world.app.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_path_makes_a_redirect_lead_to_a_host_of_its_choice() {
    let world = World::with_apps(APPS).await;
    let here = world.url(SHOP, "");
    for path in ["/moved//evil.example/", "/moved/%2Fevil.example", "/moved/x?//evil.example", "/moved/@evil.example", "/moved"] {
        let answer = world.get(SHOP, path, "").await;
        assert_eq!((answer.status, answer.location()), (307, &*format!("{here}{path}")), "{path}");
    }
    // Spelled in another way, the prefix can't be found where it is to be cut.
    for path in ["/%6fld/x", "/old/..", "/old/%0d%0aSet-Cookie:x", "/old/\\evil.example"] {
        let answer = world.get(SHOP, path, "").await;
        assert_eq!((answer.status, answer.header("location")), (400, None), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_is_the_same_for_everybody_who_may_have_it() {
    let world = World::with_apps(APPS).await;
    let answer = world.get(SHOP, "/robots.txt", "").await;
    assert_eq!((answer.status, &*answer.text()), (200, "User-agent: *\nDisallow: /\n"));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!((answer.header("cache-control"), answer.header("x-content-type-options")), (Some("no-store"), Some("nosniff")));
    assert_eq!(world.get(SHOP, "/nothing", "").await.status, 204);
    let mut h2 = Http2::connect(&world, SHOP).await;
    for (path, status, length) in [("/robots.txt", 200, Some("26")), ("/start", 401, None)] {
        let answer = h2.ask("HEAD", &world.url(SHOP, path), &[]).await.unwrap();
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{path}");
        assert!(length.is_none() || answer.header("content-length") == length, "{answer:?}");
    }
    assert!(world.app.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_answer_needs_the_same_permit_as_the_app() {
    let world = World::with_apps(APPS).await;
    // Coming back from the sign-in, Bob finds that he may not.
    let mut browser = world.browser();
    assert_eq!(browser.sign_in(&world.url(SHOP, "/gone/x"), BOB).await.status, 403);
    let bob = format!("__Host-doorward={}", browser.cookie(SHOP, "__Host-doorward").unwrap());
    let alice = world.session(SHOP, ALICE).await;
    for (path, cookie, status) in [
        ("/gone/x", "x=1", 401),
        ("/gone/x", &*bob, 403),
        ("/gone/x", &alice, 410),
        ("/old/secret/x", "x=1", 401),
        ("/old/secret/x", &alice, 403),
    ] {
        assert_eq!(world.get(SHOP, path, &format!("Cookie: {cookie}\r\n")).await.status, status, "{path} {cookie}");
    }
    assert_eq!(world.send(SHOP, world.head("POST", SHOP, "/nothing", "Content-Length: 0\r\n")).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fixed_answer_leaves_a_record_like_every_other() {
    let world = World::with_apps(APPS).await;
    world.get(SHOP, "/robots.txt", "").await;
    let record = world.record("/robots.txt").await;
    assert_eq!((&record["reason"], &record["decision"], &record["status"]), (&"public_route".into(), &"allow".into(), &200.into()));
    assert_eq!((&record["app"], &record["upstream"]), (&"shop".into(), &serde_json::Value::Null));
}
