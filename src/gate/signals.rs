//! What is known of the circumstances of a visit. In: the visit, the session, the request. Out: [`Signals`], which a remembered
//! decision is found by, and the facts that a new one is made from. Gathers only what the rules of the route read. Must never let a
//! signal that is stale or absent pass for anything else.

use super::device;
use super::identity::Identity;
use super::route::Routed;
use super::session::Recognized;
use super::target::Target;
use super::visit::{Circumstances, Visit};
use crate::model::{self, DeviceFacts, Observed, Reason, Refusal, Risk, Strength};
use crate::policy::{Authentication, Facts, Kind, Reads, Ruleset};
use crate::snapshot::Access;
use http::{Method, Request};
use std::net::IpAddr;
use std::sync::Arc;

/// What the rules of a route read of a visit, beside the person and the time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Signals {
    method: Option<Method>,
    /// Every way in which an app could read the path, where a policy looks at it.
    readings: Box<[Box<str>]>,
    client: Option<IpAddr>,
    device: Option<Observed<Arc<DeviceFacts>>>,
    risk: Option<Observed<Arc<Risk>>>,
    asked: u128,
}

/// Gathers them.
pub fn gather<B>(
    visit: &Visit,
    target: &Target,
    place: &Routed<'_>,
    identity: &Identity,
    request: &Request<B>,
) -> Result<Signals, Refusal> {
    let (Access::Rules(rules), Identity::Known(session)) = (&place.route.access, identity) else {
        return Ok(Signals::default());
    };
    if rules.reads().nothing() {
        return Ok(Signals::default());
    }
    let asked = rules.reads().ask(request.headers(), || target.readings()).map_err(|_| Reason::AmbiguousTarget)?;
    Ok(read(visit.circumstances(), target, rules.reads(), session, (request.method(), asked)))
}

/// The same for a request of which is known what was asked of it.
pub(super) fn read(
    at: Circumstances<'_>,
    target: &Target,
    reads: &Reads,
    session: &Recognized,
    (method, asked): (&Method, u128),
) -> Signals {
    let identity = session.sign_in().identity();
    let device = || at.certificate?.facts(&identity);
    Signals {
        method: reads.has(Kind::Method).then(|| method.clone()),
        readings: if reads.has(Kind::Path) { readings(target) } else { Box::default() },
        client: reads.has_address().then_some(at.client),
        device: if reads.has(Kind::Device) { device() } else { None },
        risk: if reads.has(Kind::Risk) { device::risk(at, &identity) } else { None },
        asked,
    }
}

/// Some apps take upper and lower case for the same.
fn readings(target: &Target) -> Box<[Box<str>]> {
    let folded = |reading: &str| reading.chars().any(char::is_uppercase).then(|| reading.to_lowercase().into());
    target.readings().flat_map(|reading| std::iter::once(reading.into()).chain(folded(reading))).collect()
}

impl Signals {
    /// What of the request itself holds.
    pub(super) const fn asked(&self) -> u128 {
        self.asked
    }

    /// The other ways in which the path could be read.
    pub(super) fn other_readings(&self) -> impl Iterator<Item = &str> {
        self.readings.iter().skip(1).map(|reading| &**reading)
    }

    /// Everything that a decision on them is made from.
    pub(super) fn facts(&self, at: Circumstances<'_>, rules: &Ruleset, identity: &model::Identity) -> Facts {
        let (reads, geo) = (rules.reads(), &at.snapshot.geo);
        let located = |kind| self.client.filter(|_| reads.has(kind));
        Facts {
            path: self.readings.first().cloned().unwrap_or_default(),
            address: self.client,
            country: located(Kind::Country).and_then(|client| geo.country(client)),
            asn: located(Kind::Asn).and_then(|client| geo.asn(client)),
            authentication: Authentication::of(identity, &strength(at, identity)),
            device: self.device.clone(),
            risk: self.risk.clone(),
            asked: self.asked,
            ..Facts::bare(at.now, self.method.clone().unwrap_or_default())
        }
    }
}

/// What the words of the person's provider mean; nothing where it is not configured any more.
pub(super) fn strength(at: Circumstances<'_>, identity: &model::Identity) -> Strength {
    at.snapshot.providers.get(&identity.subject.provider).map_or(Strength::nothing(), |provider| provider.strength.clone())
}
