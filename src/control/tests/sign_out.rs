//! Signing out.

use super::browser::{Browser, location, text};
use super::provider::TestProvider;
use super::{World, fixture};
use crate::model::Reason;
use crate::model::identity::{Act, Acted};

const WIKI: &str = "https://wiki.corp.example/";
const PAYROLL: &str = "https://payroll.other.test:8443/";
const EVERYTHING: &str = "https://login.corp.example/.doorward/logout";

async fn signed_in() -> (World, TestProvider, Browser) {
    let provider = TestProvider::start().await;
    let world = World::new(vec![fixture::provider("staff", &provider.issuer)]).await;
    world.discovered().await;
    let mut browser = Browser::default();
    browser.sign_in(&world, &provider, WIKI).await.unwrap();
    let login = browser.navigate(PAYROLL);
    browser.follow(&world, &login).await.unwrap();
    (world, provider, browser)
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_of_an_app_leaves_the_others() {
    let (world, _provider, mut browser) = signed_in().await;
    let mut copy = browser.clone();
    let page = text(&browser.get(&world, "https://wiki.corp.example/.doorward/logout").await.unwrap());
    assert!(page.contains("Signed out of The app at wiki.corp.example") && page.contains(EVERYTHING));
    assert_eq!(browser.cookie("wiki.corp.example", "__Host-doorward"), None);
    assert_eq!(copy.who(&world, "wiki.corp.example").await.unwrap_err().reason, Reason::NotSignedIn, "the cookie is dead");
    browser.who(&world, "payroll.other.test:8443").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_out_of_everything_ends_every_session_and_goes_on_to_the_provider() {
    let (world, provider, mut browser) = signed_in().await;
    let to = location(&browser.get(&world, EVERYTHING).await.unwrap());
    assert!(to.starts_with(&format!("{}/end?id_token_hint=ey", provider.issuer)), "{to}");
    assert!(to.contains("client_id=doorward"));
    assert!(to.contains("post_logout_redirect_uri=https%3A%2F%2Flogin.corp.example%2F.doorward%2Flogout"));
    for host in ["wiki.corp.example", "payroll.other.test:8443", "login.corp.example"] {
        assert_eq!(browser.who(&world, host).await.unwrap_err().reason, Reason::NotSignedIn, "{host}");
    }
    let page = text(&browser.get_with(&world, EVERYTHING, "sec-fetch-site", "cross-site").await.unwrap());
    assert!(page.contains("<h1>Signed out</h1>"), "back from the provider");
}

#[tokio::test(flavor = "multi_thread")]
async fn scope_all_stays_here() {
    let (world, _provider, mut browser) = signed_in().await;
    let page = text(&browser.get(&world, &format!("{EVERYTHING}?scope=all")).await.unwrap());
    assert!(page.contains("<h1>Signed out</h1>"));
    assert!(browser.who(&world, "wiki.corp.example").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_on_another_site_signs_nobody_out_unasked() {
    let (world, _provider, mut browser) = signed_in().await;
    for url in [EVERYTHING, "https://wiki.corp.example/.doorward/logout"] {
        let page = text(&browser.get_with(&world, url, "sec-fetch-site", "cross-site").await.unwrap());
        assert!(page.contains("Sign out?"), "{page}");
    }
    browser.who(&world, "wiki.corp.example").await.unwrap();
    browser.who(&world, "login.corp.example").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_on_another_site_signs_nobody_out() {
    let (world, _provider, browser) = signed_in().await;
    let cookie = format!("__Host-doorward={}", browser.cookie("wiki.corp.example", "__Host-doorward").unwrap());
    for (name, value, meant) in [
        ("origin", "https://evil.test", false),
        ("origin", "null", false),
        ("sec-fetch-site", "same-site", false),
        ("accept", "*/*", false),
        ("origin", "https://wiki.corp.example", true),
    ] {
        let mut headers = super::headers(std::slice::from_ref(&cookie));
        headers.insert(name, http::HeaderValue::from_static(value));
        let url = "https://wiki.corp.example/.doorward/logout";
        let page = text(&world.request(http::Method::POST, url, headers).await.unwrap());
        assert_eq!(page.contains("Signed out of"), meant, "{name}: {value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_beside_signs_nobody_out_without_a_click() {
    let (world, _provider, mut browser) = signed_in().await;
    let cookie = format!("__Host-doorward-sso={}", browser.cookie("login.corp.example", "__Host-doorward-sso").unwrap());
    for (mode, user, meant) in
        [("no-cors", None, false), ("cors", Some("?1"), false), ("navigate", None, false), ("navigate", Some("?1"), true)]
    {
        let mut headers = super::headers(std::slice::from_ref(&cookie));
        headers.insert("sec-fetch-site", http::HeaderValue::from_static("same-site"));
        headers.insert("sec-fetch-mode", http::HeaderValue::from_static(mode));
        headers.extend(user.map(|user| (http::HeaderName::from_static("sec-fetch-user"), http::HeaderValue::from_static(user))));
        let url = format!("{EVERYTHING}?scope=all");
        let page = text(&world.request(http::Method::GET, &url, headers).await.unwrap());
        assert_eq!(page.contains("<h1>Signed out</h1>"), meant, "{mode}");
        assert_eq!(browser.who(&world, "wiki.corp.example").await.is_err(), meant, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_comes_without_the_cookie_is_not_told_that_anything_ended() {
    let (world, _provider, _browser) = signed_in().await;
    for url in [EVERYTHING, "https://wiki.corp.example/.doorward/logout"] {
        let mut headers = http::HeaderMap::new();
        headers.insert("sec-fetch-site", http::HeaderValue::from_static("cross-site"));
        let page = text(&world.request(http::Method::POST, url, headers).await.unwrap());
        assert!(page.contains("Nothing has happened yet") && !page.contains("Signed out"), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_does_carries_their_name_for_audit() {
    let provider = TestProvider::start().await;
    let world = World::new(vec![fixture::provider("staff", &provider.issuer)]).await;
    world.discovered().await;
    let mut browser = Browser::default();
    let login = browser.navigate(WIKI);
    let callback = browser.reach_provider(&world, &provider, &login).await;
    let signed_in = browser.get(&world, &callback).await.unwrap();
    let login = format!("https://login.corp.example{}", location(&signed_in));
    let landing = location(&browser.get(&world, &login).await.unwrap());
    let landed = browser.get(&world, &landing).await.unwrap();
    let asked = browser.get(&world, "https://wiki.corp.example/.doorward/session").await.unwrap();
    let signed_out = browser.get(&world, "https://wiki.corp.example/.doorward/logout").await.unwrap();
    let of_everything = browser.get(&world, EVERYTHING).await.unwrap();
    for (answer, act) in [
        (signed_in, Act::SignedIn),
        (landed, Act::Landed),
        (asked, Act::Asked),
        (signed_out, Act::SignedOut),
        (of_everything, Act::SignedOutOfEverything),
    ] {
        let acted = answer.extensions().get::<Acted>().unwrap_or_else(|| panic!("{}", act.code()));
        let email = acted.email.as_ref().map(|email| email.as_str());
        assert_eq!((&*acted.subject.to_string(), email, acted.act), ("staff:ana", Some("ana@corp.example"), act));
    }
    let again = browser.get(&world, EVERYTHING).await.unwrap();
    assert!(again.extensions().get::<Acted>().is_none(), "nobody did anything");
}
