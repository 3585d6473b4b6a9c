//! What the app is told. In: a request and its permit. Out: the request as the app gets it. First remove, then maybe add: every
//! header that an app of this installation could believe is taken out, in every spelling, whoever sent it. Must never let
//! a header, a cookie or a nomination of a client stand where ours should.

pub mod identity;
mod request;
pub mod response;

pub use identity::{Carried, OwnCopy};

use super::decide::Permit;
use super::route::Routed;
use super::target::{Target, is_framed_clearly, origin_form};
use super::visit::Visit;
use super::websocket;
use crate::cookies;
use crate::model::{Reason, Refusal};
use crate::snapshot::{App, Snapshot, fold};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Request, Response, Version};
use std::borrow::Cow;

/// Names that begin like this are ours or a proxy's to set.
const RESERVED_PREFIXES: [&str; 5] = ["x-doorward-", "x-forwarded-", "x-original-", "x-rewrite-", "x-envoy-"];
/// Names that are a proxy's to set, or that would have an app take one method for another.
const RESERVED: [&str; 13] = [
    "forwarded",
    "x-real-ip",
    "x-request-id",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "client-ip",
    "client-cert",
    "client-cert-chain",
    "proxy",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
];
/// Names that say where a request ends. Only an alias of one is reserved: an app may believe it.
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// How many headers are added to a request, about.
const ADDED: usize = 16;
/// Names the visit.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes the request that the app gets.
pub fn rewrite<B>(
    visit: &Visit,
    target: &Target,
    place: &Routed<'_>,
    permit: &Permit,
    mut request: Box<Request<B>>,
) -> Result<Box<Request<B>>, Refusal> {
    let upgrade = websocket::wants(&request);
    let headers = request.headers_mut();
    let trailers =
        place.app.servers.as_ref().is_some_and(crate::snapshot::servers::Servers::may_multiplex) && takes_trailers(headers);
    remove_nominated(headers)?;
    remove(headers, |name| is_hop_by_hop(name) || is_reserved(name, &visit.snapshot));
    announce_trailers(headers, &visit.snapshot, Some(place.app));
    remove_our_cookies(headers);
    headers.reserve(ADDED);
    add_circumstances(headers, visit, target);
    if let Some(to_app) = &place.app.rewriting.request {
        request::adapt(headers, visit, target, to_app);
    }
    if let Some(session) = permit.session() {
        identity::add(headers, visit, place, session)?;
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    if upgrade {
        websocket::ask(headers);
    }
    *request.uri_mut() = origin_form(target, place.app.rewriting.prefix.as_ref())?;
    *request.version_mut() = Version::HTTP_11;
    Ok(request)
}

/// Whether the client takes trailers, which gRPC servers insist on; of the rest of `TE` nothing is ours to promise (RFC 9110,
/// section 10.1.4).
fn takes_trailers(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TE) && list(headers, &header::TE).any(|coding| coding.eq_ignore_ascii_case("trailers"))
}

/// Leaves those names in `Trailer` that may be there.
fn announce_trailers(headers: &mut HeaderMap, snapshot: &Snapshot, app: Option<&App>) {
    if !headers.contains_key(header::TRAILER) {
        return;
    }
    let names = list(headers, &header::TRAILER).filter_map(|name| name.parse::<HeaderName>().ok());
    let names: Vec<_> = names.filter(|name| may_trail(name.as_str(), snapshot, app)).collect();
    headers.remove(header::TRAILER);
    for name in names {
        headers.append(header::TRAILER, name.into());
    }
}

/// The trailers of a request without what no client may send, and without what has no place there.
pub(super) fn trailers(mut trailers: HeaderMap, snapshot: &Snapshot, app: Option<&App>) -> HeaderMap {
    remove(&mut trailers, |name| !may_trail(name, snapshot, app));
    trailers
}

/// The trailers of an answer without what is ours to say, and without what has no place there.
pub(super) fn trailers_of_answer(mut trailers: HeaderMap, app: Option<&App>) -> HeaderMap {
    let is_ours = |name: &str| {
        name.starts_with("access-control-")
            || matches!(name, "location" | "set-cookie" | "strict-transport-security" | "www-authenticate" | "x-request-id")
    };
    let goes = |name: &str| app.is_some_and(|app| app.rewriting.response.removes(name));
    remove(&mut trailers, |name| is_hop_by_hop(name) || needs_to_come_first(name) || is_ours(name) || goes(name));
    trailers
}

fn may_trail(name: &str, snapshot: &Snapshot, app: Option<&App>) -> bool {
    let goes = app.and_then(|app| app.rewriting.request.as_ref()).is_some_and(|to_app| to_app.edits.removes(name));
    !goes && !is_hop_by_hop(name) && !needs_to_come_first(name) && !is_reserved(name, snapshot)
}

/// What frames, addresses or authorizes (RFC 9110, section 6.5.1).
fn needs_to_come_first(name: &str) -> bool {
    name.starts_with("content-")
        || matches!(
            name,
            "authorization" | "cache-control" | "cookie" | "expect" | "host" | "range" | "trailer" | "transfer-encoding"
        )
}

/// The items of a header whose value is a list, across all of its lines.
pub(super) fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(',')).map(str::trim)
}

