//! `webhooks`. In: what the file says. Out: who is told of what. Must never take an address that what is told could be read on the
//! way to.

use super::providers::is_loopback;
use super::values::parse;
use super::{Context, secret};
use crate::control::config::file;
use crate::control::config::findings::Wrong;
use crate::control::config::near::did_you_mean;
use crate::control::config::place::Place;
use crate::model::notice::Kind;
use crate::snapshot::webhooks::Webhook;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;
use url::Url;
use zeroize::Zeroizing;

/// Every one that can be used.
pub(super) fn compile(file: &file::File, context: &mut Context<'_>) -> Vec<Webhook> {
    let top = Place::root().key("webhooks");
    let mut all: Vec<Webhook> = Vec::new();
    for (index, webhook) in file.webhooks.iter().enumerate() {
        let place = top.index(index);
        let Some(one) = one(webhook, &place, context) else { continue };
        if all.iter().any(|other| other.url == one.url) {
            context.findings.error(&place.key("url"), Wrong::plain("this address is here twice"));
        }
        all.push(one);
    }
    all
}

fn one(webhook: &file::Webhook, place: &Place, context: &mut Context<'_>) -> Option<Webhook> {
    let url = context.findings.take(&place.key("url"), address(&webhook.url));
    let place_of_secret = place.key("secret");
    let secret = secret::compile(&webhook.secret, &place_of_secret, context.sources, context.findings);
    let key = secret.and_then(|secret| context.findings.take(&place_of_secret, key(secret.expose_secret())));
    let kinds = match &webhook.events {
        Some(events) => context.each(events, &place.key("events"), |text, _| kind(text)),
        None => Kind::ALL.into(),
    };
    Some(Webhook { url: url?, key: key?, kinds })
}

/// https, or http to this machine alone.
fn address(text: &str) -> Result<Url, Wrong> {
    let help = "as in `https://hooks.corp.example/doorward`";
    let url = parse(text).map_err(|error| Wrong::new(format!("not a URL: {error}"), help))?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(Wrong::new("a name, a password or a fragment has no place here", help));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(Wrong::new("a webhook is reached by https (or by http on this machine)", help)),
    }
}

/// As Standard Webhooks writes keys.
fn key(secret: &str) -> Result<Zeroizing<Vec<u8>>, Wrong> {
    let wrong = || Wrong::new("not `whsec_` and base64 of 24 to 64 bytes", "make one: `echo whsec_$(openssl rand -base64 32)`");
    let bytes = secret.strip_prefix("whsec_").and_then(|text| STANDARD.decode(text).ok()).map(Zeroizing::new);
    bytes.filter(|bytes| (24..=64).contains(&bytes.len())).ok_or_else(wrong)
}

fn kind(text: &str) -> Result<Kind, Wrong> {
    Kind::parse(text).ok_or_else(|| {
        let codes = Kind::ALL.map(Kind::code);
        let help = did_you_mean(text, codes).unwrap_or_else(|| format!("one of `{}`", codes.join("`, `")));
        Wrong::new(format!("`{text}` is nothing that is told"), help)
    })
}
