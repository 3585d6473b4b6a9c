//! `doorward explain`. In: a configuration and a made-up request. Out: what would be decided, by which rule, and what each condition
//! says; 0 where it is let through, 1 where it is refused, 3 where another sign-in would be asked for.

use super::check::Verdict;
use crate::clock;
use crate::control::config::{self, load};
use crate::control::explain::{Answer, Public, Question, explain};
use crate::model::device::Standing;
use crate::model::{RiskLevel, RuleId, StepUp, Timestamp};
use crate::policy::condition::Span;
use crate::policy::explain::{Explained, Explanation, Part};
use crate::policy::{Decision, Effect};
use clap::{Args, ValueEnum};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

/// What is asked.
#[derive(Args)]
pub struct Arguments {
    /// The configuration file.
    #[arg(short, long, default_value = "config/doorward.yaml")]
    config: PathBuf,
    /// The app's key under `apps`.
    #[arg(long)]
    app: String,
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
    method: Method,
    /// The path of the request.
    #[arg(long)]
    path: Option<String>,
    /// The client's address.
    #[arg(long)]
    ip: Option<IpAddr>,
    /// The country of that address, in place of what the database says.
    #[arg(long)]
    country: Option<String>,
    /// Its autonomous system, likewise.
    #[arg(long)]
    asn: Option<u32>,
    /// What the device is to the person.
    #[arg(long)]
    standing: Option<StandingArgument>,
    /// The level of risk.
    #[arg(long)]
    risk: Option<RiskArgument>,
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
    at: Option<jiff::Timestamp>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum StandingArgument {
    Managed,
    Known,
    Certified,
}

#[derive(Clone, Copy, ValueEnum)]
enum RiskArgument {
    Low,
    Medium,
    High,
}

/// Asks, and says what came of it.
pub fn run(arguments: Arguments) -> Verdict {
    let as_json = arguments.json;
    let loaded = match load(&arguments.config, 1) {
        Ok(loaded) => loaded,
        Err(problems) => return failed(1, &problems.to_string()),
    };
    let prefix = loaded.snapshot.apps.iter().find(|app| *app.name == *arguments.app).map_or("", |app| &app.prefix);
    let answer =
        question(arguments, prefix).and_then(|question| explain(&loaded.snapshot, &question).map_err(|error| error.to_string()));
    match answer {
        Ok(answer) => {
            let output = if as_json { format!("{:#}\n", as_value(&answer)) } else { as_text(&answer) };
            Verdict { code: Outcome::of(&answer).code(), output, problems: String::new() }
        }
        Err(error) => failed(2, &format!("doorward: {error}")),
    }
}

fn failed(code: u8, problem: &str) -> Verdict {
    Verdict { code, output: String::new(), problems: format!("{problem}\n") }
}

fn question(arguments: Arguments, prefix: &str) -> Result<Question, String> {
    let now = arguments.at.map_or_else(clock::now, |at| Timestamp::from_millis(u64::try_from(at.as_millisecond()).unwrap_or(0)));
    let age = config::duration(&arguments.auth_age).ok_or("`--auth-age` is a number and a unit: 90s, 30m, 12h or 7d")?;
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let mut claims = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in pairs(&arguments.claim)? {
        claims.entry(name.to_owned()).or_default().push(value.to_owned());
    }
    Ok(Question {
        path: arguments.path.unwrap_or_else(|| format!("{prefix}/")),
        app: arguments.app,
        method: arguments.method,
        user: arguments.user,
        provider: arguments.provider,
        groups: arguments.group,
        claims,
        amr: arguments.amr,
        acr: arguments.acr,
        authenticated_at: Timestamp::from_millis(now.millis().saturating_sub(age)),
        address: arguments.ip,
        country: arguments.country,
        asn: arguments.asn,
        device: arguments.standing.map(StandingArgument::standing),
        risk: arguments.risk.map(RiskArgument::level),
        headers: headers(&arguments.header)?,
        now,
    })
}

fn pairs(texts: &[String]) -> Result<Vec<(&str, &str)>, String> {
    texts.iter().map(|text| text.split_once('=').ok_or_else(|| format!("`{text}` is not of the form name=value"))).collect()
}

fn headers(texts: &[String]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs(texts)? {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is not the name of a header"))?;
        headers.append(name, HeaderValue::from_str(value).map_err(|_| format!("`{value}` is not the value of a header"))?);
    }
    Ok(headers)
}

impl StandingArgument {
    const fn standing(self) -> Standing {
        match self {
            Self::Managed => Standing::Managed,
            Self::Known => Standing::Known,
            Self::Certified => Standing::Certified,
        }
    }
}

impl RiskArgument {
    const fn level(self) -> RiskLevel {
        match self {
            Self::Low => RiskLevel::Low,
            Self::Medium => RiskLevel::Medium,
            Self::High => RiskLevel::High,
        }
    }
}

/// What a request would meet.
#[derive(Clone, Copy)]
enum Outcome {
    Allow,
    Deny,
    Challenge,
}

impl Outcome {
    fn of(answer: &Answer) -> Self {
        match &answer.explained {
            Err(Public { allows: true }) => Self::Allow,
            Err(Public { allows: false }) => Self::Deny,
            Ok(explanation) if explanation.decision.allows() => Self::Allow,
            Ok(explanation) if explanation.step_up.is_some() => Self::Challenge,
            Ok(_) => Self::Deny,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Challenge => "challenge",
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Allow => 0,
            Self::Deny => 1,
            Self::Challenge => 3,
        }
    }
}

fn as_text(answer: &Answer) -> String {
    let mut text = format!("{}: {}\n", Outcome::of(answer).word(), answer.route);
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
        let source = seen.source.map(|source| format!(", {}", source.code())).unwrap_or_default();
        let age = seen.age.map(|age| format!(", {} ago", Span(std::time::Duration::from_secs(age.as_secs())))).unwrap_or_default();
        let _ = write!(text, " ({value}, {}{source}{age})", seen.state);
    }
    let _ = match part.help {
        Some(help) => writeln!(text, ": {help}"),
        None => writeln!(text),
    };
    part.parts.iter().for_each(|inner| self::part(text, inner, depth + 1));
}

