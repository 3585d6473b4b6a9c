//! What is changed on the way to an app and back. In: what `control::config` compiled. Out: names and values, ready to be put
//! into a message. Must never name a header that frames a message or carries an identity.

use super::prefix::Prefix;
use http::header::{self, HeaderName, HeaderValue};

/// Everything that is changed for one app.
#[derive(Debug, Default)]
pub struct Rewriting {
    /// On the way to the app; `None` where it gets what the client sent.
    pub request: Option<Box<ToApp>>,
    /// How its paths differ from the public ones.
    pub prefix: Option<Prefix>,
    /// What the app may call itself.
    pub internal: Vec<InternalOrigin>,
    /// What its answers get: app's own headers gone and set.
    pub response: Edits,
    /// What every answer gets that does not have it; also those that Doorward gives in place of the app.
    pub security: Vec<(HeaderName, HeaderValue)>,
}

impl Rewriting {
    /// How long browsers are to come back over TLS alone.
    pub fn hsts(&self) -> Option<&HeaderValue> {
        self.security.iter().find(|(name, _)| *name == header::STRICT_TRANSPORT_SECURITY).map(|(_, value)| value)
    }
}

/// What is changed on the way to an app.
#[derive(Debug, Default)]
pub struct ToApp {
    /// The `Host` that the app gets; `None` for the client's.
    pub host: Option<HeaderValue>,
    /// `X-Forwarded-Prefix`, for an app whose public prefix is stripped.
    pub stripped: Option<HeaderValue>,
    /// Whether it gets `Forwarded` (RFC 7239).
    pub forwarded: bool,
    /// Its headers.
    pub edits: Edits,
}

/// Headers that are taken out, and headers that are set.
#[derive(Debug, Default)]
pub struct Edits {
    /// Folded names ([`super::fold`]); those that are set are among them.
    pub remove: Vec<Box<str>>,
    /// Names and values.
    pub set: Vec<(HeaderName, HeaderValue)>,
}

impl Edits {
    /// Whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.remove.is_empty()
    }

    /// Whether a header with this lower-case name goes, by whatever alias.
    pub fn removes(&self, name: &str) -> bool {
        self.remove.iter().any(|folded| is_alias(name, folded))
    }
}

fn is_alias(name: &str, folded: &str) -> bool {
    let same = |(one, other): (u8, u8)| if one.is_ascii_alphanumeric() { one == other } else { other == b'-' };
    name.len() == folded.len() && name.bytes().zip(folded.bytes()).all(same)
}

/// A name that is the app's own behind Doorward, and nobody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InternalOrigin {
    /// Lower case, without brackets.
    pub host: Box<str>,
    /// In host order.
    pub port: u16,
}

/// What every answer gets unless the app says otherwise: come back over TLS alone (RFC 6797), and take types as they are told.
pub static SECURITY: [(HeaderName, HeaderValue); 2] = [
    (header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];
