//! Telling the client that somebody has signed out here (OpenID Connect Back-Channel Logout 1.0).
//!
//! In: a login that has ended. Out: a signed logout token, posted to the client. It must never send one anywhere but to the address
//! that it was given, nor keep a browser waiting for longer than five seconds for a client that does not answer.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::CoreJwsSigningAlgorithm;
use openidconnect::{JsonWebKey, PrivateSigningKey};
use reqwest::header::CONTENT_TYPE;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client};
use serde_json::json;
use url::form_urlencoded::Serializer;

use super::grants::{Login, random};
use super::{Error, Provider};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
const TOKEN_LIFE: Duration = Duration::from_secs(2 * 60);
/// How long the browser that signs out may wait for the client.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the client hears of sign-outs.
pub struct BackChannel {
    /// Its `backchannel_logout_uri`.
    pub uri: url::Url,
    /// Where that is, whatever its name resolves to.
    pub address: SocketAddr,
    /// The certificate authority that it is known by, as PEM.
    pub ca: Vec<u8>,
}

/// The way there.
pub(super) struct Line {
    client: Client,
    uri: url::Url,
}

impl Line {
    pub(super) fn open(to: BackChannel) -> Result<Self, Error> {
        let authority = Certificate::from_pem_bundle(&to.ca).map_err(Error::BackChannel)?;
        let builder = Client::builder().redirect(Policy::none()).no_proxy().timeout(PATIENCE).tls_certs_only(authority);
        let builder = builder.resolve(to.uri.host_str().unwrap_or_default(), to.address);
        Ok(Self { client: builder.build().map_err(Error::BackChannel)?, uri: to.uri })
    }
}

/// Tells the client that this login has ended; it has heard of it, or can't be reached, when this returns.
pub(super) async fn tell(provider: &Provider, login: &Login) {
    let Some(line) = &provider.back_channel else { return };
    let Some(token) = logout_token(provider, login) else {
        tracing::warn!("the demo identity provider can't sign a logout token");
        return;
    };
    let form = Serializer::new(String::new()).append_pair("logout_token", &token).finish();
    let request = line.client.post(line.uri.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
    match request.send().await.and_then(reqwest::Response::error_for_status) {
        Ok(_) => tracing::info!("the demo identity provider has told of a sign-out"),
        Err(error) => tracing::warn!(%error, "the demo identity provider could not tell of a sign-out"),
    }
}

/// Section 2.4: which session of whom, and no nonce.
fn logout_token(provider: &Provider, login: &Login) -> Option<String> {
    let key = &provider.settings.key;
    let id = key.as_verification_key().key_id()?.to_string();
    let header = json!({ "alg": "RS256", "typ": "logout+jwt", "kid": id });
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let mut claims = json!({
        "iss": provider.settings.issuer,
        "aud": provider.settings.client_id,
        "iat": now.as_secs(),
        "exp": (now + TOKEN_LIFE).as_secs(),
        "jti": random(),
        "sid": login.sid,
        "events": { EVENT: {} },
    });
    // Somebody who was removed meanwhile has a session still, and no subject.
    if let (Some(person), Some(claims)) = (provider.person(&login.email), claims.as_object_mut()) {
        claims.insert("sub".to_owned(), person.subject.into());
    }
    let part = |value: &serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = key.sign(&CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256, signed.as_bytes()).ok()?;
    Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}
