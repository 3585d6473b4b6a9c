//! Answers that need no app. In: what `control::config` compiled. Out: a redirect or a text. Must never send anybody to where
//! the configuration does not.

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

/// What a route answers by itself.
#[derive(Clone, Debug)]
pub enum Fixed {
    /// Sends people elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: StatusCode,
        /// An absolute URL, or a path of the same host. Without a slash at its end where a path is appended.
        to: Box<str>,
        /// Whether what stands behind the app's prefix, query included, is appended.
        keep_path: bool,
    },
    /// Says always the same.
    Respond {
        /// Any final status but a redirect.
        status: StatusCode,
        /// The type of the body.
        content_type: HeaderValue,
        /// The body.
        body: Bytes,
    },
}
