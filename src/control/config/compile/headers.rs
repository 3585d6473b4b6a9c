//! `identity:` of an app. In: header names and what they carry. Out: both, checked. Must never let a header through that
//! means something to HTTP or to Doorward.

use super::Context;
use crate::control::config::file::{App, File, Provider};
use crate::control::config::findings::Wrong;
use crate::control::config::near::did_you_mean;
use crate::control::config::place::Place;
use crate::snapshot::{Attribute, fold};
use http::HeaderName;
use std::collections::{BTreeMap, BTreeSet};

/// Headers with a meaning of their own, folded.
const TAKEN: [&str; 24] = [
    "accept",
    "authorization",
    "cache-control",
    "connection",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "keep-alive",
    "origin",
    "pragma",
    "range",
    "referer",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "via",
    "x-request-id",
];
/// Beginnings of such headers.
const TAKEN_FAMILIES: [&str; 9] =
    ["accept-", "access-control-", "content-", "if-", "proxy-", "sec-", "websocket-", "x-doorward-", "x-forwarded-"];
const BUILT_IN: [&str; 5] = ["user", "email", "name", "groups", "provider"];

/// The headers of an app that takes these providers.
pub(super) fn compile(
    app: &App,
    place: &Place,
    accepted: &[&str],
    file: &File,
    context: &mut Context<'_>,
) -> Vec<(HeaderName, Attribute)> {
    let of_accepted = |name: &&str| file.identity_providers.get(*name);
    let claims = accepted.iter().filter_map(of_accepted).flat_map(Provider::words);
    let words: BTreeSet<&str> = BUILT_IN.into_iter().chain(claims).collect();
    let mut folded = BTreeMap::new();
    let mut headers = Vec::new();
    for (name, word) in &app.identity {
        let place = place.key("identity").key(name);
        if let Some(other) = folded.insert(fold(name), name) {
            context.findings.error_in_key(&place, Wrong::plain(format!("many apps take this header and `{other}` for the same")));
        }
        let header = header(name).map_err(|wrong| context.findings.error_in_key(&place, wrong)).ok();
        let attribute = context.findings.take(&place, attribute(word, &words));
        headers.extend(header.zip(attribute));
    }
    headers
}

fn header(name: &str) -> Result<HeaderName, Wrong> {
    let help = "a name such as `X-Remote-User`";
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Wrong::new(format!("`{name}` is not a header name"), help))?;
    let folded = fold(name);
    let taken = TAKEN.contains(&&*folded) || TAKEN_FAMILIES.iter().any(|family| folded.starts_with(family));
    if taken {
        let message = format!("`{name}` has a meaning of its own and can't carry an identity");
        return Err(Wrong::new(message, help));
    }
    Ok(header)
}

fn attribute(word: &str, words: &BTreeSet<&str>) -> Result<Attribute, Wrong> {
    match word {
        "user" => Ok(Attribute::User),
        "email" => Ok(Attribute::Email),
        "name" => Ok(Attribute::Name),
        "groups" => Ok(Attribute::Groups),
        "provider" => Ok(Attribute::Provider),
        _ if words.contains(word) => Ok(Attribute::Claim(word.to_owned())),
        _ => {
            let all = || format!("there are: {}", words.iter().copied().collect::<Vec<_>>().join(", "));
            let help = did_you_mean(word, words.iter().copied()).unwrap_or_else(all);
            Err(Wrong::new(format!("no provider of this app maps a claim to `{word}`"), help))
        }
    }
}
