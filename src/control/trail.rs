//! The audit trail as files: the one that is written, and those that were put aside. In: a path. Out: all of them in their order, and
//! whether their chain is whole. Must never change one.

pub mod verify;

pub use verify::{Fault, Place, Report, Verifier, Wrong};

use crate::model::chain::Chained;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::MetadataExt as _;
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

/// A file that is read as it was when it was found, also where it is put aside meanwhile.
pub struct Source {
    /// Its name, then.
    pub path: PathBuf,
    /// Where it is the one that is written.
    file: Option<File>,
}

impl From<PathBuf> for Source {
    fn from(path: PathBuf) -> Self {
        Self { path, file: None }
    }
}

impl Source {
    /// To be read from its beginning.
    pub fn open(&self) -> io::Result<File> {
        self.file.as_ref().map_or_else(|| File::open(&self.path), File::try_clone)
    }
}

/// The same as [`files`], none of which gets lost between two looks.
pub fn sources(path: &Path) -> io::Result<Vec<Source>> {
    loop {
        let mut written = open_if_there(path)?;
        let found = match files(path) {
            // It was put aside, or thrown away, while it was looked at.
            Err(error) if error.kind() == io::ErrorKind::NotFound && written.is_some() => continue,
            found => found?,
        };
        let now = open_if_there(path)?;
        if identity(written.as_ref())? == identity(now.as_ref())? {
            let source = |found: PathBuf| Source { file: if found == path { written.take() } else { None }, path: found };
            return Ok(found.into_iter().map(source).collect());
        }
    }
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}

fn identity(file: Option<&File>) -> io::Result<Option<(u64, u64)>> {
    file.map(|file| file.metadata().map(|metadata| (metadata.dev(), metadata.ino()))).transpose()
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
