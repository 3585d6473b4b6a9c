//! Every way in which an app could read a path. In: the path as it was sent. Out: its readings. Must never leave one out that a
//! common backend would choose.

use super::Error;
use std::sync::Arc;

/// The other readings of a path that is not plain. No reading may leave the path or cut it short: dot segments, control
/// characters and broken escapes are refused; a plain path has no others.
pub(super) fn others(path: &str) -> Result<Option<Arc<[String]>>, Error> {
    if !path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\') {
        return Err(Error::Ambiguous);
    }
    if is_plain(path) {
        return Ok(None);
    }
    let readings = readings(path).filter(|readings| readings.iter().all(|reading| is_contained(reading)));
    readings.map(|readings| Some(readings.into())).ok_or(Error::Ambiguous)
}

pub(super) fn is_contained(reading: &str) -> bool {
    let dots = |segment: &str| segment == "." || segment == "..";
    reading.starts_with('/') && !reading.split('/').any(dots) && !reading.chars().any(char::is_control)
}

/// Every reading of a path that is not plain (see `Target::readings`).
fn readings(path: &str) -> Option<Vec<String>> {
    let mut all = vec![];
    // A slash that was escaped may stay a character of its segment, or become a separator.
    all.extend(texts(decode(&path.replace("%2f", "%252F").replace("%2F", "%252F"))?));
    let mut decoded = decode(path)?;
    // What is still escaped after one decoding is read once more by apps behind a second decoder.
    for _ in 0..DECODERS {
        if is_overlong(&decoded) {
            return None;
        }
        all.extend(texts(decoded.clone()));
        let again = decode_loosely(&decoded);
        if again == decoded {
            let loose: Vec<String> = all.iter().flat_map(|reading| loosened(reading)).collect();
            all.extend(loose);
            all.dedup();
            return Some(all);
        }
        decoded = again;
    }
    None
}

/// How many decoders may stand one behind the other; what is escaped more often than that means no good.
const DECODERS: usize = 4;

/// Whether a character is written with more bytes than it needs (RFC 3629, section 3): how dots and slashes hide.
fn is_overlong(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| matches!(two, [0xC0 | 0xC1, 0x80..=0xBF] | [0xE0, 0x80..=0x9F] | [0xF0, 0x80..=0x8F]))
}

/// The bytes as text: UTF-8, or what lenient and Latin-1 apps would make of them.
fn texts(bytes: Vec<u8>) -> Vec<String> {
    String::from_utf8(bytes).map_or_else(
        |error| {
            vec![String::from_utf8_lossy(error.as_bytes()).into_owned(), error.as_bytes().iter().copied().map(char::from).collect()]
        },
        |text| vec![text],
    )
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
    let cut = slashes.split(['?', '#']).next().unwrap_or("").to_owned();
    let bare = [without_parameters(&slashes), without_parameters(&cut)];
    let all: Vec<String> = [slashes, cut].into_iter().chain(bare).collect();
    let squeezed: Vec<String> = all.iter().map(|reading| squeeze(reading)).collect();
    all.into_iter().chain(squeezed).filter(|other| other != reading).collect()
}

fn without_parameters(reading: &str) -> String {
    reading.split('/').map(|segment| segment.split(';').next().unwrap_or("")).collect::<Vec<_>>().join("/")
}

fn squeeze(reading: &str) -> String {
    let trailing = if reading.ends_with('/') { "/" } else { "" };
    let segments: Vec<&str> = reading.split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.is_empty() { "/".to_owned() } else { format!("/{}{trailing}", segments.join("/")) }
}

/// Percent-decoding (RFC 3986, section 2.1); `None` where an escape is broken.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut decoded = Vec::with_capacity(text.len());
    while let Some(b) = bytes.next() {
        decoded.push(if b == b'%' { hex(bytes.next()?)? << 4 | hex(bytes.next()?)? } else { b });
    }
    Some(decoded)
}

/// Percent-decoding as lenient decoders do it: what is no escape stays as it is.
fn decode_loosely(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, others)) = rest.split_first() {
        let escape = if *first == b'%' { others.first_chunk::<2>() } else { None };
        let escaped = escape.and_then(|[high, low]| Some(hex(*high)? << 4 | hex(*low)?));
        decoded.push(escaped.unwrap_or(*first));
        rest = escaped.and_then(|_| others.get(2..)).unwrap_or(others);
    }
    decoded
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
