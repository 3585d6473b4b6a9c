//! The relying party (OpenID Connect Core 1.0, authorization code flow with PKCE). In: configured providers, browsers that come
//! back. Out: checked identities. Must never believe a claim whose token did not pass every check.

pub(super) mod backchannel;
pub(super) mod callback;
mod claims;
mod client;
pub(super) mod discovery;
mod exchange;
mod flow;
pub(super) mod http;
mod id_token;
pub(super) mod jws;
pub(super) mod keys;
pub(super) mod login;
pub(super) mod logout;
pub(super) mod refresh;
mod user_info;

pub(super) use self::http::is_loopback;

use crate::model::{Reason, Refusal};
use crate::snapshot::Provider;

/// Why there is no checked identity.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The provider has not been reached since the start.
    #[error("the provider has not been discovered yet")]
    Undiscovered,
    /// The provider does not answer.
    #[error(transparent)]
    Http(#[from] http::Error),
    /// The token endpoint said no, with an error code of RFC 6749, section 5.2.
    #[error("the token endpoint refused: {0}")]
    Refused(String),
    /// The provider's answer can't be read.
    #[error("the provider's answer can't be used: {0}")]
    Unreadable(String),
    /// The ID token did not pass.
    #[error("the ID token: {0}")]
    IdToken(#[from] id_token::Invalid),
    /// The claims can't be kept.
    #[error("the claims: {0}")]
    Claims(#[from] claims::Unusable),
}

impl From<keys::Unfetched> for Error {
    fn from(unfetched: keys::Unfetched) -> Self {
        match unfetched {
            keys::Unfetched::Http(error) => Self::Http(error),
            unreadable @ keys::Unfetched::Unreadable(_) => Self::Unreadable(unreadable.to_string()),
        }
    }
}

impl Error {
    /// What the person is told; the log has the rest.
    fn refusal(&self, provider: &Provider) -> Refusal {
        tracing::warn!(provider = %provider.name, error = %self, "a sign-in failed");
        match self {
            Self::Undiscovered | Self::Http(_) => provider_unavailable(provider),
            Self::Refused(code) if code == "temporarily_unavailable" || code == "server_error" => provider_unavailable(provider),
            Self::Claims(unusable) => Refusal::with_detail(Reason::SignInFailed, unusable.to_string()),
            Self::Refused(_) | Self::Unreadable(_) | Self::IdToken(_) => Reason::SignInFailed.into(),
        }
    }
}

fn provider_unavailable(provider: &Provider) -> Refusal {
    Refusal::with_detail(Reason::ProviderUnavailable, format!("{} can’t be reached.", provider.title))
}
