//! The PROXY protocol, versions 1 and 2, as a receiver: <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>. In: the
//! first bytes of a connection from a trusted proxy. Out: the client's address. Must never read a byte behind the header, nor
//! believe anybody who is not trusted.

use crate::snapshot::Snapshot;
use ppp::{HeaderResult, v1, v2};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// The longest header of version 1, by its specification.
const LONGEST_LINE: usize = 107;
/// The longest header of version 2 that is taken: addresses, and far more extensions than any proxy sends.
const LONGEST: usize = 4096;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many bytes it has; what follows is the client's.
    pub length: usize,
    /// Whose connection it is; `None` where the proxy speaks for itself or does not know (`LOCAL`, `UNKNOWN`).
    pub client: Option<IpAddr>,
}

/// No header, and none that these bytes could become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the connection does not begin with a PROXY header")]
pub struct Malformed;

/// Reads a header at the beginning of `bytes`; `None` as long as it is not whole.
pub fn parse(bytes: &[u8]) -> Result<Option<Header>, Malformed> {
    let Some(length) = length(bytes)? else { return Ok(None) };
    let whole = bytes.get(..length).ok_or(Malformed)?;
    let client = match HeaderResult::parse(whole) {
        HeaderResult::V1(Ok(header)) if header.header.len() == length && whole.ends_with(b"\r\n") => line_client(&header),
        HeaderResult::V2(Ok(header)) => binary_client(&header),
        _ => return Err(Malformed),
    };
    Ok(Some(Header { length, client: client.map(|client| client.to_canonical()) }))
}

/// Where the header ends.
fn length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    if begins(bytes, v2::PROTOCOL_PREFIX) { binary_length(bytes) } else { line_length(bytes) }
}

fn line_length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let end = bytes.iter().take(LONGEST_LINE).position(|byte| *byte == b'\n');
    if !begins(bytes, b"PROXY ") || (end.is_none() && bytes.len() >= LONGEST_LINE) {
        return Err(Malformed);
    }
    Ok(end.map(|end| end + 1))
}

fn binary_length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let Some([high, low]) = bytes.get(14..16) else { return Ok(None) };
    let length = 16 + usize::from(u16::from_be_bytes([*high, *low]));
    match length <= LONGEST {
        true => Ok((bytes.len() >= length).then_some(length)),
        false => Err(Malformed),
    }
}

/// Whether the two agree as far as both go.
fn begins(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.iter().zip(prefix).all(|(byte, expected)| byte == expected)
}

const fn line_client(header: &v1::Header<'_>) -> Option<IpAddr> {
    match header.addresses {
        v1::Addresses::Tcp4(pair) => Some(IpAddr::V4(pair.source_address)),
        v1::Addresses::Tcp6(pair) => Some(IpAddr::V6(pair.source_address)),
        v1::Addresses::Unknown => None,
    }
}

fn binary_client(header: &v2::Header<'_>) -> Option<IpAddr> {
    match (header.command, header.protocol, header.addresses) {
        (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::IPv4(pair)) => Some(IpAddr::V4(pair.source_address)),
        (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::IPv6(pair)) => Some(IpAddr::V6(pair.source_address)),
        _ => None,
    }
}

/// Whose connection this is. Takes the header off the stream where one must be there.
pub(super) async fn client(stream: &mut TcpStream, peer: IpAddr, snapshot: &Snapshot) -> io::Result<IpAddr> {
    let peer = peer.to_canonical();
    if !snapshot.entrance.proxy_protocol || !snapshot.trusts(peer) {
        return Ok(peer);
    }
    let header = take(stream).await.inspect_err(|error| {
        if error.kind() == ErrorKind::InvalidData {
            tracing::warn!(%peer, "a trusted proxy sent no PROXY header: is it configured to?");
        }
    })?;
    Ok(header.client.unwrap_or(peer))
}

