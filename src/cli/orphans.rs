//! `doorward orphans`: people who have signed in once and whom no provider mentions any more, as the process that runs knows them. In:
//! a configuration file. Out: a table, or JSON. Must never change anything.

use super::administration::Administration;
use super::check::Verdict;
use super::sessions::{Common, pages};
use clap::Args;
use serde_json::Value;
use std::fmt::Write as _;

/// What to ask.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

/// Lists them.
pub fn run(arguments: &Arguments) -> Verdict {
    list(&arguments.common).unwrap_or_else(|failed| failed)
}

fn list(common: &Common) -> Result<Verdict, Verdict> {
    let api = Administration::of(&common.config, None)?;
    let all = pages(&api, "orphans", "0", |after| format!("/api/v1/orphans?after={after}"))?;
    let output = if common.json { format!("{:#}\n", Value::from(all)) } else { table(&all) };
    Ok(Verdict { code: 0, output, problems: String::new() })
}

fn table(all: &[Value]) -> String {
    let mut table = String::new();
    let row = |table: &mut String, [user, email, seen, why]: [&str; 4]| {
        // A provider chooses the names of its people, and a terminal obeys control characters. Writing to a String can't fail.
        let (user, email) = (user.escape_debug().to_string(), email.escape_debug().to_string());
        let _ = writeln!(table, "{user:<44}  {email:<36}  {seen:<19}  {why}");
    };
    row(&mut table, ["USER", "EMAIL", "LAST SIGN-IN", "WHY"]);
    for orphan in all {
        let text = |key: &str| orphan.get(key).and_then(Value::as_str).unwrap_or("-");
        let seen = text("last_sign_in").split('.').next().unwrap_or("-").trim_end_matches('Z');
        row(&mut table, [text("user"), text("email"), seen, text("why")]);
    }
    table
}