fn as_value(answer: &Answer) -> Value {
    let decision = Outcome::of(answer).word();
    let route = &*answer.route;
    let Ok(explanation) = &answer.explained else {
        return json!({ "decision": decision, "route": route, "public": true });
    };
    let rule = explanation.decision.rule();
    json!({
        "decision": decision,
        "route": route,
        "public": false,
        "rule": rule.map(|rule| &*rule.0),
        "place": explanation.rules.iter().find(|other| Some(&other.id) == rule).map(|rule| &*rule.place),
        "error": if let Decision::Error(error) = &explanation.decision { Some(error) } else { None },
        "shadow": explanation.shadow.as_ref().map(|shadow| if shadow.allows() { "allow" } else { "deny" }),
        "step_up": explanation.step_up.as_ref().map(|step_up| json!({
            "mfa": step_up.mfa,
            "phishing_resistant": step_up.phishing_resistant,
            "acr_values": step_up.acr_values,
            "max_age": step_up.max_age.map(|age| age.as_secs()),
        })),
        "rules": explanation.rules.iter().map(rule_value).collect::<Vec<_>>(),
    })
}

fn rule_value(rule: &Explained) -> Value {
    json!({
        "rule": &*rule.id.0,
        "place": &*rule.place,
        "effect": if rule.effect == Effect::Allow { "allow" } else { "deny" },
        "shadow": rule.shadow,
        "matches": rule.matches.as_ref().ok(),
        "error": rule.matches.as_ref().err(),
        "conditions": rule.parts.iter().map(part_value).collect::<Vec<_>>(),
    })
}

fn part_value(part: &Part) -> Value {
    json!({
        "condition": part.text,
        "holds": part.holds,
        "state": part.seen.as_ref().map(|seen| seen.state),
        "value": part.seen.as_ref().and_then(|seen| seen.value.as_deref()),
        "source": part.seen.as_ref().and_then(|seen| seen.source).map(|source| source.code()),
        "age": part.seen.as_ref().and_then(|seen| seen.age).map(|age| age.as_secs()),
        "help": part.help,
        "conditions": part.parts.iter().map(part_value).collect::<Vec<_>>(),
    })
}
