//! The demo identity provider: a small OpenID Connect provider for trying Doorward, not for real use.
//!
//! In: a loopback listener, [`Settings`], and browsers and one client over HTTP. Out: authorization codes and
//! signed tokens (OpenID Connect Core 1.0, RFC 6749, RFC 7636, RFC 9207, RP-Initiated Logout 1.0, Back-Channel Logout 1.0).
//! It must never serve beyond loopback, nor send a code anywhere but to a registered redirect URI.

mod authorize;
mod back_channel;
mod browser;
mod claims;
mod grants;
mod key;
mod logout;
mod metadata;
mod page;
mod request;
mod token;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::get;
use openidconnect::IssuerUrl;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;

pub use super::people::Person;
use super::serve::{self, Server};
pub use back_channel::BackChannel;
use grants::Grants;
pub use key::{KeyError, SigningKey};

/// What the provider is told at its start.
pub struct Settings {
    /// The issuer, without a trailing slash: the URL that the listener is reached at.
    pub issuer: String,
    /// The one client.
    pub client_id: String,
    /// Its secret, for `client_secret_basic` and `client_secret_post`.
    pub client_secret: SecretString,
    /// Where codes may be sent; compared as strings.
    pub redirect_uris: Vec<String>,
    /// Where a browser may be sent after a logout; compared as strings.
    pub post_logout_uris: Vec<String>,
    /// Where the client hears of sign-outs, if it does.
    pub back_channel: Option<BackChannel>,
    /// Origins that a browser passes on its way back to the app. Browsers apply `form-action` to every redirect
    /// that follows a form, so the login page has to name them.
    pub return_origins: Vec<String>,
    /// Who can sign in.
    pub people: Vec<Person>,
    /// How long access tokens and ID tokens are valid.
    pub access_token_life: Duration,
    /// What ID tokens are signed with.
    pub key: SigningKey,
}

/// Why the provider did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The issuer is no URL.
    #[error("the issuer is not a URL: {0}")]
    Issuer(#[from] url::ParseError),
    /// The client can't be told of sign-outs.
    #[error("the way to tell of sign-outs can't be made: {0}")]
    BackChannel(#[source] reqwest::Error),
    /// The listener cannot be served on.
    #[error("the demo identity provider cannot serve: {0}")]
    Listener(#[from] std::io::Error),
}

/// A running provider. Dropping it stops it; its codes, tokens and logins are gone with it.
pub struct Idp {
    provider: Arc<Provider>,
    _server: Server,
}

/// Starts the provider on `listener`, which must be bound to loopback.
pub fn start(listener: TcpListener, mut settings: Settings) -> Result<Idp, Error> {
    let provider = Arc::new(Provider {
        issuer: IssuerUrl::new(settings.issuer.clone())?,
        people: ArcSwap::from_pointee(std::mem::take(&mut settings.people)),
        grants: Grants::new(settings.access_token_life),
        metadata: metadata::document(&settings.issuer)?,
        back_channel: settings.back_channel.take().map(back_channel::Line::open).transpose()?,
        settings,
    });
    let server = serve::start(listener, router(Arc::clone(&provider)))?;
    Ok(Idp { provider, _server: server })
}

impl Idp {
    /// Changes what is known of the person with this address. Tokens issued from now on, refreshed ones
    /// included, say what is new.
    pub fn change(&self, email: &str, change: impl Fn(&mut Person)) {
        self.provider.people.rcu(|people| {
            let mut people = Vec::clone(people);
            people.iter_mut().filter(|person| person.email == email).for_each(&change);
            people
        });
    }

    /// Removes the person with this address: no login, no refresh (`invalid_grant`), no user info.
    pub fn remove(&self, email: &str) {
        self.provider.people.rcu(|people| people.iter().filter(|person| person.email != email).cloned().collect::<Vec<_>>());
    }
}

/// What all endpoints share.
struct Provider {
    issuer: IssuerUrl,
    settings: Settings,
    metadata: metadata::Document,
    back_channel: Option<back_channel::Line>,
    people: ArcSwap<Vec<Person>>,
    grants: Grants,
}

impl Provider {
    fn person(&self, email: &str) -> Option<Person> {
        self.people.load().iter().find(|person| person.email.eq_ignore_ascii_case(email)).cloned()
    }

    /// The person who signs in with these, if there is one. An unknown address and a wrong password look alike.
    fn sign_in(&self, email: &str, password: &str) -> Option<Person> {
        self.person(email).filter(|person| same(&person.password, password))
    }

    fn is_client(&self, id: &str, secret: &str) -> bool {
        id == self.settings.client_id && same(self.settings.client_secret.expose_secret(), secret)
    }
}

/// Compares secrets in a time that does not tell how much of them agrees.
fn same(expected: &str, given: &str) -> bool {
    expected.as_bytes().ct_eq(given.as_bytes()).into()
}

fn router(provider: Arc<Provider>) -> Router {
    Router::new()
        .route("/", get(page::about))
        .route("/style.css", get(page::style))
        .route("/.well-known/openid-configuration", get(metadata::configuration))
        .route("/jwks.json", get(metadata::keys))
        .route("/authorize", get(authorize::show).post(authorize::submit))
        .route("/token", axum::routing::post(token::exchange))
        .route("/userinfo", get(token::user_info).post(token::user_info))
        .route("/end_session", get(logout::by_link).post(logout::by_form))
        .with_state(provider)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
