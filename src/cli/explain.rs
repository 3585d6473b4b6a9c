//! `doorward explain`. In: a configuration and a made-up request. Out: what would be decided, by which rule, and what each condition
//! says; 0 where it is let through, 1 where it is refused, 3 where another sign-in would be asked for.

use super::check::Verdict;
use super::reach::known;
use crate::clock;
use crate::control::config::file::Texts;
use crate::control::config::{Loaded, load};
use crate::control::explain::{Answer, Asked, Error, Locked, Outcome, Public, explain, value};
use crate::control::replay;
use crate::control::trail::sources;
use crate::model::risks::Whose;
use crate::model::{RuleId, StepUp};
use crate::policy::condition::Span;
use crate::policy::explain::{Explained, Explanation, Part};
use crate::policy::{Decision, Effect};
use crate::snapshot::Snapshot;
use crate::store::{self, Known, Location};
use clap::Args;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

/// What is asked.
#[derive(Args)]
pub struct Arguments {
    /// The configuration file.
    #[arg(short, long, default_value = "config/doorward.yaml")]
    config: PathBuf,
    /// The app's key under `apps`.
    #[arg(long, required_unless_present = "request")]
    app: Option<String>,
    /// In place of a made-up request, one that was recorded: its id, in the circumstances that it came in.
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// The audit trail that has its record, with the files that were put aside of it; the configuration's by default.
    #[arg(long, requires = "request")]
    audit: Option<PathBuf>,
    /// The person: a verified e-mail address, or provider:subject.
    #[arg(long)]
    user: Option<String>,
    /// The provider that they signed in at; the first of the app by default.
    #[arg(long)]
    provider: Option<String>,
    /// A group of theirs; can be repeated.
    #[arg(long)]
    group: Vec<String>,
    /// A mapped claim of theirs, as name=value; can be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    claim: Vec<String>,
    /// The method of the request.
    #[arg(long, default_value = "GET")]
    method: String,
    /// The path of the request.
    #[arg(long)]
    path: Option<String>,
    /// The client's address.
    #[arg(long)]
    ip: Option<String>,
    /// The country of that address, in place of what the database says.
    #[arg(long)]
    country: Option<String>,
    /// Its autonomous system, likewise.
    #[arg(long)]
    asn: Option<String>,
    /// The device, by its id in the inventory: as if it had shown its certificate.
    #[arg(long, value_name = "ID", conflicts_with = "standing")]
    device: Option<String>,
    /// What the device is to the person, in place of one of the inventory.
    #[arg(long, value_parser = ["managed", "known", "certified"])]
    standing: Option<String>,
    /// The level of risk, in place of what the store knows.
    #[arg(long, value_parser = ["low", "medium", "high"])]
    risk: Option<String>,
    /// How the person signed in (a method of RFC 8176); can be repeated.
    #[arg(long)]
    amr: Vec<String>,
    /// The context class of the sign-in.
    #[arg(long)]
    acr: Option<String>,
    /// How long ago the person signed in: 2h.
    #[arg(long, default_value = "1s")]
    auth_age: String,
    /// A header of the request, as name=value; can be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    header: Vec<String>,
    /// When it is, in place of now: 2026-11-22T02:00:00Z.
    #[arg(long)]
    at: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Asks, and says what came of it.
pub fn run(arguments: Arguments) -> Verdict {
    let as_json = arguments.json;
    let loaded = match load(&arguments.config, 1) {
        Ok(loaded) => loaded,
        Err(problems) => return Verdict::failed(1, &problems.to_string()),
    };
    if let Some(request) = &arguments.request {
        return past(&loaded, request, arguments.audit.as_deref(), as_json);
    }
    let asked = match asked(arguments) {
        Ok(asked) => asked,
        Err(error) => return Verdict::failed(2, &format!("doorward: {error}")),
    };
    let (known, mut problems) = known_of(&loaded, &asked);
    if let Some(why) = asked.unseen(&loaded.snapshot, &known.devices) {
        let _ = writeln!(problems, "the gate would not find this device, {why}: this is what would be decided if it did");
    }
    match answer(&loaded.snapshot, &known, &asked) {
        Ok(answer) => {
            let output = if as_json { format!("{:#}\n", value(&answer)) } else { as_text(&answer) };
            Verdict { code: code(answer.outcome()), output, problems }
        }
        Err(error) => Verdict::failed(2, &format!("{problems}doorward: {error}")),
    }
}

/// Says why a recorded request would be decided as it would be now.
fn past(loaded: &Loaded, request: &str, audit: Option<&Path>, as_json: bool) -> Verdict {
    let Some(trail) = audit.or(loaded.audit.file.as_deref()) else {
        return Verdict::failed(2, "doorward: the configuration names no audit file: say which, with `--audit`");
    };
    let lines = match sources(trail) {
        // One at a time: there may be more of them than can be open.
        Ok(sources) => sources
            .into_iter()
            .filter_map(|source| source.open().map_err(|error| tracing::warn!(%error, "a file of the trail can't be read")).ok())
            .flat_map(|file| BufReader::new(file).split(b'\n').map_while(Result::ok)),
        Err(error) => return Verdict::failed(2, &format!("doorward: {}: {error}", trail.display())),
    };
    let people = known(&loaded.store).unwrap_or_default();
    let explained = match replay::explain(&loaded.snapshot, people, lines, request) {
        Ok(explained) => explained,
        Err(error) => return Verdict::failed(2, &format!("doorward: {error}")),
    };
    let problems = explained.lacks.iter().map(|what| format!("the {what} was not recorded: it is taken for absent\n")).collect();
    let output = if as_json {
        let mut value = value(&explained.now);
        if let Some(object) = value.as_object_mut() {
            object.insert("recorded".to_owned(), json!({ "time": explained.time, "decision": explained.then }));
        }
        format!("{value:#}\n")
    } else {
        format!("{}recorded at {}: {}\n", as_text(&explained.now), explained.time, explained.then)
    };
    Verdict { code: code(explained.now.outcome()), output, problems }
}

pub(super) fn answer(snapshot: &Snapshot, known: &Known, asked: &Asked) -> Result<Answer, Error> {
    explain(snapshot, &asked.question(snapshot, known, clock::now())?)
}

/// What the store knows, where the question is about somebody or about a device of the inventory.
fn known_of(loaded: &Loaded, asked: &Asked) -> (Known, String) {
    if asked.device_id.is_none() && asked.user.is_none() {
        return Default::default();
    }
    let unread = |error| {
        let lacks = "locks, risks, and devices that are not in the configuration's file, are not looked at";
        (Known::default(), format!("the store can't be read, so that {lacks}: {error}\n"))
    };
    read(&loaded.store, asked.person().as_ref()).map_or_else(unread, |known| (known, String::new()))
}

/// The devices that the administration API was told of, where one of these questions is about a device of the inventory. What else
/// is known changes from day to day, and has no part in what is to be so for good.
pub(super) fn administered<'a>(loaded: &Loaded, asked: impl IntoIterator<Item = &'a Asked>) -> (Known, String) {
    if asked.into_iter().all(|asked| asked.device_id.is_none()) {
        return Default::default();
    }
    match read(&loaded.store, None) {
        Ok(Known { devices, .. }) => (Known { devices, ..Known::default() }, String::new()),
        Err(error) => (
            Known::default(),
            format!("the store can't be read, so that only the devices of the configuration's file are known: {error}\n"),
        ),
    }
}

