//! Whether a trail is whole. In: its lines, in their order, and the keys that vouch for it where they are at hand. Out: a [`Report`] of
//! every line that is not what its neighbours or its seal say. Must never take a trail for whole that it has not seen to its end.

use crate::model::Timestamp;
use crate::model::chain::{self, Chained, Link, Running, TrailId};
use crate::store::seal::TrailKeys;
use serde::Deserialize;
use std::io::{self, BufRead};
use std::time::Duration;

/// Goes through a trail line by line.
pub struct Verifier<'k> {
    keys: Option<&'k TrailKeys>,
    /// A record that must be there.
    wanted: Vec<Link>,
    /// Which trail it must be.
    expected: Option<TrailId>,
    /// When it is looked at, where it is the one that is written now.
    now: Option<Timestamp>,
    here: Place,
    /// The last record that was in its place, and where.
    last: Option<(Link, Place)>,
    /// When somebody with the key vouched for the records so far.
    sealed: Option<Timestamp>,
    /// Behind the last seal stands a record that another seal would have had to come before.
    is_late: bool,
    /// Whether a process may begin behind it.
    begins: bool,
    /// Lines behind it that are no records.
    strange: Option<Strange>,
    report: Report,
}

/// Lines that are no records.
struct Strange {
    place: Place,
    lines: u64,
    hash: Running,
    breaks_off: bool,
}

/// A line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Of which file, from 0.
    pub file: usize,
    /// From 1.
    pub line: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// How many records there are.
    pub records: u64,
    /// The number of the first.
    pub first: Option<u64>,
    /// The last.
    pub last: Option<Link>,
    /// How many lines stand before the first record: of a version that made no chain.
    pub before: u64,
    /// Lines that broke off when a process was killed, and of which the record behind them says so.
    pub torn: Vec<Place>,
    /// Which trail it is, by the records that are sealed.
    pub trail: Option<TrailId>,
    /// How many records found no room, by what was written of them.
    pub lost: u64,
    /// The last record that somebody with the key vouched for, with all before it.
    pub sealed: Option<u64>,
    /// When that was.
    pub sealed_at: Option<String>,
    /// Where a process began though the one before had not ended: it was killed or ran on, or what it wrote was cut off.
    pub unstopped: Vec<Place>,
    /// Where a process goes on behind records of others.
    pub joined: Vec<Place>,
    /// Whether the last line was being written.
    pub unfinished: bool,
    /// Whether the last record says that nothing comes behind it.
    pub ended: bool,
    /// What is wrong, where there is not too much of it.
    pub faults: Vec<Fault>,
    /// How much of it.
    pub count: u64,
}

/// Something is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What.
    pub wrong: Wrong,
}

/// What can be wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// Its hash is not what the next says.
    #[error("this record is not the one that the next was written behind: one of the two was changed")]
    Changed,
    /// What every file begins with is not there.
    #[error("the trail does not begin here: what stood before was cut off")]
    NoBeginning,
    /// Some are gone.
    #[error("the records {0} to {1} are missing before this line")]
    Missing(u64, u64),
    /// It belongs elsewhere.
    #[error("this is record {0}, where record {1} belongs: it was moved, repeated or inserted")]
    OutOfPlace(u64, u64),
    /// A second chain.
    #[error("the chain begins anew here, behind record {0}")]
    Anew(u64),
    /// Not one of ours.
    #[error("this is no record of the trail")]
    NotARecord,
    /// Not vouched for.
    #[error("the seal is not right: this line, or one before it, was written by somebody without the key")]
    Seal,
    /// Of another trail.
    #[error("this is no record of the trail {0}: the seal is another trail's")]
    Trail(TrailId),
    /// By whom?
    #[error("the key {0} of this seal is not there")]
    Key(u8),
    /// Nobody vouches for so many.
    #[error("nothing vouches for the records behind record {0}, and by their number or time something would have to")]
    Unsealed(u64),
    /// The end is missing.
    #[error(
        "the trail ends here without saying so: what came behind was cut off, or it is being written (then say --open), or its process was killed"
    )]
    CutOff,
    /// The last line is not whole.
    #[error("the last line breaks off")]
    BreaksOff,
    /// Nothing is there.
    #[error("there is no record")]
    Empty,
    /// A record that is known is not among them.
    #[error("the record {0} with the hash that is known of it is not in the trail")]
    Lacks(u64),
}

impl Wrong {
    /// A word for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::NoBeginning => "no_beginning",
            Self::Missing(..) => "missing",
            Self::OutOfPlace(..) => "out_of_place",
            Self::Anew(_) => "anew",
            Self::NotARecord => "not_a_record",
            Self::Seal => "seal",
            Self::Trail(_) => "trail",
            Self::Key(_) => "key",
            Self::Unsealed(_) => "unsealed",
            Self::CutOff => "cut_off",
            Self::BreaksOff => "breaks_off",
            Self::Empty => "empty",
            Self::Lacks(_) => "lacks",
        }
    }
}

