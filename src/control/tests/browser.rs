//! A browser: cookies by host, redirects one at a time, and what the gate would do on the way.

use super::provider::TestProvider;
use super::{Answer, World, headers};
use crate::model::{Refusal, Token};
use http::header::{LOCATION, SET_COOKIE};
use http::{HeaderMap, Method, StatusCode};
use std::collections::{BTreeMap, HashMap};
use url::Url;

#[derive(Clone, Default)]
pub(super) struct Browser {
    pub(super) cookies: BTreeMap<String, BTreeMap<String, String>>,
}

impl Browser {
    fn headers(&self, url: &str) -> HeaderMap {
        let host = Url::parse(url).unwrap().host_str().unwrap().to_owned();
        let held = self.cookies.get(&host).into_iter().flatten();
        headers(&held.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>())
    }

    pub(super) async fn get(&mut self, world: &World, url: &str) -> Result<Answer, Refusal> {
        let headers = self.headers(url);
        self.send(world, Method::GET, url, headers).await
    }

    /// With one more header.
    pub(super) async fn get_with(
        &mut self,
        world: &World,
        url: &str,
        name: &'static str,
        value: &'static str,
    ) -> Result<Answer, Refusal> {
        let mut headers = self.headers(url);
        headers.insert(name, http::HeaderValue::from_static(value));
        self.send(world, Method::GET, url, headers).await
    }

    async fn send(&mut self, world: &World, method: Method, url: &str, headers: HeaderMap) -> Result<Answer, Refusal> {
        let answer = world.request(method, url, headers).await?;
        self.keep(url, &answer);
        Ok(answer)
    }

    fn keep(&mut self, url: &str, answer: &Answer) {
        let host = Url::parse(url).unwrap().host_str().unwrap().to_owned();
        let jar = self.cookies.entry(host).or_default();
        for line in answer.headers().get_all(SET_COOKIE) {
            let line = line.to_str().unwrap();
            assert!(line.contains("; Path=/; Secure; HttpOnly; SameSite=Lax"), "{line}");
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if line.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    pub(super) fn cookie(&self, host: &str, name: &str) -> Option<String> {
        self.cookies.get(host)?.get(name).cloned()
    }

    /// What the gate does with a navigation that nobody has signed in for: the URL of the login.
    pub(super) fn navigate(&mut self, to: &str) -> String {
        let token = Token::random().unwrap();
        let binding = token.hash().encode();
        let host = Url::parse(to).unwrap().host_str().unwrap().to_owned();
        let name = format!("__Host-doorward-flow-{}", &binding[..8]);
        self.cookies.entry(host).or_default().insert(name, token.reveal().to_owned());
        let query = super::query::write(&[("to", to), ("binding", &binding)]);
        format!("https://login.corp.example/.doorward/login?{query}")
    }

    /// As far as the provider, and what it would answer with: the URL of the callback. The code is the nonce.
    pub(super) async fn reach_provider(&mut self, world: &World, provider: &TestProvider, login: &str) -> String {
        let answer = self.get(world, login).await.unwrap();
        let asked = location(&answer);
        assert!(asked.starts_with(&format!("{}/auth?", provider.issuer)), "{asked}");
        let asked: HashMap<_, _> = Url::parse(&asked).unwrap().query_pairs().into_owned().collect();
        assert_eq!((&*asked["response_type"], &*asked["code_challenge_method"]), ("code", "S256"));
        assert_eq!((&*asked["client_id"], &*asked["scope"]), ("doorward", "openid email"));
        assert_eq!(asked["redirect_uri"], "https://login.corp.example/.doorward/callback");
        let query = super::query::write(&[("code", &asked["nonce"]), ("state", &asked["state"]), ("iss", &provider.issuer)]);
        format!("https://login.corp.example/.doorward/callback?{query}")
    }

    /// Follows redirects to the end of our part; where it leads.
    pub(super) async fn follow(&mut self, world: &World, url: &str) -> Result<String, Refusal> {
        let mut url = url.to_owned();
        while url.contains("/.doorward/") {
            let answer = self.get(world, &url).await?;
            url = Url::parse(&url).unwrap().join(&location(&answer)).unwrap().into();
        }
        Ok(url)
    }

    /// A whole sign-in.
    pub(super) async fn sign_in(&mut self, world: &World, provider: &TestProvider, to: &str) -> Result<String, Refusal> {
        let login = self.navigate(to);
        let callback = self.reach_provider(world, provider, &login).await;
        self.follow(world, &callback).await
    }

    pub(super) async fn who(&mut self, world: &World, host: &str) -> Result<serde_json::Value, Refusal> {
        let answer = self.get(world, &format!("https://{host}/.doorward/session")).await?;
        Ok(serde_json::from_slice(answer.body()).unwrap())
    }
}

pub(super) fn location(answer: &Answer) -> String {
    assert_eq!(answer.status(), StatusCode::SEE_OTHER, "{answer:?}");
    assert_eq!(answer.headers()["cache-control"], "no-store");
    answer.headers()[LOCATION].to_str().unwrap().to_owned()
}

pub(super) fn text(answer: &Answer) -> String {
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert!(answer.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    String::from_utf8(answer.body().to_vec()).unwrap()
}
