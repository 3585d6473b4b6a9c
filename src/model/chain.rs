//! The chain of the audit trail: each record has its number and the SHA-256 of the record before it. In: records, objects of JSON.
//! Out: lines with both at their end, and what stands at the end of lines that are read back. Must never look for the chain anywhere
//! but at the very end of a line: what clients send stands before it.

use super::secret::{NoRandomness, random};
use aws_lc_rs::digest::{Context, SHA256, digest};
use std::fmt;

/// A SHA-256, or a seal, in hexadecimal digits.
pub type Hex = [u8; 64];

const NUMBER: &[u8] = b",\"seq\":";
const BEFORE: &[u8] = b",\"prev\":\"";
const KEY: &[u8] = b",\"key\":";
const MAC: &[u8] = b",\"mac\":\"";

/// The last record of a chain: what the next one goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number; 0 before the first.
    pub number: u64,
    /// The hash of its line.
    pub hash: Hex,
}

/// The end of a line that is a record of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chained<'a> {
    /// Its number.
    pub number: u64,
    /// The hash of the line before it.
    pub before: &'a [u8],
    /// Where it vouches for all that stands before it.
    pub seal: Option<Seal<'a>>,
}

/// What only who has the key can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal<'a> {
    /// Which key.
    pub key: u8,
    /// What it is made of: the line up to it.
    pub of: &'a [u8],
    /// The seal itself.
    pub mac: &'a [u8],
}

/// Names one trail among all of a store, in the records that are sealed: what is sealed for one is nothing in another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrailId(Box<str>);

impl TrailId {
    /// Of a trail that begins.
    pub fn random() -> Result<Self, NoRandomness> {
        let hex = hex(&random::<16>()?);
        Ok(Self(text(hex.get(..32).unwrap_or_default()).into()))
    }

    /// As it is written: 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let is_right = text.len() == 32 && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
        is_right.then(|| Self(text.into()))
    }
}

impl fmt::Display for TrailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Link {
    /// Before the first record.
    pub const START: Self = Self { number: 0, hash: [b'0'; 64] };

    /// The record of this line.
    pub fn of(line: &[u8]) -> Option<Self> {
        Some(Self { number: Chained::parse(line)?.number, hash: hash(line) })
    }

    /// The record of this line, where it goes on from this one.
    pub fn next(&self, line: &[u8]) -> Option<Self> {
        let record = Chained::parse(line)?;
        let goes_on = self.number.checked_add(1) == Some(record.number) && record.before == self.hash;
        goes_on.then(|| Self { number: record.number, hash: hash(line) })
    }

    /// Writes a record as the next line of the chain.
    pub fn append(&mut self, to: &mut Vec<u8>, record: &[u8]) {
        self.append_with(to, record, None::<fn(&[u8]) -> (u8, Hex)>);
    }

    /// The same with a seal: `seal` makes it, with the number of its key, from the line up to it.
    pub fn append_sealed(&mut self, to: &mut Vec<u8>, record: &[u8], seal: impl FnOnce(&[u8]) -> (u8, Hex)) {
        self.append_with(to, record, Some(seal));
    }

    fn append_with(&mut self, to: &mut Vec<u8>, record: &[u8], seal: Option<impl FnOnce(&[u8]) -> (u8, Hex)>) {
        let begin = to.len();
        let number = self.number.saturating_add(1);
        to.extend_from_slice(record.strip_suffix(b"}").unwrap_or(record));
        to.extend_from_slice(NUMBER);
        to.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        to.extend_from_slice(BEFORE);
        to.extend_from_slice(&self.hash);
        to.push(b'"');
        if let Some(seal) = seal {
            let (key, mac) = seal(to.get(begin..).unwrap_or_default());
            to.extend_from_slice(KEY);
            to.extend_from_slice(itoa::Buffer::new().format(key).as_bytes());
            to.extend_from_slice(MAC);
            to.extend_from_slice(&mac);
            to.push(b'"');
        }
        to.push(b'}');
        *self = Self { number, hash: hash(to.get(begin..).unwrap_or_default()) };
        to.push(b'\n');
    }
}

impl<'a> Chained<'a> {
    /// Reads the end of a line, which comes without its line feed.
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let (rest, last) = quoted(line.strip_suffix(b"}")?)?;
        if let Some(rest) = rest.strip_suffix(BEFORE) {
            return Some(Self { number: numbered(rest, NUMBER)?.1, before: last, seal: None });
        }
        let (of, key) = numbered(rest.strip_suffix(MAC)?, KEY)?;
        let (rest, before) = quoted(of)?;
        let (_, number) = numbered(rest.strip_suffix(BEFORE)?, NUMBER)?;
        Some(Self { number, before, seal: Some(Seal { key: u8::try_from(key).ok()?, of, mac: last }) })
    }
}

