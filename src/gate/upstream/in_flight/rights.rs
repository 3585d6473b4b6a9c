//! Whether what flows may still flow. In: how things are now. Out: an end for whatever would not be let through any more. Must never
//! keep the worker from its requests while it judges many anew.

use super::{Expired, InFlight, Phase, State, Watch};
use crate::clock;
use crate::gate::right::{Moment, Right};
use crate::gate::visit::{Gate, Worker};
use crate::model::{Inventory, Reason, locks::Locks, risks::Risks};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;

/// How many are judged before others have a turn.
const AT_ONCE: usize = 16;

type Tables = (Arc<Inventory>, Arc<Risks>, Arc<Locks>);

/// What was told of devices and risks, and how often that has changed.
#[derive(Default)]
pub(super) struct Told {
    tables: RefCell<Option<Tables>>,
    count: Cell<u64>,
}

impl Told {
    fn look(&self, gate: &Gate) {
        let (devices, risks, locks) = (gate.store.devices(), gate.store.risks(), gate.store.locks());
        let mut tables = self.tables.borrow_mut();
        let is_same = |(of_devices, of_risks, of_locks): &Tables| {
            Arc::ptr_eq(of_devices, &devices) && Arc::ptr_eq(of_risks, &risks) && Arc::ptr_eq(of_locks, &locks)
        };
        if !tables.as_ref().is_some_and(is_same) {
            *tables = Some((Arc::clone(&devices), Arc::clone(&risks), Arc::clone(&locks)));
            self.count.set(self.count.get() + 1);
        }
    }
}

impl Watch {
    /// Counts the changes of what was told of devices and risks, late by a look at most.
    pub fn told(&self) -> u64 {
        self.told.count.get()
    }

    /// Asks of everything whether it may still flow.
    pub(super) async fn judge(&self, worker: &Worker) {
        self.told.look(&worker.gate);
        let moment = || Moment { gate: &worker.gate, snapshot: worker.snapshot(), now: clock::now(), told: self.told() };
        for some in self.in_doubt(&moment()).chunks(AT_ONCE) {
            // Time goes on while others have their turn.
            let moment = moment();
            some.iter().filter_map(Weak::upgrade).for_each(|state| state.judge(&moment));
            tokio::task::yield_now().await;
        }
    }

    fn in_doubt(&self, moment: &Moment<'_>) -> Vec<Weak<State>> {
        let all = self.all.borrow();
        let in_doubt = |state: &&Rc<State>| state.right.as_ref().is_some_and(|right| right.is_in_doubt(moment));
        all.iter().filter(in_doubt).map(Rc::downgrade).collect()
    }
}

impl State {
    /// What a person sends or takes is use of the session; what comes of itself is not.
    pub(super) fn is_used(&self) {
        if let (Some(right), Phase::Head | Phase::Body) = (&self.right, self.phase.get()) {
            right.used();
        }
    }

    fn judge(&self, moment: &Moment<'_>) {
        let lost = self.right.as_ref().and_then(|right| right.judge(moment).err());
        if let (Some(reason), None) = (lost, self.expired.get()) {
            let sent = self.phase.get() != Phase::Connecting;
            self.end(if sent { Expired::Access(reason) } else { Expired::Refused(reason) });
            if let Some(ended) = self.right.as_ref().and_then(Right::ended) {
                moment.gate.metrics.cut(moment.now.since(ended));
            }
        }
    }
}

impl InFlight {
    /// Asks again before it is sent, where it had to wait: much can happen in that time.
    pub fn ask_again(&self, worker: &Worker) -> Result<(), Expired> {
        let Some(right) = self.state.right.as_ref().filter(|_| self.state.waited.replace(false)) else { return Ok(()) };
        let told = worker.pool.watch().told();
        let moment = Moment { gate: &worker.gate, snapshot: worker.snapshot(), now: clock::now(), told };
        if right.is_in_doubt(&moment) { right.judge(&moment).map_err(Expired::Refused) } else { Ok(()) }
    }

    /// A tunnel has opened: silence means nothing in it.
    pub fn opened(&self) {
        self.state.phase.set(Phase::Stream);
    }

    /// Waits until the right to it has ended.
    pub async fn lost(&self) {
        poll_fn(|context| {
            if self.lost_by().is_some() {
                return Poll::Ready(());
            }
            self.state.wake_with(context);
            Poll::Pending
        })
        .await;
    }

    /// Why the right to it has ended, where it has.
    pub fn lost_by(&self) -> Option<Reason> {
        match self.state.expired.get() {
            Some(Expired::Access(reason) | Expired::Refused(reason)) => Some(reason),
            _ => None,
        }
    }
}
