//! What is asked for: the one truth about a request. In: the request as hyper parsed it. Out: a [`Target`], that route, policy,
//! upstream and audit all read. Must never guess: what two parsers could read differently is refused.

use crate::model::{Reason, Refusal};
use crate::snapshot::prefix::Prefix;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Uri, Version, header};
use std::sync::Arc;

mod readings;

/// A request's host and path, checked.
#[derive(Clone, Debug)]
pub struct Target {
    authority: HeaderValue,
    host_length: usize,
    path: PathAndQuery,
    /// `None` for a plain path.
    readings: Option<Arc<[String]>>,
}

/// Marks a request (among its extensions) whose end another parser could put elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Unclear;

/// Methods that open a tunnel, or would read our headers back to the client; in any case, as some apps don't care.
const NEVER_FORWARDED: [&str; 3] = ["CONNECT", "TRACE", "TRACK"];

/// Why a request has no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The path holds something that parsers disagree about.
    #[error("the path can be read in more than one way")]
    Ambiguous,
    /// The host is missing, doubled, malformed, or the request names two.
    #[error("the request does not name one host")]
    Host,
    /// A method or form of request that a reverse proxy does not take.
    #[error("this kind of request is not forwarded")]
    Form,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Ambiguous => Reason::AmbiguousTarget.into(),
            Error::Host => Reason::BadHost.into(),
            Error::Form => Reason::BadRequest.into(),
        }
    }
}

/// Reads the target (RFC 9112, section 3.2 and 3.3; RFC 9113, section 8.3.1).
pub fn read<B>(request: &Request<B>) -> Result<Target, Error> {
    check_form(request)?;
    let authority = authority(request)?;
    let host_length = host_length(authority.as_bytes()).ok_or(Error::Host)?;
    let path = path(request.uri()).ok_or(Error::Form)?;
    // A query is the app's own, but bytes that may not be in a URL at all end a line, or are a space, for some.
    if !path.as_str().is_ascii() {
        return Err(Error::Ambiguous);
    }
    let readings = readings::others(path.path())?;
    Ok(Target { authority, host_length, path, readings })
}

impl Target {
    /// The host, lower case, without a port.
    pub fn host(&self) -> &str {
        self.authority().get(..self.host_length).unwrap_or("")
    }

    /// `host` or `host:port`, as the client sent it, in lower case.
    pub fn authority(&self) -> &str {
        self.authority.to_str().unwrap_or("")
    }

    /// The same as a header value.
    pub const fn authority_value(&self) -> &HeaderValue {
        &self.authority
    }

    /// The path, byte for byte.
    pub fn path(&self) -> &str {
        self.path.path()
    }

    /// Path and query, byte for byte.
    pub const fn path_and_query(&self) -> &PathAndQuery {
        &self.path
    }

    /// Every way in which an app could read the path. A path that has only one way yields just that.
    pub fn readings(&self) -> impl Iterator<Item = &str> {
        let plain = if self.readings.is_none() { Some(self.path()) } else { None };
        plain.into_iter().chain(self.readings.iter().flat_map(|readings| readings.iter().map(String::as_str)))
    }
}

fn check_form<B>(request: &Request<B>) -> Result<(), Error> {
    let h2 = request.version() == Version::HTTP_2;
    let uri = request.uri();
    let absolute = uri.scheme().is_some();
    let method_is_fine = !NEVER_FORWARDED.iter().any(|method| method.eq_ignore_ascii_case(request.method().as_str()));
    let scheme_is_fine = !absolute || uri.scheme_str() == Some("https") || (h2 && uri.scheme_str() == Some("http"));
    let end_is_clear = request.extensions().get::<Unclear>().is_none() && is_framed_clearly(request.headers());
    // An empty path, which `Uri` shows as a slash, may have a query.
    let path_is_fine = uri.path_and_query().is_some_and(|path| path.as_str().starts_with('/'));
    if method_is_fine && scheme_is_fine && end_is_clear && path_is_fine { Ok(()) } else { Err(Error::Form) }
}

/// The path with its query. One that is empty, as in `https://a.example#b`, shows itself as a slash, and would be sent as nothing.
fn path(uri: &Uri) -> Option<PathAndQuery> {
    let path = uri.path_and_query()?;
    Some(if path.as_str() == "/" { PathAndQuery::from_static("/") } else { path.clone() })
}

