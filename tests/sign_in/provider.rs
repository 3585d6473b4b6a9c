//! A provider that is down delays logins, and nothing else.

use crate::world::{ALICE, LOGIN, Setup, WIKI, World, eventually};
use std::time::Instant;

#[tokio::test(flavor = "multi_thread")]
async fn the_start_does_not_wait_for_a_provider() {
    let started = Instant::now();
    let world = World::of(Setup { provider_up: false, ..Setup::default() }).await;
    assert!(started.elapsed().as_secs() < 5);
    assert_eq!(world.get(WIKI, "/public/x", "").await.status, 200);
    assert_eq!(world.admin("/readyz").await.status, 200);
    let mut browser = world.browser();
    let page = browser.go(&world.url(WIKI, "/x?q=1")).await;
    assert_eq!((page.status, page.header("retry-after")), (503, Some("5")));
    assert!(page.url.starts_with(&world.url(LOGIN, "/.doorward/login")));
    let text = page.text();
    assert!(text.contains("provider_unavailable") && text.contains("staff can’t be reached"), "{text}");
    world.staff.is_up(true);
    eventually("the provider is found", async || {
        let form = browser.go(&world.url(WIKI, "/x?q=1")).await;
        form.text().contains("form_token").then_some(())
    })
    .await;
    assert_eq!(browser.sign_in(&world.url(WIKI, "/x?q=1"), ALICE).await.url, world.url(WIKI, "/x?q=1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_goes_down_leaves_sessions_alone_and_is_named() {
    let world = World::start().await;
    let session = format!("Cookie: {}\r\n", world.session(WIKI, ALICE).await);
    let mut late = world.browser();
    let form = late.go(&world.url(WIKI, "/x")).await;
    let callback = late.fill_in(&form, ALICE).await;
    world.staff.is_up(false);
    let page = late.go(&callback).await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("staff can’t be reached"), "{}", page.text());
    assert_eq!(world.get(WIKI, "/x", &session).await.status, 200);
    assert!(world.metric("doorward_logins_total{outcome=\"provider_unavailable\",provider=\"staff\"}").await > 0.5);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_provider_that_is_down_does_not_keep_people_of_the_other_out() {
    let world = World::of(Setup { partners: true, ..Setup::default() }).await;
    world.staff.is_up(false);
    let login = |provider| world.url(LOGIN, &format!("/.doorward/login?to={}&provider={provider}", world.url(WIKI, "/x")));
    assert_eq!(world.browser().sign_in(&login("partners"), ALICE).await.status, 200);
}
