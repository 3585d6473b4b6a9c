//! What is asked for: the one truth about a request. In: the request as hyper parsed it. Out: a [`Target`], that route, policy,
//! upstream and audit all read. Must never guess: what two parsers could read differently is refused.

use crate::model::{Reason, Refusal};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version, header};
use std::borrow::Cow;

/// A request's method, host and path, checked.
#[derive(Clone, Debug)]
pub struct Target {
    method: Method,
    authority: HeaderValue,
    host_length: usize,
    path: PathAndQuery,
}

/// Marks a request (among its extensions) that came with Content-Length beside Transfer-Encoding.
#[derive(Clone, Copy, Debug)]
pub struct TwoLengths;

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
    let path = request.uri().path_and_query().ok_or(Error::Form)?.clone();
    check_path(path.path())?;
    Ok(Target { method: request.method().clone(), authority, host_length, path })
}

impl Target {
    /// The method.
    pub const fn method(&self) -> &Method {
        &self.method
    }

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

    /// Every way in which an app could read the path; the first is the plain one. A path that has only one way yields
    /// just that.
    pub fn readings(&self) -> Readings<'_> {
        readings(self.path())
    }
}

fn check_form<B>(request: &Request<B>) -> Result<(), Error> {
    let h2 = request.version() == Version::HTTP_2;
    let uri = request.uri();
    let absolute = uri.scheme().is_some();
    // CONNECT opens a tunnel, TRACE would read our headers back to the client.
    let method_is_fine = !matches!(*request.method(), Method::CONNECT | Method::TRACE);
    let scheme_is_fine = !absolute || uri.scheme_str() == Some("https") || (h2 && uri.scheme_str() == Some("http"));
    let one_length = request.extensions().get::<TwoLengths>().is_none();
    if method_is_fine && scheme_is_fine && one_length && uri.path().starts_with('/') { Ok(()) } else { Err(Error::Form) }
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
    let port_is_fine =
        port.split_first().is_none_or(|(_, digits)| matches!(digits.len(), 1..=5) && digits.iter().all(u8::is_ascii_digit));
    (host_is_fine && port_is_fine).then_some(end)
}

/// No reading of the path may leave it or cut it short: dot segments, control characters and broken encodings are refused.
fn check_path(path: &str) -> Result<(), Error> {
    if readings(path).all(|reading| is_contained(&reading)) { Ok(()) } else { Err(Error::Ambiguous) }
}

fn is_contained(reading: &str) -> bool {
    let dots = |segment: &str| segment == "." || segment == "..";
    reading.starts_with('/') && !reading.split('/').any(dots) && !reading.chars().any(char::is_control)
}

/// The ways to read one path.
pub struct Readings<'a> {
    plain: Option<&'a str>,
    others: std::vec::IntoIter<String>,
}

impl<'a> Iterator for Readings<'a> {
    type Item = Cow<'a, str>;
    fn next(&mut self) -> Option<Cow<'a, str>> {
        self.plain.take().map(Cow::Borrowed).or_else(|| self.others.next().map(Cow::Owned))
    }
}

/// Every reading of a path (see [`Target::readings`]).
pub fn readings(path: &str) -> Readings<'_> {
    if is_plain(path) {
        return Readings { plain: Some(path), others: Vec::new().into_iter() };
    }
    // A broken encoding makes a reading that `is_contained` refuses.
    let segments = decode(&path.replace("%2f", "%252F").replace("%2F", "%252F")).unwrap_or_default();
    let once = decode(path).unwrap_or_default();
    let twice = decode(&once);
    let mut all = vec![segments, once];
    // What is still encoded after one decoding is read once more by apps behind a second decoder; a bare `%` is theirs.
    all.extend(twice);
    let loose: Vec<String> = all.iter().flat_map(|reading| loosened(reading)).collect();
    all.extend(loose);
    all.dedup();
    Readings { plain: None, others: all.into_iter() }
}

/// Whether there is one way only: no escapes, parameters, backslashes, empty or dot segments.
fn is_plain(path: &str) -> bool {
    let mut before = b' ';
    for &b in path.as_bytes() {
        let fine = match b {
            b'/' | b'.' => before != b'/',
            b'%' | b';' | b'\\' => false,
            _ => b.is_ascii_graphic(),
        };
        if !fine {
            return false;
        }
        before = b;
    }
    true
}

/// What lenient apps make of a decoded path: backslashes as slashes, empty segments dropped, parameters dropped, cut at a
/// decoded `?` or `#`.
fn loosened(reading: &str) -> Vec<String> {
    let slashes = reading.replace('\\', "/");
    let without_parameters =
        slashes.split('/').map(|segment| segment.split(';').next().unwrap_or("")).collect::<Vec<_>>().join("/");
    let cut = slashes.split(['?', '#']).next().unwrap_or("").to_owned();
    let squeezed = [&slashes, &without_parameters, &cut].map(|reading| squeeze(reading));
    squeezed.into_iter().chain([slashes, without_parameters, cut]).filter(|other| other != reading).collect()
}