fn read(location: &Location, person: Option<&Whose>) -> Result<Known, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(store::known(location, person)).map_err(|error| error.to_string())
}

fn asked(arguments: Arguments) -> Result<Asked, String> {
    Ok(Asked {
        app: arguments.app.unwrap_or_default(),
        path: arguments.path,
        method: Some(arguments.method),
        user: arguments.user,
        provider: arguments.provider,
        groups: Texts(arguments.group),
        claims: pairs(&arguments.claim)?,
        amr: Texts(arguments.amr),
        acr: arguments.acr,
        auth_age: Some(arguments.auth_age),
        ip: arguments.ip,
        country: arguments.country,
        asn: arguments.asn,
        device: arguments.standing,
        device_id: arguments.device,
        risk: arguments.risk,
        headers: pairs(&arguments.header)?,
        at: arguments.at,
    })
}

fn pairs(texts: &[String]) -> Result<BTreeMap<String, Texts>, String> {
    let mut pairs = BTreeMap::<String, Texts>::new();
    for text in texts {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not of the form name=value"))?;
        pairs.entry(name.to_owned()).or_default().0.push(value.to_owned());
    }
    Ok(pairs)
}

/// The exit code.
const fn code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Allow => 0,
        Outcome::Deny => 1,
        Outcome::Challenge => 3,
    }
}

