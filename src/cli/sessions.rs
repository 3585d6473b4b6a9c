//! `doorward sessions`: who is signed in at the process that runs, and the end of that. In: what is meant. Out: what is there, or
//! what has ended. Must never take a missing name for everybody.

use super::administration::{Administration, Answer, escaped, failed};
use super::check::Verdict;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value};
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
    /// Say who is signed in: everybody, or those that one option names.
    List {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        common: Common,
    },
    /// Say what is known of one sign-in.
    Show {
        /// The number of a sign-in, or the `session` of an audit record.
        #[arg(allow_hyphen_values = true)]
        id: String,
        #[command(flatten)]
        common: Common,
    },
    /// End what one option names, and cut what flows of it.
    Revoke {
        #[command(flatten)]
        which: Which,
        /// Everything: everybody has to go to a provider again.
        #[arg(long)]
        all: bool,
        /// Why, for the audit trail.
        #[arg(long)]
        why: Option<String>,
        #[command(flatten)]
        common: Common,
    },
}

/// Which sign-ins.
#[derive(Args, Default)]
struct Which {
    /// One session at one app: the `session` of an audit record.
    // One in 64 begins with a hyphen.
    #[arg(long, group = "which", allow_hyphen_values = true)]
    session: Option<String>,
    /// One sign-in, by its number, with all its sessions.
    #[arg(long, group = "which")]
    sign_in: Option<i64>,
    /// A person: a verified e-mail address, or provider:subject.
    #[arg(long, group = "which")]
    user: Option<String>,
    /// What was used with a device: its id, or the SHA-256 of its certificate.
    #[arg(long, group = "which")]
    device: Option<String>,
    /// The sessions at an app: its key under `apps`.
    #[arg(long, group = "which")]
    app: Option<String>,
    /// What was signed in at a provider: its key under `identity_providers`.
    #[arg(long, group = "which")]
    provider: Option<String>,
}

#[derive(Args)]
pub(super) struct Common {
    /// The configuration file of the process that runs.
    #[arg(short, long, default_value = "config/doorward.yaml")]
    pub(super) config: PathBuf,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
}

impl Which {
    /// As the API takes it.
    fn asked(self) -> Map<String, Value> {
        let texts = [
            ("session", self.session),
            ("user", self.user),
            ("device", self.device),
            ("app", self.app),
            ("provider", self.provider),
        ];
        let texts = texts.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?))));
        texts.chain(self.sign_in.map(|number| ("sign_in".to_owned(), number.into()))).collect()
    }
}

/// Does it.
pub fn run(arguments: Arguments) -> Verdict {
    let done = match arguments.act {
        Act::List { which, common } => list(&which.asked(), &common),
        Act::Show { id, common } => show(&id, &common),
        Act::Revoke { which, all, why, common } => revoke(which.asked(), all, why, &common),
    };
    done.unwrap_or_else(|failed| failed)
}

fn list(asked: &Map<String, Value>, common: &Common) -> Result<Verdict, Verdict> {
    let api = Administration::of(&common.config, None)?;
    let filter: String =
        asked.iter().map(|(key, value)| format!("&{key}={}", escaped(value.as_str().unwrap_or(&value.to_string())))).collect();
    let all = pages(&api, "sessions", "-1", |after| format!("/api/v1/sessions?after={after}{filter}"))?;
    let output = if common.json { format!("{:#}\n", Value::from(all)) } else { table(&all) };
    Ok(Verdict { code: 0, output, problems: String::new() })
}

/// All of a list that is told page by page; `first`: behind what it begins.
pub(super) fn pages(api: &Administration, name: &str, first: &str, path: impl Fn(&str) -> String) -> Result<Vec<Value>, Verdict> {
    let (mut all, mut after) = (Vec::new(), first.to_owned());
    loop {
        let mut page = found(api.ask(Method::GET, &path(&escaped(&after)), None)?)?;
        if let Some(Value::Array(some)) = page.get_mut(name) {
            all.append(some);
        }
        match page.get("next").and_then(Value::as_str) {
            Some(next) => next.clone_into(&mut after),
            None => return Ok(all),
        }
    }
}

