//! `upstream:`, `balance:`, `health:`, `ejection:` and `slow_start:`. In: what the file says. Out: the servers of an app. Must never
//! leave one out.

use super::values::{self, Address, duration};
use super::{Context, upstream};
use crate::control::config::file::App;
use crate::control::config::file::servers::{self as file, Balance as Written};
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::snapshot::Upstream;
use crate::snapshot::servers::{Balance, Care, Ejection, HealthCheck, MOST, Servers};
use http::HeaderValue;
use http::uri::PathAndQuery;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How large a weight, and a count of checks or failures, can be.
const NUMBERS: RangeInclusive<usize> = 1..=100;
/// The longest duration that makes sense for any of these.
const HOUR: Duration = Duration::from_secs(3600);

/// Where an app really is; nothing after an error.
pub(super) fn compile(app: &App, place: &Place, address: Option<&Address>, context: &mut Context<'_>) -> Option<Servers> {
    let servers = list(app, place, context);
    let care = Care {
        health: app.health.as_ref().and_then(|health| health_check(health, &place.key("health"), address, context)),
        ejection: ejection(app.ejection.as_ref(), &place.key("ejection"), context),
        slow_start: app.slow_start.as_deref().and_then(|text| time(Some(text), 0, &place.key("slow_start"), context)),
    };
    let servers = servers?;
    if servers.len() < 2 {
        warn_of_one(app, place, context);
    }
    Servers::new(servers, app.balance.map_or(Balance::RoundRobin, balance), care)
}

const fn balance(written: Written) -> Balance {
    match written {
        Written::RoundRobin => Balance::RoundRobin,
        Written::LeastInFlight => Balance::LeastInFlight,
        Written::BySession => Balance::BySession,
        Written::ByAddress => Balance::ByAddress,
    }
}

fn list(app: &App, place: &Place, context: &mut Context<'_>) -> Option<Vec<(Upstream, u32)>> {
    let upstreams = upstream::compile(app, place, context);
    let (place, listed) = (place.key("upstream"), &app.upstream.0);
    context.refuse_empty(listed, &place);
    if listed.len() > MOST {
        context.findings.error(&place, Wrong::plain(format!("an app has {MOST} servers at most, and these are {}", listed.len())));
    }
    for (index, upstream) in upstreams.iter().enumerate() {
        if upstream.is_some() && upstreams.iter().take(index).any(|before| before == upstream) {
            let wrong = Wrong::new("this server is here twice", "give it a `weight` to have it used more than the others");
            context.findings.error(&place.index(index), wrong);
        }
    }
    let weights = listed.iter().enumerate();
    let weights: Vec<_> = weights
        .map(|(index, server)| {
            count(server.weight.as_ref().map(|weight| &*weight.0), 1, &place.index(index).key("weight"), context)
        })
        .collect();
    upstreams.into_iter().zip(weights).map(|(upstream, weight)| upstream.zip(weight)).collect()
}

fn health_check(health: &file::Health, place: &Place, address: Option<&Address>, context: &mut Context<'_>) -> Option<HealthCheck> {
    let path = context.findings.take(&place.key("path"), path(&health.path));
    let host = match &health.host {
        Some(text) => context.findings.take(&place.key("host"), host(text)),
        None => address.and_then(|address| default_host(address, place, context)),
    };
    let interval = time(health.interval.as_deref(), 10, &place.key("interval"), context);
    let timeout = time(health.timeout.as_deref(), 2, &place.key("timeout"), context);
    let healthy = count(health.healthy.as_ref().map(|count| &*count.0), 2, &place.key("healthy"), context);
    let unhealthy = count(health.unhealthy.as_ref().map(|count| &*count.0), 3, &place.key("unhealthy"), context);
    let statuses = match &health.status {
        Some(list) => context.each(list, &place.key("status"), |text, _| statuses(text)),
        None => vec![200..=399],
    };
    let (path, host, interval) = (path?, host?, interval?);
    Some(HealthCheck { path, host, interval, timeout: timeout?, healthy: healthy?, unhealthy: unhealthy?, statuses })
}

/// What browsers ask for, which is also what the app is asked for on their behalf.
fn default_host(address: &Address, place: &Place, context: &mut Context<'_>) -> Option<HeaderValue> {
    if address.origin.host().starts_with("*.") {
        let wrong =
            Wrong::new("which host is to be asked for?", "write a `host` that `url` stands for, as in `host: one.corp.example`");
        context.findings.error(place, wrong);
        return None;
    }
    context.findings.take(place, host(&address.origin.authority()))
}

fn path(text: &str) -> Result<PathAndQuery, Wrong> {
    let wrong = || Wrong::new("not a path to ask for", "as in `/healthz`");
    if !text.starts_with('/') || text.contains('#') {
        return Err(wrong());
    }
    text.parse().map_err(|_| wrong())
}

fn host(text: &str) -> Result<HeaderValue, Wrong> {
    let wrong = || Wrong::new("not a host to ask for", "as in `wiki.corp.example` or `10.0.0.20:8080`");
    let authority: http::uri::Authority = text.parse().map_err(|_| wrong())?;
    if authority.as_str().contains('@') {
        return Err(wrong());
    }
    HeaderValue::from_str(text).map_err(|_| wrong())
}

/// `200`, or `200-399`.
fn statuses(text: &str) -> Result<RangeInclusive<u16>, Wrong> {
    let wrong = || Wrong::new("not a status", "as in `200` or `200-399`");
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| text.parse().ok().filter(|status| (200..=599).contains(status)).ok_or_else(wrong);
    let (first, last) = (status(first)?, status(last)?);
    if first > last { Err(wrong()) } else { Ok(first..=last) }
}

/// Nothing when it is off.
fn ejection(written: Option<&file::Ejection>, place: &Place, context: &mut Context<'_>) -> Option<Ejection> {
    let (failures, text) = written.map_or((None, None), |written| (written.failures.as_deref(), written.time.as_deref()));
    let time = time(text, 10, &place.key("for"), context);
    if failures == Some("off") {
        return None;
    }
    let failures = count(failures, 5, &place.key("failures"), context);
    Some(Ejection { failures: failures?, time: time? })
}

fn count(text: Option<&str>, default: u32, place: &Place, context: &mut Context<'_>) -> Option<u32> {
    let Some(text) = text else { return Some(default) };
    u32::try_from(context.findings.take(place, values::count(text, NUMBERS))?).ok()
}

fn time(text: Option<&str>, default: u64, place: &Place, context: &mut Context<'_>) -> Option<Duration> {
    let Some(text) = text else { return Some(Duration::from_secs(default)) };
    let time = context.findings.take(place, duration(text))?;
    if time > HOUR {
        context.findings.error(place, Wrong::plain("longer than an hour"));
    }
    Some(time)
}

/// What only matters where there are several.
fn warn_of_one(app: &App, place: &Place, context: &mut Context<'_>) {
    let keys = [("balance", app.balance.is_some()), ("ejection", app.ejection.is_some()), ("slow_start", app.slow_start.is_some())];
    for (key, _) in keys.into_iter().filter(|(_, written)| *written) {
        let wrong = Wrong::new("this changes nothing for a single server", "list several under `upstream`, or take this away");
        context.findings.warning(&place.key(key), wrong);
    }
}
