//! The audit file, which several processes may write for a moment, and which may be put aside at any time, by us or by others
//! (logrotate). In: bytes. Out: the same at the end of the file that has its name now. Must never write where another process is
//! writing, never write over what is there, and never let the chain begin anew where it could go on.

use crate::model::chain::{Hex, Link, hash};
use crate::snapshot::rotation::Rotation;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The file that has the name now.
pub(super) struct TrailFile {
    path: PathBuf,
    file: File,
    /// How long it was when we let go of it; otherwise, somebody else has written.
    length: u64,
    rotation: Option<Rotation>,
}

/// What stands behind the last record and is none: the beginning of a line, of somebody who was interrupted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Strange {
    pub(super) bytes: usize,
    pub(super) hash: Hex,
    /// It has no line feed at its end.
    pub(super) breaks_off: bool,
}

/// How far back the last record is looked for: first, and at most.
const BACK: (u64, u64) = (64 << 10, 4 << 20);

impl TrailFile {
    /// Opens it, or makes it for the owner alone.
    pub(super) fn open(path: &Path, rotation: Option<Rotation>) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), file: open(path)?, length: 0, rotation })
    }

    /// Waits until nobody else writes, in the file that has the name then; `link` becomes the last record.
    pub(super) fn take_hold(&mut self, link: &mut Link) -> io::Result<Option<Strange>> {
        let mut strange = None;
        loop {
            where_there_are_locks(self.file.lock())?;
            strange = self.catch_up(link)?.or(strange);
            if self.has_its_name()? {
                return Ok(strange);
            }
            // It was put aside. The one before is let go of when it is closed.
            (self.file, self.length) = (open(&self.path)?, 0);
        }
    }

    /// Lets others write.
    pub(super) fn release(&mut self) -> io::Result<()> {
        self.length = self.file.metadata()?.len();
        self.file.unlock()
    }

    /// Whether it is time to put it aside.
    pub(super) fn is_full(&self) -> bool {
        self.rotation.is_some_and(|rotation| self.length >= rotation.size)
    }

    /// Whether nothing is in it yet.
    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Puts it aside under the number of its last record: what has its name is to be taken hold of anew.
    pub(super) fn rotate(&mut self, last: u64) -> io::Result<()> {
        let name = named(&self.path, &last.to_string());
        if name.exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there", name.display())));
        }
        let renamed = fs::rename(&self.path, name);
        if renamed.is_err() {
            // It goes on as it is, without a try at every record.
            self.rotation = None;
        }
        renamed.and_then(|()| self.remove_old())
    }

    /// Removes the oldest of those that were put aside.
    fn remove_old(&self) -> io::Result<()> {
        let Some(keep) = self.rotation.and_then(|rotation| rotation.keep) else { return Ok(()) };
        let mut ours: Vec<(u64, PathBuf)> = beside(&self.path)?
            .into_iter()
            .filter_map(|(suffix, path)| Some((suffix.strip_prefix('.')?.parse().ok()?, path)))
            .collect();
        ours.sort_unstable();
        let old = ours.len().saturating_sub(keep);
        ours.iter().take(old).try_for_each(|(_, path)| fs::remove_file(path))
    }

    /// Finds the last record, where somebody else has written since.
    fn catch_up(&mut self, link: &mut Link) -> io::Result<Option<Strange>> {
        let length = self.file.metadata()?.len();
        let is_known = length == std::mem::replace(&mut self.length, length);
        if length == 0 {
            // Another may have put the one before aside, and be about to write here.
            *link = self.aside()?.into_iter().chain([*link]).max_by_key(|last| last.number).unwrap_or(*link);
        }
        if is_known || length == 0 {
            return Ok(None);
        }
        let (last, strange) = end(&self.file, length)?;
        let is_new = last.is_none() && *link == Link::START;
        *link = last.unwrap_or(*link);
        // A trail of old, without a chain, that ends with a whole line.
        Ok(strange.filter(|strange| strange.breaks_off || !is_new))
    }

    /// The last records of those that were put aside, by us or by others.
    fn aside(&self) -> io::Result<Vec<Link>> {
        let mut found = Vec::new();
        for (_, path) in beside(&self.path)? {
            // What can't be read is not ours to judge.
            let Ok(file) = File::open(&path) else { continue };
            let metadata = file.metadata()?;
            // It would wait for itself.
            if metadata.is_file() && !self.is(&metadata)? {
                // Whoever has it still may be writing.
                where_there_are_locks(file.lock_shared())?;
                found.extend(end(&file, file.metadata()?.len())?.0);
            }
        }
        Ok(found)
    }

    fn is(&self, other: &Metadata) -> io::Result<bool> {
        let own = self.file.metadata()?;
        Ok((own.dev(), own.ino()) == (other.dev(), other.ino()))
    }

    fn has_its_name(&self) -> io::Result<bool> {
        match fs::metadata(&self.path) {
            Ok(named) => self.is(&named),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Write for TrailFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.file.write(bytes)? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            written => Ok(written),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Some file systems have none: there, one process must write alone.
fn where_there_are_locks(locked: io::Result<()>) -> io::Result<()> {
    locked.or_else(|error| if error.kind() == io::ErrorKind::Unsupported { Ok(()) } else { Err(error) })
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}

fn named(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// The files beside this one whose names begin with its own and go on with `.` or `-`, by what they go on with.
fn beside(path: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let other = entry.file_name().to_string_lossy().into_owned();
        if let Some(suffix) = other.strip_prefix(&name).filter(|suffix| suffix.starts_with(['.', '-'])) {
            found.push((suffix.to_owned(), entry.path()));
        }
    }
    Ok(found)
}

/// The last record of a file, and what stands behind it.
fn end(file: &File, length: u64) -> io::Result<(Option<Link>, Option<Strange>)> {
    let (mut back, most) = BACK;
    loop {
        let begin = length.saturating_sub(back);
        let mut bytes = vec![0; usize::try_from(length - begin).unwrap_or(0)];
        file.read_exact_at(&mut bytes, begin)?;
        let found = last_record(&bytes, begin == 0);
        if found.0.is_some() || begin == 0 || back >= most {
            return Ok(found);
        }
        back = most;
    }
}

/// `is_whole`: the first line is whole, too.
fn last_record(bytes: &[u8], is_whole: bool) -> (Option<Link>, Option<Strange>) {
    let mut feeds = memchr::memrchr_iter(b'\n', bytes).peekable();
    while let Some(end) = feeds.next() {
        let begin = feeds.peek().map(|before| before + 1).or(is_whole.then_some(0));
        let line = begin.and_then(|begin| bytes.get(begin..end));
        if let Some(link) = line.and_then(Link::of) {
            return (Some(link), strange(bytes.get(end + 1..).unwrap_or_default()));
        }
    }
    (None, strange(bytes))
}

fn strange(bytes: &[u8]) -> Option<Strange> {
    (!bytes.is_empty()).then(|| Strange { bytes: bytes.len(), hash: hash(bytes), breaks_off: !bytes.ends_with(b"\n") })
}