/// Removes what a connection's options nominate (RFC 9110, section 7.6.1). Nothing may take away what frames or addresses the
/// request.
fn remove_nominated(headers: &mut HeaderMap) -> Result<(), Refusal> {
    let nominates = |line: &HeaderValue| !matches!(line.as_bytes(), b"keep-alive" | b"Keep-Alive" | b"close");
    if !headers.get_all(header::CONNECTION).iter().any(nominates) {
        return Ok(());
    }
    let nominated: Vec<HeaderName> = list(headers, &header::CONNECTION).filter_map(|name| name.parse().ok()).collect();
    for name in nominated {
        if matches!(
            name,
            header::HOST | header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::COOKIE | header::AUTHORIZATION
        ) {
            return Err(Reason::BadRequest.into());
        }
        headers.remove(name);
    }
    Ok(())
}

/// Removes every header that is one of these; most requests have none, and then this is one pass over the names.
fn remove(headers: &mut HeaderMap, is_one: impl Fn(&str) -> bool) {
    let found: Vec<HeaderName> = headers.keys().filter(|name| is_one(name.as_str())).cloned().collect();
    for name in found {
        headers.remove(name);
    }
}

/// Headers of one connection (RFC 9110, section 7.6.1).
fn is_hop_by_hop(name: &str) -> bool {
    matches!(name, "connection" | "http2-settings" | "keep-alive" | "proxy-authorization" | "proxy-connection" | "te" | "upgrade")
}

/// Whether a client may not send this header.
pub fn is_reserved(name: &str, snapshot: &Snapshot) -> bool {
    // hyper has made every name lower case; folding is for the aliases alone.
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let folded = if !plain { Cow::Owned(fold(name)) } else { Cow::Borrowed(name) };
    let name = &*folded;
    name.starts_with("x-") && RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || RESERVED.contains(&name)
        || !plain && FRAMING.contains(&name)
        || snapshot.reserved_headers.contains(name)
}

/// Takes our cookies out of the Cookie header, and makes one header of several (RFC 9113, section 8.2.3).
fn remove_our_cookies(headers: &mut HeaderMap) {
    let (mut lines, mut kept) = (headers.get_all(header::COOKIE).iter().peekable(), Vec::new());
    if lines.peek().is_none() {
        return;
    }
    for line in lines {
        let pairs = cookies::split(line.as_bytes()).map(<[u8]>::trim_ascii);
        for pair in pairs.filter(|pair| !pair.is_empty() && !is_our_cookie(pair)) {
            if !kept.is_empty() {
                kept.extend_from_slice(b"; ");
            }
            kept.extend_from_slice(pair);
        }
    }
    // What is kept came from headers, and fits into one.
    match HeaderValue::from_maybe_shared(bytes::Bytes::from(kept)) {
        Ok(value) if !value.is_empty() => drop(headers.insert(header::COOKIE, value)),
        _ => drop(headers.remove(header::COOKIE)),
    }
}

fn is_our_cookie(pair: &[u8]) -> bool {
    // Whatever the case: a backend may not care.
    pair.get(..cookies::SESSION.len()).is_some_and(|start| start.eq_ignore_ascii_case(cookies::SESSION.as_bytes()))
}

fn add_circumstances(headers: &mut HeaderMap, visit: &Visit, target: &Target) {
    headers.insert(header::HOST, target.authority_value().clone());
    headers.insert(X_FORWARDED_HOST, target.authority_value().clone());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("https"));
    headers.insert(X_FORWARDED_FOR, visit.client_text.clone());
    headers.insert(X_REQUEST_ID, visit.name.clone());
}

/// Whether everybody reads alike where an app's answer ends, and what it switches to.
pub fn is_clear<B>(response: &Response<B>) -> bool {
    is_framed_clearly(response.headers())
        && (response.status() != http::StatusCode::SWITCHING_PROTOCOLS || websocket::is_websocket(response.headers()))
}

/// Makes the answer that the client gets of the one that the app gave: without headers of the connection behind us, and
/// without cookies in our name.
pub fn clean_response<B>(visit: &Visit, response: &mut Response<B>) {
    // The version is one of a connection, not of an answer.
    *response.version_mut() = Version::HTTP_11;
    let switching = response.status() == http::StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    if !switching {
        // What an app nominates is the app's own; a nomination that can't be honoured changes nothing.
        let _ = remove_nominated(headers);
        remove(headers, is_hop_by_hop);
    }
    if headers.get_all(header::SET_COOKIE).iter().any(sets_our_cookie) {
        let others: Vec<HeaderValue> =
            headers.get_all(header::SET_COOKIE).iter().filter(|line| !sets_our_cookie(line)).cloned().collect();
        headers.remove(header::SET_COOKIE);
        headers.extend(others.into_iter().map(|line| (header::SET_COOKIE, line)));
    }
    name(visit, headers);
}

/// Puts the visit's name on an answer.
pub(super) fn name(visit: &Visit, headers: &mut HeaderMap) {
    headers.insert(X_REQUEST_ID, visit.name.clone());
}

/// A cookie without a name is sent back as its value alone, which may be our name and a value (CVE-2022-40958).
fn sets_our_cookie(line: &HeaderValue) -> bool {
    let line = line.as_bytes();
    let start = line.iter().position(|b| *b != b'=' && !b.is_ascii_whitespace()).unwrap_or(line.len());
    is_our_cookie(line.get(start..).unwrap_or_default())
}
