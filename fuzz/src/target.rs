//! `gate::target::read`: whatever it accepts names one host, means one path to every decoder, and reaches the app byte for byte.

use crate::request;
use crate::strict;
use doorward::gate::target;

/// Checks one input; panics where something does not hold.
pub fn check(bytes: &[u8]) {
    let Some(mut asked) = request::read(bytes) else { return };
    let Ok(target) = target::read(&asked) else { return };

    let path = target.path_and_query().as_str();
    assert!(path.starts_with('/') && path.is_ascii());
    assert_eq!(asked.uri().path_and_query().map(|path| path.as_str()), Some(path));
    assert_eq!(target::origin_form(&target, None).unwrap().to_string(), path);
    assert!(target.readings().count() >= 1 && target.readings().all(is_contained), "{path}");
    for decoded in decodings(target.path()) {
        assert!(is_contained(&decoded), "{path} is {decoded} to somebody");
    }

    let host = target.host();
    assert!(!host.is_empty() && host.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.')));
    let port = target.authority().strip_prefix(host).unwrap();
    assert!(port.is_empty() || port.strip_prefix(':').unwrap().parse::<u16>().is_ok());
    let hosts = asked.headers().get_all("host").iter().map(|value| value.as_bytes().to_ascii_lowercase());
    let named = asked.uri().authority().map(|authority| authority.as_str().to_ascii_lowercase().into_bytes());
    assert!(hosts.chain(named).all(|named| named == target.authority().as_bytes()));

    // As HTTP/1.1 it is one request, and that very one.
    *asked.uri_mut() = target::origin_form(&target, None).unwrap();
    asked.headers_mut().insert("host", target.authority_value().clone());
    let aliases = ["content-length", "transfer-encoding", "host"];
    let names: Vec<_> = asked.headers().keys().cloned().collect();
    for name in names {
        // Those are for the headers to remove.
        if aliases.contains(&&*request::folded(name.as_str())) && !aliases.contains(&name.as_str()) {
            asked.headers_mut().remove(name);
        }
    }
    if asked.headers().get("content-length").is_some_and(|length| length.len() > 3) {
        return;
    }
    let written = request::written(&asked);
    let (read, length) = strict::request(&written).unwrap_or_else(|breach| panic!("{breach}")).expect("a whole request");
    assert_eq!((&*read.target, length), (path, written.len()));
}

fn is_contained(path: &str) -> bool {
    path.starts_with('/')
        && !path.split('/').any(|segment| segment == "." || segment == "..")
        && !path.chars().any(char::is_control)
}

/// What apps make of a path that decode it once or several times, before or after they split it, and drop parameters.
fn decodings(path: &str) -> Vec<String> {
    let mut found = vec![path.to_owned()];
    for _ in 0..5 {
        let last: Vec<u8> = decode(found.last().unwrap().as_bytes());
        found.push(String::from_utf8_lossy(&last).into_owned());
    }
    let slashed: Vec<String> = found.iter().map(|path| path.replace('\\', "/")).collect();
    let bare =
        slashed.iter().map(|path| path.split('/').map(|segment| segment.split(';').next().unwrap()).collect::<Vec<_>>().join("/"));
    let bare: Vec<String> = bare.collect();
    slashed.into_iter().chain(bare).collect()
}

fn decode(bytes: &[u8]) -> Vec<u8> {
    let hex = |b: u8| char::from(b).to_digit(16);
    let (mut decoded, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let escape = (bytes[at] == b'%' && at + 2 < bytes.len()).then(|| hex(bytes[at + 1]).zip(hex(bytes[at + 2]))).flatten();
        match escape {
            Some((high, low)) => decoded.push(u8::try_from(high * 16 + low).unwrap()),
            None => decoded.push(bytes[at]),
        }
        at += if escape.is_some() { 3 } else { 1 };
    }
    decoded
}
