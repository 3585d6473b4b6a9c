//! Cookies: a value is found only where every cookie of the name says the same, ours never reach an app, and all others do.

use crate::gate::{HOST, Walk};
use doorward::cookies;
use http::{HeaderMap, HeaderValue, Request};

thread_local!(static WALK: Walk = Walk::start());

/// Checks one input; panics where something does not hold.
pub fn check(bytes: &[u8]) {
    let lines: Option<Vec<HeaderValue>> = bytes.split(|b| *b == b'\n').map(|line| HeaderValue::from_bytes(line).ok()).collect();
    let Some(lines) = lines else { return };
    let headers: HeaderMap = lines.iter().map(|line| (http::header::COOKIE, line.clone())).collect();
    let pairs: Vec<&[u8]> = lines.iter().flat_map(|line| line.as_bytes().split(|b| *b == b';')).map(<[u8]>::trim_ascii).collect();

    for name in [cookies::SESSION, cookies::SSO, "a"] {
        let values: Vec<&[u8]> = pairs.iter().filter_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")).collect();
        let readable = values.iter().filter(|value| std::str::from_utf8(value).is_ok()).count();
        match cookies::find(&headers, name) {
            Some(found) => assert!(values.iter().all(|value| *value == found.as_bytes() || std::str::from_utf8(value).is_err())),
            None => assert!(readable == 0 || values.iter().any(|value| value != &values[0])),
        }
    }

    let mut request = Request::get("/public/x").header("host", HOST).body(()).unwrap();
    request.headers_mut().extend(headers);
    let Some(sent) = WALK.with(|walk| walk.through(request, false)) else { panic!("a public path is for everybody") };
    let kept: Vec<&HeaderValue> = sent.headers().get_all("cookie").iter().collect();
    assert!(kept.len() <= 1);
    let kept = kept.first().map_or(&b""[..], |value| value.as_bytes());
    let is_ours = |pair: &[u8]| {
        let name = pair.split(|b| *b == b'=').next().unwrap().trim_ascii().to_ascii_lowercase();
        name.starts_with(b"__host-doorward")
    };
    let expected: Vec<&[u8]> = pairs.into_iter().filter(|pair| !pair.is_empty() && !is_ours(pair)).collect();
    assert_eq!(kept, expected.join(&b"; "[..]), "{:?}", String::from_utf8_lossy(kept));
}
