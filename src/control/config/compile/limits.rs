//! `max_body:` and `limits:` of an app, and `limits.reserved`. In: texts. Out: numbers.

use super::Context;
use crate::control::config::file::{App, File};
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::snapshot::limits::{Limits, Period, Rate, Reserved};
use std::num::NonZeroU32;

/// The limits of an app; `None` where it has none.
pub(super) fn compile(app: &App, place: &Place, context: &mut Context<'_>) -> Option<Box<Limits>> {
    let body = read(app.max_body.as_ref(), &place.key("max_body"), size, context);
    let mut limits = Limits { body, ..Limits::default() };
    if let Some(written) = &app.limits {
        let place = place.key("limits");
        let mut key = |key: &str, text: &Option<String>| read(text.as_ref(), &place.key(key), count, context);
        limits.in_flight = key("in_flight", &written.in_flight);
        limits.in_flight_per_session = key("in_flight_per_session", &written.in_flight_per_session);
        let mut key = |key: &str, text: &Option<String>| read(text.as_ref(), &place.key(key), rate, context);
        limits.rate_per_session = key("rate_per_session", &written.rate_per_session);
        limits.rate_per_address = key("rate_per_address", &written.rate_per_address);
    }
    (limits != Limits::default()).then(|| Box::new(limits))
}

/// How much one address may ask of Doorward itself.
pub(super) fn reserved(file: &File, context: &mut Context<'_>) -> Reserved {
    let Some(written) = file.limits.as_ref().map(|limits| &limits.reserved) else { return Reserved::default() };
    let (place, default) = (Place::root().key("limits").key("reserved"), Reserved::default());
    let (in_flight, often) = (written.in_flight_per_address.as_ref(), written.rate_per_address.as_ref());
    let in_flight = read(in_flight, &place.key("in_flight_per_address"), count, context);
    let often = read(often, &place.key("rate_per_address"), rate, context);
    Reserved {
        in_flight_per_address: in_flight.unwrap_or(default.in_flight_per_address),
        rate_per_address: often.unwrap_or(default.rate_per_address),
    }
}

fn read<T>(
    text: Option<&String>,
    place: &Place,
    parse: impl FnOnce(&str) -> Result<T, Wrong>,
    context: &mut Context<'_>,
) -> Option<T> {
    text.and_then(|text| context.findings.take(place, parse(text)))
}

fn count(text: &str) -> Result<NonZeroU32, Wrong> {
    // `parse` alone would take a sign.
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let count = if digits { text.parse().ok() } else { None };
    count.ok_or_else(|| Wrong::new("not a limit", "a whole number from 1, or take the key away"))
}

fn rate(text: &str) -> Result<Rate, Wrong> {
    let wrong = || Wrong::new("not a rate", "a number a second or a minute: `50/s` or `600/m`");
    let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
    let per = match unit {
        "s" => Period::Second,
        "m" => Period::Minute,
        _ => return Err(wrong()),
    };
    Ok(Rate { count: count(number).map_err(|_| wrong())?, per })
}

/// The units of sizes; the longer first where one ends like another.
const UNITS: [(&str, u64); 7] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("B", 1)];

/// `512KB`, `100MB`, `1GiB`, in bytes.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let parts = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let size = parts.and_then(|(number, bytes)| u64::from(count(number).ok()?.get()).checked_mul(*bytes));
    size.ok_or_else(|| Wrong::new("not a size", "a whole number and a unit: `512KB`, `100MB` or `1GiB`"))
}