fn show(id: &str, common: &Common) -> Result<Verdict, Verdict> {
    let api = Administration::of(&common.config, None)?;
    let shown = found(api.ask(Method::GET, &format!("/api/v1/sessions/{}", escaped(id)), None)?)?;
    let output = if common.json { format!("{shown:#}\n") } else { whole(&shown) };
    Ok(Verdict { code: 0, output, problems: String::new() })
}

fn revoke(mut asked: Map<String, Value>, all: bool, why: Option<String>, common: &Common) -> Result<Verdict, Verdict> {
    match (asked.len(), all) {
        (1, false) => {}
        (0, true) => drop(asked.insert("everything".to_owned(), true.into())),
        _ => return Err(Verdict::failed(2, "doorward: say what to revoke by exactly one option; `--all` is everything")),
    }
    let api = Administration::of(&common.config, why)?;
    let done = found(api.ask(Method::POST, "/api/v1/sessions/revoke", Some(&Value::from(asked)))?)?;
    let output = if common.json { format!("{done:#}\n") } else { ended(&done) };
    Ok(Verdict { code: 0, output, problems: String::new() })
}

pub(super) fn found(answer: Answer) -> Result<Value, Verdict> {
    match answer {
        Answer::Done(value) => Ok(value),
        Answer::Nothing(said) => Err(failed(&said)),
    }
}

/// What has ended, in a sentence.
pub(super) fn ended(done: &Value) -> String {
    let number = |key: &str| done.get(key).and_then(Value::as_u64).unwrap_or(0);
    match (number("sign_ins"), number("sessions")) {
        (0, 0) => "nothing was there to end\n".to_owned(),
        (0, sessions) => {
            format!("ended {sessions} session(s) at apps; whoever is still signed in gets a new one without being asked\n")
        }
        (sign_ins, sessions) => format!("ended {sign_ins} sign-in(s) with {sessions} session(s) at apps\n"),
    }
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or("-")
}

/// To the second.
fn time<'v>(value: &'v Value, key: &str) -> &'v str {
    text(value, key).split('.').next().unwrap_or("-").trim_end_matches('Z')
}

fn sessions(value: &Value) -> &[Value] {
    value.get("sessions").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn table(all: &[Value]) -> String {
    let mut table = String::new();
    let row = |table: &mut String, cells: [&str; 6]| {
        let [number, user, created, seen, ends, hosts] = cells;
        // Writing to a String can't fail.
        let _ = writeln!(table, "{number:>8}  {user:<36}  {created:<19}  {seen:<19}  {ends:<19}  {hosts}");
    };
    row(&mut table, ["SIGN-IN", "USER", "CREATED", "LAST SEEN", "ENDS", "HOSTS"]);
    for sign_in in all {
        let who = sign_in.get("email").and_then(Value::as_str).unwrap_or_else(|| text(sign_in, "user"));
        // A provider chooses the names of its people, and a terminal obeys control characters.
        let who = format!("{} ({})", who.escape_debug(), text(sign_in, "provider"));
        let hosts: Vec<_> = sessions(sign_in).iter().map(|session| text(session, "host")).collect();
        let times = ["created_at", "last_seen_at", "ends_at"].map(|key| time(sign_in, key));
        let [created, seen, ends] = times;
        let number = sign_in.get("sign_in").map_or(String::new(), Value::to_string);
        row(&mut table, [&number, &who, created, seen, ends, &hosts.join(" ")]);
    }
    table
}

fn whole(sign_in: &Value) -> String {
    let mut shown = String::new();
    for key in ["sign_in", "user", "email", "provider", "created_at", "last_seen_at", "ends_at", "address", "agent"] {
        let value = sign_in.get(key).filter(|value| !value.is_null());
        let value = value.map_or("-".to_owned(), |value| {
            value.as_str().map_or_else(|| value.to_string(), |text| text.escape_debug().to_string())
        });
        // Writing to a String can't fail.
        let _ = writeln!(shown, "{key:<12}  {value}");
    }
    for session in sessions(sign_in) {
        let _ = writeln!(
            shown,
            "session       {} at {}, since {}",
            text(session, "session"),
            text(session, "host"),
            time(session, "created_at")
        );
    }
    shown
}
