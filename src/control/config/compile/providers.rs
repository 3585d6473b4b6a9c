//! `identity_providers:`. In: what the file says. Out: providers for the snapshot.

use super::values::{bare, duration, parse};
use super::{Context, scim, secret, transmitters};
use crate::control::config::file;
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::model::strength::{Means, is_class};
use crate::model::{ProviderName, Strength};
use crate::snapshot::Provider;
use openidconnect::IssuerUrl;
use std::collections::BTreeMap;
use std::time::Duration;
use url::{Host, Url};

const SCOPES: [&str; 3] = ["openid", "email", "profile"];

/// Every provider whose name can be used.
pub(super) fn compile(file: &file::File, context: &mut Context<'_>) -> BTreeMap<ProviderName, Provider> {
    let mut providers = BTreeMap::new();
    let top = Place::root().key("identity_providers");
    for (key, provider) in &file.identity_providers {
        let place = top.key(key);
        match ProviderName::parse(key) {
            Some(name) => {
                if let Some(provider) = one(&name, provider, &place, context) {
                    providers.insert(name, provider);
                }
            }
            None => context.findings.error(&place, Wrong::plain("the name of a provider has letters, digits, `-` and `_` only")),
        }
    }
    providers
}

fn one(name: &ProviderName, provider: &file::Provider, place: &Place, context: &mut Context<'_>) -> Option<Provider> {
    let issuer = context.findings.take(&place.key("issuer"), issuer(&provider.issuer));
    let client_secret = &provider.client_secret;
    let client_secret =
        client_secret.as_ref().and_then(|it| secret::compile(it, &place.key("client_secret"), context.sources, context.findings));
    let leeway = provider.leeway.as_deref().map_or(Ok(Duration::from_secs(60)), leeway);
    let leeway = context.findings.take(&place.key("leeway"), leeway);
    let revocation = &provider.global_token_revocation;
    if provider.client_id.is_empty() {
        context.findings.error(&place.key("client_id"), Wrong::plain("the client id is empty"));
    }
    Some(Provider {
        name: name.clone(),
        title: provider.name.as_deref().unwrap_or(name.as_str()).into(),
        issuer: issuer?,
        client_id: provider.client_id.clone(),
        client_secret,
        scopes: scopes(provider, place, context),
        claims: claims(provider, place, context),
        assume_email_verified: provider.assume_email_verified,
        strength: strength(provider.strength.as_ref(), &place.key("strength"), context),
        global_revocation: transmitters::revocation(revocation.as_ref(), &place.key("global_token_revocation"), context),
        leeway: leeway?,
        scim: provider.scim.as_ref().map(|written| scim::compile(written, &place.key("scim"), context)),
        ca: provider.ca.as_deref().and_then(|ca| authorities(ca, &place.key("ca"), context)),
    })
}

/// https, or http to this machine alone; kept letter for letter, because tokens must spell it the same.
pub(super) fn issuer(text: &str) -> Result<IssuerUrl, Wrong> {
    let help = "exactly as the provider spells it, as in `https://idp.corp.example`";
    let url = parse(text).map_err(|error| Wrong::new(format!("not a URL: {error}"), help))?;
    bare(&url)?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        _ => return Err(Wrong::new("an issuer is reached by https (or by http on this machine)", help)),
    }
    IssuerUrl::new(text.to_owned()).map_err(|error| Wrong::new(format!("not a URL: {error}"), help))
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(host)) => host == "localhost" || host.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

pub(super) fn leeway(text: &str) -> Result<Duration, Wrong> {
    match duration(text)? {
        leeway if leeway > Duration::from_secs(300) => Err(Wrong::plain("clocks may differ by `5m` at most")),
        leeway => Ok(leeway),
    }
}

/// What the file lists, always with `openid` (OpenID Connect Core, section 3.1.2.1).
fn scopes(provider: &file::Provider, place: &Place, context: &mut Context<'_>) -> Vec<String> {
    let Some(listed) = &provider.scopes else {
        return SCOPES.map(str::to_owned).into();
    };
    let place = place.key("scopes");
    context.refuse_empty(&listed.0, &place);
    for (index, scope) in listed.0.iter().enumerate() {
        let fine = |b: u8| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if scope.is_empty() || !scope.bytes().all(fine) {
            let wrong = Wrong::new("not a scope", "a list with one scope each: `[openid, email]`");
            context.findings.error(&place.index(index), wrong);
        }
    }
    let has_openid = listed.0.iter().any(|scope| scope == "openid");
    let openid = (!has_openid).then(|| "openid".to_owned());
    openid.into_iter().chain(listed.0.iter().cloned()).collect()
}

fn claims(provider: &file::Provider, place: &Place, context: &mut Context<'_>) -> BTreeMap<String, String> {
    let place = place.key("claims");
    for (word, claim) in &provider.claims {
        if matches!(&**word, "user" | "provider") {
            let wrong = Wrong::plain(format!("`{word}` has its meaning already; choose another word"));
            context.findings.error_in_key(&place.key(word), wrong);
        }
        if word.is_empty() || claim.is_empty() {
            context.findings.error(&place.key(word), Wrong::plain("a claim has a name"));
        }
    }
    provider.claims.clone()
}

fn strength(written: Option<&file::signals::Strength>, place: &Place, context: &mut Context<'_>) -> Strength {
    let mut strength = Strength::default();
    let Some(written) = written else { return strength };
    if let Some(mfa) = &written.mfa {
        strength.mfa = means(mfa, &place.key("mfa"), context);
    }
    if let Some(phishing_resistant) = &written.phishing_resistant {
        strength.phishing_resistant = means(phishing_resistant, &place.key("phishing_resistant"), context);
    }
    strength
}

fn means(written: &file::signals::Means, place: &Place, context: &mut Context<'_>) -> Means {
    if written.amr.is_none() && written.acr.is_none() {
        context.findings.error(place, Wrong::new("this says nothing", "list values of `amr`, of `acr`, or of both"));
    }
    let mut values = |key: &str, listed: &Option<file::Texts>| {
        let listed = listed.as_ref().map(|listed| context.each(listed, &place.key(key), |text, _| word(text)));
        listed.unwrap_or_default()
    };
    Means { amr: values("amr", &written.amr), acr: values("acr", &written.acr) }
}

/// One word: what is asked for is a list separated by spaces.
fn word(text: &str) -> Result<String, Wrong> {
    if !is_class(text) {
        return Err(Wrong::new("not a value of `acr` or `amr`", "one plain word each, as in `phr`"));
    }
    Ok(text.to_owned())
}

pub(super) fn authorities(name: &str, place: &Place, context: &mut Context<'_>) -> Option<Vec<u8>> {
    let read = context.sources.read(name).map_err(|error| Wrong::plain(format!("can't read `{name}`: {error}")));
    let checked = read.and_then(|pem| match super::super::tls::certificates(&pem) {
        Ok(found) if !found.is_empty() => Ok(pem),
        _ => Err(Wrong::plain(format!("`{name}` has no certificate in PEM form"))),
    });
    context.findings.take(place, checked)
}
