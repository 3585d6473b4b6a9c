//! How control answers a browser. In: a location, a page, a document. Out: a response that no cache keeps. Must never send a
//! page without its content security policy.

use crate::model::identity::{Act, Acted};
use crate::model::{Identity, Reason, Refusal};
use crate::pages;
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, LOCATION, REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};

/// A response of control.
pub(super) type Answer = Response<Bytes>;

const SHARED: [(HeaderName, HeaderValue); 3] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

fn answer(body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(body.into());
    answer.headers_mut().extend(SHARED);
    answer
}

/// 303 See Other (RFC 9110, section 15.4.4).
pub(super) fn redirect(location: &str) -> Result<Answer, Refusal> {
    let mut answer = answer(Bytes::new());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    let location = HeaderValue::from_str(location).map_err(|_| Reason::BadReturnTarget)?;
    answer.headers_mut().insert(LOCATION, location);
    Ok(answer)
}

/// A page of ours.
pub(super) fn page(html: String) -> Answer {
    let mut answer = answer(html);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(pages::CONTENT_SECURITY_POLICY));
    answer
}

/// A document of another type.
pub(super) fn document(content_type: &'static str, cache: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = answer(body);
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    answer
}

/// The same answer, with who did what for the audit record.
pub(super) fn acted(mut answer: Answer, identity: &Identity, act: Act) -> Answer {
    answer.extensions_mut().insert(Acted::new(identity, act));
    answer
}

/// The same answer with these `Set-Cookie` lines.
pub(super) fn with_cookies(mut answer: Answer, lines: impl IntoIterator<Item = String>) -> Answer {
    for line in lines {
        match HeaderValue::from_str(&line) {
            Ok(value) => drop(answer.headers_mut().append(SET_COOKIE, value)),
            Err(_) => tracing::error!("a cookie of ours is not a header value"),
        }
    }
    answer
}
