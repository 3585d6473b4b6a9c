//! Tests of the provider over HTTP: a browser, a client, and what an attacker tries as either.

mod authorize;
mod logout;
mod token;

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Response, StatusCode};
use serde_json::Value;
use url::form_urlencoded::Serializer;

use super::super::people;
use super::*;

const CALLBACK: &str = "https://login.localhost:8443/.doorward/callback";
const SIGNED_OUT: &str = "https://login.localhost:8443/.doorward/logout";
const VERIFIER: &str = "a-verifier-that-is-long-enough-for-rfc-7636-0123";
const ALICE: (&str, &str) = ("alice@corp.example", "alice-demo");

type Pairs<'a> = &'a [(&'a str, &'a str)];

/// A running provider, and one browser with its cookies.
struct Rig {
    idp: Idp,
    issuer: String,
    http: Client,
    cookies: BTreeMap<String, String>,
}

impl Rig {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let settings = Settings {
            issuer: issuer.clone(),
            client_id: "doorward".into(),
            client_secret: "s3cret&=".into(),
            redirect_uris: vec![CALLBACK.into()],
            post_logout_uris: vec![SIGNED_OUT.into()],
            back_channel: None,
            return_origins: vec!["https://login.localhost:8443".into()],
            people: people::everyone(),
            access_token_life: Duration::from_secs(300),
            key: SigningKey::generate().unwrap(),
        };
        let http = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { idp: start(listener, settings).unwrap(), issuer, http, cookies: BTreeMap::new() }
    }

    /// The URL of an authorization request; a pair with an empty value removes that parameter.
    fn authorize_url(&self, changes: Pairs<'_>) -> String {
        let mut parameters = BTreeMap::from([
            ("client_id", "doorward"),
            ("redirect_uri", CALLBACK),
            ("response_type", "code"),
            ("scope", "openid email profile groups offline_access"),
            ("state", "a state & more"),
            ("nonce", "a-nonce"),
            ("code_challenge_method", "S256"),
        ]);
        let challenge = grants::digest(VERIFIER);
        parameters.insert("code_challenge", &challenge);
        parameters.extend(changes.iter().copied());
        let query = encode(&parameters.into_iter().filter(|(_, value)| !value.is_empty()).collect::<Vec<_>>());
        format!("{}/authorize?{query}", self.issuer)
    }

    /// Opens a URL, or sends a form to it, as the browser.
    async fn browse(&mut self, url: &str, form: Option<Pairs<'_>>) -> Response {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = match form {
            None => self.http.get(url),
            Some(form) => self.http.post(url).header("content-type", "application/x-www-form-urlencoded").body(encode(form)),
        };
        let response = request.header(COOKIE, cookies.join("; ")).send().await.unwrap();
        for cookie in response.headers().get_all(SET_COOKIE) {
            let (name, rest) = cookie.to_str().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.into(), rest.split(';').next().unwrap().into());
        }
        response
    }

    /// Fills in the login page of an authorization request.
    async fn sign_in(&mut self, url: &str, (email, password): (&str, &str)) -> Response {
        let page = self.browse(url, None).await;
        assert_eq!(page.status(), StatusCode::OK);
        let token = form_token(&page.text().await.unwrap());
        self.browse(url, Some(&[("email", email), ("password", password), ("form_token", &token)])).await
    }

    /// Signs Alice in and returns the code.
    async fn code(&mut self, changes: Pairs<'_>) -> String {
        let url = self.authorize_url(changes);
        answer(&self.sign_in(&url, ALICE).await)["code"].clone()
    }

    /// Signs Alice in and returns her tokens.
    async fn tokens(&mut self, changes: Pairs<'_>) -> Value {
        let code = self.code(changes).await;
        let (status, tokens) = self.redeem(&[("code", &code)]).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        tokens
    }

    /// Sends a form to the token endpoint with the client's right credentials.
    async fn token(&self, form: Pairs<'_>) -> (StatusCode, Value) {
        let request = self.http.post(format!("{}/token", self.issuer));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(encode(form));
        // The secret is form-encoded before it is joined (RFC 6749 section 2.3.1).
        json(request.basic_auth("doorward", Some("s3cret%26%3D")).send().await.unwrap()).await
    }

    /// Redeems a code as it should be, but for the `changes`.
    async fn redeem(&self, changes: Pairs<'_>) -> (StatusCode, Value) {
        let mut form =
            BTreeMap::from([("grant_type", "authorization_code"), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)]);
        form.extend(changes.iter().copied());
        self.token(&form.into_iter().collect::<Vec<_>>()).await
    }

    async fn refresh(&self, tokens: &Value) -> (StatusCode, Value) {
        let token = tokens["refresh_token"].as_str().unwrap();
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    async fn user_info(&self, tokens: &Value) -> (StatusCode, Value) {
        let request = self.http.get(format!("{}/userinfo", self.issuer));
        json(request.bearer_auth(tokens["access_token"].as_str().unwrap()).send().await.unwrap()).await
    }
}

fn encode(pairs: Pairs<'_>) -> String {
    Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn form_token(page: &str) -> String {
    let (_, rest) = page.split_once(r#"name="form_token" value=""#).unwrap();
    rest.split_once('"').unwrap().0.into()
}

/// The query of the redirect to the client.
fn answer(response: &Response) -> BTreeMap<String, String> {
    let location = response.headers()[LOCATION].to_str().unwrap();
    assert!(location.starts_with(&format!("{CALLBACK}?")), "{location}");
    url::Url::parse(location).unwrap().query_pairs().into_owned().collect()
}

async fn json(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

/// The claims of an ID token, unverified.
fn claims(tokens: &Value) -> Value {
    use base64::Engine;
    let payload = tokens["id_token"].as_str().unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