/// An answer in words.
pub(super) fn as_text(answer: &Answer) -> String {
    let mut text = format!("{}: {}\n", answer.outcome().word(), answer.route);
    if let Some(Locked { whose, source, reason, until }) = &answer.locked {
        let until = until.map_or_else(|| "until it is lifted".to_owned(), |until| format!("until {until}"));
        let (kind, source, reason) = (whose.kind(), source.code(), reason.escape_debug());
        // Writing to a String can't fail.
        let _ = writeln!(text, "locked out: the {kind} {whose}, by {source}, {until} ({reason}); without that:");
    }
    match &answer.explained {
        Err(Public { allows: true }) => text.push_str("the path is public\n"),
        Err(Public { allows: false }) => text.push_str("the path is public, by other methods\n"),
        Ok(explanation) => explained(&mut text, explanation),
    }
    text
}

// Writing to a String can't fail.
fn explained(text: &mut String, explanation: &Explanation) {
    let place = |id: &RuleId| explanation.rules.iter().find(|rule| rule.id == *id).map_or("", |rule| &*rule.place);
    let _ = match &explanation.decision {
        Decision::Allow(id) => writeln!(text, "allowed by {} ({})", id.0, place(id)),
        Decision::Deny(id) => writeln!(text, "denied by {} ({})", id.0, place(id)),
        Decision::NoRule => writeln!(text, "no rule allows it"),
        Decision::Error(error) => writeln!(text, "a rule fails, which denies: {error}"),
    };
    if let Some(step_up) = &explanation.step_up {
        let _ = writeln!(text, "would be let through after {}", sign_in(step_up));
    }
    if let Some(shadow) = &explanation.shadow {
        let word = if shadow.allows() { "allowed" } else { "denied" };
        let _ = writeln!(text, "would be {word} if the rules in the shadow counted");
    }
    explanation.rules.iter().for_each(|rule| self::rule(text, rule));
}

fn sign_in(step_up: &StepUp) -> String {
    let mut words = vec!["another sign-in".to_owned()];
    words.extend(step_up.mfa.then(|| "with a second factor".to_owned()));
    words.extend(step_up.phishing_resistant.then(|| "with a phishing-resistant method".to_owned()));
    if !step_up.acr_values.is_empty() {
        words.push(format!("of the class {}", step_up.acr_values.join(" or ")));
    }
    words.extend(step_up.max_age.map(|age| format!("no older than {}", Span(age))));
    words.join(", ")
}

fn rule(text: &mut String, rule: &Explained) {
    let effect = if rule.effect == Effect::Allow { "allow" } else { "deny" };
    let shadow = if rule.shadow { ", in the shadow" } else { "" };
    let matches = match &rule.matches {
        Ok(true) => "matches".to_owned(),
        Ok(false) => "does not match".to_owned(),
        Err(error) => format!("fails: {error}"),
    };
    let _ = writeln!(text, "\n{} ({}, {effect}{shadow}) {matches}", rule.id.0, rule.place);
    rule.parts.iter().for_each(|part| self::part(text, part, 1));
}

fn part(text: &mut String, part: &Part, depth: usize) {
    let mark = if part.holds { '+' } else { '-' };
    let _ = write!(text, "{}{mark} {}", "  ".repeat(depth), part.text);
    if let Some(seen) = &part.seen {
        let value = seen.value.as_deref().unwrap_or("nothing is known");
        let source = seen.source.as_ref().map(|source| format!(", {}", source.code())).unwrap_or_default();
        let age = seen.age.map(|age| format!(", {} ago", Span(std::time::Duration::from_secs(age.as_secs())))).unwrap_or_default();
        let _ = write!(text, " ({value}, {}{source}{age})", seen.state);
    }
    let _ = match part.help {
        Some(help) => writeln!(text, ": {help}"),
        None => writeln!(text),
    };
    part.parts.iter().for_each(|inner| self::part(text, inner, depth + 1));
}
