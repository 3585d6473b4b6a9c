//! Who is on the other end, as far as proxies are trusted. In: the connection's peer, and what proxies say in
//! `X-Forwarded-For` and `Forwarded` (RFC 7239). Out: an address, or none where that is not clear. Must never believe more than
//! the trusted proxies vouch for: what stands left of the first address that is not theirs, anybody may have written.

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The nearest address that is not a trusted proxy, from the connection inwards. `None` where it is not clear: where the two headers
/// do not agree, so that one of them is not the proxy's, and where a client may have escaped from a quote of its proxy.
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = peer.to_canonical();
    if !is_in(trusted, peer) {
        return Some(peer);
    }
    let read = |name, hop: Hop| {
        let mut lines = headers.get_all(name).iter().rev().peekable();
        lines.peek()?;
        Some(walk(peer, lines, hop, trusted))
    };
    match (read(X_FORWARDED_FOR, plain_hop), read(FORWARDED, standard_hop)) {
        (Some(plain), Some(standard)) if plain != standard => None,
        (plain, standard) => plain.or(standard).unwrap_or(Some(peer)),
    }
}

fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// Reads one entry of a list.
type Hop = fn(&[u8]) -> Option<IpAddr>;

/// From right to left as long as the addresses are trusted proxies; stops at what can't be read. What is escaped can't be told from
/// that end from what is not, and nobody needs to escape anything in an address or a host.
fn walk<'h>(peer: IpAddr, lines: impl Iterator<Item = &'h HeaderValue>, hop: Hop, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut client = peer;
    for entry in lines.flat_map(|line| FromTheRight { rest: Some(line.as_bytes()), separator: b',' }) {
        if entry.contains(&b'\\') {
            return None;
        }
        let Some(address) = hop(entry.trim_ascii()) else { break };
        client = address;
        if !is_in(trusted, client) {
            break;
        }
    }
    Some(client)
}

fn plain_hop(entry: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(entry).ok()?;
    text.parse().ok().map(|address: IpAddr| address.to_canonical()).or_else(|| node(text))
}

/// The one `for` of an element (RFC 7239, section 4).
fn standard_hop(entry: &[u8]) -> Option<IpAddr> {
    let pairs = FromTheRight { rest: Some(entry), separator: b';' };
    let mut values = pairs.filter_map(|pair| {
        let (name, value) = str::from_utf8(pair).ok()?.split_once('=')?;
        name.trim_ascii().eq_ignore_ascii_case("for").then(|| value.trim_ascii())
    });
    let value = values.next().filter(|_| values.next().is_none())?;
    match value.strip_prefix('"') {
        Some(quoted) => node(quoted.strip_suffix('"')?),
        // Without quotes there is no room for a colon or a bracket.
        None => value.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// `192.0.2.7`, `192.0.2.7:4711`, `[2001:db8::7]`, `[2001:db8::7]:4711` (RFC 7239, section 6); no names, no `unknown`.
fn node(text: &str) -> Option<IpAddr> {
    let address = match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => {
            let with_port = text.parse::<SocketAddr>().ok().map(|address| address.ip());
            with_port.or_else(|| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4))
        }
    };
    address.map(|address| address.to_canonical())
}

/// The parts of a list from its end. Whoever wrote the left end can't hide the right end behind a quote that is never closed.
struct FromTheRight<'h> {
    rest: Option<&'h [u8]>,
    separator: u8,
}

impl<'h> Iterator for FromTheRight<'h> {
    type Item = &'h [u8];

    fn next(&mut self) -> Option<&'h [u8]> {
        let rest = self.rest?;
        let mut quoted = false;
        let at = rest.iter().rposition(|byte| {
            quoted ^= *byte == b'"';
            *byte == self.separator && !quoted
        });
        let (before, part) = match at {
            Some(at) => (rest.get(..at), rest.get(at + 1..)),
            None => (None, Some(rest)),
        };
        self.rest = before;
        part
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    const PEER: &str = "10.0.0.1";

    /// What stands for a client that is not clear.
    const UNCLEAR: &str = "unclear";

