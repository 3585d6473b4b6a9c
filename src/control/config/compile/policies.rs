//! `policies:` and `shadow_policies:`. In: names of files, with `*` in the last part. Out: policies in Cedar's syntax.

use super::Context;
use crate::control::config::file::{File, Texts};
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::policy::Files;
use crate::policy::files::Unasked;

/// The policies of all files.
pub(super) fn compile(file: &File, context: &mut Context<'_>) -> Files {
    let mut files = Files::default();
    for (key, names, shadow) in [("policies", &file.policies, false), ("shadow_policies", &file.shadow_policies, true)] {
        add(&mut files, names, &Place::root().key(key), shadow, context);
    }
    files
}

fn add(files: &mut Files, names: &Texts, place: &Place, shadow: bool, context: &mut Context<'_>) {
    let lists = context.lists.networks();
    for (index, pattern) in names.0.iter().enumerate() {
        let place = place.index(index);
        let found = context.sources.matching(pattern).map_err(|error| Wrong::plain(format!("can't read `{pattern}`: {error}")));
        let Some(found) = context.findings.take(&place, found) else { continue };
        if found.is_empty() {
            context.findings.warning(&place, Wrong::plain(format!("no file is called `{pattern}`")));
        }
        for name in found {
            let added = read(&name, context).and_then(|text| {
                files.add(&name, &text, shadow, &lists).map_err(|error| Wrong::plain(format!("`{name}`: {error}")))
            });
            for Unasked { id, signal } in context.findings.take(&place, added).unwrap_or_default() {
                let message = format!("`{}` does not ask whether `{signal}` is known: where it is not, it may not deny", id.0);
                let (not_fresh, fresh) =
                    (format!("context.{signal}.state != \"fresh\" ||"), format!("context.{signal}.state == \"fresh\" &&"));
                context
                    .findings
                    .warning(&place, Wrong::new(message, format!("write `{not_fresh}` in `when`, `{fresh}` in `unless`")));
            }
        }
    }
}

fn read(name: &str, context: &mut Context<'_>) -> Result<String, Wrong> {
    let bytes = context.sources.read(name).map_err(|error| Wrong::plain(format!("can't read `{name}`: {error}")))?;
    String::from_utf8(bytes).map_err(|_| Wrong::plain(format!("`{name}` is not UTF-8")))
}
