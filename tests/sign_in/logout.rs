//! Signing out: of an app, of everything, at the provider; only when the person meant it.

use crate::world::browser::{Browser, NAVIGATION};
use crate::world::{BOB, LOGIN, PAYROLL, WIKI, World};

async fn signed_in(world: &World) -> Browser<'_> {
    let mut browser = world.browser();
    browser.sign_in(&world.url(WIKI, "/"), BOB).await;
    assert_eq!(browser.go(&world.url(PAYROLL, "/")).await.status, 200);
    browser
}

/// The statuses of the two apps for a browser that asks as a program does.
async fn statuses(world: &World, browser: &Browser<'_>) -> (u16, u16) {
    let mut copy = browser.clone();
    let wiki = copy.step_with(&world.url(WIKI, "/"), None, "").await.status;
    (wiki, copy.step_with(&world.url(PAYROLL, "/"), None, "").await.status)
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_of_one_app_leaves_the_other() {
    let world = World::start().await;
    let mut browser = signed_in(&world).await;
    let before = browser.clone();
    let page = browser.go(&world.url(WIKI, "/.doorward/logout")).await;
    assert_eq!(page.status, 200);
    assert!(browser.cookie(WIKI, "__Host-doorward").is_none());
    assert_eq!(statuses(&world, &before).await, (401, 200), "a copy of the cookie is worth nothing either");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_of_everything_ends_every_session_at_once_and_goes_on_to_the_provider() {
    let world = World::start().await;
    let mut browser = signed_in(&world).await;
    let before = browser.clone();
    assert_eq!(statuses(&world, &before).await, (200, 200));
    let answer = browser.step(&world.url(LOGIN, "/.doorward/logout"), None).await;
    assert_eq!(statuses(&world, &before).await, (401, 401), "before the provider has even been asked");
    let end = answer.location().to_owned();
    assert!(end.starts_with(&format!("http://127.0.0.1:{}/end_session?", world.ports.staff())) && end.contains("id_token_hint="));
    let page = browser.go(&end).await;
    assert!(page.url.starts_with(&world.url(LOGIN, "/.doorward/logout")) && page.status == 200, "{}", page.url);
    let form = browser.go(&world.url(WIKI, "/")).await;
    assert!(form.text().contains("form_token"), "the provider asks again");
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_of_everything_here_leaves_the_provider_alone() {
    let world = World::start().await;
    let mut browser = signed_in(&world).await;
    let before = browser.clone();
    let answer = browser.step(&world.url(LOGIN, "/.doorward/logout?scope=all"), None).await;
    assert_eq!((answer.status, answer.header("location")), (200, None));
    assert_eq!(statuses(&world, &before).await, (401, 401));
    assert_eq!(browser.go(&world.url(WIKI, "/")).await.status, 200, "the provider still knows the browser");
    assert_eq!(world.staff.logins(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_signs_somebody_else_out_by_a_link_or_a_form() {
    let world = World::start().await;
    let browser = signed_in(&world).await;
    for (host, form, lines) in [
        (WIKI, None, "Sec-Fetch-Site: cross-site\r\n"),
        (LOGIN, None, "Sec-Fetch-Site: cross-site\r\n"),
        (LOGIN, Some(&[][..]), "Sec-Fetch-Site: cross-site\r\nOrigin: https://evil.example\r\n"),
        (LOGIN, Some(&[][..]), "Origin: https://evil.example\r\n"),
        (WIKI, Some(&[][..]), "Origin: null\r\n"),
        (WIKI, Some(&[][..]), ""),
    ] {
        let mut copy = browser.clone();
        let answer = copy.step_with(&world.url(host, "/.doorward/logout"), form, &format!("{NAVIGATION}{lines}")).await;
        assert_eq!(answer.status, 200, "a page that asks");
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(statuses(&world, &browser).await, (200, 200), "{host} {lines}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_posts_is_read_through_the_gate_and_refused_when_it_is_not_signed() {
    let world = World::start().await;
    let browser = signed_in(&world).await;
    // {"alg":"none"} and {"iss":"…"}: readable, and nobody's.
    let token = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL290aGVyLmV4YW1wbGUifQ.";
    let mut provider = world.browser();
    let answer = provider.step(&world.url(LOGIN, "/.doorward/backchannel-logout"), Some(&[("logout_token", token)])).await;
    assert_eq!((answer.status, answer.header("cache-control")), (400, Some("no-store")));
    assert_eq!(answer.json()["error_description"], "iss and aud are not a provider and us");
    assert_eq!(statuses(&world, &browser).await, (200, 200));
}
