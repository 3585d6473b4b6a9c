//! A browser without a screen: cookies by host, redirects, the provider's login form. In: URLs. Out: pages. Must never accept a
//! cookie that a real browser would refuse.

use super::Who;
use super::entrance::Entrance;
use super::wire::{Answer, Connection};
use std::collections::BTreeMap;
use url::Url;
use url::form_urlencoded::Serializer;

/// What a browser says when a person goes somewhere.
pub(crate) const NAVIGATION: &str = "Accept: text/html\r\nSec-Fetch-Mode: navigate\r\n";

/// One browser.
#[derive(Clone)]
pub(crate) struct Browser<'e> {
    entrance: &'e Entrance,
    /// By host and port, then by name.
    pub(crate) cookies: BTreeMap<String, BTreeMap<String, String>>,
    /// Every URL that it has been to.
    pub(crate) visited: Vec<String>,
    /// Names of cookies that it does not keep.
    pub(crate) refuses: Vec<&'static str>,
}

/// Where a browser has come to.
pub(crate) struct Page {
    pub(crate) url: String,
    pub(crate) answer: Answer,
}

impl std::ops::Deref for Page {
    type Target = Answer;
    fn deref(&self) -> &Answer {
        &self.answer
    }
}

impl<'e> Browser<'e> {
    pub(super) fn new(entrance: &'e Entrance) -> Self {
        Self { entrance, cookies: BTreeMap::new(), visited: Vec::new(), refuses: Vec::new() }
    }

    /// The value of a cookie at one of the world's hosts.
    pub(crate) fn cookie(&self, host: &str, name: &str) -> Option<String> {
        self.cookies.get(&self.entrance.authority(host))?.get(name).cloned()
    }

    /// The names of the cookies at one of the world's hosts.
    pub(crate) fn names(&self, host: &str) -> Vec<String> {
        self.cookies.get(&self.entrance.authority(host)).iter().flat_map(|jar| jar.keys().cloned()).collect()
    }

    pub(crate) fn plant(&mut self, host: &str, name: &str, value: &str) {
        self.cookies.entry(self.entrance.authority(host)).or_default().insert(name.into(), value.into());
    }

    /// One request, without following where it leads; with a form it is a POST.
    pub(crate) async fn step(&mut self, url: &str, form: Option<&[(&str, &str)]>) -> Answer {
        self.step_with(url, form, NAVIGATION).await
    }

    /// The same with other header lines than those of a navigation.
    pub(crate) async fn step_with(&mut self, url: &str, form: Option<&[(&str, &str)]>, lines: &str) -> Answer {
        self.visited.push(url.to_owned());
        let parsed = Url::parse(url).unwrap();
        let authority = parsed[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        let path = &url[parsed.scheme().len() + 3 + authority.len()..];
        let body = form.map(|form| Serializer::new(String::new()).extend_pairs(form).finish());
        let mut request =
            format!("{} {path} HTTP/1.1\r\nHost: {authority}\r\n{lines}", if form.is_some() { "POST" } else { "GET" });
        if let Some(jar) = self.cookies.get(&authority).filter(|jar| !jar.is_empty()) {
            let pairs: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request += &format!("Cookie: {}\r\n", pairs.join("; "));
        }
        if let Some(body) = &body {
            request += &format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n", body.len());
        }
        let mut connection = match parsed.scheme() {
            "https" => Connection::tls(self.entrance, parsed.host_str().unwrap()).await,
            _ => Connection::plain(parsed.port().unwrap()).await,
        };
        connection.write(format!("{request}\r\n{}", body.unwrap_or_default())).await;
        let answer = connection.answer().await;
        self.keep(&authority, &answer);
        answer
    }

    fn keep(&mut self, authority: &str, answer: &Answer) {
        let jar = self.cookies.entry(authority.to_owned()).or_default();
        for line in answer.all("set-cookie") {
            let (name, rest) = line.split_once('=').unwrap();
            let (value, attributes) = rest.split_once(';').unwrap_or((rest, ""));
            if name.starts_with("__Host-") {
                let attributes = attributes.to_ascii_lowercase();
                let fine = attributes.contains("path=/;") && attributes.contains("secure") && !attributes.contains("domain");
                assert!(fine && attributes.contains("httponly"), "{line}");
            }
            if attributes.contains("Max-Age=0") {
                jar.remove(name);
            } else if !self.refuses.contains(&name) {
                jar.insert(name.into(), value.into());
            }
        }
    }

    /// Goes somewhere, wherever that leads.
    pub(crate) async fn go(&mut self, url: &str) -> Page {
        let answer = self.step(url, None).await;
        self.follow(url, answer).await
    }

    async fn follow(&mut self, url: &str, mut answer: Answer) -> Page {
        let mut url = url.to_owned();
        for _ in 0..40 {
            if !matches!(answer.status, 301 | 302 | 303 | 307 | 308) {
                return Page { url, answer };
            }
            url = join(&url, answer.location());
            answer = self.step(&url, None).await;
        }
        panic!("round in circles: {:?}", &self.visited[self.visited.len() - 10..]);
    }

    /// Follows redirects as long as they lead somewhere whose URL does not have this in it; returns that URL, not yet visited.
    pub(crate) async fn until(&mut self, url: &str, stop: &str) -> String {
        let mut url = url.to_owned();
        for _ in 0..20 {
            if url.contains(stop) {
                return url;
            }
            let answer = self.step(&url, None).await;
            url = join(&url, answer.location());
        }
        panic!("never came to {stop}: {:?}", self.visited);
    }

    /// Sends the provider's login form that is on a page; returns where it leads, not yet visited.
    pub(crate) async fn fill_in(&mut self, form: &Page, (email, password): Who) -> String {
        let html = form.text();
        let (_, rest) = html.split_once(r#"name="form_token" value=""#).unwrap_or_else(|| panic!("no form: {} {html}", form.url));
        let token = rest.split('"').next().unwrap();
        let mut fields = vec![("email", email), ("password", password), ("form_token", token)];
        fields.extend(html.contains("name=\"code\"").then_some(("code", "000000")));
        let answer = self.step(&form.url, Some(&fields)).await;
        join(&form.url, answer.location())
    }

    /// Goes somewhere, and signs in where the provider asks.
    pub(crate) async fn sign_in(&mut self, url: &str, who: Who) -> Page {
        let form = self.go(url).await;
        let next = self.fill_in(&form, who).await;
        self.go(&next).await
    }
}

fn join(base: &str, location: &str) -> String {
    match location.starts_with("http") {
        // As it is written: parsing could mend what a test is about.
        true => location.to_owned(),
        false => Url::parse(base).unwrap().join(location).unwrap().into(),
    }
}
