//! `doorward audit verify`. In: the files of an audit trail. Out: every line that was changed, moved, taken out or cut off; 0 where there
//! is none, 1 where there is one, 2 where the files can't be read.

use super::check::Verdict;
use crate::clock;
use crate::control::config::load;
use crate::control::trail::{Place, Report, Source, Verifier, in_order, sources};
use crate::model::Timestamp;
use crate::model::chain::{self, Link, TrailId};
use crate::store::seal::TrailKeys;
use crate::store::{self, ending, ending::Ended};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// What is done with the trail.
#[derive(Subcommand)]
pub enum Command {
    /// Say whether a trail is whole: whether a record was changed, moved, taken out or cut off.
    Verify(Verify),
}

/// Which trail.
#[derive(Args)]
pub struct Verify {
    /// The configuration whose trail it is: with the keys of its store, also a trail that somebody wrote anew is found out.
    #[arg(short, long, required_unless_present = "files")]
    config: Option<PathBuf>,
    /// The files, in any order; the configuration's, with all that were put aside, by default.
    files: Vec<PathBuf>,
    /// The trail is being written: it need not have come to an end.
    #[arg(long)]
    open: bool,
    /// A record that is known from elsewhere must be there.
    #[arg(long, value_name = "NUMBER:HASH", value_parser = known)]
    has: Option<Link>,
    /// It must be this trail, whose id is known from elsewhere; the one whose end is written down beside it by default.
    #[arg(long, value_name = "ID", value_parser = named)]
    trail: Option<TrailId>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What is looked at.
struct Looked {
    sources: Vec<Source>,
    keys: Option<TrailKeys>,
    /// What was written down of its end.
    ended: Option<Ended>,
    /// When it is looked at, where it is the one that is written.
    now: Option<Timestamp>,
    /// Why there is none.
    problem: String,
}

/// Looks at it.
pub fn verify(arguments: &Verify) -> Verdict {
    let Looked { sources, keys, ended, now, problem } = match trail(arguments) {
        Ok(found) => found,
        Err((code, error)) => return Verdict::failed(code, &error),
    };
    let (last, trail) = ended.map_or((None, None), |ended| (Some(ended.last), ended.trail));
    let verifier = Verifier::new(keys.as_ref(), arguments.has.into_iter().chain(last));
    let mut verifier = verifier.of(arguments.trail.clone().or(trail)).at(now);
    for source in &sources {
        if let Err(error) = source.open().and_then(|file| verifier.read(&mut BufReader::with_capacity(1 << 20, file))) {
            return Verdict::failed(2, &format!("doorward: {}: {error}", source.path.display()));
        }
    }
    let report = verifier.finish(arguments.open);
    let paths: Vec<PathBuf> = sources.into_iter().map(|source| source.path).collect();
    let output = match arguments.json {
        true => format!("{:#}\n", as_value(&report, &paths)),
        false => as_text(&report, &paths, keys.is_some()),
    };
    Verdict { code: u8::from(report.count > 0), output, problems: problem }
}

/// Its files in their order, the keys that vouch for it, and what is known of its end.
fn trail(arguments: &Verify) -> Result<Looked, (u8, String)> {
    let unreadable = |error: io::Error| (2, format!("doorward: the trail can't be read: {error}"));
    let loaded = arguments.config.as_deref().map(|path| load(path, 1)).transpose();
    let loaded = loaded.map_err(|problems| (2, problems.to_string()))?;
    let keys = loaded.as_ref().map(|loaded| store::trail_keys(&loaded.store)).transpose();
    let keys = keys.map_err(|error| (2, format!("doorward: {error}")))?;
    let (Some(loaded), []) = (&loaded, &*arguments.files) else {
        let sources = in_order(arguments.files.clone()).map_err(unreadable)?.into_iter().map(Source::from).collect();
        return Ok(Looked { sources, keys, ended: None, now: None, problem: String::new() });
    };
    let none = || (2, "doorward: the configuration names no audit file: say which".to_owned());
    let path = loaded.audit.file.as_deref().ok_or_else(none)?;
    // Before the records are read: they may become more meanwhile.
    let (now, (ended, problem)) = (Some(clock::now()), ended(path, keys.as_ref()));
    Ok(Looked { sources: sources(path).map_err(unreadable)?, keys, ended, now, problem })
}

fn ended(trail: &Path, keys: Option<&TrailKeys>) -> (Option<Ended>, String) {
    let path = ending::beside(trail);
    let ended = fs::read_to_string(&path).ok().zip(keys).and_then(|(text, keys)| keys.ended(&text));
    let missing = || {
        format!("{}: not there, or not sealed: a trail that was cut back to an earlier end would not be found\n", path.display())
    };
    let problem = if ended.is_some() { String::new() } else { missing() };
    (ended, problem)
}

fn known(text: &str) -> Result<Link, String> {
    let link = text.split_once(':').and_then(|(number, hash)| {
        let hash = hash.to_ascii_lowercase().into_bytes().try_into().ok()?;
        Some(Link { number: number.parse().ok()?, hash })
    });
    link.ok_or_else(|| "not of the form NUMBER:HASH, with 64 hexadecimal digits".to_owned())
}

fn named(text: &str) -> Result<TrailId, String> {
    TrailId::parse(text).ok_or_else(|| "not 32 hexadecimal digits".to_owned())
}

// Writing to a String can't fail.
fn as_text(report: &Report, paths: &[PathBuf], with_keys: bool) -> String {
    let mut text = String::new();
    let name = |file: usize| paths.get(file).or(paths.last()).map_or(Path::new(""), PathBuf::as_path).display();
    for fault in &report.faults {
        let _ = writeln!(text, "{}:{}: {}", name(fault.place.file), fault.place.line, fault.wrong);
    }
    for place in &report.torn {
        let _ = writeln!(text, "{}:{}: note: this line broke off, and the next record says so", name(place.file), place.line);
    }
    notes(
        &mut text,
        &report.unstopped,
        name,
        "a process began here though the one before it had not ended: it ran on, was killed, or its end was cut off",
    );
    notes(&mut text, &report.joined, name, "the records before this one were written by another process: one must have run then");
    if report.lost > 0 {
        let _ = writeln!(text, "note: {} records were lost where there was no room for them, and records say so", report.lost);
    }
    if let Some((sealed, last)) = report.sealed.zip(report.last).filter(|(sealed, last)| last.number > *sealed) {
        let _ = writeln!(text, "note: nothing vouches yet for the {} records behind record {sealed}", last.number - sealed);
    }
    if report.unfinished {
        text.push_str("note: the last line was being written\n");
    }
    if report.before > 0 {
        let _ = writeln!(
            text,
            "note: {} lines stand before the first record of the chain, and nothing vouches for them",
            report.before
        );
    }
    let range = report
        .first
        .zip(report.last.map(|last| last.number))
        .map_or_else(String::new, |(first, last)| format!(" ({first} to {last})"));
    let verdict = if report.count == 0 { "whole".to_owned() } else { format!("{} faults", report.count) };
    let _ = writeln!(text, "{} records{range} in {} files: {verdict}", report.records, paths.len());
    if report.count == 0 {
        let _ = match report.sealed {
            Some(number) => {
                writeln!(text, "vouched for up to record {number}, at {}", report.sealed_at.as_deref().unwrap_or_default())
            }
            None if with_keys => writeln!(text, "nothing vouches for them yet"),
            None => writeln!(text, "the seals were not looked at: that needs the configuration (-c) and the keys of its store"),
        };
    }
    if let Some(trail) = &report.trail {
        let _ = writeln!(text, "trail: {trail}");
    }
    if let Some(last) = report.last {
        let _ = writeln!(text, "last: {}:{}", last.number, chain::text(&last.hash));
    }
    text
}

/// What may be fine, where it is.
fn notes<N: std::fmt::Display>(text: &mut String, places: &[Place], name: impl Fn(usize) -> N, what: &str) {
    for place in places {
        let _ = writeln!(text, "{}:{}: note: {what}", name(place.file), place.line);
    }
}

fn as_value(report: &Report, paths: &[PathBuf]) -> Value {
    let place = |place: &Place| json!({ "file": paths.get(place.file).or(paths.last()), "line": place.line });
    let fault = |fault: &crate::control::trail::Fault| {
        let mut value = place(&fault.place);
        if let Some(object) = value.as_object_mut() {
            object.insert("code".to_owned(), fault.wrong.code().into());
            object.insert("message".to_owned(), fault.wrong.to_string().into());
        }
        value
    };
    json!({
        "whole": report.count == 0,
        "files": paths,
        "records": report.records,
        "first": report.first,
        "last": report.last.map(|last| json!({ "number": last.number, "hash": chain::text(&last.hash) })),
        "trail": report.trail.as_ref().map(ToString::to_string),
        "lost": report.lost,
        "vouched_for": report.sealed,
        "vouched_for_at": report.sealed_at,
        "unstopped": report.unstopped.iter().map(place).collect::<Vec<_>>(),
        "joined": report.joined.iter().map(place).collect::<Vec<_>>(),
        "unfinished": report.unfinished,
        "ended": report.ended,
        "before_the_chain": report.before,
        "torn": report.torn.iter().map(place).collect::<Vec<_>>(),
        "faults": report.count,
        "lines": report.faults.iter().map(fault).collect::<Vec<_>>(),
    })
}
