//! Every way to sign in that must work.

use crate::world::browser::NAVIGATION;
use crate::world::{ALICE, BOB, LOGIN, PAYROLL, Setup, WIKI, World, eventually};
use std::collections::BTreeSet;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_link_comes_back_byte_for_byte() {
    let world = World::start().await;
    for path in
        ["/page?q=1&q=2", "/a%20b/%C3%A9?x=%2F%26&y=a+b&z=", "/x?to=https://evil.example/&next=//evil.example", "/?", "/a//b;c"]
    {
        let (url, mut browser) = (world.url(WIKI, path), world.browser());
        let page = browser.sign_in(&url, ALICE).await;
        assert_eq!((page.status, &*page.url), (200, &*url));
        assert_eq!(world.app.only().path, path);
        world.app.forget();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_login_serves_apps_on_unrelated_domains() {
    let world = World::start().await;
    let mut browser = world.browser();
    assert_eq!(browser.sign_in(&world.url(WIKI, "/"), BOB).await.status, 200);
    let page = browser.go(&world.url(PAYROLL, "/salaries?m=1")).await;
    assert_eq!((page.status, &*page.url), (200, &*world.url(PAYROLL, "/salaries?m=1")));
    assert_eq!(world.staff.logins(), 1);
    assert_ne!(browser.cookie(WIKI, "__Host-doorward"), browser.cookie(PAYROLL, "__Host-doorward"));
    for host in [WIKI, PAYROLL, LOGIN] {
        let flows = browser.names(host).into_iter().filter(|name| name.contains("-flow-") && !name.ends_with("landed"));
        assert_eq!(flows.count(), 0, "finished logins leave nothing behind at {host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_tabs_that_log_in_at_once_each_land_where_they_were_going() {
    let world = World::start().await;
    let mut browser = world.browser();
    let mut tabs = Vec::new();
    for tab in 0..10 {
        let host = if tab % 2 == 0 { WIKI } else { PAYROLL };
        let url = world.url(host, &format!("/tab/{tab}?q={tab}"));
        let form = browser.go(&url).await;
        assert!(form.text().contains("form_token"), "{}", form.url);
        tabs.push((url, form));
    }
    // Every second one is left open while its sign-in goes on elsewhere.
    let mut callbacks = Vec::new();
    for (url, form) in tabs.iter().rev() {
        callbacks.push((url, browser.fill_in(form, BOB).await));
    }
    let mut sessions = BTreeSet::new();
    for (url, callback) in callbacks {
        let page = browser.go(&callback).await;
        assert_eq!((page.status, &page.url), (200, url), "{}", page.text());
        sessions.insert(browser.cookie(WIKI, "__Host-doorward"));
        sessions.insert(browser.cookie(PAYROLL, "__Host-doorward"));
    }
    assert_eq!(sessions.iter().flatten().count(), 2, "tabs of one sign-in share the session of their app");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_login_makes_new_cookies_and_ends_the_old_ones() {
    let world = World::start().await;
    let mut browser = world.browser();
    let mut seen = BTreeSet::new();
    let mut old = Vec::new();
    for _ in 0..3 {
        browser.sign_in(&world.url(WIKI, "/"), ALICE).await;
        for (host, name) in [(WIKI, "__Host-doorward"), (LOGIN, "__Host-doorward-sso")] {
            assert!(seen.insert(browser.cookie(host, name).unwrap()), "{name} is new");
        }
        old.push(browser.clone());
        // The provider has forgotten the browser, and so has the auth host.
        browser.step(&world.url(LOGIN, "/.doorward/logout?scope=all"), None).await;
        browser.cookies.retain(|host, _| !host.starts_with("127."));
    }
    for mut before in old {
        assert_eq!(before.step_with(&world.url(WIKI, "/"), None, "").await.status, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_planted_cookie_never_names_a_session() {
    let world = World::start().await;
    let (mut browser, planted) = (world.browser(), "A".repeat(43));
    for (host, name) in [(WIKI, "__Host-doorward"), (LOGIN, "__Host-doorward-sso")] {
        browser.plant(host, name, &planted);
    }
    assert_eq!(browser.sign_in(&world.url(WIKI, "/"), ALICE).await.status, 200);
    for (host, name) in [(WIKI, "__Host-doorward"), (LOGIN, "__Host-doorward-sso")] {
        assert_ne!(browser.cookie(host, name).unwrap(), planted);
        let mut attacker = world.browser();
        attacker.plant(host, name, &planted);
        let answer = attacker.step_with(&world.url(host, "/.doorward/session"), None, "").await;
        assert_eq!(answer.status, 401, "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_can_ask_who_they_are() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), ALICE).await;
    for host in [WIKI, LOGIN] {
        let json = browser.step_with(&world.url(host, "/.doorward/session"), None, "").await.json();
        assert_eq!((&json["user"], &json["email"]), (&"staff:s-alice".into(), &ALICE.0.into()));
        assert_eq!(json["groups"], serde_json::json!(["employees", "engineering"]));
    }
    let answer = browser.step_with(&world.url(PAYROLL, "/.doorward/session"), None, "").await;
    assert_eq!((answer.status, &*answer.reason()), (401, "not_signed_in"), "not yet been there");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_says_who_signed_in_landed_and_signed_out() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), ALICE).await;
    browser.step(&world.url(LOGIN, "/.doorward/logout?scope=all"), None).await;
    let acts = async || {
        let trail = world.trail();
        let acted = trail.iter().filter(|record| record["act"].is_string() && record["user"] == "staff:s-alice");
        let acts: Vec<_> = acted.map(|record| record["act"].as_str().unwrap().to_owned()).collect();
        (acts.len() >= 3).then_some(acts)
    };
    let mut acts = eventually("three acts are in the trail", acts).await;
    // Two workers may have written them.
    acts.sort();
    assert_eq!(acts, ["landed", "signed_in", "signed_out_of_everything"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_survive_the_process() {
    let mut world = World::start().await;
    let session = format!("Cookie: {}\r\n", world.session(WIKI, ALICE).await);
    let keys = world.get(WIKI, "/.doorward/jwks.json", "").await.text();
    world.stop().await;
    let configuration = std::fs::read_to_string(world.path("doorward.yaml")).unwrap();
    let [first, second] = [world.ports.admin(), world.ports.second_admin()].map(|port| format!("127.0.0.1:{port}"));
    std::fs::write(world.path("doorward.yaml"), configuration.replace(&first, &second)).unwrap();
    world.run().await;
    assert_eq!(world.get(WIKI, "/x", &session).await.status, 200);
    assert_eq!(world.get(WIKI, "/.doorward/jwks.json", "").await.text(), keys);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_nobody_uses_ends_and_one_in_use_goes_on() {
    let world = World::of(Setup { session: "{ idle: 2s, lifetime: 1h }", ..Setup::default() }).await;
    let busy = format!("Cookie: {}\r\n", world.session(WIKI, ALICE).await);
    let idle = format!("Cookie: {}\r\n", world.session(WIKI, BOB).await);
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(world.get(WIKI, "/x", &busy).await.status, 200);
    }
    let answer = world.get(WIKI, "/x", &idle).await;
    assert_eq!((answer.status, &*answer.reason()), (401, "session_expired"));
    assert_eq!(world.get(WIKI, "/x", &format!("{idle}{NAVIGATION}")).await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_use_keeps_a_session_beyond_its_lifetime() {
    let world = World::of(Setup { session: "{ idle: 2s, lifetime: 2s }", ..Setup::default() }).await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), ALICE).await;
    let started = std::time::Instant::now();
    while browser.step_with(&world.url(WIKI, "/"), None, "").await.status == 200 {
        assert!(started.elapsed() < Duration::from_secs(4), "it goes on");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(started.elapsed() > Duration::from_secs(1));
    let page = browser.go(&world.url(WIKI, "/again")).await;
    assert_eq!((page.status, &*page.url), (200, &*world.url(WIKI, "/again")), "the provider still knows the browser");
}