/// Whether these headers say in one way only where a message ends: what is there twice, or in a spelling of its own, parsers
/// disagree about.
pub fn is_framed_clearly(headers: &HeaderMap) -> bool {
    let (mut lengths, mut codings) =
        (headers.get_all(header::CONTENT_LENGTH).iter(), headers.get_all(header::TRANSFER_ENCODING).iter());
    let is_clear = match (lengths.next(), codings.next()) {
        (None, None) => true,
        (Some(value), None) => length(value.as_bytes()).is_some(),
        (None, Some(coding)) => is_chunked(coding.as_bytes()),
        (Some(_), Some(_)) => false,
    };
    is_clear && lengths.next().is_none() && codings.next().is_none()
}

/// A length of content in its only spelling (RFC 9110, section 8.6): a leading zero means octal to some.
pub fn length(digits: &[u8]) -> Option<u64> {
    let is_canonical = digits.iter().all(u8::is_ascii_digit) && (digits == b"0" || !digits.starts_with(b"0"));
    str::from_utf8(digits).ok().filter(|_| is_canonical)?.parse().ok()
}

/// Whether this is the one transfer coding that a request may have (RFC 9112, section 7).
pub fn is_chunked(coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(b"chunked")
}

/// The one host of the request: every place that names one must say the same.
fn authority<B>(request: &Request<B>) -> Result<HeaderValue, Error> {
    let from_uri = request.uri().authority().map(|authority| HeaderValue::from_str(authority.as_str()));
    let from_uri = from_uri.transpose().map_err(|_| Error::Host)?;
    let found = match (only_host(request.headers())?, from_uri) {
        (Some(header), Some(uri)) if header.as_bytes().eq_ignore_ascii_case(uri.as_bytes()) => uri,
        (Some(_), Some(_)) | (None, None) => return Err(Error::Host),
        (Some(header), None) => header.clone(),
        // In HTTP/1.1 the Host header is mandatory even beside an absolute URL.
        (None, Some(uri)) if request.version() == Version::HTTP_2 => uri,
        (None, Some(_)) => return Err(Error::Host),
    };
    lower_case(found)
}

fn only_host(headers: &HeaderMap) -> Result<Option<&HeaderValue>, Error> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let first = hosts.next();
    if hosts.next().is_some() { Err(Error::Host) } else { Ok(first) }
}

fn lower_case(value: HeaderValue) -> Result<HeaderValue, Error> {
    if !value.as_bytes().iter().any(u8::is_ascii_uppercase) {
        return Ok(value);
    }
    HeaderValue::from_bytes(&value.as_bytes().to_ascii_lowercase()).map_err(|_| Error::Host)
}

/// Where the host ends in `host` or `host:port`. No app is configured by address, so brackets are not taken.
fn host_length(authority: &[u8]) -> Option<usize> {
    let end = authority.iter().position(|b| *b == b':').unwrap_or(authority.len());
    let (host, port) = authority.split_at_checked(end)?;
    let host_is_fine = !host.is_empty() && host.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.'));
    let port_is_fine = port.split_first().is_none_or(|(_, digits)| is_port(digits));
    (host_is_fine && port_is_fine).then_some(end)
}

fn is_port(digits: &[u8]) -> bool {
    // `parse` alone would take a sign.
    digits.iter().all(u8::is_ascii_digit) && str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u16>().is_ok())
}

/// The target as an origin-form URI, for an HTTP/1.1 upstream: as it is, or as an app knows it that has other prefixes. Whatever
/// the app reads in it must be what was read here, but for the beginning.
pub fn origin_form(target: &Target, prefix: Option<&Prefix>) -> Result<Uri, Error> {
    let Some(prefix) = prefix else { return Ok(Uri::from(target.path.clone())) };
    let path = prefix.to_app(target.path()).ok_or(Error::Ambiguous)?;
    if target.readings.is_some() && !reads_alike(target, &path, prefix) {
        return Err(Error::Ambiguous);
    }
    let query = target.path.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{path}{query}").parse().map_err(|_| Error::Ambiguous)
}

/// Whether an app finds in this path what is known of the public one; and nothing that it could take for a host.
fn reads_alike(target: &Target, path: &str, prefix: &Prefix) -> bool {
    let expected = target.readings().map(|reading| prefix.to_app(reading));
    let found = readings::others(path).ok().flatten();
    let found = found.as_deref().map_or_else(|| vec![path.to_owned()], <[String]>::to_vec);
    !found.iter().any(|reading| reading.starts_with("//")) && expected.eq(found.into_iter().map(Some))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)]
mod tests;
