//! The two apps of the demo. They know nothing of identity beyond a header that they are sent.
//!
//! In: requests as Doorward forwards them. Out: pages and streams that show what arrived. They must never ask who
//! somebody is in any other way, nor put a header into a page unescaped.

mod echo;
mod page;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{any, get, post};

/// The wiki.
pub(super) fn wiki() -> Router {
    app(|headers| page::wiki(&headers))
}

/// Payroll.
pub(super) fn payroll() -> Router {
    app(|headers| page::payroll(&headers))
}

fn app(index: fn(HeaderMap) -> axum::response::Response) -> Router {
    Router::new()
        .route("/headers", get(echo::headers))
        .route("/events", get(echo::events))
        .route("/health", get(|| async { "fine\n" }))
        .route("/upload", post(echo::upload))
        .route("/ws", any(echo::web_socket))
        // Every other path is a page, so that there are deep links to come back to.
        .fallback(get(move |headers| async move { index(headers) }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
