//! The audit trail as files: the one that is written, and those that were put aside. In: a path. Out: all of them in their order, and
//! whether their chain is whole. Must never change one.

pub mod verify;

pub use verify::{Fault, Place, Report, Verifier, Wrong};

use crate::model::chain::Chained;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

/// No record is longer.
const LONGEST: u64 = 16 << 20;

/// The file and those that were put aside of it (`audit.jsonl.1234`), the oldest first.
pub fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let other = entry.file_name().to_string_lossy().into_owned();
        let suffix = other.strip_prefix(&name).and_then(|rest| rest.strip_prefix(['.', '-'])).unwrap_or_default();
        let is_ours = !suffix.is_empty() && suffix.bytes().all(|b| b.is_ascii_digit());
        if is_ours || (!suffix.is_empty() && entry.file_type()?.is_file() && first(&entry.path())?.is_some()) {
            found.push((suffix.parse::<u64>().ok(), path.with_file_name(&other)));
        }
    }
    found.sort();
    let mut found: Vec<PathBuf> = found.into_iter().map(|(_, path)| path).collect();
    if path.exists() || found.is_empty() {
        found.push(path.to_owned());
    }
    in_order(found)
}

/// By the number of the first record; those without a chain are older.
pub fn in_order(files: Vec<PathBuf>) -> io::Result<Vec<PathBuf>> {
    let mut numbered = files.into_iter().map(|path| Ok((first(&path)?, path))).collect::<io::Result<Vec<_>>>()?;
    numbered.sort_by_key(|(number, _)| *number);
    Ok(numbered.into_iter().map(|(_, path)| path).collect())
}

/// The number of a file's first record.
fn first(path: &Path) -> io::Result<Option<u64>> {
    let mut line = Vec::new();
    BufReader::new(File::open(path)?.take(LONGEST)).read_until(b'\n', &mut line)?;
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    Ok(Chained::parse(line).map(|record| record.number))
}
