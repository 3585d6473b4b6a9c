//! `geo:`. In: names of databases. Out: databases in memory.

use super::Context;
use super::values::duration;
use crate::control::config::file::File;
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::snapshot::geo::{Database, Geo};
use std::time::Duration;

/// How old a database may be.
const MAX_AGE: Duration = Duration::from_secs(45 * 86_400);

/// The databases; none where none is configured.
pub(super) fn compile(file: &File, context: &mut Context<'_>) -> Geo {
    let Some(written) = &file.geo else { return Geo::default() };
    let place = Place::root().key("geo");
    if written.country.is_none() && written.asn.is_none() {
        context.findings.error(&place, Wrong::plain("name a file under `country`, under `asn`, or under both"));
    }
    let max_age = written.max_age.as_deref().map_or(Ok(MAX_AGE), duration);
    let max_age = context.findings.take(&place.key("max_age"), max_age).unwrap_or(MAX_AGE);
    let mut database = |key: &str, name: &Option<String>| {
        let name = name.as_deref()?;
        let bytes = context.sources.read_large(name).map_err(|error| Wrong::plain(format!("can't read `{name}`: {error}")));
        let database = bytes.and_then(|bytes| {
            Database::parse(bytes, max_age)
                .map_err(|error| Wrong::plain(format!("`{name}` is not a database of addresses: {error}")))
        });
        context.findings.take(&place.key(key), database)
    };
    Geo { country: database("country", &written.country), asn: database("asn", &written.asn) }
}
