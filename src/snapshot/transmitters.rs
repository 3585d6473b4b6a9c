//! Who tells of events, and how (OpenID Shared Signals Framework 1.0). In: what the configuration says. Out: one [`Transmitter`]
//! each.

use crate::model::ProviderName;
use crate::model::event::EventType;
use secrecy::SecretString;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// One transmitter, whose word counts for the people of one provider.
#[derive(Debug)]
pub struct Transmitter {
    /// Its key in the configuration.
    pub name: Arc<str>,
    /// Itself, exactly as its tokens spell it.
    pub issuer: String,
    /// The same, for requests.
    pub url: Url,
    /// Whose people it speaks of.
    pub provider: ProviderName,
    /// What its tokens call us, any of them.
    pub audience: Vec<String>,
    /// How its events get here.
    pub delivery: Delivery,
    /// What its API knows us by.
    pub token: Option<SecretString>,
    /// The events that count.
    pub events: Vec<EventType>,
    /// The tenant that its subjects have to be of, where they name one.
    pub tenant: Option<String>,
    /// How long it may say nothing before what it said is stale.
    pub silent_after: Duration,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// PEM of the certificate authorities to trust in place of the public ones.
    pub ca: Option<Vec<u8>>,
}

/// How events get here.
#[derive(Debug)]
pub enum Delivery {
    /// It posts them (RFC 8935), with this in `Authorization`.
    Push(Option<SecretString>),
    /// We fetch them (RFC 8936).
    Poll,
}

/// Whose word ends all sign-ins of a person of a provider (draft-parecki-oauth-global-token-revocation).
#[derive(Clone, Debug)]
pub enum GlobalRevocation {
    /// The provider's own, signed.
    Signed,
    /// Whoever has this.
    Token(SecretString),
}
