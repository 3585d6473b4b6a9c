//! Requests out of bytes. In: a line with method, version and URI, then header lines. Out: what hyper could make of such a request.
//! Must never make one that hyper could not.

use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};

/// `METHOD SP URI` with an `h` in front for HTTP/2, then `name:value` lines.
pub fn read(bytes: &[u8]) -> Option<Request<()>> {
    let mut lines = bytes.split(|b| *b == b'\n');
    let first = lines.next()?;
    let (first, version) = match first.strip_prefix(b"h") {
        Some(first) => (first, Version::HTTP_2),
        None => (first, Version::HTTP_11),
    };
    let space = first.iter().position(|b| *b == b' ')?;
    let mut request = Request::new(());
    *request.version_mut() = version;
    *request.method_mut() = Method::from_bytes(&first[..space]).ok()?;
    *request.uri_mut() = Uri::try_from(&first[space + 1..]).ok()?;
    for line in lines {
        let colon = line.iter().position(|b| *b == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request.headers_mut().append(name, value);
    }
    Some(request)
}

/// The request as HTTP/1.1 writes it, with as much content as it says.
pub fn written<B>(request: &Request<B>) -> Vec<u8> {
    let mut bytes = format!("{} {} HTTP/1.1\r\n", request.method(), request.uri()).into_bytes();
    for (name, value) in request.headers() {
        bytes.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    bytes.extend(b"\r\n");
    let length = request.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
    bytes.extend(vec![b'x'; length.unwrap_or(0)]);
    if request.headers().contains_key("transfer-encoding") {
        bytes.extend(b"0\r\n\r\n");
    }
    bytes
}

/// A name as CGI-style backends see it.
pub fn folded(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}
