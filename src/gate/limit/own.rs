//! How much one address may ask of Doorward itself. In: requests under `/.doorward/`, and what became of them. Out: a refusal where it
//! is too much. Must never refuse what a token proves for what others at its address did: whose access has ended is to be heard of,
//! however many they are.

use super::{Key, Place, network};
use crate::gate::body::Upload;
use crate::gate::route;
use crate::gate::visit::{Answer, Visit};
use crate::model::{Reason, Refusal};
use bytes::Bytes;
use http::{Response, StatusCode};
use std::time::Duration;
use tokio::time::timeout;

/// How long a body may take that comes while its address has as many in flight as it may: a token comes with its head.
const HASTE: Duration = Duration::from_secs(1);

/// What a request has of what its address may ask, until it is answered.
pub struct Own {
    _place: Option<Place>,
    /// There was no place for it, and it is heard all the same.
    hurries: bool,
}

/// A place among the requests in flight of this address. What has to be proved has places of its own, and is looked at without one too.
pub fn enter_own(visit: &Visit, path: &str) -> Result<Own, Refusal> {
    let (counts, limits, from) = (&visit.gate().limits, visit.snapshot.reserved, network(visit.client));
    let hold = |key: Key<'_>| counts.hold(&key, Some(limits.in_flight_per_address), Reason::RateLimited);
    if route::is_scim(path) {
        return Ok(Own { _place: None, hurries: false });
    }
    if route::is_proved(path) {
        let place = hold(Key::Unproved(from)).ok();
        return Ok(Own { hurries: place.is_none(), _place: place.flatten() });
    }
    counts.rate(visit, &Key::Own(from), limits.rate_per_address)?;
    Ok(Own { _place: hold(Key::Own(from))?, hurries: false })
}

impl Own {
    /// Waits for the answer; not long for a body that comes slowly where too many do.
    pub async fn wait(&self, upload: Option<&Upload>, mut answer: Answer) -> Result<Response<Bytes>, Refusal> {
        if let Some(upload) = upload.filter(|_| self.hurries) {
            if let Ok(answered) = timeout(HASTE, &mut answer).await {
                return answered;
            }
            upload.stop();
        }
        answer.await
    }
}

/// Counts what came without a proof, and says so where that is too often: nobody is refused before it is known whether there is one.
pub fn proved(visit: &Visit, path: &str, answer: Result<Response<Bytes>, Refusal>) -> Result<Response<Bytes>, Refusal> {
    let wrong = match &answer {
        Ok(answer) => matches!(answer.status(), StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED),
        Err(refusal) => matches!(refusal.reason, Reason::BadRequest | Reason::UnknownPath),
    };
    if wrong && route::is_proved(path) {
        visit.gate().limits.rate(visit, &Key::Wrong(network(visit.client)), visit.snapshot.reserved.rate_per_address)?;
    }
    answer
}
