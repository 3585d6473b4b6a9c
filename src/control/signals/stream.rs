//! The stream at a transmitter (SSF 1.0, section 8.1). In: what an administrator asks for, time. Out: a stream that is set up, told of
//! people and verified. Must never take a stream for verified before its event has come back.

use super::link::{Link, Metadata, may_poll};
use crate::clock;
use crate::control::oidc::http;
use crate::control::{Control, EVENTS, PREFIX};
use crate::model::event::EventType;
use crate::model::{Token, secret::NoRandomness};
use crate::snapshot::Snapshot;
use crate::snapshot::transmitters::{Delivery, Transmitter};
use crate::store::{self, signals::Stream};
use ::http::{Method, StatusCode};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use url::Url;

/// How long a verification that was asked for may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// How often people are looked for of whom a transmitter is still to be told.
const TELL: Duration = Duration::from_secs(30);
/// What a stream may spend of its patience before it is asked for a sign of life.
const PART: u32 = 3;

/// Why it can't be done.
#[derive(Debug, thiserror::Error)]
pub(in crate::control) enum Failed {
    #[error("there is no such transmitter")]
    NoTransmitter,
    #[error("the configuration has no `token` for the transmitter's API")]
    NoToken,
    #[error("the transmitter has not been reached yet; the log says why")]
    Undiscovered,
    #[error("the transmitter has no {0} endpoint: what is to be done there, do by hand")]
    NoEndpoint(&'static str),
    #[error("no stream has been set up: `doorward signals add` does that")]
    NoStream,
    #[error("the transmitter does not answer: {0}")]
    Http(#[from] http::Error),
    #[error("the transmitter answered {0}: {1}")]
    Status(StatusCode, String),
    #[error("the transmitter's answer can't be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    #[error("the transmitter calls us {0}: write one of these under `audience`")]
    Audience(String),
    #[error("the transmitter names {0} for events, which is not https, or an address of this network")]
    Unsafe(String),
    #[error("the verification did not come within {} seconds", PATIENCE.as_secs())]
    Silent,
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A stream as its transmitter describes it.
#[derive(Deserialize)]
struct Described {
    stream_id: String,
    #[serde(default)]
    aud: Value,
    #[serde(default)]
    delivery: Value,
    min_verification_interval: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    Many(Vec<Described>),
    One(Box<Described>),
}

/// Someone who can be asked.
struct Api<'a> {
    link: &'a Link,
    metadata: Arc<Metadata>,
    token: &'a str,
}

impl<'a> Api<'a> {
    fn of(link: &'a Link) -> Result<Self, Failed> {
        let token = link.transmitter.token.as_ref().ok_or(Failed::NoToken)?.expose_secret();
        Ok(Self { link, metadata: link.metadata().ok_or(Failed::Undiscovered)?, token })
    }

    async fn tell(&self, method: Method, url: &Url, body: &Value) -> Result<Vec<u8>, Failed> {
        let answer = self.link.http().tell((method, url.as_str()), self.token, body, Duration::ZERO).await?;
        checked(answer)
    }

    /// The streams that are there already.
    async fn streams(&self, url: &Url) -> Result<Vec<Described>, Failed> {
        let answer = self.link.http().fetch(url.as_str(), Some(self.token)).await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        Ok(match serde_json::from_slice(&checked(answer)?)? {
            OneOrMany::Many(streams) => streams,
            OneOrMany::One(stream) => vec![*stream],
        })
    }
}

fn checked(answer: ::http::Response<Vec<u8>>) -> Result<Vec<u8>, Failed> {
    if answer.status().is_success() {
        return Ok(answer.into_body());
    }
    let said: String = String::from_utf8_lossy(answer.body()).chars().take(200).collect();
    Err(Failed::Status(answer.status(), said))
}

fn find(control: &Control, name: &str) -> Result<Arc<Link>, Failed> {
    let snapshot = control.snapshot.load();
    let transmitter = snapshot.transmitters.get(name).ok_or(Failed::NoTransmitter)?;
    control.links.find(transmitter).ok_or(Failed::Undiscovered)
}

/// Sets the stream up, or brings the one that is there up to date.
pub(in crate::control) async fn add(control: &Control, name: &str) -> Result<Value, Failed> {
    let link = find(control, name)?;
    let (api, snapshot) = (Api::of(&link)?, control.snapshot.load_full());
    let url = api.metadata.configuration_endpoint.as_ref().ok_or(Failed::NoEndpoint("configuration"))?;
    let (delivery, known) = (delivery(&snapshot, &link.transmitter), control.store.stream(name).await?);
    let known = known.and_then(|stream| stream.id);
    let is_ours = |stream: &&Described| known.as_ref() == Some(&stream.stream_id) || delivers(&stream.delivery, &delivery);
    let there = api.streams(url).await?;
    let there = there.iter().find(is_ours).map(|stream| stream.stream_id.clone());
    let events: Vec<_> = link.transmitter.events.iter().copied().map(EventType::uri).collect();
    let wanted = json!({ "delivery": delivery, "events_requested": events, "description": "Doorward" });
    let method = there.as_ref().map_or(Method::POST, |_| Method::PATCH);
    let wanted = with(wanted, "stream_id", there);
    let described: Value = serde_json::from_slice(&api.tell(method, url, &wanted).await?)?;
    keep(control, &link.transmitter, serde_json::from_value(described.clone())?).await?;
    Ok(described)
}

async fn keep(control: &Control, transmitter: &Transmitter, stream: Described) -> Result<(), Failed> {
    let audience: Vec<&str> = match &stream.aud {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    if !transmitter.audience.iter().any(|us| audience.contains(&&**us)) {
        return Err(Failed::Audience(format!("`{}`", audience.join("`, `"))));
    }
    let poll_url = match transmitter.delivery {
        Delivery::Push(_) => None,
        Delivery::Poll => {
            let url = stream.delivery.get("endpoint_url").and_then(Value::as_str).unwrap_or_default();
            Some(may_poll(&transmitter.url, url).then(|| url.to_owned()).ok_or_else(|| Failed::Unsafe(format!("`{url}`")))?)
        }
    };
    let every = Duration::from_secs(stream.min_verification_interval.unwrap_or(0));
    Ok(control.store.keep_stream(&transmitter.name, &stream.stream_id, poll_url, every).await?)
}

/// How events are to get here.
fn delivery(snapshot: &Snapshot, transmitter: &Transmitter) -> Value {
    let Delivery::Push(authorization) = &transmitter.delivery else { return json!({ "method": "urn:ietf:rfc:8936" }) };
    let delivery = json!({ "method": "urn:ietf:rfc:8935", "endpoint_url": format!("{}{PREFIX}{EVENTS}", snapshot.auth) });
    with(delivery, "authorization_header", authorization.as_ref().map(|authorization| authorization.expose_secret().to_owned()))
}

/// The same with one more member, where there is one.
fn with(mut object: Value, key: &str, value: Option<String>) -> Value {
    if let (Some(members), Some(value)) = (object.as_object_mut(), value) {
        members.insert(key.to_owned(), value.into());
    }
    object
}

/// Whether this is the same way to the same place; where events are fetched, the transmitter says.
fn delivers(theirs: &Value, ours: &Value) -> bool {
    let same = |key: &str| theirs.get(key) == ours.get(key);
    same("method") && (ours.get("endpoint_url").is_none() || same("endpoint_url"))
}

/// Asks for a verification, and waits until it is here.
pub(in crate::control) async fn verify(control: &Control, name: &str) -> Result<(), Failed> {
    let link = find(control, name)?;
    let state = Token::random()?;
    ask(control, &link, &state).await?;
    let until = Instant::now() + PATIENCE;
    while !control.store.is_verified(state.hash()).await? {
        if Instant::now() > until {
            return Err(Failed::Silent);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

async fn ask(control: &Control, link: &Link, state: &Token) -> Result<(), Failed> {
    let api = Api::of(link)?;
    let url = api.metadata.verification_endpoint.as_ref().ok_or(Failed::NoEndpoint("verification"))?;
    let stream = control.store.stream(&link.transmitter.name).await?.and_then(|stream| stream.id).ok_or(Failed::NoStream)?;
    control.store.await_verification(&link.transmitter.name, state.hash()).await?;
    api.tell(Method::POST, url, &json!({ "stream_id": stream, "state": state.reveal() })).await?;
    Ok(())
}

/// Keeps a stream alive: asks it for signs of life, and tells its transmitter of new people, for ever.
pub(super) async fn watch(control: Arc<Control>, link: Arc<Link>) {
    let every = (link.transmitter.silent_after / PART).max(Duration::from_secs(1));
    let mut asked: Option<Instant> = None;
    loop {
        tokio::time::sleep(every.min(TELL)).await;
        let stream = match control.store.stream(&link.transmitter.name).await {
            Ok(Some(stream)) if stream.id.is_some() => stream,
            _ => continue,
        };
        if asked.is_none_or(|asked| asked.elapsed() >= every.max(stream.verify_every)) {
            asked = Some(Instant::now());
            report(&link, prove(&control, &link).await);
        }
        report(&link, tell_of_people(&control, &link, &stream).await);
    }
}

fn report(link: &Link, done: Result<(), Failed>) {
    match done {
        // It has to prove by itself that it lives.
        Ok(()) | Err(Failed::NoEndpoint(_)) => {}
        Err(error) => tracing::warn!(transmitter = %link.transmitter.name, %error, "the stream can't be kept alive"),
    }
}

async fn prove(control: &Control, link: &Link) -> Result<(), Failed> {
    ask(control, link, &Token::random()?).await
}

/// Where a transmitter speaks only of people that it was asked about.
async fn tell_of_people(control: &Control, link: &Link, stream: &Stream) -> Result<(), Failed> {
    let (api, transmitter) = (Api::of(link)?, &link.transmitter);
    let Some(url) = api.metadata.add_subject_endpoint.as_ref().filter(|_| api.metadata.default_subjects.as_deref() == Some("NONE"))
    else {
        return Ok(());
    };
    let snapshot = control.snapshot.load_full();
    let provider = snapshot.providers.get(&transmitter.provider).ok_or(Failed::NoTransmitter)?;
    for (sub, number) in control.store.people_since(&transmitter.provider, stream.added).await? {
        let subject = json!({ "format": "iss_sub", "iss": provider.issuer.as_str(), "sub": sub });
        match api.tell(Method::POST, url, &json!({ "stream_id": stream.id, "subject": subject, "verified": true })).await {
            Ok(_) => {}
            // One whom it does not know, or want, keeps it from nobody else.
            Err(Failed::Status(status, _)) if is_about_one(status) => {}
            Err(error) => return Err(error),
        }
        control.store.added_people(&transmitter.name, number).await?;
    }
    Ok(())
}

/// Whether a refusal is about the person, and would be the same the next time.
fn is_about_one(status: StatusCode) -> bool {
    let of_all = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS];
    status.is_client_error() && !of_all.contains(&status)
}

/// What is known of every configured transmitter, in JSON.
pub(in crate::control) async fn status(control: &Control) -> Result<Vec<Value>, store::Error> {
    let (snapshot, streams) = (control.snapshot.load_full(), control.store.streams().await?);
    let shown = |transmitter: &Arc<Transmitter>| {
        let stream = streams.iter().find(|stream| *stream.transmitter == *transmitter.name);
        let discovered = control.links.find(transmitter).is_some_and(|link| link.metadata().is_some());
        described(transmitter, discovered, stream)
    };
    Ok(snapshot.transmitters.values().map(shown).collect())
}

fn described(transmitter: &Transmitter, discovered: bool, stream: Option<&Stream>) -> Value {
    let time = |of: fn(&Stream) -> Option<crate::model::Timestamp>| stream.and_then(of).map(|time| time.to_string());
    json!({
        "name": &*transmitter.name,
        "issuer": transmitter.issuer,
        "provider": transmitter.provider.as_str(),
        "deliver": if matches!(transmitter.delivery, Delivery::Poll) { "poll" } else { "push" },
        "discovered": discovered,
        "stream": stream.and_then(|stream| stream.id.as_ref()),
        "status": stream.map(|stream| stream.status.code()),
        "last_event_at": time(|stream| stream.event_at),
        "last_verified_at": time(|stream| stream.verified_at),
        "counts_until": time(|stream| Some(stream.alive_until)),
        "silent": stream.is_none_or(|stream| !stream.is_alive(clock::now())),
    })
}
