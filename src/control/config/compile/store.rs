//! Where the state is kept. In: `store` and what goes with it. Out: a location. Must never show a password.

use super::values::duration;
use super::{Context, secret};
use crate::control::config::file::File;
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::store::{Error, Location};
use secrecy::ExposeSecret as _;
use std::time::Duration;

/// How long sessions that are known go on while the database is out of reach.
const GRACE: Duration = Duration::from_secs(300);
const FORMS: &str = "write `sqlite:PATH`, as in `sqlite:state/doorward.db`, or `postgres://USER@HOST/DATABASE`";
const MAKE_KEYS: &str = "make a file and give the same to every replica: `echo \"1 $(openssl rand -base64 32)\"`";

/// The location, with its password and the keys.
pub(super) fn location(file: &File, context: &mut Context<'_>) -> Option<Location> {
    let place = Place::root().key("store");
    let location = context.findings.take(&place, read(&file.store))?;
    let location = location.resolved(|path| context.sources.resolve(path));
    if location.is_shared() && file.store_keys.is_none() {
        context.findings.error(&place, Wrong::new("`store_keys` is missing: replicas share the keys that seal tokens", MAKE_KEYS));
    }
    let location = match &file.store_keys {
        Some(keys) => location.with_keys(context.sources.resolve(keys)),
        None => location,
    };
    let Some(password) = &file.store_password else { return Some(location) };
    let place = Place::root().key("store_password");
    if !location.is_shared() {
        context.findings.error(&place, Wrong::plain("SQLite has no password"));
    }
    let password = secret::compile(password, &place, context.sources, context.findings)?;
    Some(location.with_password(password.expose_secret()))
}

/// How long to go on without the database.
pub(super) fn grace(file: &File, context: &mut Context<'_>) -> Duration {
    let Some(text) = &file.store_grace else { return GRACE };
    let place = Place::root().key("store_grace");
    if !file.store.starts_with("postgres") {
        context.findings.error(&place, Wrong::plain("it counts only where the store is `postgres://…`"));
    }
    context.findings.take(&place, duration(text)).unwrap_or(GRACE)
}

fn read(text: &str) -> Result<Location, Wrong> {
    let path = text.strip_prefix("sqlite:");
    if path.is_some_and(|path| path.starts_with([':', '?']) || path.starts_with("//")) {
        return Err(Wrong::new("not a store that this version knows", FORMS));
    }
    Location::parse(text).map_err(|error| match error {
        Error::Location(cause) => Wrong::new(cause, FORMS),
        other => Wrong::new(other.to_string(), FORMS),
    })
}
