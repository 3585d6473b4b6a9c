//! `doorward test`. In: a configuration, and a file of cases: what is given, and what is expected. Out: how what would be decided
//! differs from that; 0 where it does not, 1 where it does, 2 where the file can't be read.

use super::check::Verdict;
use super::explain::{administered, answer, as_text};
use crate::control::config::{load, read_as};
use crate::control::explain::{Answer, Asked, Error, Outcome};
use clap::Args;
use serde::Deserialize;
use std::fmt::Write as _;
use std::path::PathBuf;

/// What is asked.
#[derive(Args)]
pub struct Arguments {
    /// The configuration file.
    #[arg(short, long, default_value = "config/doorward.yaml")]
    config: PathBuf,
    /// The file of cases.
    cases: PathBuf,
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    tests: Vec<Case>,
}

/// One case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What it is about.
    name: Option<String>,
    given: Asked,
    expect: Expected,
    /// Which rule decides.
    rule: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Allow,
    Deny,
    Challenge,
}

impl Expected {
    const fn outcome(self) -> Outcome {
        match self {
            Self::Allow => Outcome::Allow,
            Self::Deny => Outcome::Deny,
            Self::Challenge => Outcome::Challenge,
        }
    }
}

/// Tries every case.
pub fn run(arguments: &Arguments) -> Verdict {
    let loaded = match load(&arguments.config, 1) {
        Ok(loaded) => loaded,
        Err(problems) => return Verdict::failed(1, &problems.to_string()),
    };
    let text = match std::fs::read_to_string(&arguments.cases) {
        Ok(text) => text,
        Err(error) => return Verdict::failed(2, &format!("doorward: {}: {error}", arguments.cases.display())),
    };
    let (file, lines) = match read_as::<File>(arguments.cases.clone(), &text) {
        Ok(read) => read,
        Err(problems) => return Verdict::failed(2, &problems.to_string()),
    };
    let (administered, problems) = administered(&loaded, file.tests.iter().map(|case| &case.given));
    let differs = |(index, case): (usize, &Case)| {
        let place = lines.of("tests", index);
        difference(case, answer(&loaded.snapshot, &administered, &case.given))
            .map(|text| format!("{} ({place})\n{text}\n", name(case)))
    };
    let differences: Vec<String> = file.tests.iter().enumerate().filter_map(differs).collect();
    let summary = format!("{} tests, {} failed\n", file.tests.len(), differences.len());
    Verdict { code: u8::from(!differences.is_empty()), output: differences.concat() + &summary, problems }
}

fn name(case: &Case) -> &str {
    case.name.as_deref().unwrap_or("a case without a name")
}

/// What is expected and what comes, where they differ; then why.
fn difference(case: &Case, answer: Result<Answer, Error>) -> Option<String> {
    let expected = said(case.expect.outcome(), case.rule.as_deref());
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Some(format!("  - {expected}\n  + no answer: {error}\n")),
    };
    let rule = answer.rule().map(|rule| &*rule.0);
    let as_expected = answer.outcome() == case.expect.outcome() && (case.rule.is_none() || case.rule.as_deref() == rule);
    let mut text = format!("  - {expected}\n  + {}\n", said(answer.outcome(), rule));
    for line in as_text(&answer).lines().skip(1) {
        // Writing to a String can't fail.
        let _ = if line.is_empty() { writeln!(text) } else { writeln!(text, "    {line}") };
    }
    (!as_expected).then_some(text)
}

fn said(outcome: Outcome, rule: Option<&str>) -> String {
    let rule = rule.map(|rule| format!(" by {rule}")).unwrap_or_default();
    format!("{}{rule}", outcome.word())
}