/// 64 hexadecimal digits before a quotation mark, and what stands before them.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.strip_suffix(b"\"")?;
    let (rest, hex) = text.split_at_checked(text.len().checked_sub(64)?)?;
    hex.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f')).then_some((rest, hex))
}

/// A number behind its key, written as we write it, and what stands before the key.
fn numbered<'a>(text: &'a [u8], key: &[u8]) -> Option<(&'a [u8], u64)> {
    let begin = text.iter().rposition(|byte| !byte.is_ascii_digit())?.checked_add(1)?;
    let (rest, digits) = text.split_at_checked(begin)?;
    let number: u64 = str::from_utf8(digits).ok()?.parse().ok()?;
    let as_written = digits.len() == itoa::Buffer::new().format(number).len();
    Some((rest.strip_suffix(key).filter(|_| as_written)?, number))
}

/// The SHA-256 of a line without its line feed.
pub fn hash(line: &[u8]) -> Hex {
    hex(digest(&SHA256, line).as_ref())
}

/// The SHA-256 of what is no record, piece by piece.
#[derive(Clone)]
pub struct Running {
    /// All but the last byte.
    context: Context,
    last: Option<u8>,
}

impl Default for Running {
    fn default() -> Self {
        Self { context: Context::new(&SHA256), last: None }
    }
}

impl Running {
    /// Takes more of it in.
    pub fn update(&mut self, bytes: &[u8]) {
        let Some((last, rest)) = bytes.split_last() else { return };
        if let Some(before) = self.last.replace(*last) {
            self.context.update(&[before]);
        }
        self.context.update(rest);
    }

    /// Of all of it.
    pub fn finish(&self) -> Hex {
        self.but(|_| false)
    }

    /// Of all of it but the line feed at its end.
    pub fn without_feed(&self) -> Hex {
        self.but(|last| last == b'\n')
    }

    fn but(&self, is_left_out: impl FnOnce(u8) -> bool) -> Hex {
        let mut context = self.context.clone();
        if let Some(last) = self.last.filter(|last| !is_left_out(*last)) {
            context.update(&[last]);
        }
        hex(context.finish().as_ref())
    }
}

/// 32 bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> Hex {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let mut text = [b'0'; 64];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        for (to, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
            *to = digit(nibble);
        }
    }
    text
}

/// As a text.
pub fn text(hex: &[u8]) -> &str {
    str::from_utf8(hex).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_line_says_its_number_and_the_hash_of_the_line_before_it() {
        let (mut link, mut text) = (Link::START, Vec::new());
        link.append(&mut text, br#"{"a":1}"#);
        let first = link;
        link.append_sealed(&mut text, br#"{"b":2}"#, |of| (7, hash(of)));
        let lines: Vec<&[u8]> = text.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').collect();
        let [one, two] = <[&[u8]; 2]>::try_from(lines).unwrap();
        assert_eq!((Link::of(one), Link::of(two)), (Some(first), Some(link)));
        let read = [one, two].map(|line| Chained::parse(line).unwrap());
        assert_eq!(
            read.map(|read| (read.number, read.before.to_vec())),
            [(1, Link::START.hash.to_vec()), (2, first.hash.to_vec())]
        );
        let seal = read.last().unwrap().seal.unwrap();
        assert_eq!((seal.key, seal.mac), (7, &hash(seal.of)[..]));
        assert!([one, two].into_iter().all(|line| serde_json::from_slice::<serde_json::Value>(line).is_ok()));
    }

    #[test]
    fn what_a_client_sent_is_never_taken_for_the_chain() {
        let forged = r#"/x","seq":9,"prev":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}"#;
        let record = serde_json::json!({ "path": forged }).to_string();
        let (mut link, mut text) = (Link::START, Vec::new());
        link.append(&mut text, record.as_bytes());
        assert_eq!(Chained::parse(text.strip_suffix(b"\n").unwrap()).unwrap().number, 1);
        let zeros = "0".repeat(64);
        for line in [
            String::new(),
            "}".to_owned(),
            record,
            format!(r#"{{"seq":1,"prev":"{zeros}"}}"#),
            format!(r#"{{"a":1,"seq":01,"prev":"{zeros}"}}"#),
            format!(r#"{{"a":1,"seq":-1,"prev":"{zeros}"}}"#),
            format!(r#"{{"a":1,"seq":1,"prev":"{zeros}"}} "#),
            format!(r#"{{"a":1,"seq":1,"prev":"{}"}}"#, "A".repeat(64)),
            format!(r#"{{"a":1,"seq":1,"prev":"{zeros}","key":256,"mac":"{zeros}"}}"#),
        ] {
            assert_eq!(Chained::parse(line.as_bytes()), None, "{line}");
        }
    }
}
