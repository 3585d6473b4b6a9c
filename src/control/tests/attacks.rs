//! Signing in: what an attacker would try.

use super::browser::{Browser, location};
use super::provider::{Behaviour, TestProvider};
use super::sign_in::{PAYROLL, WIKI, reason, world};
use super::{World, fixture};
use crate::model::{Reason, Token};
use crate::store::seal::Purpose;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_answer_of_the_provider_signs_nobody_in() {
    type Change = fn(&mut Behaviour);
    let changes: [(Change, Reason); 11] = [
        (|b| b.claims = json!({"nonce": "another"}), Reason::SignInFailed),
        (|b| b.claims = json!({"aud": "other"}), Reason::SignInFailed),
        (|b| b.claims = json!({"iss": "https://evil.test"}), Reason::SignInFailed),
        (|b| b.claims = json!({"exp": 1}), Reason::SignInFailed),
        (|b| b.claims = json!({"azp": "other"}), Reason::SignInFailed),
        (|b| b.response = json!({"id_token": null}), Reason::SignInFailed),
        (|b| b.response = json!({"id_token": "x.y.z"}), Reason::SignInFailed),
        (|b| b.response = json!({"error": "invalid_grant"}), Reason::SignInFailed),
        (|b| b.status = StatusCode::SERVICE_UNAVAILABLE, Reason::ProviderUnavailable),
        (|b| b.claims = json!({"groups": null}), Reason::ProviderUnavailable),
        (|b| b.user_info = Some(json!({"sub": "bob", "groups": ["finance"]})), Reason::SignInFailed),
    ];
    let (world, provider) = world().await;
    for (index, (change, expected)) in changes.into_iter().enumerate() {
        let mut browser = Browser::default();
        provider.set(|b| {
            (b.claims, b.response, b.status) = (json!({"groups": ["staff"]}), json!({}), StatusCode::OK);
            b.claims["groups"] = if index == 10 { json!(null) } else { json!(["staff"]) };
            change(b);
        });
        assert_eq!(reason(browser.sign_in(&world, &provider, WIKI).await), expected, "change {index}");
        assert_eq!(browser.cookie("login.corp.example", "__Host-doorward-sso"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_that_the_provider_did_not_send_sign_nobody_in() {
    let (world, provider) = world().await;
    for claims in [json!({"_claim_names": {"groups": "src1"}, "groups": null}), json!({"hasgroups": true, "groups": null})] {
        provider.set(|b| (b.claims, b.user_info) = (claims, Some(json!({"sub": "ana"}))));
        let refusal = Browser::default().sign_in(&world, &provider, WIKI).await.unwrap_err();
        assert_eq!(refusal.reason, Reason::SignInFailed);
        assert!(refusal.detail.unwrap().contains("“groups” elsewhere"));
    }
    provider.set(|b| b.user_info = Some(json!({"sub": "ana", "groups": ["staff"]})));
    Browser::default().sign_in(&world, &provider, WIKI).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_counts_only_in_the_browser_that_asked_and_only_once() {
    let (world, provider) = world().await;
    let mut browser = Browser::default();
    let login = browser.navigate(WIKI);
    let callback = browser.reach_provider(&world, &provider, &login).await;
    let mut other = Browser::default();
    assert_eq!(reason(other.get(&world, &callback).await), Reason::SignInExpired);
    for (from, to) in [("state=", "state=x"), ("state=", "st="), ("iss=", "iss=x"), ("iss=", "is="), ("code=", "co=")] {
        let mut attempt = browser.clone();
        assert!(attempt.get(&world, &callback.replace(from, to)).await.is_err(), "{to}");
    }
    assert_eq!(provider.asked(), 0);
    browser.get(&world, &callback).await.unwrap();
    let answer = browser.get(&world, &callback).await.unwrap();
    assert_eq!(location(&answer), "/.doorward/login?signed_in=1", "used: to the page that says who is signed in");
    assert_eq!(provider.asked(), 1);
    browser.cookies.get_mut("login.corp.example").unwrap().remove("__Host-doorward-sso");
    assert_eq!(reason(browser.get(&world, &callback).await), Reason::SignInExpired, "used, and signed in no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callback_that_took_too_long_signs_nobody_in_but_leads_on_whoever_is_signed_in() {
    let (world, provider) = world().await;
    let mut browser = Browser::default();
    browser.sign_in(&world, &provider, PAYROLL).await.unwrap();
    let (id, token) = ("abcdefghijkl", Token::random().unwrap());
    let state = format!("{id}.{}", token.reveal());
    let flow = json!({
        "provider": "staff", "state": state, "nonce": "n", "verifier": "v", "to": WIKI, "binding": token.hash().encode(),
        "started": crate::clock::now().millis() - 600_001,
    });
    let sealed = world.control.store.ring().seal(Purpose::Flow, id, flow.to_string().as_bytes()).unwrap();
    let cookie = (format!("__Host-doorward-flow-{id}"), URL_SAFE_NO_PAD.encode(sealed));
    let url = format!("https://login.corp.example/.doorward/callback?code=n&state={state}&iss={}", provider.issuer);
    let mut nobody = Browser::default();
    for browser in [&mut nobody, &mut browser] {
        browser.cookies.entry("login.corp.example".to_owned()).or_default().extend([cookie.clone()]);
    }
    assert_eq!(reason(nobody.get(&world, &url).await), Reason::SignInExpired);
    let answer = browser.get(&world, &url).await.unwrap();
    assert!(location(&answer).starts_with("/.doorward/login?signed_in=1&to=https%3A%2F%2Fwiki.corp.example%2Fpage"));
    assert_eq!(browser.cookie("login.corp.example", &cookie.0), None);
    assert_eq!(provider.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handoff_is_good_once_at_its_host_in_its_browser() {
    let (world, provider) = world().await;
    let mut browser = Browser::default();
    browser.sign_in(&world, &provider, PAYROLL).await.unwrap();
    let handoff = |browser: &mut Browser| {
        let login = browser.navigate(WIKI);
        (browser.clone(), login)
    };
    let (mut here, login) = handoff(&mut browser);
    let landing = location(&here.get(&world, &login).await.unwrap());
    let mut elsewhere = Browser::default();
    let refusal = elsewhere.get(&world, &landing).await.unwrap_err();
    assert!(refusal.reason == Reason::HandoffInvalid && refusal.detail.is_some(), "no flow cookie: {refusal:?}");
    assert_eq!(reason(here.get(&world, &landing).await), Reason::HandoffInvalid, "tried without the cookie, so gone");
    let (mut here, login) = handoff(&mut browser);
    let landing = location(&here.get(&world, &login).await.unwrap());
    here.get(&world, &landing).await.unwrap();
    let mut without_session = browser.clone();
    assert_eq!(reason(without_session.get(&world, &landing).await), Reason::HandoffInvalid, "used");
    let (mut here, login) = handoff(&mut browser);
    let landing = location(&here.get(&world, &login).await.unwrap());
    let moved = landing.replace("https://wiki.corp.example", "https://payroll.other.test:8443");
    let mut at_payroll = here.clone();
    let stolen = here.cookies["wiki.corp.example"].clone();
    at_payroll.cookies.get_mut("payroll.other.test").unwrap().extend(stolen);
    at_payroll.cookies.get_mut("payroll.other.test").unwrap().remove("__Host-doorward");
    assert_eq!(reason(at_payroll.get(&world, &moved).await), Reason::HandoffInvalid, "another host");
    assert_eq!(reason(here.get(&world, &landing).await), Reason::HandoffInvalid, "tried at another host, so gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_browser_can_not_take_a_handoff_with_a_flow_of_its_own() {
    let (world, provider) = world().await;
    let mut browser = Browser::default();
    browser.sign_in(&world, &provider, PAYROLL).await.unwrap();
    let login = browser.navigate(WIKI);
    let landing = location(&browser.get(&world, &login).await.unwrap());
    let mut thief = Browser::default();
    let name = browser.cookies["wiki.corp.example"].keys().next().unwrap().clone();
    let own = Token::random().unwrap().reveal().to_owned();
    thief.cookies.entry("wiki.corp.example".to_owned()).or_default().insert(name, own);
    assert_eq!(reason(thief.get(&world, &landing).await), Reason::HandoffInvalid);
    assert_eq!(reason(browser.get(&world, &landing).await), Reason::HandoffInvalid, "tried with a wrong cookie, so gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_landing_leads_nowhere_but_to_its_own_host() {
    let (world, provider) = world().await;
    let mut browser = Browser::default();
    browser.sign_in(&world, &provider, WIKI).await.unwrap();
    for to in ["", "https://evil.test/", ".evil.test/", "@evil.test/", ":8443/", "/.doorward/logout", "/\\evil.test", "/a%0d%0ab"] {
        let query = crate::control::query::write(&[("code", "x"), ("flow", "x"), ("to", to)]);
        let url = format!("https://wiki.corp.example/.doorward/callback?{query}");
        assert_eq!(reason(browser.get(&world, &url).await), Reason::BadReturnTarget, "{to}");
    }
    let url = "https://wiki.corp.example/.doorward/callback?code=x&flow=x&to=//evil.test/";
    let answer = browser.get(&world, url).await.unwrap();
    assert_eq!(location(&answer), "https://wiki.corp.example//evil.test/", "a late tab, to a path of this host");
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_of_one_kind_never_count_as_another() {
    let (world, provider) = world().await;
    let mut browser = Browser::default();
    let login = browser.navigate(WIKI);
    let callback = browser.reach_provider(&world, &provider, &login).await;
    let flow = browser.cookies["login.corp.example"].values().next().unwrap().clone();
    browser.follow(&world, &callback).await.unwrap();
    let sso = browser.cookie("login.corp.example", "__Host-doorward-sso").unwrap();
    let session = browser.cookie("wiki.corp.example", "__Host-doorward").unwrap();
    for (host, name, value) in [
        ("login.corp.example", "__Host-doorward-sso", &flow),
        ("login.corp.example", "__Host-doorward-sso", &session),
        ("wiki.corp.example", "__Host-doorward", &flow),
        ("wiki.corp.example", "__Host-doorward", &sso),
        ("payroll.other.test", "__Host-doorward", &session),
    ] {
        let mut forger = Browser::default();
        forger.cookies.entry(host.to_owned()).or_default().insert(name.to_owned(), value.clone());
        let authority = if host == "payroll.other.test" { "payroll.other.test:8443" } else { host };
        assert_eq!(reason(forger.who(&world, authority).await), Reason::NotSignedIn, "{name} at {host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_must_be_who_it_was_configured_as() {
    let provider = TestProvider::start().await;
    for metadata in [
        json!({"issuer": "https://other.example"}),
        json!({"issuer": format!("{}/x", provider.issuer)}),
        json!({"token_endpoint": "http://idp.example/token"}),
        json!({"token_endpoint": null}),
    ] {
        provider.set(|b| b.metadata = metadata.clone());
        let world = World::new(vec![fixture::provider("staff", &provider.issuer)]).await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert!(!world.control.providers()[0].discovered, "{metadata}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_lives_under_the_reserved_path() {
    let (world, _provider) = world().await;
    let mut browser = Browser::default();
    for path in ["", "x", "login/", "Login", "assets/", "assets/../login", "callback/x"] {
        let url = format!("https://wiki.corp.example/.doorward/{path}");
        assert_eq!(reason(browser.get(&world, &url).await), Reason::UnknownPath, "{path}");
    }
    assert_eq!(reason(browser.get(&world, "https://wiki.corp.example/.doorward/login").await), Reason::UnknownPath);
    let keys = browser.get(&world, "https://wiki.corp.example/.doorward/jwks.json").await.unwrap();
    assert!(String::from_utf8_lossy(keys.body()).contains("P-256"));
}