/// What a record says that the trail wrote of itself.
#[derive(Deserialize)]
struct Event<'a> {
    time: &'a str,
    event: &'a str,
    hash: Option<&'a str>,
    trail: Option<&'a str>,
    count: Option<u64>,
}

/// How many faults, and places of a kind, are kept.
const MOST: usize = 1000;
/// Seals come more often than that, by the number of records and by their times.
const UNSEALED: (u64, Duration) = (20_000, Duration::from_secs(30));
/// The time is within the first bytes of a record.
const HEAD: usize = 64;

impl<'k> Verifier<'k> {
    /// With these keys, and records that must be there.
    pub fn new(keys: Option<&'k TrailKeys>, wanted: impl IntoIterator<Item = Link>) -> Self {
        let (wanted, here, report) = (wanted.into_iter().collect(), Place::default(), Report::default());
        let (expected, now, last, sealed, strange) = (None, None, None, None, None);
        Self { keys, wanted, expected, now, here, last, sealed, is_late: false, begins: true, strange, report }
    }

    /// Of this trail, where it is known.
    #[must_use]
    pub fn of(self, expected: Option<TrailId>) -> Self {
        Self { expected, ..self }
    }

    /// Looked at where it is written: what is not sealed by now should have been.
    #[must_use]
    pub fn at(self, now: Option<Timestamp>) -> Self {
        Self { now, ..self }
    }

    /// Takes the next file in.
    pub fn read(&mut self, file: &mut impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        self.here.line = 0;
        if self.last.is_none() {
            // Whole files of a version that made no chain.
            self.strange = None;
        }
        loop {
            line.clear();
            if file.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            self.here.line += 1;
            self.line(&line);
        }
        self.here.file += 1;
        Ok(())
    }

    /// What came of it; `open`: it is being written, so that it need not have come to its end.
    pub fn finish(mut self, open: bool) -> Report {
        let end = self.last.map_or(self.here, |(_, place)| place);
        self.report.last = self.last.map(|(link, _)| link);
        self.report.unfinished = open && self.strange.as_ref().is_some_and(|strange| strange.lines == 1 && strange.breaks_off);
        if let Some(strange) = self.strange.take().filter(|_| !self.report.unfinished) {
            self.not_records(&strange);
        }
        match self.report.last {
            None => self.fault(self.here, Wrong::Empty),
            Some(_) if !self.report.ended && !open => self.fault(end, Wrong::CutOff),
            Some(last) if self.is_late || self.is_overdue(last) => {
                self.fault(end, Wrong::Unsealed(self.report.sealed.unwrap_or(last.number)))
            }
            Some(last) => self.vouched(last.number, end),
        }
        if let Some(expected) = self.expected.take().filter(|_| self.report.trail.is_none()) {
            self.fault(end, Wrong::Trail(expected));
        }
        for wanted in std::mem::take(&mut self.wanted) {
            self.fault(end, Wrong::Lacks(wanted.number));
        }
        self.report
    }

    /// Whether a record came so late behind the last seal that another would have had to come before it, or does not say when.
    fn begins_late(&self, line: &[u8]) -> bool {
        let Some(sealed) = self.sealed else { return false };
        let head = line.get(..HEAD).unwrap_or(line).strip_prefix(b"{\"time\":\"");
        let time = head.and_then(|rest| rest.split(|byte| *byte == b'"').next()).and_then(|time| str::from_utf8(time).ok());
        time.and_then(Timestamp::parse).is_none_or(|time| time.since(sealed) > UNSEALED.1)
    }

    /// Whether what stands behind the last seal should have been sealed by now.
    fn is_overdue(&self, last: Link) -> bool {
        let has_passed = self.now.zip(self.sealed).is_some_and(|(now, sealed)| now.since(sealed) > UNSEALED.1);
        has_passed && self.report.sealed.is_some_and(|sealed| last.number > sealed)
    }

    fn line(&mut self, line: &[u8]) {
        let whole = line.strip_suffix(b"\n");
        match whole.and_then(|whole| Some((whole, Chained::parse(whole)?))) {
            Some((whole, record)) => self.record(whole, record),
            None => {
                self.report.ended = false;
                let place = self.here;
                let begin = || Strange { place, lines: 0, hash: Running::default(), breaks_off: false };
                let strange = self.strange.get_or_insert_with(begin);
                (strange.lines, strange.breaks_off) = (strange.lines + 1, whole.is_none());
                strange.hash.update(line);
                self.report.before += u64::from(self.last.is_none());
            }
        }
    }

