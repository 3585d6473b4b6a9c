//! What a token says has happened. In: its `events`. Out: one [`Happened`], and the subject where the event itself has it. Must never
//! choose between two events.

use super::set::Refused;
use crate::clock;
use crate::model::Timestamp;
use crate::model::event::EventType;
use serde_json::{Map, Value};

const VERIFICATION: &str = "https://schemas.openid.net/secevent/ssf/event-type/verification";
const UPDATED: &str = "https://schemas.openid.net/secevent/ssf/event-type/stream-updated";
/// A time above this is in milliseconds: in seconds it would be the year 5138.
const MILLISECONDS: f64 = 1e11;
/// The longest reason that is kept, in characters, and how many.
const LONGEST_REASON: usize = 200;
const MOST_REASONS: usize = 4;

/// What has happened.
#[derive(Debug)]
pub(super) enum Happened {
    /// The stream works.
    Verification(Option<String>),
    /// The stream has another status.
    Updated(Option<String>),
    /// Something that is known here.
    Event(Event),
    /// Something that is not.
    Unknown,
}

/// Something that has happened to people or devices.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) event: EventType,
    /// When.
    pub(super) at: Timestamp,
    pub(super) details: Map<String, Value>,
}

impl Happened {
    /// Reads the only event there is, or several names of the same (SSF 1.0, section 4.2.1).
    pub(super) fn read(events: Map<String, Value>, issued: Timestamp) -> Result<(Self, Option<Value>), Refused> {
        let several = Refused::Request("events has more than one event");
        let types: Vec<_> = events.keys().map(|uri| EventType::of_uri(uri)).collect();
        if types.len() > 1 && types.iter().any(|event| event.is_none() || *event != types.first().copied().flatten()) {
            return Err(several);
        }
        let (uri, details) = events.into_iter().next().ok_or(Refused::Request("events is empty"))?;
        let Value::Object(mut details) = details else {
            return Err(Refused::Request("the event is no object"));
        };
        let subject = details.remove("subject");
        let text = |name: &str| details.get(name).and_then(Value::as_str).map(str::to_owned);
        let happened = match (EventType::of_uri(&uri), &*uri) {
            (Some(event), _) => Self::Event(Event { event, at: at(&details, issued)?, details }),
            (None, VERIFICATION) => Self::Verification(text("state")),
            (None, UPDATED) => Self::Updated(text("status")),
            (None, _) => Self::Unknown,
        };
        Ok((happened, subject))
    }

    /// What it is called in numbers and records.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Verification(_) => "verification",
            Self::Updated(_) => "stream-updated",
            Self::Event(Event { event, .. }) => event.code(),
            Self::Unknown => "unknown",
        }
    }
}

/// When it happened: at the latest now, in seconds or in milliseconds, as examples of CAEP have it.
fn at(details: &Map<String, Value>, issued: Timestamp) -> Result<Timestamp, Refused> {
    let Some(time) = details.get("event_timestamp") else { return Ok(issued) };
    let time = time.as_f64().filter(|time| *time >= 0.0).ok_or(Refused::Request("event_timestamp is no time"))?;
    let millis = if time > MILLISECONDS { time } else { time * 1000.0 };
    Ok(Timestamp::from_millis(millis as u64).min(clock::now()))
}

impl Event {
    /// A text of the event's own.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.details.get(name).and_then(Value::as_str)
    }

    /// Why it happened, for people.
    pub(super) fn reasons(&self) -> Vec<String> {
        let keys = ["reason_admin", "reason_user", "risk_reason", "reason"];
        let found = keys.iter().filter_map(|key| self.details.get(*key)).flat_map(texts);
        found.take(MOST_REASONS).map(|text| text.chars().take(LONGEST_REASON).collect()).collect()
    }
}

/// A text, in English where there are several languages.
fn texts(reason: &Value) -> Option<&str> {
    match reason {
        Value::String(text) => Some(text),
        Value::Object(languages) => languages.get("en").or_else(|| languages.values().next()).and_then(Value::as_str),
        _ => None,
    }
}
