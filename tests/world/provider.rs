//! The demo identity provider, behind a gateway that counts what passes and can be cut. In: two ports. Out: a [`Provider`].
//! Must never change what passes.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use doorward::clock::now;
use doorward::demo::idp::{self, Idp, Person, Settings, SigningKey};
use doorward::model::Token;
use openidconnect::core::CoreJwsSigningAlgorithm;
use openidconnect::{JsonWebKey as _, PrivateSigningKey as _};
use serde_json::{Value, json};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub(crate) const SECRET: &str = "a-client-secret";
const CLIENT: &str = "doorward";

/// A running provider.
pub(crate) struct Provider {
    pub(crate) idp: Idp,
    issuer: String,
    key: SigningKey,
    up: watch::Sender<bool>,
    holds: watch::Sender<bool>,
    seen: Arc<Seen>,
}

#[derive(Default)]
struct Seen {
    refreshes: AtomicUsize,
    logins: AtomicUsize,
}

impl Provider {
    pub(crate) async fn start(port: u16, behind: u16, auth: &str, token_life: Duration) -> Self {
        let (issuer, key) = (format!("http://127.0.0.1:{port}"), SigningKey::generate().unwrap());
        let settings = Settings {
            issuer: issuer.clone(),
            client_id: CLIENT.into(),
            client_secret: SECRET.into(),
            redirect_uris: vec![format!("{auth}/.doorward/callback")],
            post_logout_uris: vec![format!("{auth}/.doorward/logout")],
            back_channel: None,
            return_origins: vec![auth.to_owned()],
            people: people(),
            access_token_life: token_life,
            key: SigningKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap(),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, behind)).await.unwrap();
        let (idp, seen) = (idp::start(listener, settings).unwrap(), Arc::<Seen>::default());
        let ((up, is_up), (holds, is_held)) = (watch::channel(true), watch::channel(false));
        let gateway = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        tokio::spawn(accept(gateway, behind, (is_up, is_held), Arc::clone(&seen)));
        Self { idp, issuer, key, up, holds, seen }
    }

    /// What it would post when it has signed somebody out (OpenID Connect Back-Channel Logout 1.0, section 2.4).
    pub(crate) fn logout_token(&self, subject: &str) -> String {
        let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let id = self.key.as_verification_key().key_id().unwrap().to_string();
        let header = json!({ "alg": "RS256", "typ": "logout+jwt", "kid": id });
        let (issued, name) = (now().seconds(), Token::random().unwrap().reveal().to_owned());
        let claims = json!({
            "iss": self.issuer, "aud": CLIENT, "sub": subject, "iat": issued, "exp": issued + 120, "jti": name,
            "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
        });
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.key.sign(&CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256, signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    /// Whether it can be reached; taking it down cuts every connection.
    pub(crate) fn is_up(&self, up: bool) {
        self.up.send_replace(up);
    }

    /// Whether whoever shows a refresh token has to wait.
    pub(crate) fn holds(&self, holds: bool) {
        self.holds.send_replace(holds);
    }

    /// How many refresh tokens were shown to it.
    pub(crate) fn refreshes(&self) -> usize {
        self.seen.refreshes.load(Ordering::SeqCst)
    }

    /// How many login forms were sent to it.
    pub(crate) fn logins(&self) -> usize {
        self.seen.logins.load(Ordering::SeqCst)
    }
}

async fn accept(
    listener: TcpListener,
    behind: u16,
    (is_up, is_held): (watch::Receiver<bool>, watch::Receiver<bool>),
    seen: Arc<Seen>,
) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let (mut cut, is_held, seen) = (is_up.clone(), is_held.clone(), Arc::clone(&seen));
        tokio::spawn(async move {
            tokio::select! {
                () = pass(client, behind, is_held, &seen) => {}
                // The world has ended, or the gateway is closed.
                _ = cut.wait_for(|up| !*up) => {}
            }
        });
    }
}

async fn pass(client: TcpStream, behind: u16, mut is_held: watch::Receiver<bool>, seen: &Seen) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, behind)).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.into_split(), server.into_split());
    let there = async {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = from_client.read(&mut buffer).await {
            let text = String::from_utf8_lossy(&buffer[..length]);
            let refreshes = text.matches("grant_type=refresh_token").count();
            seen.refreshes.fetch_add(refreshes, Ordering::SeqCst);
            if refreshes > 0 && is_held.wait_for(|held| !held).await.is_err() {
                return;
            }
            seen.logins.fetch_add(text.matches("POST /authorize").count(), Ordering::SeqCst);
            if to_server.write_all(&buffer[..length]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = there => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
}

fn people() -> Vec<Person> {
    let person = |subject: &str, email: &str, name: &str, groups: &[&str], department: Option<&str>| Person {
        subject: subject.into(),
        email: email.into(),
        email_verified: true,
        name: name.into(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        department: department.map(String::from),
        password: format!("{}-demo", email.split('@').next().unwrap()),
    };
    vec![
        person("s-alice", "alice@corp.example", "Alice Ørsted", &["employees", "engineering"], Some("engineering")),
        person("s-bob", "bob@corp.example", "Bob Brown", &["employees", "finance"], Some("finance")),
        person("s-mallory", "mallory@partner.example", "Mallory Moore", &[], None),
    ]
}
