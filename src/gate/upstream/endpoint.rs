//! What all connections of a worker to one server have in common, whoever they are announced for. In: connections and requests
//! as they come and go. Out: how many more there may be. Must never end before the last of them.

use super::names::Names;
use super::open::Open;
use super::retry::Budget;
use crate::snapshot::upstream::Pooling;
use std::cell::Cell;
use std::sync::Arc;

/// One server, as a worker knows it.
#[derive(Default)]
pub(super) struct Endpoint {
    /// The terms that connections are kept on.
    pub(super) terms: Cell<Pooling>,
    /// How many there are.
    pub(super) open: Arc<Open>,
    /// How many requests may be sent again.
    pub(super) budget: Budget,
    /// Where it is.
    pub(super) names: Names,
}

impl Endpoint {
    /// Whether there may be no more connections.
    pub(super) fn is_full(&self) -> bool {
        self.open.count() >= self.terms.get().max_connections
    }
}
