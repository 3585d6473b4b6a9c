//! How much one address may ask of Doorward itself. In: requests under `/.doorward/`, and what became of them. Out: a refusal where it
//! is too much. Must never count what is proved by a token: whose access has ended is to be heard of, however many they are.

use super::{Key, Place, network};
use crate::gate::route;
use crate::gate::visit::Visit;
use crate::model::{Reason, Refusal};
use http::{Response, StatusCode};

/// A place among the requests in flight of this address; nothing where its tokens are looked at before anything is done.
pub fn enter_own(visit: &Visit, path: &str) -> Result<Option<Place>, Refusal> {
    if route::is_scim(path) {
        return Ok(None);
    }
    let (counts, limits, from) = (&visit.gate().limits, visit.snapshot.reserved, network(visit.client));
    if route::is_proved(path) {
        counts.has_room(visit, &Key::Wrong(from), limits.rate_per_address)?;
    } else {
        counts.rate(visit, &Key::Own(from), limits.rate_per_address)?;
    }
    counts.hold(&Key::Own(from), Some(limits.in_flight_per_address), Reason::RateLimited)
}

/// Counts what came without a proof.
pub fn failed<B>(visit: &Visit, path: &str, answer: &Result<Response<B>, Refusal>) {
    let wrong = match answer {
        Ok(answer) => matches!(answer.status(), StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED),
        Err(refusal) => matches!(refusal.reason, Reason::BadRequest | Reason::UnknownPath),
    };
    if wrong && route::is_proved(path) {
        // That it is one too many is for the next one to hear.
        let from = network(visit.client);
        drop(visit.gate().limits.rate(visit, &Key::Wrong(from), visit.snapshot.reserved.rate_per_address));
    }
}
