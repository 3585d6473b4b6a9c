//! The rewriting of headers, through the walk: nothing that a client sends stands where ours should, in any spelling, and what the app
//! gets is one request to every parser.

use crate::gate::{EMAIL, HOST, Walk};
use crate::request::{self, folded};
use crate::strict;
use http::{HeaderMap, HeaderValue, Request};

thread_local!(static WALK: Walk = Walk::start());

/// What apps believe; a copy, not a reference.
const PREFIXES: [&str; 5] = ["x-doorward-", "x-forwarded-", "x-original-", "x-rewrite-", "x-envoy-"];
const NAMES: [&str; 13] = [
    "forwarded",
    "x-real-ip",
    "x-request-id",
    "x-client-ip",
    "x-cluster-client-ip",
    "true-client-ip",
    "client-ip",
    "proxy",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-remote-user",
    "x-remote-groups",
];
const HOP_BY_HOP: [&str; 5] = ["http2-settings", "keep-alive", "proxy-connection", "proxy-authorization", "te"];
const ALWAYS: [&str; 4] = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id"];
const SIGNED_IN: [&str; 7] = [
    "x-doorward-assertion",
    "x-doorward-email",
    "x-doorward-groups",
    "x-doorward-name",
    "x-doorward-user",
    "x-remote-groups",
    "x-remote-user",
];

/// Checks one input; panics where something does not hold.
pub fn check(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let signed_in = first & 1 == 1;
    let path = if signed_in { "/private" } else { "/public/x" };
    let line = format!("{} {path}\nhost:{HOST}\n", if first & 2 == 2 { "POST" } else { "GET" });
    let Some(asked) = request::read(&[line.as_bytes(), rest].concat()) else { return };
    let length = asked.headers().get("content-length").cloned();
    if length.as_ref().is_some_and(|length| length.len() > 3) {
        return;
    }
    let Some(sent) = WALK.with(|walk| walk.through(asked, signed_in)) else { return };
    check_ours(sent.headers(), signed_in);
    check_one(&sent);
}

fn check_ours(headers: &HeaderMap, signed_in: bool) {
    let ours: Vec<&str> = ALWAYS.into_iter().chain(SIGNED_IN.into_iter().filter(|_| signed_in)).collect();
    let is_reserved = |name: &str| {
        let alias = folded(name);
        PREFIXES.iter().any(|prefix| alias.starts_with(prefix)) || NAMES.contains(&&*alias)
    };
    for announced in headers.get_all("trailer") {
        assert!(!is_reserved(announced.to_str().unwrap()), "{announced:?}");
    }
    for name in headers.keys() {
        assert!(!is_reserved(name.as_str()) || ours.contains(&name.as_str()), "{name}");
        assert!(!HOP_BY_HOP.contains(&name.as_str()), "{name}");
    }
    let only = |name: &str| {
        let values: Vec<&HeaderValue> = headers.get_all(name).iter().collect();
        assert_eq!(values.len(), 1, "{name}");
        values[0].clone()
    };
    for name in ours {
        only(name);
    }
    assert_eq!((only("host"), only("x-forwarded-host")), (HeaderValue::from_static(HOST), HeaderValue::from_static(HOST)));
    assert_eq!((only("x-forwarded-for"), only("x-forwarded-proto")), ("127.0.0.1".parse().unwrap(), "https".parse().unwrap()));
    if signed_in {
        assert_eq!((only("x-remote-user"), only("x-doorward-email")), (EMAIL.parse().unwrap(), EMAIL.parse().unwrap()));
    }
    match headers.get("upgrade") {
        Some(upgrade) => assert_eq!((upgrade, only("connection")), (&"websocket".parse().unwrap(), "upgrade".parse().unwrap())),
        None => assert!(!headers.contains_key("connection")),
    }
    for cookie in headers.get_all("cookie") {
        let text = String::from_utf8_lossy(cookie.as_bytes()).to_ascii_lowercase();
        assert!(!text.split(';').any(|pair| pair.trim().starts_with("__host-doorward")), "{text}");
    }
}

fn check_one(sent: &Request<()>) {
    let written = request::written(sent);
    let (read, length) = strict::request(&written).unwrap_or_else(|breach| panic!("{breach}")).expect("a whole request");
    assert_eq!(length, written.len());
    assert_eq!((&*read.method, &*read.target), (sent.method().as_str(), &*sent.uri().to_string()));
    assert_eq!(read.headers.len(), sent.headers().len());
}
