//! The thread that writes records. In: batches of lines. Out: the lines, chained (`model::chain`), appended to the audit file, or to
//! standard output where there is none. Must never give up on an error of the file: it says so and tries again.
//!
//! Workers know nothing of the chain: it is made here, where all records come together. Now and then, and where a trail begins, goes on
//! elsewhere or ends, a record of its own says so, with a seal that only who has the store's keys can make.

use super::Receiver;
use super::file::{Found, Strange, TrailFile};
use crate::clock;
use crate::model::chain::{self, Link, TrailId};
use crate::snapshot::rotation::Rotation;
use crate::store::seal::TrailKeys;
use prometheus::IntGauge;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Where records go.
pub struct Destination {
    /// Standard output where there is none.
    pub file: Option<PathBuf>,
    /// When the file is put aside for a new one.
    pub rotation: Option<Rotation>,
    /// What vouches for them.
    pub keys: TrailKeys,
    /// Shows the number of the last one.
    pub last: IntGauge,
}

/// How many records, and for how long, may stand without a seal behind them.
const UNSEALED: (u64, Duration) = (10_000, Duration::from_secs(10));
/// How long another process that writes is waited for once this one is to end, and for how long at a time otherwise.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(5));

/// Opens the file (made for the owner alone) and starts the thread, which ends when every sender is gone.
pub fn start(receiver: Receiver, destination: Destination) -> io::Result<JoinHandle<()>> {
    let out = match &destination.file {
        Some(path) if is_file(path) => Out::File(Box::new(TrailFile::open(path, destination.rotation)?)),
        Some(path) => Out::Stream(Box::new(fs::OpenOptions::new().append(true).open(path)?)),
        None => Out::Stream(Box::new(io::stdout())),
    };
    let Destination { keys, last, .. } = destination;
    let link = match &out {
        Out::File(file) => file.ended(&keys)?.map_or(Link::START, |ended| ended.last),
        Out::Stream(_) => Link::START,
    };
    let writer = Writer::new(receiver, out, (keys, last), link)?;
    thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run())
}

/// Or could be one; devices and pipes are written as they are.
fn is_file(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |metadata| metadata.is_file())
}

enum Out {
    File(Box<TrailFile>),
    Stream(Box<dyn Write + Send>),
}

struct Writer {
    receiver: Receiver,
    out: Out,
    keys: TrailKeys,
    /// Which trail it is; of a file, once we had hold of it.
    trail: Option<TrailId>,
    last: IntGauge,
    /// What was written last.
    link: Link,
    /// What is written next.
    text: Vec<u8>,
    unsealed: u64,
    sealed: Instant,
    /// The last sealed record, until it is written down.
    ending: Option<Link>,
    /// Nobody waits any more, and it can't be written.
    has_given_up: bool,
}

/// Where a trail says something of itself.
#[derive(Clone, Copy)]
enum Event {
    Started,
    Continued,
    Checkpoint,
    Rotated,
    /// Something stands before the first record.
    Adopted,
    /// Another process has written.
    Joined,
    Torn,
    /// Records found no room in the queue.
    Lost,
    Stopped,
}

impl Event {
    const fn code(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Continued => "continued",
            Self::Checkpoint => "checkpoint",
            Self::Rotated => "rotated",
            Self::Adopted => "adopted",
            Self::Joined => "joined",
            Self::Torn => "torn",
            Self::Lost => "lost",
            Self::Stopped => "stopped",
        }
    }
}

impl Writer {
    fn new(receiver: Receiver, out: Out, (keys, last): (TrailKeys, IntGauge), link: Link) -> io::Result<Self> {
        let (text, ending, sealed) = (Vec::new(), None, Instant::now());
        let is_new = matches!(out, Out::Stream(_));
        let trail = is_new.then(TrailId::random).transpose().map_err(io::Error::other)?;
        Ok(Self { receiver, out, keys, trail, last, link, text, unsealed: 0, sealed, ending, has_given_up: false })
    }

