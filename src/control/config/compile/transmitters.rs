//! `signals:`. In: what the file says. Out: transmitters for the snapshot.

use super::providers::{authorities, issuer, leeway};
use super::values::duration;
use super::{Context, secret};
use crate::control::config::file::transmitters::{Deliver, GlobalRevocation as Written, Transmitter as File};
use crate::control::config::file::{self, Secret};
use crate::control::config::findings::Wrong;
use crate::control::config::place::Place;
use crate::model::ProviderName;
use crate::model::event::EventType;
use crate::snapshot::Provider;
use crate::snapshot::transmitters::{Delivery, GlobalRevocation, Transmitter};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a transmitter may say nothing.
const SILENT_AFTER: Duration = Duration::from_secs(3600);
/// How far its clock may be off.
const LEEWAY: Duration = Duration::from_secs(60);

/// Every transmitter that can be used.
pub(super) fn compile(
    file: &file::File,
    providers: &BTreeMap<ProviderName, Provider>,
    context: &mut Context<'_>,
) -> BTreeMap<Arc<str>, Arc<Transmitter>> {
    let (mut transmitters, mut issuers) = (BTreeMap::new(), Vec::new());
    let top = Place::root().key("signals");
    for (key, written) in &file.signals {
        let place = top.key(key);
        if !super::values::is_key(key) {
            context.findings.error(&place, Wrong::plain("the name of a transmitter has letters, digits, `-` and `_` only"));
        }
        let same = |other: &&File| other.issuer == written.issuer && other.deliver == Deliver::Push;
        if written.deliver == Deliver::Push && issuers.iter().any(same) {
            let wrong =
                Wrong::new("two transmitters push with one issuer", "what is pushed is told apart by its issuer: name it once");
            context.findings.error(&place.key("issuer"), wrong);
        }
        issuers.push(written);
        if let Some(transmitter) = one(key, written, providers, (&place, &mut *context)) {
            transmitters.insert(Arc::clone(&transmitter.name), Arc::new(transmitter));
        }
    }
    transmitters
}

fn one(
    key: &str,
    written: &File,
    providers: &BTreeMap<ProviderName, Provider>,
    (place, context): (&Place, &mut Context<'_>),
) -> Option<Transmitter> {
    let found = context.findings.take(&place.key("issuer"), issuer(&written.issuer));
    let provider = provider(&written.provider, providers, &place.key("provider"), context);
    let silent_after = written.silent_after.as_deref().map_or(Ok(SILENT_AFTER), duration);
    let silent_after = context.findings.take(&place.key("silent_after"), silent_after);
    let leeway = written.leeway.as_deref().map_or(Ok(LEEWAY), leeway);
    let leeway = context.findings.take(&place.key("leeway"), leeway);
    let audience = written.audience.as_ref();
    let audience = audience.map(|all| context.each(all, &place.key("audience"), |text, _| some(text)));
    let delivery = delivery(written, place, context);
    let token = take(written.token.as_ref(), &place.key("token"), context);
    let events = events(written, place, context);
    let ca = written.ca.as_deref().and_then(|ca| authorities(ca, &place.key("ca"), context));
    let (found, provider) = (found?, provider?);
    Some(Transmitter {
        name: key.into(),
        issuer: found.as_str().to_owned(),
        url: found.url().clone(),
        audience: audience.unwrap_or_else(|| vec![provider.client_id.clone()]),
        provider: provider.name.clone(),
        delivery,
        token,
        events,
        tenant: written.tenant.clone(),
        silent_after: silent_after?,
        leeway: leeway?,
        ca,
    })
}

fn some(text: &str) -> Result<String, Wrong> {
    if text.is_empty() { Err(Wrong::plain("an audience has a name")) } else { Ok(text.to_owned()) }
}

/// Nothing without an error: also where the provider itself has one.
fn provider<'p>(
    name: &str,
    providers: &'p BTreeMap<ProviderName, Provider>,
    place: &Place,
    context: &mut Context<'_>,
) -> Option<&'p Provider> {
    if !context.provider_keys.contains(name) {
        let wrong = Wrong::new(format!("there is no provider `{name}`"), "name one of `identity_providers`");
        context.findings.error(place, wrong);
    }
    providers.get(&ProviderName::parse(name)?)
}

fn delivery(written: &File, place: &Place, context: &mut Context<'_>) -> Delivery {
    let authorization = take(written.authorization.as_ref(), &place.key("authorization"), context);
    match written.deliver {
        Deliver::Push => Delivery::Push(authorization),
        Deliver::Poll => {
            if written.token.is_none() {
                let wrong =
                    Wrong::new("events can't be fetched without a `token`", "write `token: { file: PATH }`, or `deliver: push`");
                context.findings.error(&place.key("deliver"), wrong);
            }
            if written.authorization.is_some() {
                let wrong = Wrong::new("nothing is pushed here", "take it away, or write `deliver: push`");
                context.findings.error(&place.key("authorization"), wrong);
            }
            Delivery::Poll
        }
    }
}

fn events(written: &File, place: &Place, context: &mut Context<'_>) -> Vec<EventType> {
    let Some(listed) = &written.events else { return EventType::ALL.to_vec() };
    let all = || EventType::ALL.map(EventType::code).join("`, `");
    let wrong = || Wrong::new("not an event that is known", format!("some of `{}`", all()));
    context.each(listed, &place.key("events"), |text, _| EventType::parse(text).ok_or_else(wrong))
}

fn take(written: Option<&Secret>, place: &Place, context: &mut Context<'_>) -> Option<SecretString> {
    secret::compile(written?, place, context.sources, context.findings)
}

/// `global_token_revocation` of a provider.
pub(super) fn revocation(written: Option<&Written>, place: &Place, context: &mut Context<'_>) -> Option<GlobalRevocation> {
    let written = written?;
    let Some(token) = &written.token else { return Some(GlobalRevocation::Signed) };
    take(Some(token), &place.key("token"), context).map(GlobalRevocation::Token)
}
