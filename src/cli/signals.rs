//! `doorward signals`: the streams of security events of the process that runs. In: which transmitters, and what to do. Out: what there
//! is, or what came of it.

use super::administration::{Administration, Answer, escaped, failed};
use super::check::Verdict;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;

/// What to do.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Set the stream up at the transmitter, or bring it up to date with the configuration.
    Add(Which),
    /// Have the transmitter prove that its stream works, and wait for it.
    Verify(Which),
    /// Say when each transmitter was last heard of, and which are silent; exits with 1 where one is.
    Status(Which),
}

#[derive(Args)]
struct Which {
    /// The configuration file of the process that runs.
    #[arg(short, long, default_value = "config/doorward.yaml")]
    config: PathBuf,
    /// One transmitter, by its name in the configuration; all by default.
    #[arg(long)]
    transmitter: Option<String>,
}

/// Does it.
pub fn run(arguments: Arguments) -> Verdict {
    let done = match arguments.act {
        Act::Add(which) => each(&which, "stream", "its stream is set up"),
        Act::Verify(which) => each(&which, "verification", "its stream works"),
        Act::Status(which) => status(&which),
    };
    done.unwrap_or_else(|failed| failed)
}

/// The transmitters that are meant.
fn meant(api: &Administration, which: &Which) -> Result<Vec<Value>, Verdict> {
    let answer = match api.ask(Method::GET, "/api/v1/signals", None)? {
        Answer::Done(answer) => answer,
        Answer::Nothing(said) => return Err(failed(&said)),
    };
    let all = answer.get("transmitters").and_then(Value::as_array).cloned().unwrap_or_default();
    let is_meant = |transmitter: &Value| which.transmitter.as_ref().is_none_or(|name| text(transmitter, "name") == name);
    let meant: Vec<_> = all.into_iter().filter(is_meant).collect();
    if meant.is_empty() { Err(failed("the process that runs has no such transmitter")) } else { Ok(meant) }
}

/// Asks for something of each, and says of every one what came of it.
fn each(which: &Which, what: &str, done: &str) -> Result<Verdict, Verdict> {
    let api = Administration::of(&which.config, None)?;
    let mut verdict = Verdict { code: 0, output: String::new(), problems: String::new() };
    for transmitter in meant(&api, which)? {
        let name = text(&transmitter, "name");
        let problem = match api.ask(Method::POST, &format!("/api/v1/signals/{}/{what}", escaped(name)), None) {
            Ok(Answer::Done(_)) => {
                // Writing to a String can't fail.
                let _ = writeln!(verdict.output, "{name}: {done}");
                continue;
            }
            Ok(Answer::Nothing(said)) => format!("{said}\n"),
            Err(failed) => failed.problems,
        };
        verdict.code = 1;
        let _ = write!(verdict.problems, "{name}: {problem}");
    }
    Ok(verdict)
}

fn status(which: &Which) -> Result<Verdict, Verdict> {
    let mut verdict = Verdict { code: 0, output: String::new(), problems: String::new() };
    for transmitter in meant(&Administration::of(&which.config, None)?, which)? {
        let is_silent = transmitter.get("silent").and_then(Value::as_bool) != Some(false);
        if is_silent {
            verdict.code = 1;
        }
        let state = if is_silent { "silent: what it said is stale" } else { text(&transmitter, "status") };
        let [name, event, verified] = ["name", "last_event_at", "last_verified_at"].map(|key| text(&transmitter, key));
        let _ = writeln!(verdict.output, "{name}: {state}; last event {event}, last verified {verified}");
    }
    Ok(verdict)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("never")
}
