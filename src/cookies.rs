//! Cookies (RFC 6265): our names, how we read them, how we set them. In: headers. Out: values, and `Set-Cookie` lines.
//! Must never take one of two different values for the same name: somebody planted the other.

use http::HeaderMap;
use http::header::COOKIE;

/// The session of an app's host.
pub const SESSION: &str = "__Host-doorward";
/// The single sign-on of the auth host: a token a provider, the latest first, with dots between them.
pub const SSO: &str = "__Host-doorward-sso";
/// A login in progress: what follows names it.
pub const FLOW: &str = "__Host-doorward-flow-";
/// How often a sign-in has landed on an app's host of late; for the detection of loops.
pub const LANDED: &str = "__Host-doorward-flow-landed";

/// The pairs of a `Cookie` header, with the blanks around them.
pub fn split(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut begin = 0;
    memchr::memchr_iter(b';', line).chain([line.len()]).map(move |end| {
        let pair = line.get(begin..end).unwrap_or_default();
        begin = end + 1;
        pair
    })
}

/// Every cookie of a request, in its order; over all `Cookie` headers, since HTTP/2 may split them.
pub fn pairs(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(COOKIE).iter();
    lines
        .flat_map(|line| split(line.as_bytes()))
        // An app's cookie may hold any bytes; that is not for us to judge.
        .filter_map(|pair| std::str::from_utf8(pair).ok()?.trim_ascii().split_once('='))
}

/// The one value of a cookie; `None` when there is none, or when there are several.
pub fn find<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(COOKIE).iter();
    let mut values = lines.flat_map(|line| split(line.as_bytes())).filter_map(|pair| value(pair, name));
    let first = values.next()?;
    values.all(|other| other == first).then_some(first)
}

/// The value of a pair of this name; the same as that of [`pairs`], without a look at what others hold.
fn value<'a>(pair: &'a [u8], name: &str) -> Option<&'a str> {
    let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
    std::str::from_utf8(value).ok()
}

/// A `Set-Cookie` line for this host alone; without `max_age` (seconds) it lasts as long as the browser.
pub fn set(name: &str, value: &str, max_age: Option<u32>) -> String {
    let line = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax");
    match max_age {
        Some(seconds) => format!("{line}; Max-Age={seconds}"),
        None => line,
    }
}

/// A `Set-Cookie` line that removes a cookie.
pub fn expire(name: &str) -> String {
    set(name, "", Some(0))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use http::HeaderValue;

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let value = |line: &&[u8]| (COOKIE, HeaderValue::from_bytes(line).unwrap());
        lines.iter().map(value).collect()
    }

    #[test]
    fn a_cookie_is_found_in_any_line() {
        for lines in [&[&b"a=1; x=2"[..]][..], &[b"x=2"], &[b"a=1", b"x=2"], &[b"a=\xff; x=2;"], &[b"a=1;x=2"]] {
            assert_eq!(find(&headers(lines), "x"), Some("2"));
        }
    }

    #[test]
    fn what_stands_between_semicolons_is_a_pair() {
        for (line, pairs) in [("", &[""][..]), ("a", &["a"]), (";", &["", ""]), ("a; b=1;", &["a", " b=1", ""])] {
            assert!(split(line.as_bytes()).eq(pairs.iter().map(|pair| pair.as_bytes())), "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn one_value_is_found_as_it_is_among_all(lines in proptest::collection::vec("[ax=; \t]{0,12}|\\PC{0,8}", 0..4)) {
            let Ok(lines) = lines.iter().map(|line| HeaderValue::from_bytes(line.as_bytes())).collect::<Result<Vec<_>, _>>() else { return Ok(()) };
            let headers: HeaderMap = lines.into_iter().map(|line| (COOKIE, line)).collect();
            let mut all = pairs(&headers).filter(|(name, _)| *name == "x").map(|(_, value)| value);
            let first = all.next().filter(|first| all.all(|other| other == *first));
            proptest::prop_assert_eq!(find(&headers, "x"), first);
        }
    }

    #[test]
    fn a_planted_second_value_counts_as_none() {
        assert_eq!(find(&headers(&[b"x=1; x=2"]), "x"), None);
        assert_eq!(find(&headers(&[b"x=1", b"x=2"]), "x"), None);
        assert_eq!(find(&headers(&[b"x=1; x=1"]), "x"), Some("1"));
    }

    #[test]
    fn a_name_is_compared_whole_and_by_case() {
        for line in [&b"xx=1"[..], b"X=1", b"y=x=1", b"x"] {
            assert_eq!(find(&headers(&[line]), "x"), None);
        }
    }
}
