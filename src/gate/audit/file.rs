//! The audit file, which several processes may write for a moment, and which may be put aside at any time, by us or by others
//! (logrotate). In: bytes. Out: the same at the end of the file that has its name now. Must never write where another process is
//! writing, never write over what is there, and never let the chain begin anew where it could go on.

use super::which;
use crate::model::chain::{Hex, Link, Running, TrailId};
use crate::snapshot::rotation::Rotation;
use crate::store::ending::{self, Ended};
use crate::store::seal::TrailKeys;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The file that has the name now.
pub(super) struct TrailFile {
    path: PathBuf,
    file: File,
    /// How long it was when we let go of it, where we have had hold of it: otherwise, somebody else has written.
    length: u64,
    is_known: bool,
    /// Whether this process has written.
    has_written: bool,
    /// Where the last sealed record is written down. Who writes has its lock; it is the owner's alone, so that nobody who may
    /// only read the trail can keep us from writing.
    end: File,
    rotation: Option<Rotation>,
    /// How long it may become.
    full_at: u64,
}

/// What others have left since.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The first and the last record that another process wrote, or somebody without a key.
    pub(super) others: Option<(u64, u64)>,
    /// The last line has no line feed.
    pub(super) breaks_off: bool,
    /// Behind the last record.
    pub(super) strange: Option<Strange>,
}

/// What is no record: the beginning of a line, of somebody who was interrupted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Strange {
    pub(super) bytes: u64,
    pub(super) hash: Hex,
}

/// How far back the last record is looked for: first, and at most.
const BACK: (u64, u64) = (64 << 10, 4 << 20);
/// In so many of the files that were put aside, the newest.
const ASIDE: usize = 8;
/// No record is longer.
const LONGEST: u64 = 16 << 20;

