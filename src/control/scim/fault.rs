//! What a SCIM client is told when something can't be done (RFC 7644, section 3.12). In: what is wrong. Out: a status, a word for
//! programs, a sentence for people.

use crate::store;
use http::StatusCode;
use serde_json::{Value, json};

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("a token of this directory is needed")]
    Unauthorized,
    #[error("too many requests without a good token")]
    TooManyAttempts,
    #[error("the token may read, and nothing else")]
    ReadOnlyToken,
    #[error("{0}")]
    Forbidden(&'static str),
    #[error("there is no such resource")]
    NotFound,
    #[error("this method has no meaning here")]
    Method,
    #[error("{0}")]
    NotSupported(&'static str),
    #[error("the body is not of a type that is read here; send application/scim+json")]
    MediaType,
    #[error("{0} is longer than it may be")]
    TooLarge(&'static str),
    #[error("the filter can't be used: {0}")]
    InvalidFilter(String),
    #[error("the path can't be used: {0}")]
    InvalidPath(String),
    #[error("{0}")]
    InvalidSyntax(String),
    #[error("{0}")]
    InvalidValue(String),
    #[error("`{0}` can't be changed by clients")]
    Mutability(String),
    #[error("nothing matches the path `{0}`")]
    NoTarget(String),
    #[error("the answer would have more than {most} {0}: ask for fewer resources at a time, or with excludedAttributes={0}", most = super::list::MOST_RELATED)]
    TooMany(&'static str),
    #[error("another resource has the {0}")]
    Uniqueness(&'static str),
    #[error("it has been changed since it was read")]
    Precondition,
    #[error("it is being changed by others all the time; try again")]
    Busy,
    #[error("the audit trail can't take a record now, so that nothing was done")]
    Unrecorded,
    #[error("the store does not answer, so that nothing is known to be done")]
    Store,
}

impl Fault {
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::TooManyAttempts => StatusCode::TOO_MANY_REQUESTS,
            Self::ReadOnlyToken | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NotSupported(_) => StatusCode::NOT_IMPLEMENTED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Uniqueness(_) | Self::Busy => StatusCode::CONFLICT,
            Self::Precondition => StatusCode::PRECONDITION_FAILED,
            Self::Unrecorded | Self::Store => StatusCode::SERVICE_UNAVAILABLE,
            Self::InvalidFilter(_)
            | Self::InvalidPath(_)
            | Self::InvalidSyntax(_)
            | Self::InvalidValue(_)
            | Self::Mutability(_)
            | Self::NoTarget(_)
            | Self::TooMany(_) => StatusCode::BAD_REQUEST,
        }
    }

    const fn word(&self) -> Option<&'static str> {
        match self {
            Self::InvalidFilter(_) => Some("invalidFilter"),
            Self::InvalidPath(_) => Some("invalidPath"),
            Self::InvalidSyntax(_) => Some("invalidSyntax"),
            Self::InvalidValue(_) => Some("invalidValue"),
            Self::Mutability(_) => Some("mutability"),
            Self::NoTarget(_) => Some("noTarget"),
            Self::TooMany(_) => Some("tooMany"),
            Self::Uniqueness(_) => Some("uniqueness"),
            _ => None,
        }
    }

    pub(super) fn json(&self) -> Value {
        let mut said = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": self.status().as_str(),
            "detail": self.to_string(),
        });
        if let (Some(said), Some(word)) = (said.as_object_mut(), self.word()) {
            said.insert("scimType".to_owned(), word.into());
        }
        said
    }

    pub(super) fn value(message: impl Into<String>) -> Self {
        Self::InvalidValue(message.into())
    }
}

impl From<store::Error> for Fault {
    fn from(error: store::Error) -> Self {
        tracing::error!(%error, "the store does not answer");
        Self::Store
    }
}
