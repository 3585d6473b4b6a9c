//! Where an audit trail has come to, written down beside it: a trail that was cut back, or written anew, is not taken for what it was.
//! In: the last sealed record, and which trail it is of. Out: a line that only who has the keys can make. Must never take a line for right that was not sealed.

use super::seal::TrailKeys;
use crate::model::chain::{self, Link, Seal, TrailId};
use std::path::{Path, PathBuf};

/// Before what is sealed: no record begins with it.
const PURPOSE: &str = "doorward audit end ";

/// Where a trail has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The last sealed record.
    pub last: Link,
    /// Which trail; not said by versions that gave trails no id.
    pub trail: Option<TrailId>,
}

/// The file that it stands in: `audit.jsonl.end`.
pub fn beside(trail: &Path) -> PathBuf {
    let mut name = trail.as_os_str().to_owned();
    name.push(".end");
    name.into()
}

impl TrailKeys {
    /// The line that says so; all are of one length, so that each is written over the one before.
    pub fn ending(&self, last: &Link, trail: &TrailId) -> Option<String> {
        let end = format!("{:020} {} {trail}", last.number, chain::text(&last.hash));
        let (key, mac) = self.sign(format!("{PURPOSE}{end}").as_bytes())?;
        Some(format!("{end} {key:03} {}\n", chain::text(&mac)))
    }

    /// What it says, where one of the keys made it.
    pub fn ended(&self, line: &str) -> Option<Ended> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let (end, number, hash, trail, key, mac) = match *words {
            [number, hash, trail, key, mac] => (format!("{number} {hash} {trail}"), number, hash, Some(trail), key, mac),
            [number, hash, key, mac] => (format!("{number} {hash}"), number, hash, None, key, mac),
            _ => return None,
        };
        let of = format!("{PURPOSE}{end}");
        let seal = Seal { key: key.parse().ok()?, of: of.as_bytes(), mac: mac.as_bytes() };
        let last = Link { number: number.parse().ok()?, hash: hash.as_bytes().try_into().ok()? };
        (self.verify(&seal) == Some(true)).then(|| Ended { last, trail: trail.and_then(TrailId::parse) })
    }
}