    fn record(&mut self, line: &[u8], record: Chained<'_>) {
        let event = record.seal.and_then(|_| serde_json::from_slice::<Event<'_>>(line).ok());
        self.behind_strange(&event, record.number);
        let link = Link { number: record.number, hash: chain::hash(line) };
        self.report.records += 1;
        self.wanted.retain(|wanted| *wanted != link);
        let begins = ["started", "continued", "torn", "joined", "adopted"];
        if self.last.is_none() && !event.as_ref().is_some_and(|event| begins.contains(&event.event)) {
            self.fault(self.here, Wrong::NoBeginning);
        }
        if !self.belongs(record) {
            return;
        }
        self.last = Some((link, self.here));
        self.report.first.get_or_insert(link.number);
        self.event(event.as_ref().map(|event| event.event));
        if let Some(event) = &event {
            self.belongs_to(event.trail.and_then(TrailId::parse));
            self.report.lost += event.count.filter(|_| event.event == "lost").unwrap_or(0);
        }
        self.is_late |= self.begins_late(line);
        self.seal(record, event.as_ref().map(|event| event.time));
    }

    /// Whether it is sealed for this trail. What was sealed before trails had ids is bound to it by its hash alone.
    fn belongs_to(&mut self, trail: Option<TrailId>) {
        let Some(trail) = trail else { return };
        let expected = self.expected.take().or_else(|| self.report.trail.clone());
        self.report.trail = Some(trail.clone());
        if let Some(expected) = expected.filter(|expected| *expected != trail) {
            self.fault(self.here, Wrong::Trail(expected));
        }
    }

    /// What it says of the trail.
    fn event(&mut self, event: Option<&str>) {
        let places = match event {
            Some("started") if !self.begins => Some(&mut self.report.unstopped),
            Some("joined") => Some(&mut self.report.joined),
            _ => None,
        };
        places.filter(|places| places.len() < MOST).into_iter().for_each(|places| places.push(self.here));
        self.report.ended = event == Some("stopped");
        self.begins = self.report.ended || event == Some("adopted");
    }

    /// Whether it goes on from the last; says so where it does not.
    fn belongs(&mut self, record: Chained<'_>) -> bool {
        let Some((last, place)) = self.last else {
            if record.number == 1 && record.before != Link::START.hash {
                self.fault(self.here, Wrong::Changed);
            }
            return true;
        };
        let next = last.number.saturating_add(1);
        match record.number {
            number if number == next && record.before == last.hash => (),
            number if number == next => self.fault(place, Wrong::Changed),
            number if number > next => self.fault(self.here, Wrong::Missing(next, number - 1)),
            1 => self.fault(self.here, Wrong::Anew(last.number)),
            number => {
                self.fault(self.here, Wrong::OutOfPlace(number, next));
                return false;
            }
        }
        true
    }

    /// What is no record is named by the record behind it: all that stands before the first, or one line that broke off.
    fn behind_strange(&mut self, event: &Option<Event<'_>>, number: u64) {
        let Some(strange) = self.strange.take() else { return };
        let (all, line) = (strange.hash.finish(), strange.hash.without_feed());
        let is = |hash: &[u8]| event.as_ref().and_then(|event| event.hash).is_some_and(|named| named.as_bytes() == hash);
        match event.as_ref().map(|event| event.event) {
            Some("torn") if strange.lines == 1 && is(&line) => self.report.torn.push(strange.place),
            Some("adopted") if number == 1 && self.last.is_none() && (is(&all) || is(&line)) => (),
            _ => self.not_records(&strange),
        }
    }

    fn not_records(&mut self, strange: &Strange) {
        self.fault(strange.place, if strange.breaks_off { Wrong::BreaksOff } else { Wrong::NotARecord });
    }

    fn seal(&mut self, record: Chained<'_>, time: Option<&str>) {
        let (Some(keys), Some(seal)) = (self.keys, record.seal) else { return };
        self.vouched(record.number, self.here);
        match keys.verify(&seal) {
            Some(true) => {
                (self.report.sealed, self.report.sealed_at) = (Some(record.number), time.map(str::to_owned));
                (self.sealed, self.is_late) = (time.and_then(Timestamp::parse), false);
            }
            Some(false) => self.fault(self.here, Wrong::Seal),
            None => self.fault(self.here, Wrong::Key(seal.key)),
        }
    }

    /// Seals are not further apart than they can be.
    fn vouched(&mut self, number: u64, place: Place) {
        let since = self.report.sealed.or(self.report.first).unwrap_or(number);
        if self.keys.is_some() && number.saturating_sub(since) > UNSEALED.0 {
            self.fault(place, Wrong::Unsealed(since));
        }
    }

    fn fault(&mut self, place: Place, wrong: Wrong) {
        self.report.count += 1;
        if self.report.faults.len() < MOST {
            self.report.faults.push(Fault { place, wrong });
        }
    }
}
