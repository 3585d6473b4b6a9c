//! What each event does. In: what has happened. Out: one [`Act`] of the store. Must never let an event that can't be read for sure do
//! less than one that can: who may have lost a right has lost it.

use super::happened::Event;
use super::set::Refused;
use crate::model::RiskLevel;
use crate::model::event::EventType;
use crate::store::signals::{Act, COMPLIANT, Fact, Kind};

/// What it does; and whether it is about a device, which a simple subject names then.
pub(super) fn of(event: &Event) -> Result<(Act, bool), Refused> {
    let fact = |kind, value: &str| Fact { kind, value: value.to_owned(), reasons: event.reasons(), at: event.at };
    let act = match event.event {
        EventType::SessionRevoked => Act::End { before: None },
        // One that is new takes nothing from those who were there.
        EventType::CredentialChange if event.text("change_type") == Some("create") => Act::Nothing,
        EventType::CredentialChange => Act::End { before: Some(event.at) },
        EventType::TokenClaimsChange | EventType::IdentifierChanged => Act::Renew,
        EventType::AssuranceLevelChange if event.text("change_direction") == Some("increase") => Act::Nothing,
        EventType::AssuranceLevelChange => Act::End { before: Some(event.at) },
        EventType::DeviceComplianceChange => {
            let compliant = if event.text("current_status") == Some("compliant") { COMPLIANT } else { "false" };
            return Ok((Act::OfDevice(fact(Kind::Compliance, compliant)), true));
        }
        EventType::RiskLevelChange => return risk(event, fact),
        EventType::AccountDisabled => Act::Lock(fact(Kind::Lock, "locked")),
        EventType::AccountEnabled => Act::Unlock,
        EventType::AccountPurged => Act::Erase,
        EventType::CredentialCompromise => {
            let mut fact = fact(Kind::Compromise, RiskLevel::High.code());
            fact.reasons.insert(0, "a credential is known to others".to_owned());
            Act::Compromised(fact)
        }
    };
    Ok((act, false))
}

fn risk(event: &Event, fact: impl Fn(Kind, &str) -> Fact) -> Result<(Act, bool), Refused> {
    let level = event.text("current_level").map(str::to_ascii_lowercase).and_then(|level| RiskLevel::parse(&level));
    let level = level.ok_or(Refused::Request("current_level is not LOW, MEDIUM or HIGH"))?;
    match event.text("principal").map(str::to_ascii_uppercase).as_deref() {
        Some("DEVICE") => Ok((Act::OfDevice(fact(Kind::DeviceRisk, level.code())), true)),
        Some("USER" | "SESSION") | None => Ok((Act::OfPeople(fact(Kind::UserRisk, level.code())), false)),
        // Of tenants and groups nothing is known here.
        Some(_) => Ok((Act::Nothing, false)),
    }
}
