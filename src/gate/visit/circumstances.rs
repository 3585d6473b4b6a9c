//! What a decision reads beside the request. In: a visit, or what goes on of one. Out: the configuration, the time, where it comes
//! from. Must never mix what was then with what is now.

use super::{Gate, Presented, Visit};
use crate::model::Timestamp;
use crate::snapshot::Snapshot;
use std::net::IpAddr;
use std::rc::Rc;

/// What a decision reads beside the request.
#[derive(Clone, Copy)]
pub(in crate::gate) struct Circumstances<'a> {
    /// What all workers share.
    pub(in crate::gate) gate: &'a Gate,
    /// The configuration.
    pub(in crate::gate) snapshot: &'a Snapshot,
    /// The time.
    pub(in crate::gate) now: Timestamp,
    /// Who is on the other end.
    pub(in crate::gate) client: IpAddr,
    /// The certificate that the client has shown.
    pub(in crate::gate) certificate: Option<&'a Rc<Presented>>,
}

impl Visit {
    /// Those of the visit.
    pub(in crate::gate) fn circumstances(&self) -> Circumstances<'_> {
        Circumstances {
            gate: self.gate(),
            snapshot: &self.snapshot,
            now: self.now,
            client: self.client,
            certificate: self.certificate.as_ref(),
        }
    }
}
