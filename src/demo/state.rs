//! The state directory: everything the demo leaves on disk.
//!
//! In: a path, contents. Out: files that only their owner can read. It must never leave a secret readable to
//! others, nor overwrite a configuration that it did not write.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Error;
use crate::model::secret::Token;

/// A directory that exists and belongs to the demo.
pub(super) struct State {
    directory: PathBuf,
}

impl State {
    /// Opens `directory`, made with mode 0700 if it is not there.
    pub(super) fn open(directory: &Path) -> Result<Self, Error> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        let absolute = made.and_then(|()| directory.canonicalize());
        Ok(Self { directory: absolute.map_err(|error| failed(directory, error))? })
    }

    /// The absolute path of a file in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// What a file holds, if it is there.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(contents) => Ok(Some(contents)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(&path, error)),
        }
    }

    /// Writes a file of mode 0600, whole: a reader sees the old one or the new one.
    pub(super) fn write(&self, name: &str, contents: &[u8]) -> Result<(), Error> {
        let (path, draft) = (self.path(name), self.path(&format!("{name}.new")));
        let written = write_private(&draft, contents).and_then(|()| fs::rename(&draft, &path));
        written.map_err(|error| failed(&path, error))
    }

    /// The secret in this file, made if it is not there yet.
    pub(super) fn secret(&self, name: &str) -> Result<String, Error> {
        let kept = self.read(name)?.and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some(secret) = kept.filter(|text| !text.trim().is_empty()) {
            return Ok(secret.trim().into());
        }
        let token = Token::random()?;
        self.write(name, token.reveal().as_bytes())?;
        Ok(token.reveal().into())
    }
}

fn write_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    // A draft that an earlier run left may have another mode, which opening it would keep.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(contents)?;
    file.sync_all()
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::State { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_it_writes_is_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let state = State::open(&parent.path().join("a/b")).unwrap();
        fs::write(state.path("key.new"), "left over").unwrap();
        state.write("key", b"secret").unwrap();
        assert_eq!((mode(&state.directory), mode(&state.path("key"))), (0o700, 0o600));
        assert_eq!(state.read("key").unwrap().unwrap(), b"secret");
        assert!(state.read("other").unwrap().is_none());
    }

    #[test]
    fn a_secret_is_made_once() {
        let directory = tempfile::tempdir().unwrap();
        let state = State::open(directory.path()).unwrap();
        let first = state.secret("token").unwrap();
        assert_eq!(first.len(), 43);
        assert_eq!(state.secret("token").unwrap(), first);
        assert_ne!(state.secret("another").unwrap(), first);
    }

    #[test]
    fn an_error_names_the_path() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        let error = State::open(&file.join("state")).err().unwrap();
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
    }
}
