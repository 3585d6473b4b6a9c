//! Whether a request may be sent once more. In: a request and what became of it. Out: the same request, or nothing. Must never
//! repeat what a server may have acted on, nor let retries become a storm of their own.

use super::pool::{Lease, Was};
use super::sender::Sender;
use crate::gate::body::RequestBody;
use http::{Method, Request};
use http_body::Body as _;
use std::cell::Cell;
use std::error::Error as _;

/// What one retry costs, in requests: one in ten may be sent again.
const PRICE: u32 = 10;
/// What there is at the start, and again after every sweep, however few requests there were: ten retries.
const FLOOR: u32 = 10 * PRICE;
/// The most that can be saved up: a hundred retries.
const CEILING: u32 = 100 * PRICE;

/// How many times one request may be sent again.
pub(super) const TIMES: u32 = 2;

/// How many retries the requests to a server have earned, in requests.
pub(super) struct Budget(Cell<u32>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(FLOOR))
    }
}

impl Budget {
    /// A request goes out.
    pub(super) fn earn(&self) {
        self.0.set(self.0.get().saturating_add(1).min(CEILING));
    }

    /// A while has passed.
    pub(super) fn refill(&self) {
        self.0.set(self.0.get().max(FLOOR));
    }

    /// Whether there is enough for a retry, which it then costs.
    fn spend(&self) -> bool {
        let left = self.0.get().checked_sub(PRICE);
        self.0.set(left.unwrap_or_else(|| self.0.get()));
        left.is_some()
    }
}

/// A copy of a request, for when it has to be sent again.
pub(super) struct Spare(Request<()>);

impl Spare {
    /// A copy, where it is likely to be of use: making one is not for nothing.
    ///
    /// A body can't be sent twice. Beyond that, a connection that has rested may have been closed by its server just now, another
    /// server may do better, and HTTP/2 says of some requests that nobody has looked at them.
    pub(super) fn of(request: &Request<RequestBody>, lease: &mut Lease, others: bool) -> Option<Self> {
        if !request.body().is_end_stream() {
            return None;
        }
        let multiplexed = matches!(lease.sender(), Sender::Http2(_));
        let of_use = multiplexed || ((others || lease.was() == Was::Rested) && is_idempotent(request.method()));
        of_use.then(|| {
            let mut copy = Request::new(());
            *copy.method_mut() = request.method().clone();
            *copy.uri_mut() = request.uri().clone();
            *copy.version_mut() = request.version();
            *copy.headers_mut() = request.headers().clone();
            Self(copy)
        })
    }

    /// The request once more, if that does no harm after this error.
    pub(super) fn again(self, error: &hyper::Error, budget: &Budget) -> Option<Box<Request<RequestBody>>> {
        let harmless = was_refused(error) || (is_idempotent(self.0.method()) && !error.is_parse());
        (harmless && budget.spend()).then(|| Box::new(self.0.map(|()| RequestBody::empty())))
    }
}

/// Methods that may be sent twice (RFC 9110, section 9.2.2).
fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

/// Whether the server says that it has not looked at the request (RFC 9113, section 8.7).
pub(super) fn was_refused(error: &hyper::Error) -> bool {
    let Some(error) = error.source().and_then(|source| source.downcast_ref::<h2::Error>()) else { return false };
    error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_in_ten_may_be_sent_again_and_a_few_more() {
        let budget = Budget::default();
        let spent = |budget: &Budget| (0..1000).filter(|_| budget.spend()).count();
        assert_eq!(spent(&budget), 10);
        (0..250).for_each(|_| budget.earn());
        assert_eq!(spent(&budget), 25);
        (0..1_000_000).for_each(|_| budget.earn());
        assert_eq!(spent(&budget), 100, "no more than that can be saved up");
        budget.refill();
        assert_eq!(spent(&budget), 10);
    }
}
