//! From a token to its effect. In: a token, and the transmitter that it came from. Out: the effect, committed, with a record; or why
//! there is none. Must never acknowledge before that, nor act where no record finds room.

use super::act;
use super::happened::Happened;
use super::link::{Link, Metadata};
use super::set::{self, Refused, Set};
use super::subject::Speaker;
use crate::clock;
use crate::control::Control;
use crate::control::oidc::jws::Signed;
use crate::model::inventory::Inventories;
use crate::model::risks::Whose;
use crate::model::{Owner, TokenHash};
use crate::snapshot::Snapshot;
use crate::snapshot::transmitters::Transmitter;
use crate::store::signals::{About, Act, Effect, SecurityEvent, Status, Taken};
use serde_json::{Value, json};

/// Takes a token of this transmitter.
pub(super) async fn receive(control: &Control, link: &Link, token: &str) -> Result<(), Refused> {
    let (snapshot, name) = (control.snapshot.load_full(), &link.transmitter.name);
    let (event, outcome) = match take(control, &snapshot, link, token).await {
        Ok((event, outcome)) => (event, Ok(outcome)),
        Err(refused) => ("none", Err(refused)),
    };
    let told = match &outcome {
        Ok(outcome) => outcome,
        Err(refused) => refused.code(),
    };
    control.metrics.signals.received(name, event, told);
    if let Err(refused) = &outcome {
        tracing::warn!(transmitter = %name, error = %refused, "a security event was refused");
    }
    outcome.map(drop)
}

async fn take(control: &Control, snapshot: &Snapshot, link: &Link, token: &str) -> Result<(&'static str, &'static str), Refused> {
    let set = set::check(link, Signed::read(token, &set::TYPES)?).await?;
    let metadata = link.metadata().ok_or(Refused::Unavailable)?;
    let event = read(control, snapshot, (&link.transmitter, &metadata), &set)?;
    if !control.can_record() {
        return Err(Refused::Unavailable);
    }
    let ignored = is_unwanted(&link.transmitter, &set.happened);
    let taken = control.store.take_event(&event).await.map_err(|error| {
        tracing::error!(%error, "the store does not answer");
        Refused::Unavailable
    })?;
    let (outcome, effect) = match taken {
        Taken::Again => return Ok((set.happened.code(), "again")),
        Taken::Unexpected => return Err(Refused::State),
        Taken::Unmatched => ("unmatched", Effect::default()),
        Taken::Done(_) if ignored => ("ignored", Effect::default()),
        Taken::Done(effect) => ("done", effect),
    };
    if !matches!(set.happened, Happened::Verification(_)) {
        control.record(&record(&link.transmitter, &set, &event.about, outcome, &effect));
    }
    Ok((set.happened.code(), outcome))
}

/// What the operator does not want to count, or nobody here knows.
fn is_unwanted(transmitter: &Transmitter, happened: &Happened) -> bool {
    match happened {
        Happened::Event(event) => !transmitter.events.contains(&event.event),
        Happened::Unknown => true,
        Happened::Verification(_) | Happened::Updated(_) => false,
    }
}

/// What it means here.
fn read(
    control: &Control,
    snapshot: &Snapshot,
    (transmitter, metadata): (&Transmitter, &Metadata),
    set: &Set,
) -> Result<SecurityEvent, Refused> {
    let provider = snapshot.providers.get(&transmitter.provider).ok_or(Refused::Unavailable)?;
    let (act, of_device) = match &set.happened {
        unwanted if is_unwanted(transmitter, unwanted) => (Act::Nothing, false),
        Happened::Event(event) => act::of(event)?,
        Happened::Verification(state) => (Act::Verified(state.as_ref().map(|state| TokenHash::of(state.as_bytes()))), false),
        Happened::Updated(status) => (Act::Stream(status.as_deref().and_then(Status::parse).unwrap_or(Status::Disabled)), false),
        Happened::Unknown => (Act::Nothing, false),
    };
    let why = match &set.happened {
        Happened::Event(event) => Some(event.reasons().join("; ")).filter(|why| !why.is_empty()),
        _ => None,
    };
    let mut about = About::default();
    if !matches!(act, Act::Nothing | Act::Verified(_) | Act::Stream(_)) {
        let subject = set.subject.as_ref().ok_or(Refused::Request("there is no subject"))?;
        about = Speaker::of(transmitter, provider).read(subject, &metadata.critical_subject_members)?;
    }
    about.device = about.device.filter(|id| of_device && is_theirs(control, snapshot, transmitter, id));
    let (token, until) = set.name(transmitter);
    let (name, provider) = (transmitter.name.clone(), transmitter.provider.clone());
    Ok(SecurityEvent { transmitter: name, provider, token, until, about, act, why, silent_after: Some(transmitter.silent_after) })
}

/// Whether the inventory has this device, and not as one of somebody of another provider.
fn is_theirs(control: &Control, snapshot: &Snapshot, transmitter: &Transmitter, id: &str) -> bool {
    let administered = control.store.devices();
    let device = Inventories { administered: &administered, listed: &snapshot.devices }.by_id(id);
    device.is_some_and(|device| match &device.owner {
        Owner::Shared => true,
        Owner::Person(name) => match Whose::parse("user", name) {
            Some(Whose::Subject(owner)) => owner.provider == transmitter.provider,
            _ => true,
        },
    })
}

fn record(transmitter: &Transmitter, set: &Set, about: &About, outcome: &str, effect: &Effect) -> Value {
    let (why, by) = match &set.happened {
        Happened::Event(event) => (event.reasons(), event.text("initiating_entity")),
        _ => (Vec::new(), None),
    };
    json!({
        "time": clock::now().to_string(),
        "act": "signal",
        "transmitter": &*transmitter.name,
        "provider": transmitter.provider.as_str(),
        "event": set.happened.code(),
        "token": set.id,
        "transaction": set.transaction,
        "outcome": outcome,
        "people": effect.people.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "device": about.device,
        "ended": effect.ended,
        "renewed": effect.renewed,
        "initiated_by": by,
        "why": why,
    })
}