/// Looks at what has arrived before it takes any of it: what stands behind the header stays in the socket.
async fn take(stream: &mut TcpStream) -> io::Result<Header> {
    let mut buffer = vec![0; LONGEST];
    let mut taken = 0;
    loop {
        let seen = taken + stream.peek(buffer.get_mut(taken..).unwrap_or_default()).await?;
        let whole = parse(buffer.get(..seen).unwrap_or_default()).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let end = whole.map_or(seen, |header| header.length);
        if end == taken {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        stream.read_exact(buffer.get_mut(taken..end).unwrap_or_default()).await?;
        taken = end;
        if let Some(header) = whole {
            return Ok(header);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    /// A header of version 2: command, family and transport, what follows the length.
    fn binary(command: u8, kind: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [v2::PROTOCOL_PREFIX, &[0x20 | command, kind], &length, rest].concat()
    }

    fn inet() -> Vec<u8> {
        vec![192, 0, 2, 7, 10, 0, 0, 1, 0x12, 0x34, 1, 187]
    }

    fn inet6(client: &str) -> Vec<u8> {
        let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
        [&address(client)[..], &address("fd00::1"), &[0x12, 0x34, 1, 187]].concat()
    }

    fn client(bytes: &[u8]) -> Result<Option<String>, Malformed> {
        let header = parse(bytes)?.unwrap();
        assert_eq!(header.length, bytes.len());
        Ok(header.client.map(|client| client.to_string()))
    }

    #[test]
    fn the_client_is_the_source_of_the_header() {
        let cases: [(Vec<u8>, Option<&str>); 12] = [
            (b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n".into(), Some("192.0.2.7")),
            (b"PROXY TCP6 2001:db8::7 fd00::1 4711 443\r\n".into(), Some("2001:db8::7")),
            (b"PROXY TCP6 ::ffff:192.0.2.7 fd00::1 4711 443\r\n".into(), Some("192.0.2.7")),
            (b"PROXY UNKNOWN\r\n".into(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n".into(), None),
            (binary(1, 0x11, &inet()), Some("192.0.2.7")),
            (binary(1, 0x21, &inet6("2001:db8::7")), Some("2001:db8::7")),
            (binary(1, 0x21, &inet6("::ffff:192.0.2.7")), Some("192.0.2.7")),
            (binary(1, 0x11, &[&inet()[..], &[0x04, 0, 1, 0], &[0; 500]].concat()), Some("192.0.2.7")),
            (binary(0, 0x00, b""), None),
            (binary(0, 0x11, &inet()), None),
            (binary(1, 0x31, &[b'/'; 216]), None),
        ];
        for (bytes, expected) in cases {
            assert_eq!(client(&bytes), Ok(expected.map(str::to_owned)), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let cases: [&[u8]; 20] = [
            b"GET / HTTP/1.1\r\n",
            b"\x16\x03\x01\x02\x00\x01",
            b"proxy TCP4 192.0.2.7 10.0.0.1 4711 443\r\n",
            b" PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443 1\r\n",
            b"PROXY TCP4 192.0.2.7  10.0.0.1 4711 443\r\n",
            b"PROXY TCP4 192.0.2.07 10.0.0.1 4711 443\r\n",
            b"PROXY TCP4 192.0.2 10.0.0.1 4711 443\r\n",
            b"PROXY TCP4 2001:db8::7 fd00::1 4711 443\r\n",
            b"PROXY TCP6 192.0.2.7 10.0.0.1 4711 443\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 65536\r\n",
            b"PROXY UDP4 192.0.2.7 10.0.0.1 4711 443\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\n",
            b"PROXY UNKNOWN 192.0.2.7 \n",
            b"PROXY TCP4 192.0.2.7\r10.0.0.1 4711 443\r\n",
            b"PROXY\r\n",
            b"PROXY \xff\xfe\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x11\x11\x00\x00",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x04\x01\x02\x03\x04",
        ];
        for bytes in cases {
            assert_eq!(parse(bytes), Err(Malformed), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn a_header_has_bounds() {
        let endless = [&b"PROXY UNKNOWN "[..], &[b'x'; LONGEST_LINE]].concat();
        assert_eq!(parse(&endless), Err(Malformed));
        assert_eq!(parse(&binary(1, 0x11, &[0; LONGEST])[..20]), Err(Malformed), "the length alone is enough");
        let largest = [inet(), vec![0; LONGEST - 16 - 12]].concat();
        assert!(client(&binary(1, 0x11, &largest)).unwrap().is_some());
    }

    #[test]
    fn a_part_of_a_header_is_waited_for_and_what_follows_it_is_left_alone() {
        for whole in [b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n".to_vec(), binary(1, 0x11, &inet())] {
            for end in 0..whole.len() {
                assert_eq!(parse(&whole[..end]), Ok(None), "{end}");
            }
            let followed = [&whole[..], b"\x16\x03\x01\r\n"].concat();
            assert_eq!(parse(&followed).unwrap().unwrap().length, whole.len());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_read_too_far(head in 0..3usize, tail: Vec<u8>) {
            let start: &[u8] = [&b"PROXY TCP4 1.2.3.4"[..], v2::PROTOCOL_PREFIX, b""][head];
            let bytes = [start, &tail].concat();
            if let Ok(Some(header)) = parse(&bytes) {
                prop_assert!(header.length <= bytes.len() && header.length <= LONGEST);
            }
        }
    }
}