    /// Until every sender is gone.
    fn run(mut self) {
        self.write(&[], Some(Event::Started));
        loop {
            match self.receiver.batches.recv_timeout(UNSEALED.1) {
                Ok(batch) => {
                    self.write(&batch, None);
                    self.receiver.queued.fetch_sub(batch.len(), Ordering::Relaxed);
                }
                Err(RecvTimeoutError::Timeout) if self.unsealed > 0 => self.write(&[], Some(Event::Checkpoint)),
                Err(RecvTimeoutError::Timeout) => (),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.write(&[], Some(Event::Stopped));
        if self.has_given_up {
            tracing::error!("the audit trail could not be brought to its end");
            return;
        }
        let trail = self.trail.as_ref().map(tracing::field::display);
        tracing::info!(trail, record = self.link.number, hash = chain::text(&self.link.hash), "the audit trail ends here");
    }

    /// Writes records, and then what the trail says of itself. Nobody else writes meanwhile.
    fn write(&mut self, records: &[u8], event: Option<Event>) {
        if !self.take_hold() || (self.rotates() && !self.take_hold()) {
            return;
        }
        if matches!((&self.out, event), (Out::File(file), None | Some(Event::Checkpoint | Event::Stopped)) if file.is_empty()) {
            self.say(Event::Continued, "");
        }
        // Never before records that were queued earlier.
        if records.is_empty() && !matches!(event, Some(Event::Started)) {
            self.say_what_was_lost();
        }
        let mut begin = 0;
        // A batch is whole lines.
        for end in memchr::memchr_iter(b'\n', records) {
            self.link.append(&mut self.text, records.get(begin..end).unwrap_or_default());
            (begin, self.unsealed) = (end + 1, self.unsealed + 1);
        }
        let due = self.unsealed >= UNSEALED.0 || (self.unsealed > 0 && self.sealed.elapsed() >= UNSEALED.1);
        if let Some(event) = event.or(due.then_some(Event::Checkpoint)) {
            self.say(event, "");
        }
        self.flush();
        if self.has_given_up {
            return;
        }
        self.last.set(i64::try_from(self.link.number).unwrap_or(i64::MAX));
        if let Out::File(file) = &mut self.out
            && let Err(error) = file.release(
                self.ending.take().zip(self.trail.as_ref()).and_then(|(last, trail)| self.keys.ending(&last, trail)).as_deref(),
            )
        {
            tracing::error!(%error, "the audit file can't be let go of");
        }
    }

    /// Has the file to itself, at the end of what others wrote; not where that fails and nobody waits for it any more.
    fn take_hold(&mut self) -> bool {
        let Out::File(file) = &mut self.out else { return true };
        let (link, trail, keys) = (&mut self.link, &mut self.trail, &self.keys);
        let found = patiently(&self.receiver, &mut self.has_given_up, || file.take_hold(link, (trail, keys)));
        let Some(Found { others, breaks_off, strange }) = found else { return false };
        if breaks_off {
            self.text.push(b'\n');
        }
        if let Some(Strange { bytes, hash }) = strange {
            let event = if self.link == Link::START { Event::Adopted } else { Event::Torn };
            tracing::warn!(bytes, "the audit trail does not end with a record: somebody was interrupted, or wrote to it");
            self.say(event, &format!(",\"bytes\":{bytes},\"hash\":\"{}\"", chain::text(&hash)));
        }
        if let Some((from, to)) = others {
            self.say(Event::Joined, &format!(",\"from\":{from},\"to\":{to}"));
        }
        true
    }

    /// Puts the file aside where it is time; whether it did.
    fn rotates(&mut self) -> bool {
        if !matches!(&self.out, Out::File(file) if file.is_full()) {
            return false;
        }
        self.say(Event::Rotated, "");
        self.flush();
        if let Out::File(file) = &mut self.out
            && let Err(error) = file.rotate(self.link.number)
        {
            tracing::error!(%error, "the audit file can't be put aside, or an old one not be removed");
        }
        true
    }

    /// Where records were shed, or were more than there is room for, the trail has a gap that its numbers do not show. It begins here,
    /// and lasts until now.
    fn say_what_was_lost(&mut self) {
        let lost = self.receiver.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            self.say(Event::Lost, &format!(",\"count\":{lost}"));
        }
    }

    /// A record of the trail's own, sealed for this trail.
    fn say(&mut self, event: Event, more: &str) {
        let mut record = format!("{{\"time\":\"{}\",\"act\":\"trail\",\"event\":\"{}\"{more}", clock::now(), event.code());
        if let Some(trail) = &self.trail {
            // Writing to a String can't fail.
            let _ = write!(record, ",\"trail\":\"{trail}\"");
        }
        record.push('}');
        let (keys, none) = (&self.keys, (0, Link::START.hash));
        self.link.append_sealed(&mut self.text, record.as_bytes(), |line| keys.sign(line).unwrap_or(none));
        (self.unsealed, self.sealed, self.ending) = (0, Instant::now(), Some(self.link));
    }

    /// While the disk is full the queue fills, and with it requests are refused: no trace, no access.
    fn flush(&mut self) {
        let mut rest = self.text.as_slice();
        let out: &mut dyn Write = match &mut self.out {
            Out::File(file) => &mut **file,
            Out::Stream(stream) => stream,
        };
        while !rest.is_empty() {
            let Some(written) = patiently(&self.receiver, &mut self.has_given_up, || out.write(rest)) else { break };
            rest = rest.get(written..).unwrap_or_default();
        }
        self.text.clear();
    }
}

/// Tries until it works. Once nobody is left to refuse, the process must be able to end.
fn patiently<T>(receiver: &Receiver, has_given_up: &mut bool, mut act: impl FnMut() -> io::Result<T>) -> Option<T> {
    let (begun, mut said) = (Instant::now(), Instant::now());
    while !*has_given_up {
        let error = match act() {
            Ok(done) => return Some(done),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        // Another process is writing, and soon done.
        let is_held = error.kind() == io::ErrorKind::WouldBlock;
        *has_given_up = Arc::strong_count(&receiver.queued) == 1 && (!is_held || begun.elapsed() >= PATIENCE.0);
        if !is_held || *has_given_up || said.elapsed() >= PATIENCE.0 {
            tracing::error!(%error, "the audit trail can't be written");
            said = Instant::now();
        }
        if !*has_given_up {
            thread::sleep(if is_held { PATIENCE.1 } else { Duration::from_secs(1) });
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
