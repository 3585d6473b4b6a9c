//! Which addresses are an app's own, and what they are called in public. In: what the app says. Out: the public spelling, or
//! nothing where there is nothing to put right. Must never make a foreign address ours, nor one of ours foreign: what a browser
//! could read in another way than this file stays as it is.

use crate::gate::target::Target;
use crate::snapshot::rewriting::{InternalOrigin, Rewriting};
use std::borrow::Cow;

/// An app as one request sees it.
pub(super) struct Own<'a> {
    pub(super) target: &'a Target,
    pub(super) rewriting: &'a Rewriting,
}

impl Own<'_> {
    /// A URL, or a path of the app's host.
    pub(super) fn url(&self, value: &[u8]) -> Option<Vec<u8>> {
        let text = unmistakable(value)?;
        if text.starts_with('/') && !text.starts_with("//") {
            let (path, rest) = path_of(text);
            return match self.rewriting.prefix.as_ref()?.to_public(path)? {
                Cow::Owned(path) => Some(format!("{path}{rest}").into()),
                Cow::Borrowed(_) => None,
            };
        }
        let (origin, rest) = origin_of(text)?;
        if !self.is_internal(&origin) {
            return None;
        }
        let (path, rest) = path_of(rest);
        let path = match &self.rewriting.prefix {
            Some(prefix) => prefix.to_public(if path.is_empty() { "/" } else { path })?,
            None => path.into(),
        };
        Some(format!("https://{}{path}{rest}", self.target.authority()).into())
    }

    /// An origin (RFC 6454, section 6.2), alone.
    pub(super) fn origin(&self, value: &[u8]) -> Option<Vec<u8>> {
        let (origin, rest) = origin_of(unmistakable(value)?)?;
        (rest.is_empty() && self.is_internal(&origin)).then(|| format!("https://{}", self.target.authority()).into())
    }

    /// `5; url=…`, as browsers have read it for ever (HTML, section 4.2.5.3).
    pub(super) fn refresh(&self, value: &[u8]) -> Option<Vec<u8>> {
        let text = str::from_utf8(value).ok()?;
        let (before, url) = text.split_at_checked(text.to_ascii_lowercase().find("url=")? + 4)?;
        let bare = url.trim_matches(['"', '\'', ' ']);
        let mapped = self.url(bare.as_bytes())?;
        Some([before.as_bytes(), &mapped].concat())
    }

    /// Whether a cookie for this domain could come back to the app at its internal name, and never at its public one.
    pub(super) fn is_internal_domain(&self, domain: &str) -> bool {
        let domain = domain.strip_prefix('.').unwrap_or(domain);
        let covers = |host: &str| {
            let split = host.len().checked_sub(domain.len()).and_then(|at| host.split_at_checked(at));
            split.is_some_and(|(above, same)| same.eq_ignore_ascii_case(domain) && (above.is_empty() || above.ends_with('.')))
        };
        self.rewriting.internal.iter().any(|origin| covers(&origin.host)) && !covers(self.target.host())
    }

    /// The public name is not among those of another app at the same host; in clear text it is nobody's.
    fn is_internal(&self, origin: &Origin<'_>) -> bool {
        let public = origin.host.eq_ignore_ascii_case(self.target.host()) && origin.port == port_of(self.target.authority());
        match origin.scheme {
            Scheme::Http if public || origin.authority.eq_ignore_ascii_case(self.target.authority()) => true,
            _ if public => false,
            _ => self.rewriting.internal.iter().any(|internal| origin.is(internal)),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    /// That of the page (RFC 3986, section 4.2).
    Same,
}

struct Origin<'a> {
    scheme: Scheme,
    authority: &'a str,
    /// Without brackets.
    host: &'a str,
    port: u16,
}

impl Origin<'_> {
    /// The scheme does not matter where the port is the same: an app believes what it likes of the TLS before it.
    fn is(&self, internal: &InternalOrigin) -> bool {
        self.port == internal.port && self.host.eq_ignore_ascii_case(&internal.host)
    }
}

