//! The files that a configuration names. In: names as they are written. Out: their bytes, and a list of what was read
//! with its digests, so that a reload can tell what has changed. Must never print what it read.

use crate::model::TokenHash;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// No file of a configuration is larger than this many bytes.
const LARGEST: u64 = 16 << 20;

/// A database of addresses is no larger.
const LARGEST_DATABASE: u64 = 512 << 20;

/// Every file that a configuration was made from, and how to tell that it has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched(BTreeMap<PathBuf, Mark>);

/// What a change shows in.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    /// The digest of what is in a file (`None`: it could not be read).
    Contents(Option<TokenHash>),
    /// Of a file that is too large to be read time and again: its size, when it was written, and its number.
    Stamp(Option<(u64, i64, i64, u64)>),
    /// The names in a directory.
    Names(Vec<OsString>),
}

impl Mark {
    /// The same of what is there now.
    fn now(&self, path: &Path) -> Self {
        match self {
            Self::Contents(_) => Self::Contents(digest_of(&contents(path))),
            Self::Stamp(_) => Self::Stamp(stamp(path)),
            Self::Names(_) => Self::Names(names(path).unwrap_or_default()),
        }
    }
}

fn stamp(path: &Path) -> Option<(u64, i64, i64, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.mtime(), metadata.mtime_nsec(), metadata.ino()))
}

fn names(directory: &Path) -> io::Result<Vec<OsString>> {
    let mut names =
        std::fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

impl Watched {
    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Whether any of them has other contents now.
    pub fn has_changed(&self) -> bool {
        self.0.iter().any(|(path, mark)| mark.now(path) != *mark)
    }
}

/// Reads files beside the configuration.
#[derive(Debug)]
pub(super) struct Sources {
    directory: PathBuf,
    watched: Watched,
}

impl Sources {
    /// Names are relative to the directory of this file.
    pub(super) fn beside(configuration: &Path) -> io::Result<Self> {
        let path = std::path::absolute(configuration)?;
        let directory = path.parent().unwrap_or(Path::new("/")).to_owned();
        Ok(Self { directory, watched: Watched::default() })
    }

    /// Where the file of this name is.
    pub(super) fn resolve(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.join(name)
    }

    /// What is in it.
    pub(super) fn read(&mut self, name: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let path = self.resolve(name);
        let contents = contents(&path);
        self.watched.0.insert(path, Mark::Contents(digest_of(&contents)));
        contents
    }

    /// The same of a file that may be large.
    pub(super) fn read_large(&mut self, name: impl AsRef<Path>) -> io::Result<Vec<u8>> {
        let path = self.resolve(name);
        let mark = Mark::Stamp(stamp(&path));
        let contents = contents_up_to(&path, LARGEST_DATABASE);
        self.watched.0.insert(path, mark);
        contents
    }

    /// The names of the files that a pattern with `*` in its last part stands for, in order; itself where it has none.
    pub(super) fn matching(&mut self, pattern: &str) -> io::Result<Vec<String>> {
        let (folder, last) = pattern.rsplit_once('/').map_or(("", pattern), |(folder, last)| (folder, last));
        let Some((before, behind)) = last.split_once('*') else { return Ok(vec![pattern.to_owned()]) };
        let directory = self.resolve(folder);
        let names = names(&directory)?;
        self.watched.0.insert(directory, Mark::Names(names.clone()));
        let fits = |name: &&str| name.len() >= before.len() + behind.len() && name.starts_with(before) && name.ends_with(behind);
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        Ok(names.iter().filter_map(|name| name.to_str()).filter(fits).map(|name| format!("{prefix}{name}")).collect())
    }

    /// Whether people outside the file's owner and group can read it.
    pub(super) fn is_open_to_all(&self, name: impl AsRef<Path>) -> bool {
        std::fs::metadata(self.resolve(name)).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
    }

    /// All that was read, also in vain.
    pub(super) fn into_watched(self) -> Watched {
        self.watched
    }
}

fn contents(path: &Path) -> io::Result<Vec<u8>> {
    contents_up_to(path, LARGEST)
}

fn contents_up_to(path: &Path, largest: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(largest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > largest {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {} MiB", largest >> 20)));
    }
    Ok(bytes)
}

fn digest_of(contents: &io::Result<Vec<u8>>) -> Option<TokenHash> {
    contents.as_ref().ok().map(|bytes| TokenHash::of(bytes))
}
