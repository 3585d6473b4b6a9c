//! Which trail a file is of. In: a file. Out: what one of its sealed records says. Must never believe one that none of our keys has
//! sealed, nor read what is no file to its end.

use crate::model::chain::{Chained, TrailId};
use crate::store::seal::TrailKeys;
use serde::Deserialize;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Every file begins with a sealed record, behind what may have broken off or was there before the chain.
const HEAD: u64 = 64 << 10;
/// How far from its end the last one is looked for where that was more: first, and at most.
const TAILS: [u64; 2] = [64 << 10, 16 << 20];

/// What a sealed record says of its trail.
#[derive(Deserialize)]
struct Said<'a> {
    trail: Option<&'a str>,
}

/// The same of what has this name, where it is a file and can be read.
pub(super) fn named(path: &Path, keys: &TrailKeys) -> Option<(u64, TrailId)> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
    trail(&File::open(path).ok()?, keys).ok().flatten()
}

/// The trail of a file, and the number of the record that says so.
pub(super) fn trail(file: &File, keys: &TrailKeys) -> io::Result<Option<(u64, TrailId)>> {
    let length = file.metadata()?.len();
    let (is_feed, said) = (|byte: &u8| *byte == b'\n', |line: &[u8]| said(line, keys));
    let mut found = part(file, 0, length.min(HEAD))?.split(is_feed).find_map(said);
    for tail in TAILS.into_iter().filter(|_| length > HEAD) {
        if found.is_none() {
            found = part(file, length.saturating_sub(tail), length)?.rsplit(is_feed).find_map(said);
        }
    }
    Ok(found)
}

fn part(file: &File, from: u64, to: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(0)];
    file.read_exact_at(&mut bytes, from)?;
    Ok(bytes)
}

fn said(line: &[u8], keys: &TrailKeys) -> Option<(u64, TrailId)> {
    let record = Chained::parse(line)?;
    let seal = record.seal?;
    let trail = TrailId::parse(serde_json::from_slice::<Said<'_>>(line).ok()?.trail?)?;
    (keys.verify(&seal) == Some(true)).then_some((record.number, trail))
}
