//! Signing in: what must work.

use super::browser::{Browser, location, text};
use super::provider::TestProvider;
use super::{World, fixture};
use crate::control::fixture::signer::Signer;
use crate::model::{Reason, Refusal};
use serde_json::json;
use std::sync::Arc;

pub(super) const WIKI: &str = "https://wiki.corp.example/page?q=%20a&x=//y";
pub(super) const PAYROLL: &str = "https://payroll.other.test:8443/";

pub(super) async fn world() -> (World, TestProvider) {
    let provider = TestProvider::start().await;
    let world = World::new(vec![fixture::provider("staff", &provider.issuer)]).await;
    world.discovered().await;
    (world, provider)
}

pub(super) fn reason<T: std::fmt::Debug>(result: Result<T, Refusal>) -> Reason {
    result.unwrap_err().reason
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deep_link_comes_back_and_one_login_serves_unrelated_domains() {
    let (world, provider) = world().await;
    let mut browser = Browser::default();
    assert_eq!(browser.sign_in(&world, &provider, WIKI).await.unwrap(), WIKI);
    let who = browser.who(&world, "wiki.corp.example").await.unwrap();
    assert_eq!((&who["user"], &who["email"], &who["groups"]), (&json!("staff:ana"), &json!("ana@corp.example"), &json!(["staff"])));
    let login = browser.navigate(PAYROLL);
    assert_eq!(browser.follow(&world, &login).await.unwrap(), PAYROLL);
    assert_eq!(provider.asked(), 1);
    let (wiki, payroll) = ("wiki.corp.example", "payroll.other.test");
    assert_ne!(browser.cookie(wiki, "__Host-doorward"), browser.cookie(payroll, "__Host-doorward"));
    for jar in browser.cookies.values() {
        let flows = jar.keys().filter(|name| name.starts_with("__Host-doorward-flow-") && !name.ends_with("landed"));
        assert_eq!(flows.count(), 0, "finished logins leave nothing behind");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_tabs_can_log_in_at_once_and_each_lands_where_it_was_going() {
    let (world, provider) = world().await;
    let mut browser = Browser::default();
    let mut tabs = Vec::new();
    for tab in 0..10 {
        let to = format!("https://wiki.corp.example/tab/{tab}");
        let login = browser.navigate(&to);
        tabs.push((browser.reach_provider(&world, &provider, &login).await, to));
    }
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let mut session = None;
    for (callback, to) in tabs.into_iter().rev() {
        assert_eq!(browser.follow(&world, &callback).await.unwrap(), to);
        let cookie = browser.cookie("wiki.corp.example", "__Host-doorward");
        assert_eq!(session.get_or_insert_with(|| cookie.clone()), &cookie, "tabs of one sign-in share a session");
    }
    assert_eq!(provider.asked(), 1, "late tabs need no exchange");
    browser.who(&world, "wiki.corp.example").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn late_tabs_are_not_taken_for_a_loop() {
    let (world, provider) = world().await;
    let mut browser = Browser::default();
    let landed = |browser: &Browser| browser.cookie("wiki.corp.example", "__Host-doorward-flow-landed");
    let mut tabs = Vec::new();
    for _ in 0..4 {
        let login = browser.navigate(WIKI);
        tabs.push(browser.reach_provider(&world, &provider, &login).await);
    }
    for (tab, callback) in tabs.into_iter().enumerate() {
        browser.follow(&world, &callback).await.unwrap();
        assert_eq!(landed(&browser).as_deref(), (tab == 0).then_some("1"), "tab {tab}");
    }
    for count in ["1", "2", "3"] {
        browser.cookies.get_mut("wiki.corp.example").unwrap().remove("__Host-doorward");
        let login = browser.navigate(WIKI);
        browser.follow(&world, &login).await.unwrap();
        assert_eq!(landed(&browser).as_deref(), Some(count), "a browser that does not keep the session");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_login_makes_new_cookies_and_ends_the_old_ones() {
    let (world, provider) = world().await;
    let mut browser = Browser::default();
    browser.sign_in(&world, &provider, WIKI).await.unwrap();
    let mut before = browser.clone();
    // The attacker's sign-in, or just an old one: the sso cookie is gone, the app's is still there.
    browser.cookies.remove("login.corp.example");
    provider.set(|b| b.claims = json!({"sub": "bob"}));
    browser.sign_in(&world, &provider, WIKI).await.unwrap();
    assert_eq!(browser.who(&world, "wiki.corp.example").await.unwrap()["user"], "staff:bob");
    assert_eq!(reason(before.who(&world, "wiki.corp.example").await), Reason::NotSignedIn);
    assert_ne!(before.cookie("wiki.corp.example", "__Host-doorward"), browser.cookie("wiki.corp.example", "__Host-doorward"));
}

#[tokio::test(flavor = "multi_thread")]
async fn claims_that_the_token_lacks_come_from_user_info() {
    let (world, provider) = world().await;
    provider.set(|b| {
        b.claims = json!({"groups": null, "email": null});
        b.user_info =
            Some(json!({"sub": "ana", "groups": ["finance"], "email": "a@corp.example", "email_verified": false, "name": "Other"}));
    });
    let mut browser = Browser::default();
    browser.sign_in(&world, &provider, WIKI).await.unwrap();
    let who = browser.who(&world, "wiki.corp.example").await.unwrap();
    assert_eq!((&who["groups"], &who["email"], &who["name"]), (&json!(["finance"]), &json!(null), &json!("Ana")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_provider_says_in_place_of_a_code_is_told_plainly() {
    let (world, provider) = world().await;
    for (error, expected, detail) in [
        ("access_denied", Reason::SignInRefused, None),
        ("temporarily_unavailable", Reason::ProviderUnavailable, Some("Sign-in of staff can’t be reached.")),
        ("invalid_scope", Reason::SignInFailed, Some("Sign-in of staff answered: invalid_scope.")),
        ("%3Cscript%3E", Reason::SignInFailed, None),
    ] {
        let mut browser = Browser::default();
        let login = browser.navigate(WIKI);
        let callback = browser.reach_provider(&world, &provider, &login).await;
        let refusal = browser.get(&world, &format!("{callback}&error={error}")).await.unwrap_err();
        assert_eq!((refusal.reason, refusal.detail.as_deref()), (expected, detail));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_keeps_no_cookies_is_told_so_instead_of_going_round() {
    let (world, provider) = world().await;
    let mut browser = Browser::default();
    let login = browser.navigate(WIKI);
    let callback = browser.reach_provider(&world, &provider, &login).await;
    let next = location(&browser.get(&world, &callback).await.unwrap());
    browser.cookies.remove("login.corp.example");
    let refusal = browser.get(&world, &format!("https://login.corp.example{next}")).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::SignInLoop);
    assert!(refusal.detail.unwrap().contains("login.corp.example"));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_a_choice_where_there_are_several_providers() {
    let (staff, partners) = (TestProvider::start().await, TestProvider::start().await);
    let providers = vec![fixture::provider("staff", &staff.issuer), fixture::provider("partners", &partners.issuer)];
    let world = World::new(providers).await;
    world.discovered().await;
    let mut browser = Browser::default();
    let login = browser.navigate(WIKI);
    let page = text(&browser.get(&world, &login).await.unwrap());
    assert!(page.contains("Sign-in of staff") && page.contains("Sign-in of partners") && page.contains("The app at wiki"));
    let callback = browser.reach_provider(&world, &partners, &format!("{login}&provider=partners")).await;
    assert_eq!(browser.follow(&world, &callback).await.unwrap(), WIKI);
    assert_eq!(browser.who(&world, "wiki.corp.example").await.unwrap()["provider"], "partners");
    let mut other = Browser::default();
    let login = other.navigate(WIKI);
    assert_eq!(reason(other.get(&world, &format!("{login}&provider=nobody")).await), Reason::ProviderNotAccepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_down_delays_logins_and_nothing_else() {
    let world = World::new(vec![fixture::provider("staff", "http://127.0.0.1:1")]).await;
    let mut browser = Browser::default();
    let login = browser.navigate(WIKI);
    let refusal = browser.get(&world, &login).await.unwrap_err();
    assert_eq!(refusal.reason, Reason::ProviderUnavailable);
    assert!(refusal.detail.unwrap().contains("Sign-in of staff"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_key_is_fetched_but_not_again_and_again() {
    let (world, provider) = world().await;
    provider.set(|b| b.signer = Signer::new("second"));
    Browser::default().sign_in(&world, &provider, WIKI).await.unwrap();
    let fetches = provider.behaviour.lock().unwrap().key_fetches;
    provider.set(|b| b.signer = Signer::new("third"));
    for _ in 0..3 {
        assert_eq!(reason(Browser::default().sign_in(&world, &provider, WIKI).await), Reason::SignInFailed);
    }
    assert_eq!(provider.behaviour.lock().unwrap().key_fetches, fetches);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_without_an_app_ends_at_a_page_that_says_who() {
    let (world, provider) = world().await;
    let mut browser = Browser::default();
    let login = "https://login.corp.example/.doorward/login";
    let callback = browser.reach_provider(&world, &provider, login).await;
    browser.get(&world, &callback).await.unwrap();
    let page = text(&browser.get(&world, login).await.unwrap());
    assert!(page.contains("Ana") && page.contains("Sign-in of staff"));
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_of_different_providers_do_not_end_each_others_sessions() {
    let (staff, partners) = (TestProvider::start().await, TestProvider::start().await);
    let providers = || vec![fixture::provider("staff", &staff.issuer), fixture::provider("partners", &partners.issuer)];
    let mut world = World::new(providers()).await;
    let mut snapshot = fixture::snapshot(providers());
    for (app, provider) in [(0, "staff"), (1, "partners")] {
        snapshot.apps[app].providers.retain(|name| name.as_str() == provider);
    }
    world.snapshot = Arc::new(snapshot);
    world.discovered().await;
    let mut browser = Browser::default();
    browser.sign_in(&world, &staff, WIKI).await.unwrap();
    browser.sign_in(&world, &partners, PAYROLL).await.unwrap();
    for (host, provider, app) in [("wiki.corp.example", "staff", WIKI), ("payroll.other.test:8443", "partners", PAYROLL)] {
        assert_eq!(browser.who(&world, host).await.unwrap()["provider"], provider);
        let login = browser.navigate(app);
        assert_eq!(browser.follow(&world, &login).await.unwrap(), app, "no login is needed again");
    }
    assert_eq!((staff.asked(), partners.asked()), (1, 1));
    let before = browser.clone();
    let to = location(&browser.get(&world, "https://login.corp.example/.doorward/logout").await.unwrap());
    assert!(to.starts_with(&partners.issuer), "to the provider of the latest sign-in: {to}");
    for mut browser in [browser, before] {
        for host in ["wiki.corp.example", "payroll.other.test:8443", "login.corp.example"] {
            assert_eq!(reason(browser.who(&world, host).await), Reason::NotSignedIn, "{host}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_that_the_cookie_has_no_room_for_ends() {
    let provider = TestProvider::start().await;
    let names = ["a", "b", "c", "d", "e"];
    let world = World::new(names.map(|name| fixture::provider(name, &provider.issuer)).into()).await;
    world.discovered().await;
    let mut browser = Browser::default();
    let login = |name: &str| format!("https://login.corp.example/.doorward/login?provider={name}");
    let mut first = None;
    for name in names {
        let mut visitor = Browser::default();
        let callback = visitor.reach_provider(&world, &provider, &login(name)).await;
        let flow = visitor.cookies.remove("login.corp.example").unwrap();
        browser.cookies.entry("login.corp.example".to_owned()).or_default().extend(flow);
        browser.get(&world, &callback).await.unwrap();
        first.get_or_insert_with(|| browser.clone());
    }
    assert_eq!(browser.who(&world, "login.corp.example").await.unwrap()["provider"], "e");
    assert_eq!(browser.cookie("login.corp.example", "__Host-doorward-sso").unwrap().split('.').count(), 4);
    assert_eq!(reason(first.unwrap().who(&world, "login.corp.example").await), Reason::NotSignedIn);
}
