//! The files that a configuration names. In: names as they are written. Out: their bytes, and a list of what was read
//! with its digests, so that a reload can tell what has changed. Must never print what it read.

use crate::model::TokenHash;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// No file of a configuration is larger than this many bytes.
const LARGEST: u64 = 16 << 20;

/// Every file that a configuration was made from, with the digest of what was in it (`None`: it could not be read).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched(BTreeMap<PathBuf, Option<TokenHash>>);

impl Watched {
    /// The files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }

    /// Whether any of them has other contents now.
    pub fn has_changed(&self) -> bool {
        self.0.iter().any(|(path, digest)| digest_of(&contents(path)) != *digest)
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
        self.watched.0.insert(path, digest_of(&contents));
        contents
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
    let mut bytes = Vec::new();
    File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 16 MiB"));
    }
    Ok(bytes)
}

fn digest_of(contents: &io::Result<Vec<u8>>) -> Option<TokenHash> {
    contents.as_ref().ok().map(|bytes| TokenHash::of(bytes))
}