    /// The client by these lines of the two headers, behind the proxies of `10.0.0.0/8` and `fd00::/8`.
    fn seen(peer: &str, plain: &[&str], standard: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        let lines = plain.iter().map(|line| (X_FORWARDED_FOR, line)).chain(standard.iter().map(|line| (FORWARDED, line)));
        for (name, line) in lines {
            headers.append(name, HeaderValue::from_str(line).unwrap());
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        client(peer.parse().unwrap(), &headers, &trusted).map_or(UNCLEAR.to_owned(), |client| client.to_string())
    }

    #[test]
    fn nobody_who_is_not_trusted_is_believed() {
        for peer in ["192.0.2.1", "::1", "2001:db8::1"] {
            assert_eq!(seen(peer, &["198.51.100.7"], &["for=198.51.100.7"]), peer);
        }
        assert_eq!(seen("::ffff:10.0.0.1", &["198.51.100.7"], &[]), "198.51.100.7", "a trusted address in its other form");
    }

    #[test]
    fn x_forwarded_for_is_read_from_the_right_to_the_first_address_that_is_no_proxy() {
        let cases: [(&[&str], &str); 13] = [
            (&[], PEER),
            (&["198.51.100.7"], "198.51.100.7"),
            (&["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            (&["203.0.113.9, 198.51.100.7, 10.0.0.3 ,10.0.0.2"], "198.51.100.7"),
            (&["203.0.113.9", "198.51.100.7", "10.0.0.2"], "198.51.100.7"),
            (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            (&["2001:db8::7"], "2001:db8::7"),
            (&["::ffff:198.51.100.7"], "198.51.100.7"),
            (&["198.51.100.7:4711"], "198.51.100.7"),
            (&["[2001:db8::7]:4711"], "2001:db8::7"),
            (&["198.51.100.7, unknown"], PEER),
            (&["198.51.100.7, , 10.0.0.2"], "10.0.0.2"),
            (&["198.51.100.7, \", 10.0.0.2"], "10.0.0.2"),
        ];
        for (lines, expected) in cases {
            assert_eq!(seen(PEER, lines, &[]), expected, "{lines:?}");
        }
    }

    #[test]
    fn forwarded_is_read_the_same_way() {
        let cases: [(&[&str], &str); 20] = [
            (&["for=198.51.100.7"], "198.51.100.7"),
            (&["For = 198.51.100.7"], "198.51.100.7"),
            (&["by=10.0.0.1;FOR=198.51.100.7;proto=https"], "198.51.100.7"),
            (&["for=203.0.113.9, for=198.51.100.7, for=10.0.0.2"], "198.51.100.7"),
            (&["for=203.0.113.9", "for=198.51.100.7", "for=10.0.0.2;by=10.0.0.1"], "198.51.100.7"),
            (&["for=\"198.51.100.7:4711\""], "198.51.100.7"),
            (&["for=\"[2001:db8::7]\""], "2001:db8::7"),
            (&["for=\"[2001:db8::7]:4711\";host=\"a, for=9.9.9.9\""], "2001:db8::7"),
            (&["for=\"[2001:db8::7]\", for=\"[fd00::2]:1\""], "2001:db8::7"),
            (&["for=\"[::ffff:198.51.100.7]\""], "198.51.100.7"),
            (&["for=203.0.113.9;host=\", for=198.51.100.7, for=10.0.0.2"], "198.51.100.7"),
            (&["for=\"2001:db8::7\""], PEER),
            (&["for=[2001:db8::7]"], PEER),
            (&["for=198.51.100.7:4711"], PEER),
            (&["for=unknown"], PEER),
            (&["for=_hidden, for=10.0.0.2"], "10.0.0.2"),
            (&["for=198.51.100.7, by=10.0.0.2"], PEER),
            (&["for=198.51.100.7;for=203.0.113.9"], PEER),
            (&["for=\"198.51.100.7"], PEER),
            (&["198.51.100.7"], PEER),
        ];
        for (lines, expected) in cases {
            assert_eq!(seen(PEER, &[], lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_client_that_writes_the_header_that_its_proxy_does_not_is_not_believed() {
        let cases: [(&str, &str, &str); 6] = [
            ("198.51.100.7", "for=203.0.113.9", UNCLEAR),
            ("198.51.100.7", "for=10.0.0.2", UNCLEAR),
            ("198.51.100.7", "for=unknown", UNCLEAR),
            ("198.51.100.7", "nonsense", UNCLEAR),
            ("198.51.100.7", "for=198.51.100.7;proto=https", "198.51.100.7"),
            ("203.0.113.9, 198.51.100.7", "for=198.51.100.7;proto=https", "198.51.100.7"),
        ];
        for (plain, standard, expected) in cases {
            assert_eq!(seen(PEER, &[plain], &[standard]), expected, "{plain} {standard}");
        }
        assert_eq!(seen(PEER, &["203.0.113.9"], &["for=\"", "for=198.51.100.7"]), UNCLEAR);
        assert_eq!(seen("192.0.2.1", &["198.51.100.7"], &["for=203.0.113.9"]), "192.0.2.1", "nobody asked a stranger");
    }

    #[test]
    fn a_client_that_escapes_from_a_quote_of_its_proxy_is_not_believed() {
        for line in [
            r#"for=198.51.100.7;host="x\", for=9.9.9.9;host=\"y""#,
            r#"for=198.51.100.7;host="x\", for=9.9.9.9;by=\"";proto="https""#,
            r#"for=9.9.9.9, for=10.0.0.2;host="\\"#,
        ] {
            assert_eq!(seen(PEER, &[], &[line]), UNCLEAR, "{line}");
        }
        assert_eq!(seen(PEER, &[], &[r#"for="\", for=198.51.100.7"#]), "198.51.100.7", "what a stranger sends along is not read");
    }

    proptest! {
        #[test]
        fn what_stands_left_of_a_stranger_changes_nothing(left in "[ -~]{0,40}") {
            let plain = format!("{left}, 198.51.100.7");
            let standard = format!("{left}, for=198.51.100.7");
            prop_assert_eq!(seen(PEER, &[&plain], &[]), "198.51.100.7");
            prop_assert_eq!(seen(PEER, &[], &[&standard]), "198.51.100.7");
        }
    }
}
