//! A stronger or fresher sign-in: asked for at the provider, verified when it comes back, and never a loop.

use crate::world::browser::Browser;
use crate::world::{ALICE, LOGIN, SHOP, Setup, WIKI, World, eventually};
use std::time::Duration;
use url::Url;

/// The link that the gate sends a browser to.
fn link(world: &World, step_up: &str) -> String {
    let to = world.url(WIKI, "/x?q=1");
    Url::parse_with_params(&world.url(LOGIN, "/.doorward/login"), [("to", &*to), ("step_up", step_up), ("provider", "staff")])
        .unwrap()
        .into()
}

async fn class(world: &World, browser: &mut Browser<'_>) -> Option<String> {
    browser.go(&world.url(WIKI, "/x")).await;
    let assertion = world.app.all().last().unwrap().folded("X-Doorward-Assertion")[0].to_owned();
    let claims = crate::world::wire::claims(&assertion);
    claims["acr"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_factor_is_asked_for_where_the_sign_in_had_one_alone() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), ALICE).await;
    assert_eq!(class(&world, &mut browser).await.as_deref(), Some("urn:doorward:demo:password"));
    let at_provider = browser.until(&link(&world, "mfa"), "/authorize").await;
    assert!(at_provider.contains("acr_values=urn%3Adoorward%3Ademo%3Amfa"), "{at_provider}");
    let form = browser.go(&at_provider).await;
    assert!(form.text().contains("name=\"code\""));
    let next = browser.fill_in(&form, ALICE).await;
    let page = browser.go(&next).await;
    assert_eq!((page.status, &*page.url), (200, &*world.url(WIKI, "/x?q=1")));
    assert_eq!(class(&world, &mut browser).await.as_deref(), Some("urn:doorward:demo:mfa"));
    // What it has it is not asked for again.
    let page = browser.go(&link(&world, "mfa")).await;
    assert_eq!((page.status, &*page.url, world.staff.logins()), (200, &*world.url(WIKI, "/x?q=1"), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_of_before_ends_with_the_step_up() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), ALICE).await;
    let weak = format!("Cookie: __Host-doorward={}\r\n", browser.cookie(WIKI, "__Host-doorward").unwrap());
    browser.sign_in(&link(&world, "mfa"), ALICE).await;
    assert_eq!(world.get(WIKI, "/x", &weak).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_deliver_leads_to_a_page_and_not_to_a_loop() {
    let world = World::start().await;
    for (step_up, missing) in [("acr:phr", "the kind of sign-in"), ("phishing_resistant", "a security key or passkey")] {
        let mut browser = world.browser();
        browser.sign_in(&world.url(WIKI, "/"), ALICE).await;
        let page = browser.go(&link(&world, step_up)).await;
        assert_eq!(page.status, 403, "{}", page.text());
        assert!(page.text().contains(missing), "{}", page.text());
        assert!(page.url.starts_with(&world.url(LOGIN, "/")));
        assert_eq!(browser.go(&world.url(WIKI, "/x")).await.status, 200, "the session of before is as good as it was");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_is_too_old_is_done_again() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), ALICE).await;
    assert_eq!(browser.go(&link(&world, "max_age:600")).await.status, 200, "it is fresh enough");
    tokio::time::sleep(Duration::from_secs(11)).await;
    let form = browser.go(&link(&world, "max_age:10")).await;
    assert!(form.text().contains("form_token"), "{}", form.url);
    let next = browser.fill_in(&form, ALICE).await;
    assert_eq!(browser.go(&next).await.status, 200);
    assert_eq!(world.staff.logins(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_can_ask_for_more_and_for_nothing_else() {
    let world = World::start().await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), ALICE).await;
    // A class that means nothing at the provider may be a weaker one.
    for odd in ["", "nothing", "acr:urn:doorward:demo:password", "mfa&acr:x\"", "acr:a\" evil=\"1", &"acr:x ".repeat(20)] {
        let page = browser.go(&link(&world, odd)).await;
        assert_eq!((page.status, &*page.url), (200, &*world.url(WIKI, "/x?q=1")), "{odd}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresher_sign_in_at_another_provider_does_not_stand_in_for_a_stronger_one() {
    let world = World::of(Setup { partners: true, ..Setup::default() }).await;
    let mut browser = world.browser();
    let chosen = [("to", &*world.url(WIKI, "/")), ("provider", "partners")];
    let login = Url::parse_with_params(&world.url(LOGIN, "/.doorward/login"), chosen).unwrap();
    assert_eq!(browser.sign_in(login.as_str(), ALICE).await.status, 200);
    // It is fresh enough, and of another account: between the two the browser could go round for ever.
    let at_provider = browser.until(&link(&world, "max_age:600"), "/authorize").await;
    assert!(at_provider.contains(&format!(":{}/", world.ports.staff())), "{at_provider}");
}

/// An app whose rules ask for more than a password.
async fn strict() -> World {
    World::with_apps(
        "
  shop:
    url: https://shop.corp.test:HTTPS
    upstream: http://127.0.0.1:APP
    allow: [{ domains: [corp.example], when: { mfa: true } }]
    paths:
      - { match: /vault/**, allow: [{ domains: [corp.example], when: { phishing_resistant: true } }] }
      - { match: /fresh/**, allow: [{ domains: [corp.example], when: { auth_age: 3s } }] }
",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_asks_for_a_second_factor_gets_it_and_the_person_where_they_were_going() {
    let world = strict().await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), ALICE).await;
    world.app.forget();
    let url = world.url(SHOP, "/orders?m=1&m=2");
    // The first sign-in of the shop is handed over from the wiki's, and is not enough.
    let form = browser.go(&url).await;
    assert!(form.text().contains("name=\"code\""), "{}", form.url);
    assert!(world.app.all().is_empty(), "nothing has passed yet");
    let next = browser.fill_in(&form, ALICE).await;
    let page = browser.go(&next).await;
    assert_eq!((page.status, &*page.url, &*world.app.only().path), (200, &*url, "/orders?m=1&m=2"));
    let told = eventually("there are three records", async || Some(world.records("/orders")).filter(|all| all.len() == 3)).await;
    let mut reasons: Vec<_> = told.iter().map(|record| record["reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["allowed", "not_signed_in", "step_up_required"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_told_which_sign_in_would_do() {
    let world = strict().await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), ALICE).await;
    drop(browser.until(&world.url(SHOP, "/x"), "/authorize").await);
    let lines = "Accept: application/json\r\nSec-Fetch-Mode: cors\r\n";
    for (method, form) in [("GET", None), ("POST", Some(&[("a", "1")][..]))] {
        let answer = browser.step_with(&world.url(SHOP, "/x"), form, lines).await;
        assert_eq!((answer.status, &*answer.reason()), (401, "step_up_required"), "{method}");
        let words = answer.header("www-authenticate").unwrap();
        assert!(words.contains("error=\"insufficient_user_authentication\""), "{words}");
        assert!(words.contains("acr_values=\"urn:doorward:demo:mfa\""), "{words}");
        assert!(answer.json()["login"].as_str().unwrap().contains("step_up=mfa"), "{}", answer.text());
    }
    assert_eq!(browser.sign_in(&world.url(SHOP, "/x"), ALICE).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_is_not_passed_on_and_its_sender_learns_so() {
    let world = strict().await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), ALICE).await;
    drop(browser.until(&world.url(SHOP, "/x"), "/authorize").await);
    world.app.forget();
    let answer = browser.step(&world.url(SHOP, "/pay"), Some(&[("amount", "5")])).await;
    assert_eq!(answer.status, 401);
    assert!(answer.text().contains("send it again") && answer.text().contains("step_up=mfa"), "{}", answer.text());
    assert!(world.app.all().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_the_provider_can_not_satisfy_leads_to_a_page() {
    let world = strict().await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), ALICE).await;
    let page = browser.go(&world.url(SHOP, "/vault/1")).await;
    assert_eq!(page.status, 403, "{}", page.text());
    assert!(page.text().contains("a security key or passkey"), "{}", page.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_the_rule_finds_too_old_is_asked_for_again() {
    let world = strict().await;
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), ALICE).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let form = browser.go(&world.url(SHOP, "/fresh/1")).await;
    assert!(form.url.contains("max_age=3") && form.text().contains("form_token"), "{} {}", form.url, form.text());
}
