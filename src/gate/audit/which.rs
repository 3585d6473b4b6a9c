//! Which trail a file is of. In: a file. Out: what its first sealed record says. Must never believe one that none of our keys has
//! sealed, nor read what is no file to its end.

use crate::model::chain::{Chained, TrailId};
use crate::store::seal::TrailKeys;
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

/// Every file begins with a sealed record, behind what may have broken off or was there before the chain.
const HEAD: u64 = 64 << 10;

/// What a sealed record says of its trail.
#[derive(Deserialize)]
struct Said<'a> {
    trail: Option<&'a str>,
}

/// The trail of a file, and the number of the record that says so.
pub(super) fn trail(path: &Path, keys: &TrailKeys) -> io::Result<Option<(u64, TrailId)>> {
    if !fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    for line in BufReader::new(File::open(path)?.take(HEAD)).split(b'\n') {
        let line = line?;
        if let Some(found) = Chained::parse(&line).and_then(|record| said(&line, record, keys)) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn said(line: &[u8], record: Chained<'_>, keys: &TrailKeys) -> Option<(u64, TrailId)> {
    let trail = TrailId::parse(serde_json::from_slice::<Said<'_>>(line).ok()?.trail?)?;
    (keys.verify(&record.seal?) == Some(true)).then_some((record.number, trail))
}
