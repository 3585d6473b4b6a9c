//! Global token revocation: whom a provider may sign out, and who may not say so.

use super::browser::Browser;
use super::provider::TestProvider;
use super::{Answer, World, fixture};
use crate::control::fixture::signer::Signer;
use crate::snapshot::transmitters::GlobalRevocation;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};

const URL: &str = "https://login.corp.example/.doorward/global-token-revocation";
const WIKI: &str = "https://wiki.corp.example/";
const TYPE: &str = "global-token-revocation+jwt";

struct Scene {
    world: World,
    provider: TestProvider,
}

impl Scene {
    async fn new(revocation: GlobalRevocation) -> Self {
        let provider = TestProvider::start().await;
        let staff =
            crate::snapshot::Provider { global_revocation: Some(revocation), ..fixture::provider("staff", &provider.issuer) };
        let world = World::new(vec![staff]).await;
        world.discovered().await;
        Self { world, provider }
    }

    /// Somebody (`ana`) who is signed in.
    async fn browser(&self) -> Browser {
        let mut browser = Browser::default();
        browser.sign_in(&self.world, &self.provider, WIKI).await.unwrap();
        browser
    }

    async fn lives(&self, browser: &Browser) -> bool {
        browser.clone().who(&self.world, "wiki.corp.example").await.is_ok()
    }

    /// A good token, with changes; `null` takes a claim away.
    fn token(&self, header: &Value, changes: &Value) -> String {
        let now = crate::clock::now().seconds();
        let id = crate::model::Token::random().unwrap().reveal().to_owned();
        let mut claims = json!({
            "iss": self.provider.issuer, "sub": "doorward", "aud": URL, "jti": id, "iat": now, "nbf": now - 300, "exp": now + 300,
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let mut token = String::new();
        self.provider.set(|behaviour| token = behaviour.signer.sign_as("RS256", header.clone(), &claims));
        token
    }

    async fn send(&self, bearer: &str, body: String) -> Answer {
        let mut headers = HeaderMap::new();
        if !bearer.is_empty() {
            headers.insert(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {bearer}")).unwrap());
        }
        self.world.post(Method::POST, URL, headers, body).await.unwrap()
    }

    fn of_ana(&self) -> Value {
        json!({ "sub_id": { "format": "iss_sub", "iss": self.provider.issuer, "sub": "ana" } })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_signs_its_own_people_out_and_hears_of_it_when_that_is_done() {
    let scene = Scene::new(GlobalRevocation::Signed).await;
    let good = json!({ "typ": TYPE });
    for body in [scene.of_ana(), json!({ "sub_id": { "format": "email", "email": "ana@corp.example" } })] {
        let browser = scene.browser().await;
        let token = scene.token(&good, &json!({}));
        let answer = scene.send(&token, body.to_string()).await;
        assert_eq!((answer.status().as_u16(), answer.body().len()), (204, 0), "{body}");
        assert!(!scene.lives(&browser).await, "{body}");
        let again = scene.browser().await;
        assert_eq!(scene.send(&token, body.to_string()).await.status(), 401, "a token is good once");
        assert!(scene.lives(&again).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_signs_anybody_out() {
    let scene = Scene::new(GlobalRevocation::Signed).await;
    let browser = scene.browser().await;
    let (good, now) = (json!({ "typ": TYPE }), crate::clock::now().seconds());
    let stranger = Signer::new("first").sign_as(
        "RS256",
        good.clone(),
        &json!({ "iss": scene.provider.issuer, "aud": URL, "exp": now + 60, "jti": "x" }),
    );
    let ana = scene.of_ana().to_string();
    let cases = [
        (String::new(), ana.clone(), 401),
        ("x.y.z".to_owned(), ana.clone(), 401),
        (stranger, ana.clone(), 401),
        (scene.token(&json!({ "typ": "JWT" }), &json!({})), ana.clone(), 401),
        (scene.token(&json!({}), &json!({})), ana.clone(), 401),
        (scene.token(&json!({ "typ": "secevent+jwt" }), &json!({})), ana.clone(), 401),
        (scene.token(&good, &json!({ "aud": "https://login.corp.example/other" })), ana.clone(), 401),
        (scene.token(&good, &json!({ "aud": null })), ana.clone(), 401),
        (scene.token(&good, &json!({ "exp": null })), ana.clone(), 401),
        (scene.token(&good, &json!({ "exp": now - 600 })), ana.clone(), 401),
        (scene.token(&good, &json!({ "exp": now + 86_400 })), ana.clone(), 401),
        (scene.token(&good, &json!({ "nbf": now + 600 })), ana.clone(), 401),
        (scene.token(&good, &json!({ "iat": "now" })), ana.clone(), 401),
        (scene.token(&good, &json!({ "jti": null })), ana.clone(), 401),
        (scene.token(&good, &json!({ "iss": "https://other.example" })), ana, 401),
        (scene.token(&good, &json!({})), "{".to_owned(), 400),
        (scene.token(&good, &json!({})), json!({ "subject": {} }).to_string(), 400),
        (scene.token(&good, &json!({})), json!({ "sub_id": "ana" }).to_string(), 400),
        (
            scene.token(&good, &json!({})),
            json!({ "sub_id": { "format": "iss_sub", "iss": "https://x.example", "sub": "ana" } }).to_string(),
            403,
        ),
        (scene.token(&good, &json!({})), json!({ "sub_id": { "format": "opaque", "id": "nobody" } }).to_string(), 404),
    ];
    for (number, (token, body, status)) in cases.into_iter().enumerate() {
        let answer = scene.send(&token, body.clone()).await;
        assert_eq!(answer.status(), status, "{number}: {body}");
        assert_eq!(answer.headers().contains_key("www-authenticate"), status == 401);
        assert!(scene.lives(&browser).await, "{number}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agreed_token_takes_the_place_of_the_signature() {
    let scene = Scene::new(GlobalRevocation::Token("what-was-agreed".to_owned().into())).await;
    for _ in 0..2 {
        let browser = scene.browser().await;
        for bearer in ["what-was-agreed-not", &scene.token(&json!({ "typ": TYPE }), &json!({}))] {
            assert_eq!(scene.send(bearer, scene.of_ana().to_string()).await.status(), 401);
            assert!(scene.lives(&browser).await);
        }
        assert_eq!(scene.send("what-was-agreed", scene.of_ana().to_string()).await.status(), 204);
        assert!(!scene.lives(&browser).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_that_could_leave_no_trace() {
    let provider = TestProvider::start().await;
    let revocation = Some(GlobalRevocation::Token("what-was-agreed".to_owned().into()));
    let staff = crate::snapshot::Provider { global_revocation: revocation, ..fixture::provider("staff", &provider.issuer) };
    let world = World::recording(vec![staff], || false).await;
    world.discovered().await;
    let scene = Scene { world, provider };
    let browser = scene.browser().await;
    assert_eq!(scene.send("what-was-agreed", scene.of_ana().to_string()).await.status(), 503);
    assert!(scene.lives(&browser).await);
}
