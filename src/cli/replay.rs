//! `doorward replay`. In: a configuration, and audit trails. Out: who would lose access by it and who would gain, of those who asked; 0
//! where nothing changes for anybody, 1 where something does.

use super::check::Verdict;
use super::reach::known;
use crate::control::config::load;
use crate::control::replay::{Change, Replay, Report, Row};
use crate::control::trail::{Source, sources};
use clap::Args;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What is asked.
#[derive(Args)]
pub struct Arguments {
    /// The new configuration file.
    #[arg(short, long)]
    config: PathBuf,
    /// An audit trail, with the files that were put aside of it; can be repeated, the oldest first.
    #[arg(long, required = true)]
    audit: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How many rows of each kind are written as text.
const ROWS: usize = 20;

/// Decides them again.
pub fn run(arguments: &Arguments) -> Verdict {
    let loaded = match load(&arguments.config, 1) {
        Ok(loaded) => loaded,
        Err(problems) => return Verdict::failed(1, &problems.to_string()),
    };
    let (people, mut problems) = match known(&loaded.store) {
        Ok(people) => (people, String::new()),
        Err(error) => (
            Vec::new(),
            format!("the store can't be read, so that people are known by their sign-ins in the trail alone: {error}\n"),
        ),
    };
    let mut replay = Replay::new(&loaded.snapshot, people);
    let trails = match trails(&arguments.audit) {
        Ok(trails) => trails,
        Err(error) => return Verdict::failed(2, &format!("doorward: {error}")),
    };
    for source in &trails {
        if let Err(error) = read(source, &mut replay) {
            return Verdict::failed(2, &format!("doorward: {}: {error}", source.path.display()));
        }
    }
    let report = replay.report();
    problems.push_str(&limits(&report));
    let output = if arguments.json { format!("{:#}\n", as_value(&report)) } else { as_text(&report) };
    Verdict { code: u8::from(report.changes()), output, problems }
}

/// All files, each once.
fn trails(named: &[PathBuf]) -> io::Result<Vec<Source>> {
    let mut all: Vec<Source> = Vec::new();
    for path in named {
        let of_this = sources(path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        for file in of_this {
            if all.iter().all(|source| source.path != file.path) {
                all.push(file);
            }
        }
    }
    Ok(all)
}

fn read(source: &Source, replay: &mut Replay<'_>) -> io::Result<()> {
    let file = source.open()?;
    let mut bar = Bar::new(file.metadata()?.len());
    let (mut reader, mut line) = (BufReader::with_capacity(1 << 20, file), Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(());
        }
        replay.read(&line);
        bar.advance(length);
    }
}

/// How far it is, on a terminal.
struct Bar {
    total: u64,
    done: u64,
    drawn: Option<Instant>,
}

impl Bar {
    fn new(total: u64) -> Self {
        Self { total, done: 0, drawn: io::stderr().is_terminal().then(Instant::now) }
    }

    fn advance(&mut self, bytes: usize) {
        self.done += u64::try_from(bytes).unwrap_or(0);
        let often = Duration::from_millis(100);
        if self.drawn.is_some_and(|drawn| drawn.elapsed() >= often) {
            self.drawn = Some(Instant::now());
            let percent = usize::try_from(self.done.saturating_mul(100) / self.total.max(1)).unwrap_or(100).min(100);
            let (full, empty) = ("#".repeat(percent / 4), ".".repeat(25 - percent / 4));
            // A bar that can't be drawn is missed by nobody.
            let _ = write!(io::stderr(), "\r[{full}{empty}] {percent} %");
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(io::stderr(), "\r{}\r", " ".repeat(34));
        }
    }
}

/// What the answer does not rest on.
fn limits(report: &Report) -> String {
    let mut text = String::new();
    let mut say = |count: u64, what: &str| {
        if count > 0 {
            // Writing to a String can't fail.
            let _ = writeln!(text, "{count} {what}");
        }
    };
    say(report.unreadable, "lines are no records, and were left out");
    say(
        report.by_store,
        "requests are decided by the groups that people have now, by the store: the trail has no sign-in before them",
    );
    let strangers = report.strangers.len();
    say(
        report.unknown,
        &format!("requests were left out: neither the trail nor the store knows the groups of these people ({strangers})"),
    );
    for (what, count) in &report.lacks {
        say(*count, &format!("requests have no record of the {what}, which the rules look at: it is taken for absent"));
    }
    text
}

const KINDS: [(Change, &str, &str); 3] = [
    (Change::Loses, "loses", "would be refused"),
    (Change::Asked, "asked", "would be asked for another sign-in"),
    (Change::Gains, "gains", "would be let through"),
];

fn as_text(report: &Report) -> String {
    let mut text = format!(
        "{} requests: {} are decided as before, {} were not decided by rules\n",
        report.requests, report.same, report.others
    );
    for (change, _, what) in KINDS {
        let rows = report.rows(change);
        let total: u64 = rows.iter().map(|row| row.count).sum();
        // Writing to a String can't fail.
        let _ = writeln!(text, "{total} {what}");
        rows.iter().take(ROWS).for_each(|row| row_text(&mut text, row));
        if rows.len() > ROWS {
            let _ = writeln!(text, "  and {} more, with --json", rows.len() - ROWS);
        }
    }
    text
}

fn row_text(text: &mut String, row: &Row) {
    let (who, example) = (row.email.as_deref().or(row.user.as_deref()).unwrap_or("anybody"), &row.example);
    let _ = writeln!(text, "  {who}: {}, {} times", example.now, row.count);
    let _ = writeln!(
        text,
        "    such as {} {} {} ({}), request {}",
        example.time, example.method, example.url, example.then, example.request_id
    );
}

fn as_value(report: &Report) -> Value {
    let mut value = json!({
        "requests": report.requests,
        "same": report.same,
        "not_decided_by_rules": report.others,
        "unreadable": report.unreadable,
        "unknown_people": { "requests": report.unknown, "people": report.strangers.len() },
        "by_store": report.by_store,
        "taken_for_absent": report.lacks,
    });
    if let Some(object) = value.as_object_mut() {
        for (change, name, _) in KINDS {
            object.insert(name.to_owned(), report.rows(change).into_iter().map(row_value).collect());
        }
    }
    value
}

fn row_value(row: &Row) -> Value {
    let example = &row.example;
    json!({
        "user": row.user,
        "email": row.email,
        "count": row.count,
        "why": &*example.now,
        "example": {
            "request_id": example.request_id,
            "time": example.time,
            "method": example.method,
            "url": example.url,
            "then": example.then,
        },
    })
}
