//! `doorward locks`: who and what is locked out at the process that runs. In: a person or a device, and why. Out: what there is, or
//! what was done.

use super::administration::{Administration, Answer, escaped};
use super::check::Verdict;
use super::sessions::{Common, ended, found, pages};
use crate::clock;
use crate::control::config::duration;
use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What to do.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Subcommand)]
enum Act {
    /// Say what is locked out, why and until when.
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Lock a person or a device out, and end the sign-ins that this is about.
    Set {
        #[command(flatten)]
        whose: Whose,
        /// Why, for other administrators and the audit trail.
        #[arg(long)]
        why: String,
        /// For how long: 30m, 8h, 7d; until it is lifted by default.
        #[arg(long = "for", value_name = "TIME")]
        lasts: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Lift a lock.
    Lift {
        #[command(flatten)]
        whose: Whose,
        /// Why, for the audit trail.
        #[arg(long)]
        why: Option<String>,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Whose {
    /// A person: a verified e-mail address, or provider:subject.
    #[arg(long)]
    user: Option<String>,
    /// A device: its id, or the SHA-256 of its certificate.
    #[arg(long)]
    device: Option<String>,
}

impl Whose {
    fn path(&self) -> String {
        let (kind, name) = match (&self.user, &self.device) {
            (Some(user), _) => ("user", user.as_str()),
            (None, device) => ("device", device.as_deref().unwrap_or("")),
        };
        format!("/api/v1/locks/{kind}/{}", escaped(name))
    }
}

/// Does it.
pub fn run(arguments: Arguments) -> Verdict {
    let done = match arguments.act {
        Act::List { common } => list(&common),
        Act::Set { whose, why, lasts, common } => set(&whose, why, lasts.as_deref(), &common),
        Act::Lift { whose, why, common } => lift(&whose, why, &common),
    };
    done.unwrap_or_else(|failed| failed)
}

fn list(common: &Common) -> Result<Verdict, Verdict> {
    let api = Administration::of(&common.config, None)?;
    let all = pages(&api, "locks", "", |after| format!("/api/v1/locks?after={after}"))?;
    let output = if common.json { format!("{:#}\n", Value::from(all)) } else { table(&all) };
    Ok(Verdict { code: 0, output, problems: String::new() })
}

fn table(all: &[Value]) -> String {
    let text = |lock: &Value, key: &str| lock.get(key).and_then(Value::as_str).unwrap_or("-").to_owned();
    all.iter().fold(String::new(), |mut table, lock| {
        let [kind, name, source, since, until, reason] =
            ["kind", "name", "source", "locked_at", "expires_at", "reason"].map(|key| text(lock, key).escape_debug().to_string());
        // Writing to a String can't fail.
        let _ = writeln!(table, "{kind:<6}  {name}  by {source} since {since}, until {until}: {reason}");
        table
    })
}

fn set(whose: &Whose, why: String, lasts: Option<&str>, common: &Common) -> Result<Verdict, Verdict> {
    let lasts = lasts
        .map(|text| duration(text).ok_or_else(|| Verdict::failed(2, &format!("doorward: `{text}` is no duration: 30m, 8h, 7d"))));
    let until = lasts.transpose()?.map(|lasts| clock::now().plus(lasts).to_string());
    let lock = json!({ "reason": why, "expires_at": until });
    let api = Administration::of(&common.config, Some(why))?;
    let done = found(api.ask(Method::PUT, &whose.path(), Some(&lock))?)?;
    let output = if common.json { format!("{done:#}\n") } else { format!("locked; {}", ended(&done)) };
    Ok(Verdict { code: 0, output, problems: String::new() })
}

fn lift(whose: &Whose, why: Option<String>, common: &Common) -> Result<Verdict, Verdict> {
    let api = Administration::of(&common.config, why)?;
    let (code, said) = match api.ask(Method::DELETE, &whose.path(), None)? {
        Answer::Done(_) => (0, "lifted".to_owned()),
        Answer::Nothing(said) => (1, said),
    };
    let output = if common.json { format!("{}\n", json!({ "lifted": code == 0 })) } else { format!("{said}\n") };
    Ok(Verdict { code, output, problems: String::new() })
}
