//! Sign-outs that a provider tells of: which tokens it takes, and which it must not.

use super::browser::Browser;
use super::provider::TestProvider;
use super::{Answer, World, fixture};
use crate::control::fixture::signer::Signer;
use crate::model::Reason;
use crate::model::identity::{Act, Acted};
use http::{HeaderMap, Method};
use serde_json::{Value, json};

const URL: &str = "https://login.corp.example/.doorward/backchannel-logout";
const WIKI: &str = "https://wiki.corp.example/";
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

struct Scene {
    world: World,
    provider: TestProvider,
    browser: Browser,
}

/// Somebody (`ana`) who is signed in, in the provider's session `s-1`.
async fn scene() -> Scene {
    let provider = TestProvider::start().await;
    provider.set(|behaviour| behaviour.claims = json!({ "sid": "s-1" }));
    let world = World::new(vec![fixture::provider("staff", &provider.issuer)]).await;
    world.discovered().await;
    let mut browser = Browser::default();
    browser.sign_in(&world, &provider, WIKI).await.unwrap();
    Scene { world, provider, browser }
}

impl Scene {
    /// Good claims, with changes; `null` takes a claim away.
    fn claims(&self, changes: &Value) -> Value {
        let now = crate::clock::now().seconds();
        let jti = crate::model::Token::random().unwrap().reveal().to_owned();
        let mut claims = json!({
            "iss": self.provider.issuer, "aud": "doorward", "iat": now, "exp": now + 120, "jti": jti, "sid": "s-1", "sub": "ana",
            "events": { EVENT: {} },
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        claims
    }

    fn sign(&self, algorithm: &str, header: Value, changes: &Value) -> String {
        let mut token = String::new();
        self.provider.set(|behaviour| token = behaviour.signer.sign_as(algorithm, header, &self.claims(changes)));
        token
    }

    async fn send(&self, form: String) -> Answer {
        let answer = self.world.post(Method::POST, URL, HeaderMap::new(), form).await.unwrap();
        assert_eq!(answer.headers()["cache-control"], "no-store");
        answer
    }

    async fn is_signed_in(&self) -> bool {
        match self.browser.clone().who(&self.world, "wiki.corp.example").await {
            Ok(_) => true,
            Err(refusal) => {
                assert_eq!(refusal.reason, Reason::NotSignedIn);
                false
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_what_it_names_and_is_answered_when_that_is_gone() {
    for (header, changes) in [
        (json!({ "typ": "logout+jwt" }), json!({})),
        (json!({ "typ": "JWT" }), json!({ "sid": null })),
        (json!({}), json!({ "sub": null, "exp": null })),
        (json!({ "typ": "application/logout+jwt" }), json!({ "aud": ["other", "doorward"] })),
    ] {
        let scene = scene().await;
        assert!(scene.is_signed_in().await);
        let answer = scene.send(format!("logout_token={}", scene.sign("RS256", header, &changes))).await;
        assert_eq!(answer.status(), 200, "{changes}");
        assert!(!scene.is_signed_in().await, "{changes}");
        assert_eq!(answer.extensions().get::<Acted>().map(|acted| acted.act), Some(Act::SignedOutByProvider));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_fails_one_check_ends_nothing() {
    let scene = scene().await;
    let now = crate::clock::now().seconds();
    let good = json!({ "typ": "logout+jwt" });
    for (algorithm, header, changes) in [
        ("RS256", good.clone(), json!({ "iss": "https://other.example" })),
        ("RS256", good.clone(), json!({ "iss": null })),
        ("RS256", good.clone(), json!({ "aud": "other" })),
        ("RS256", good.clone(), json!({ "aud": null })),
        ("RS256", good.clone(), json!({ "aud": [] })),
        ("RS256", good.clone(), json!({ "iat": null })),
        ("RS256", good.clone(), json!({ "iat": now.to_string() })),
        ("RS256", good.clone(), json!({ "iat": now - 400 })),
        ("RS256", good.clone(), json!({ "iat": now + 120 })),
        ("RS256", good.clone(), json!({ "exp": now - 120 })),
        ("RS256", good.clone(), json!({ "events": null })),
        ("RS256", good.clone(), json!({ "events": [EVENT] })),
        ("RS256", good.clone(), json!({ "events": { EVENT: null } })),
        ("RS256", good.clone(), json!({ "events": { "other": {} } })),
        ("RS256", good.clone(), json!({ "nonce": "x" })),
        ("RS256", good.clone(), json!({ "jti": null })),
        ("RS256", good.clone(), json!({ "jti": "" })),
        ("RS256", good.clone(), json!({ "sub": null, "sid": null })),
        ("RS256", good.clone(), json!({ "sub": 7 })),
        ("RS256", good.clone(), json!({ "sid": ["s-1"] })),
        ("RS256", json!({ "typ": "at+jwt" }), json!({})),
        ("RS256", json!({ "typ": 7 }), json!({})),
        ("RS256", json!({ "typ": "logout+jwt", "crit": ["b64"] }), json!({})),
        ("HS256", good.clone(), json!({})),
        ("none", good.clone(), json!({})),
        ("ES256", good.clone(), json!({})),
    ] {
        let answer = scene.send(format!("logout_token={}", scene.sign(algorithm, header.clone(), &changes))).await;
        assert_eq!(answer.status(), 400, "{algorithm} {header} {changes}");
        assert!(scene.is_signed_in().await, "{algorithm} {header} {changes}");
    }
    let good = scene.sign("RS256", good, &json!({}));
    let foreign = Signer::new("k").sign_as("RS256", json!({}), &scene.claims(&json!({})));
    let (message, _) = good.rsplit_once('.').unwrap();
    for form in [
        String::new(),
        "logout_token=".to_owned(),
        "logout_token=a.b.c".to_owned(),
        format!("logout_token={good}&logout_token={good}"),
        format!("logout_token={message}."),
        format!("logout_token={foreign}"),
        format!("token={good}"),
    ] {
        assert_eq!(scene.send(form.clone()).await.status(), 400, "{form}");
    }
    assert!(scene.is_signed_in().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn others_stay_signed_in() {
    let scene = scene().await;
    for changes in [
        json!({ "sub": "bob", "sid": null }),
        json!({ "sub": null, "sid": "s-2" }),
        json!({ "sub": "ana", "sid": "s-2" }),
        json!({ "sub": "bob", "sid": "s-1" }),
    ] {
        let answer = scene.send(format!("logout_token={}", scene.sign("RS256", json!({}), &changes))).await;
        assert_eq!(answer.status(), 200, "there is nothing to end, which is no error: {changes}");
        assert!(scene.is_signed_in().await, "{changes}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_taken_once() {
    let mut scene = scene().await;
    let form = format!("logout_token={}", scene.sign("RS256", json!({}), &json!({})));
    assert_eq!(scene.send(form.clone()).await.status(), 200);
    assert!(!scene.is_signed_in().await);
    scene.browser.sign_in(&scene.world, &scene.provider, WIKI).await.unwrap();
    assert_eq!(scene.send(form).await.status(), 400);
    assert!(scene.is_signed_in().await, "an old token does not end a new sign-in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_taken_before_a_restart_is_not_taken_after_it() {
    let mut scene = scene().await;
    let form = format!("logout_token={}", scene.sign("RS256", json!({}), &json!({})));
    assert_eq!(scene.send(form.clone()).await.status(), 200);
    scene.world = scene.world.restarted().await;
    scene.world.discovered().await;
    scene.browser.sign_in(&scene.world, &scene.provider, WIKI).await.unwrap();
    let answer = scene.send(form).await;
    assert_eq!(answer.status(), 400);
    assert!(String::from_utf8_lossy(answer.body()).contains("jti has been seen before"), "{answer:?}");
    assert!(scene.is_signed_in().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_or_asked_at_an_app_is_not_read() {
    let scene = scene().await;
    let post =
        async |url: &str, body: String| scene.world.post(Method::POST, url, HeaderMap::new(), body).await.unwrap_err().reason;
    assert_eq!(post(URL, "x".repeat(100_000)).await, Reason::BadRequest);
    let token = scene.sign("RS256", json!({}), &json!({}));
    let at_app = "https://wiki.corp.example/.doorward/backchannel-logout";
    assert_eq!(post(at_app, format!("logout_token={token}")).await, Reason::UnknownPath);
    assert!(scene.is_signed_in().await);
}
