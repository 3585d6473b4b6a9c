//! `doorward audit verify`. In: the files of an audit trail. Out: every line that was changed, moved, taken out or cut off; 0 where there
//! is none, 1 where there is one, 2 where the files can't be read.

use super::check::Verdict;
use crate::control::config::load;
use crate::control::trail::{Report, Verifier, files, in_order};
use crate::model::chain::{self, Link};
use crate::store;
use crate::store::seal::TrailKeys;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::File;
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
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Looks at it.
pub fn verify(arguments: &Verify) -> Verdict {
    let (paths, keys) = match trail(arguments) {
        Ok(found) => found,
        Err((code, error)) => return Verdict::failed(code, &error),
    };
    let mut verifier = Verifier::new(keys.as_ref(), arguments.has);
    for path in &paths {
        if let Err(error) = File::open(path).and_then(|file| verifier.read(&mut BufReader::with_capacity(1 << 20, file))) {
            return Verdict::failed(2, &format!("doorward: {}: {error}", path.display()));
        }
    }
    let report = verifier.finish(arguments.open);
    let output = match arguments.json {
        true => format!("{:#}\n", as_value(&report, &paths)),
        false => as_text(&report, &paths, keys.is_some()),
    };
    Verdict { code: u8::from(report.count > 0), output, problems: String::new() }
}

/// Its files in their order, and the keys that vouch for it.
fn trail(arguments: &Verify) -> Result<(Vec<PathBuf>, Option<TrailKeys>), (u8, String)> {
    let unreadable = |error: io::Error| (2, format!("doorward: the trail can't be read: {error}"));
    let loaded = arguments.config.as_deref().map(|path| load(path, 1)).transpose();
    let loaded = loaded.map_err(|problems| (2, problems.to_string()))?;
    let paths = match (&*arguments.files, &loaded) {
        ([], Some(loaded)) => {
            let none = || (2, "doorward: the configuration names no audit file: say which".to_owned());
            files(loaded.audit.file.as_deref().ok_or_else(none)?).map_err(unreadable)?
        }
        (given, _) => in_order(given.to_vec()).map_err(unreadable)?,
    };
    let keys = loaded.map(|loaded| store::trail_keys(&loaded.store)).transpose();
    Ok((paths, keys.map_err(|error| (2, format!("doorward: {error}")))?))
}

fn known(text: &str) -> Result<Link, String> {
    let link = text.split_once(':').and_then(|(number, hash)| {
        let hash = hash.to_ascii_lowercase().into_bytes().try_into().ok()?;
        Some(Link { number: number.parse().ok()?, hash })
    });
    link.ok_or_else(|| "not of the form NUMBER:HASH, with 64 hexadecimal digits".to_owned())
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
            Some(number) => writeln!(text, "vouched for up to record {number}"),
            None if with_keys => writeln!(text, "nothing vouches for them yet"),
            None => writeln!(text, "the seals were not looked at: that needs the configuration (-c) and the keys of its store"),
        };
    }
    if let Some(last) = report.last {
        let _ = writeln!(text, "last: {}:{}", last.number, chain::text(&last.hash));
    }
    text
}

fn as_value(report: &Report, paths: &[PathBuf]) -> Value {
    let place =
        |place: &crate::control::trail::Place| json!({ "file": paths.get(place.file).or(paths.last()), "line": place.line });
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
        "vouched_for": report.sealed,
        "ended": report.ended,
        "before_the_chain": report.before,
        "torn": report.torn.iter().map(place).collect::<Vec<_>>(),
        "faults": report.count,
        "lines": report.faults.iter().map(fault).collect::<Vec<_>>(),
    })
}
