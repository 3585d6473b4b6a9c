//! `timeouts:` and `pool:`. In: what the file says. Out: how long an app may take, and how many connections to it are kept; what is
//! not said stays as it is by default.

use super::super::Context;
use super::super::values::{count, duration};
use crate::control::config::file;
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::snapshot::upstream::{Pooling, Timeouts};
use std::time::Duration;

/// The most connections that can be asked for.
const MOST: usize = 1_000_000;

/// How long an app may take.
pub(in crate::control::config::compile) fn timeouts(app: &file::App, place: &Place, context: &mut Context<'_>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let Some(block) = &app.timeouts else { return timeouts };
    let place = place.key("timeouts");
    if let Some(text) = &block.connect {
        set(&mut timeouts.connect, duration(text), &place.key("connect"), context);
    }
    let may_be_off = [
        ("first_byte", &block.first_byte, &mut timeouts.first_byte),
        ("idle", &block.idle, &mut timeouts.idle),
        ("total", &block.total, &mut timeouts.total),
    ];
    for (key, text, to) in may_be_off {
        if let Some(text) = text {
            set(to, limit(text), &place.key(key), context);
        }
    }
    timeouts
}

/// How many connections are kept.
pub(in crate::control::config::compile) fn pooling(app: &file::App, place: &Place, context: &mut Context<'_>) -> Pooling {
    let mut pooling = Pooling::default();
    let Some(block) = &app.pool else { return pooling };
    let place = place.key("pool");
    if let Some(text) = &block.idle {
        set(&mut pooling.idle, duration(text), &place.key("idle"), context);
    }
    if let Some(text) = &block.max_idle {
        set(&mut pooling.max_idle, count(&text.0, 0..=MOST), &place.key("max_idle"), context);
    }
    if let Some(text) = &block.max_connections {
        set(&mut pooling.max_connections, count(&text.0, 1..=MOST), &place.key("max_connections"), context);
    }
    pooling
}

fn set<T>(to: &mut T, value: Result<T, Wrong>, place: &Place, context: &mut Context<'_>) {
    if let Some(value) = context.findings.take(place, value) {
        *to = value;
    }
}

fn limit(text: &str) -> Result<Option<Duration>, Wrong> {
    match text {
        "off" => Ok(None),
        text => duration(text).map(Some).map_err(|wrong| Wrong { help: wrong.help.map(|help| help + ", or `off`"), ..wrong }),
    }
}
