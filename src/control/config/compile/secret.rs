//! Where a secret is to the secret itself. In: the name of a variable or file. Out: the secret. Must never print it.

use crate::control::config::file;
use crate::control::config::findings::{Findings, Wrong};
use crate::control::config::place::Place;
use crate::control::config::sources::Sources;
use secrecy::SecretString;

/// The secret, without line breaks at its end.
pub(super) fn compile(
    secret: &file::Secret,
    place: &Place,
    sources: &mut Sources,
    findings: &mut Findings,
) -> Option<SecretString> {
    let (at, found) = match (&secret.env, &secret.file) {
        (Some(name), None) => (place.key("env"), variable(name)),
        (None, Some(name)) => (place.key("file"), contents(name, place, sources, findings)),
        _ => (place.clone(), Err(Wrong::new("exactly one source of the secret", "write `{ env: NAME }` or `{ file: PATH }`"))),
    };
    let found = found.and_then(|text| match text.trim_end_matches(['\r', '\n']) {
        "" => Err(Wrong::plain("the secret is empty")),
        text => Ok(SecretString::from(text)),
    });
    findings.take(&at, found)
}

fn variable(name: &str) -> Result<String, Wrong> {
    std::env::var(name).map_err(|error| match error {
        std::env::VarError::NotPresent => Wrong::plain(format!("the environment variable `{name}` is not set")),
        std::env::VarError::NotUnicode(_) => Wrong::plain(format!("the environment variable `{name}` is not UTF-8")),
    })
}

fn contents(name: &str, place: &Place, sources: &mut Sources, findings: &mut Findings) -> Result<String, Wrong> {
    let bytes = sources.read(name).map_err(|error| Wrong::plain(format!("can't read `{name}`: {error}")))?;
    if sources.is_open_to_all(name) {
        let wrong = Wrong::new(format!("everybody on this machine can read `{name}`"), "take that away: `chmod o-rwx`");
        findings.warning(&place.key("file"), wrong);
    }
    String::from_utf8(bytes).map_err(|_| Wrong::plain(format!("`{name}` is not UTF-8")))
}
