//! The PROXY protocol: a header never reaches behind itself, is waited for byte by byte, and names the client that it names to a
//! reader who takes it apart by hand.

use doorward::gate::listen::proxy::parse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Checks one input; panics where something does not hold.
pub fn check(bytes: &[u8]) {
    let Ok(Some(header)) = parse(bytes) else { return };
    assert!(header.length <= bytes.len() && header.length <= 4096);
    for end in 0..header.length {
        assert_eq!(parse(&bytes[..end]), Ok(None), "{end} of {}", header.length);
    }
    let whole = &bytes[..header.length];
    assert_eq!(parse(whole), Ok(Some(header)));
    let named = if whole.starts_with(b"PROXY ") { by_line(whole) } else { by_bytes(whole) };
    assert_eq!(header.client, named.map(|client| client.to_canonical()), "{:?}", String::from_utf8_lossy(whole));
}

fn by_line(line: &[u8]) -> Option<IpAddr> {
    let line = std::str::from_utf8(line).unwrap().strip_suffix("\r\n").unwrap();
    let parts: Vec<&str> = line.split(' ').collect();
    match parts[..] {
        [_, "TCP4", client, server, from, to] => {
            let ports = from.parse::<u16>().is_ok() && to.parse::<u16>().is_ok();
            assert!(ports && server.parse::<Ipv4Addr>().is_ok());
            Some(client.parse::<Ipv4Addr>().unwrap().into())
        }
        [_, "TCP6", client, server, from, to] => {
            let ports = from.parse::<u16>().is_ok() && to.parse::<u16>().is_ok();
            assert!(ports && server.parse::<Ipv6Addr>().is_ok());
            Some(client.parse::<Ipv6Addr>().unwrap().into())
        }
        [_, "UNKNOWN", ..] => None,
        _ => panic!("{line} was accepted"),
    }
}

fn by_bytes(bytes: &[u8]) -> Option<IpAddr> {
    assert!(bytes.starts_with(b"\r\n\r\n\0\r\nQUIT\n"));
    assert_eq!(usize::from(bytes[14]) << 8 | usize::from(bytes[15]), bytes.len() - 16);
    match (bytes[12], bytes[13]) {
        (0x21, 0x11) => Some(<[u8; 4]>::try_from(&bytes[16..20]).unwrap().into()),
        (0x21, 0x21) => Some(<[u8; 16]>::try_from(&bytes[16..32]).unwrap().into()),
        (0x20 | 0x21, _) => None,
        _ => panic!("{:?} was accepted", &bytes[12..14]),
    }
}