impl TrailFile {
    /// Opens it, or makes it for the owner alone.
    pub(super) fn open(path: &Path, rotation: Option<Rotation>) -> io::Result<Self> {
        let (beside, full_at) = (ending::beside(path), rotation.map_or(u64::MAX, |rotation| rotation.size));
        let end = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&beside);
        let end = end.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", beside.display())))?;
        Ok(Self {
            path: path.to_owned(),
            file: open(path)?,
            length: 0,
            is_known: false,
            has_written: false,
            end,
            rotation,
            full_at,
        })
    }

    /// The last sealed record that was written down.
    pub(super) fn ended(&self, keys: &TrailKeys) -> io::Result<Option<Ended>> {
        let mut text = [0; 1024];
        let length = self.end.read_at(&mut text, 0)?;
        let ended = keys.ended(&String::from_utf8_lossy(text.get(..length).unwrap_or_default()));
        if ended.is_none() && length > 0 {
            tracing::warn!(
                "what is written down of the audit trail's end is not sealed with a key that is there: it counts for nothing"
            );
        }
        Ok(ended)
    }

    /// Keeps others from writing, in the file that has the name then; `link` becomes the last record, and `trail` is found where it
    /// is not known. An error of the kind `WouldBlock` where another is writing.
    pub(super) fn take_hold(&mut self, link: &mut Link, (trail, keys): (&mut Option<TrailId>, &TrailKeys)) -> io::Result<Found> {
        self.lock()?;
        if trail.is_none() {
            let known = self.ended(keys)?.and_then(|ended| ended.trail);
            *trail = Some(known.map_or_else(|| self.trail(keys), Ok)?);
        }
        let mut found = self.catch_up(link)?;
        while !self.has_its_name()? {
            // It was put aside.
            (self.file, self.length, self.is_known) = (open(&self.path)?, 0, false);
            self.full_at = self.rotation.map_or(u64::MAX, |rotation| rotation.size);
            let here = self.catch_up(link)?;
            let others = found.others.into_iter().chain(here.others).reduce(|(first, _), (_, last)| (first, last));
            found = Found { others, breaks_off: here.breaks_off, strange: here.strange.or(found.strange) };
        }
        Ok(found)
    }

    /// Which trail it is, by the files: a new one where none says so.
    fn trail(&self, keys: &TrailKeys) -> io::Result<TrailId> {
        // What we have open: its name may be gone by now.
        let here = which::trail(&self.file, keys)?;
        // What others have put beside it and can't be read is not ours to judge.
        let others = beside(&self.path)?.into_iter().filter_map(|(_, path)| which::named(&path, keys));
        let last = here.into_iter().chain(others).max_by_key(|(number, _)| *number);
        last.map_or_else(|| TrailId::random().map_err(io::Error::other), |(_, trail)| Ok(trail))
    }

    /// Some file systems have no locks: there, one process must write alone.
    fn lock(&self) -> io::Result<()> {
        match self.end.try_lock() {
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => where_there_are_locks(Err(error)),
            Ok(()) => Ok(()),
        }
    }

    /// Lets others write; what was `sealed` is written down.
    pub(super) fn release(&mut self, sealed: Option<&str>) -> io::Result<()> {
        let written = self.measure().and_then(|()| sealed.map_or(Ok(()), |line| self.end.write_all_at(line.as_bytes(), 0)));
        self.has_written = true;
        written.and(where_there_are_locks(self.end.unlock()))
    }

    fn measure(&mut self) -> io::Result<()> {
        self.is_known = false;
        self.length = self.file.metadata()?.len();
        self.is_known = true;
        Ok(())
    }

    /// Whether it is time to put it aside.
    pub(super) const fn is_full(&self) -> bool {
        self.length >= self.full_at
    }

    /// Whether nothing is in it yet.
    pub(super) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Puts it aside under the number of its last record: what has its name is to be taken hold of anew.
    pub(super) fn rotate(&mut self, last: u64) -> io::Result<()> {
        self.measure()?;
        // Where that fails it goes on as it is, without a try at every record.
        self.full_at = self.length.saturating_add(self.rotation.map_or(u64::MAX, |rotation| rotation.size));
        let name = named(&self.path, &last.to_string());
        if name.exists() {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} is there", name.display())));
        }
        fs::rename(&self.path, &name)?;
        self.remove_old(&name)
    }

    /// Removes the oldest of those that we put aside, and never the one that has just been. Others name theirs with numbers, too.
    fn remove_old(&self, newest: &Path) -> io::Result<()> {
        let Some(keep) = self.rotation.and_then(|rotation| rotation.keep) else { return Ok(()) };
        let mut ours = Vec::new();
        for (suffix, path) in beside(&self.path)? {
            let number = suffix.strip_prefix('.').and_then(|suffix| suffix.parse::<u64>().ok());
            let metadata = fs::symlink_metadata(&path)?;
            if let Some(number) = number.filter(|_| metadata.is_file() && path != newest)
                && end(&File::open(&path)?, metadata.len())?.0.is_some_and(|last| last.number == number)
            {
                ours.push((metadata.modified()?, number, path));
            }
        }
        ours.sort_unstable();
        let old = (ours.len() + 1).saturating_sub(keep);
        ours.iter().take(old).try_for_each(|(_, _, path)| fs::remove_file(path))
    }

    /// Finds the last record, where somebody else has written since. Never goes back: what was there is to be missed.
    fn catch_up(&mut self, link: &mut Link) -> io::Result<Found> {
        let found = self.look(link);
        self.is_known = found.is_ok();
        found
    }

    fn look(&mut self, link: &mut Link) -> io::Result<Found> {
        let (was_known, before) = (self.is_known, self.length);
        self.measure()?;
        if was_known && self.length > before {
            return self.follow(link, before);
        }
        if was_known && self.length == before {
            return Ok(Found::default());
        }
        let (here, mut found) = end(&self.file, self.length)?;
        let Some(last) = here.map_or_else(|| self.aside(&mut found), |last| Ok(Some(last)))? else { return Ok(found) };
        if last.number > link.number {
            // Who has just started goes on from others in any case.
            found.others = self.has_written.then_some((link.number.saturating_add(1), last.number));
            *link = last;
        }
        Ok(found)
    }

    /// Goes through what another wrote behind our own last record: it must go on from there.
    fn follow(&self, link: &mut Link, from: u64) -> io::Result<Found> {
        let (first, mut line) = (link.number, Vec::new());
        let (mut here, mut behind, mut breaks_off) = (from, from, false);
        let mut lines = part(&self.file, from, self.length)?;
        while here < self.length {
            line.clear();
            here += u64::try_from((&mut lines).take(LONGEST).read_until(b'\n', &mut line)?).unwrap_or(u64::MAX);
            breaks_off = !line.ends_with(b"\n");
            if let Some(next) = link.next(line.strip_suffix(b"\n").unwrap_or(&line)) {
                (*link, behind) = (next, here);
            }
            if line.is_empty() {
                break;
            }
        }
        let others = (link.number > first).then_some((first.saturating_add(1), link.number));
        Ok(Found { others, breaks_off, strange: strange(&self.file, behind, self.length)? })
    }

    /// The last record of those that were put aside, by us or by others, and what stands behind it.
    fn aside(&self, found: &mut Found) -> io::Result<Option<Link>> {
        let mut files = Vec::new();
        for (_, path) in beside(&self.path)? {
            // What can't be read is not ours to judge, and what is no file may never be read to its end.
            let Ok(metadata) = fs::metadata(&path) else { continue };
            if metadata.is_file() && !self.is(&metadata)? {
                files.push((metadata.modified()?, path));
            }
        }
        files.sort_unstable_by(|one, other| other.cmp(one));
        let mut last: Option<(Link, Option<Strange>)> = None;
        for (_, path) in files.into_iter().take(ASIDE) {
            let Ok(file) = File::open(&path) else { continue };
            let (link, behind) = end(&file, file.metadata()?.len())?;
            if let Some(link) = link.filter(|link| last.as_ref().is_none_or(|(last, _)| last.number < link.number)) {
                last = Some((link, behind.strange));
            }
        }
        let Some((link, behind)) = last else { return Ok(None) };
        if self.length == 0 {
            found.strange = behind;
        }
        Ok(Some(link))
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
fn end(file: &File, length: u64) -> io::Result<(Option<Link>, Found)> {
    let (mut back, most) = BACK;
    loop {
        let begin = length.saturating_sub(back);
        let mut bytes = vec![0; usize::try_from(length - begin).unwrap_or(0)];
        file.read_exact_at(&mut bytes, begin)?;
        let last = last_record(&bytes, begin == 0);
        if last.is_some() || begin == 0 || back >= most {
            let behind = last.map_or(0, |(_, rest)| length.saturating_sub(rest));
            let breaks_off = bytes.last().is_some_and(|last| *last != b'\n');
            return Ok((last.map(|(link, _)| link), Found { others: None, breaks_off, strange: strange(file, behind, length)? }));
        }
        back = most;
    }
}

/// The last record, also where nothing but its line feed is missing, and how much stands behind it; `is_whole`: the first line is
/// whole, too.
fn last_record(bytes: &[u8], is_whole: bool) -> Option<(Link, u64)> {
    let (mut end, mut feeds) = (bytes.len(), memchr::memrchr_iter(b'\n', bytes));
    loop {
        let feed = feeds.next();
        let begin = feed.map(|feed| feed + 1).or(is_whole.then_some(0))?;
        if let Some(link) = bytes.get(begin..end).and_then(Link::of) {
            return Some((link, u64::try_from(bytes.len().saturating_sub(end + 1)).unwrap_or(u64::MAX)));
        }
        end = feed?;
    }
}

fn strange(file: &File, from: u64, to: u64) -> io::Result<Option<Strange>> {
    if from >= to {
        return Ok(None);
    }
    let (mut hash, mut bytes, mut rest) = (Running::default(), 0, part(file, from, to)?);
    loop {
        let piece = rest.fill_buf()?;
        let length = piece.len();
        if length == 0 {
            return Ok(Some(Strange { bytes, hash: hash.finish() }));
        }
        hash.update(piece);
        bytes += u64::try_from(length).unwrap_or(0);
        rest.consume(length);
    }
}

/// What we write goes to the end all the same.
fn part(mut file: &File, from: u64, to: u64) -> io::Result<BufReader<io::Take<&File>>> {
    file.seek(SeekFrom::Start(from))?;
    Ok(BufReader::new(file.take(to.saturating_sub(from))))
}