fn squeeze(reading: &str) -> String {
    let trailing = if reading.ends_with('/') { "/" } else { "" };
    let segments: Vec<&str> = reading.split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.is_empty() { "/".to_owned() } else { format!("/{}{trailing}", segments.join("/")) }
}

/// Percent-decoding (RFC 3986, section 2.1); `None` where an escape is broken or the result is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(b) = bytes.next() {
        let b = if b == b'%' { hex(bytes.next()?)? << 4 | hex(bytes.next()?)? } else { b };
        decoded.push(b);
    }
    String::from_utf8(decoded).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The target as an origin-form URI, for an HTTP/1.1 upstream.
pub fn origin_form(target: &Target) -> Uri {
    Uri::from(target.path.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn request(uri: &str, hosts: &[&str]) -> Request<()> {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn paths_that_leave_or_hide_are_refused_in_every_spelling() {
        let bad = [
            "/..",
            "/../x",
            "/a/..",
            "/a/../b",
            "/./a",
            "/a/.",
            "/%2e%2e/",
            "/%2E./",
            "/.%2e/a",
            "/a/%2e%2e%2fb",
            "/a%2f..%2fb",
            "/..%5cb",
            "/a\\..\\b",
            "/a/..;/b",
            "/a/..;x=1/b",
            "/%252e%252e/b",
            "/a%252f..%252fb",
            "/a%00",
            "/a%0d%0aX:y",
            "/%",
            "/%1",
            "/%zz",
            "/%ff",
            "/a/%2e",
            "/a/.%3b/b",
            "/..%23",
            "/..%3f",
        ];
        for path in bad {
            assert_eq!(read(&request(path, &["a.example"])).err(), Some(Error::Ambiguous), "{path}");
        }
    }

    #[test]
    fn paths_that_mean_one_thing_pass_byte_for_byte() {
        for path in [
            "/",
            "/a/b",
            "/a//b",
            "/a%20b",
            "/%C3%A9",
            "/group%2Fproject",
            "/a;v=1/b",
            "/...",
            "/a/..b",
            "/100%25",
            "/a/b/?q=../%2e%2e",
            "/~x:y@z!$&'()*+,=",
        ] {
            let target = read(&request(path, &["a.example"])).unwrap();
            assert_eq!(target.path_and_query().as_str(), path);
        }
    }

    #[test]
    fn a_request_names_exactly_one_host() {
        let bad: &[(&str, &[&str])] = &[
            ("/", &[]),
            ("/", &["a.example", "a.example"]),
            ("/", &["a.example", "b.example"]),
            ("/", &["user@a.example"]),
            ("/", &["a.example:x"]),
            ("/", &["a.example:"]),
            ("/", &["a.example:443:1"]),
            ("/", &[""]),
            ("/", &["a.example/evil"]),
            ("/", &["a_b.example"]),
            ("/", &["[::1]"]),
            ("/", &["a.example, b.example"]),
            ("https://b.example/", &["a.example"]),
            ("https://a.example/", &[]),
            ("https://u@a.example/", &["a.example"]),
        ];
        for (uri, hosts) in bad {
            assert_eq!(read(&request(uri, hosts)).err(), Some(Error::Host), "{uri} {hosts:?}");
        }
        let target = read(&request("https://A.example:8443/x", &["a.EXAMPLE:8443"])).unwrap();
        assert_eq!((target.host(), target.authority()), ("a.example", "a.example:8443"));
    }

    #[test]
    fn tunnels_and_mirrors_are_refused() {
        for (method, uri) in [("CONNECT", "a.example:443"), ("TRACE", "/"), ("OPTIONS", "*"), ("GET", "http://a.example/")] {
            let mut request = request("/", &["a.example"]);
            *request.method_mut() = method.parse().unwrap();
            *request.uri_mut() = uri.parse().unwrap();
            assert_eq!(read(&request).err(), Some(Error::Form), "{method} {uri}");
        }
    }

    proptest! {
        #[test]
        fn no_reading_of_an_accepted_path_has_dot_segments_or_controls(path in "/[a-zA-Z0-9./%;\\\\?#25eEfFcC]{0,24}") {
            if let Ok(uri) = path.parse::<Uri>() {
                let mut request = request("/", &["a.example"]);
                *request.uri_mut() = uri;
                if let Ok(target) = read(&request) {
                    prop_assert!(target.readings().count() >= 1);
                    prop_assert!(target.readings().all(|reading| is_contained(&reading)));
                }
            }
        }
    }
}