/// Text that every browser reads in the same way: they drop tabs, and take backslashes for slashes.
fn unmistakable(value: &[u8]) -> Option<&str> {
    let plain = value.iter().all(|b| b.is_ascii_graphic() && *b != b'\\');
    str::from_utf8(value).ok().filter(|_| plain)
}

/// The origin of an absolute or scheme-relative URL, and what follows.
fn origin_of(text: &str) -> Option<(Origin<'_>, &str)> {
    let (scheme, rest) = text.split_once("//")?;
    let (scheme, default) = match scheme {
        "" => (Scheme::Same, 443),
        _ if scheme.eq_ignore_ascii_case("http:") => (Scheme::Http, 80),
        _ if scheme.eq_ignore_ascii_case("https:") => (Scheme::Https, 443),
        _ => return None,
    };
    let (authority, rest) = rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, number(port)?),
        _ => (authority, default),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((Origin { scheme, authority, host, port }, rest))
}

/// The port of `host` or `host:port` at our door.
fn port_of(authority: &str) -> u16 {
    authority.split_once(':').and_then(|(_, port)| number(port)).unwrap_or(443)
}

fn number(digits: &str) -> Option<u16> {
    // `parse` alone would take a sign.
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// A path, and the query and fragment behind it.
fn path_of(text: &str) -> (&str, &str) {
    text.split_at_checked(text.find(['?', '#']).unwrap_or(text.len())).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use crate::gate::target;
    use crate::snapshot::prefix::Prefix;
    use http::Request;
    use proptest::prelude::*;
    use url::Url;

    fn rewriting(prefix: Option<Prefix>) -> Rewriting {
        let internal = [("app", 8080), ("app.internal", 80), ("app.internal", 443)];
        let internal = internal.map(|(host, port)| InternalOrigin { host: host.into(), port }).to_vec();
        Rewriting { prefix, internal, ..Rewriting::default() }
    }

    fn target() -> Target {
        target::read(&Request::get("/w/page").header("host", "public.example:8443").body(()).unwrap()).unwrap()
    }

    fn is_ours(url: &Url) -> bool {
        (url.scheme(), url.host_str(), url.port_or_known_default()) == ("https", Some("public.example"), Some(8443))
    }

    fn was_the_app_s(url: &Url) -> bool {
        let at = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        let clear = url.scheme() == "http" && at == ("public.example", 8443);
        let internal = [("app", 8080), ("app.internal", 80), ("app.internal", 443)].contains(&at);
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && (clear || internal || is_ours(url))
    }

    proptest! {
        /// A browser's own parser tells where an address leads.
        #[test]
        fn what_is_changed_was_the_app_s_own_and_leads_to_its_public_name(
            text in "(http:|HTTPS:|ftp:|//|/|\\\\|\t|app|app[.]internal|public[.]example|evil[.]example|:8080|:8443|:80|:|@|[?]|#|%2f|/w|/b|[.][.]|x){0,9}",
            strip in any::<bool>(),
            add in prop::sample::select(vec!["", "/b"]),
        ) {
            let prefix = Prefix { public: "/w".into(), strip, add: add.into() };
            let (target, rewriting) = (target(), rewriting((strip || !add.is_empty()).then_some(prefix)));
            let own = Own { target: &target, rewriting: &rewriting };
            let page = Url::parse("https://public.example:8443/w/page").unwrap();
            let Some(changed) = own.url(text.as_bytes()) else { return Ok(()) };
            let changed = String::from_utf8(changed).unwrap();
            let (before, after) = (page.join(&text).unwrap(), page.join(&changed).unwrap());
            prop_assert!(was_the_app_s(&before), "{} became {}", text, changed);
            prop_assert!(is_ours(&after), "{} became {}", text, changed);
            prop_assert_eq!((before.query(), before.fragment()), (after.query(), after.fragment()));
        }
    }
}
