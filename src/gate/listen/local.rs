//! What the connections of one worker share, and the time at which they are told that the process stops. In: the worker. Out:
//! guests. Must never be seen by another thread.

use super::DRAIN;
use super::door::Door;
use super::ticks::{Alarm, STROKE, Ticks};
use crate::gate::visit::{Connection, Worker};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Where the process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Connections and requests are taken.
    Serving,
    /// No more connections; every answer over HTTP/1.1 is the last of its connection.
    Lingering,
    /// No more requests.
    Closing,
}

/// What the connections of one worker share.
pub(super) struct Local {
    /// The worker.
    pub(super) worker: Rc<Worker>,
    /// Who gets in.
    pub(super) door: Arc<Door>,
    /// Where the process is in its life.
    pub(super) phase: Cell<Phase>,
    ticks: Ticks,
    open: Rc<()>,
}

/// One connection, as those who serve it see it.
pub(super) struct Guest {
    /// What its visits see of it.
    pub(super) connection: Rc<Connection>,
    /// Wakes it when its time has come.
    pub(super) alarm: Rc<Alarm>,
    /// What it shares with the others.
    pub(super) local: Rc<Local>,
}

impl Local {
    pub(super) fn new(worker: Worker, door: Arc<Door>) -> Self {
        let phase = Cell::new(Phase::Serving);
        Self { worker: Rc::new(worker), door, phase, ticks: Ticks::default(), open: Rc::default() }
    }

    /// What the process waits for at its end: whatever holds one of these.
    pub(super) fn hold(&self) -> Rc<()> {
        Rc::clone(&self.open)
    }

    /// The guest who has this connection.
    pub(super) fn guest(self: &Rc<Self>, connection: Connection) -> Guest {
        Guest { connection: Rc::new(connection), alarm: self.ticks.alarm(), local: Rc::clone(self) }
    }

    /// Tells the time, for ever; `beat` at every stroke.
    pub(super) async fn keep_time(&self, beat: impl Fn()) {
        loop {
            tokio::time::sleep(STROKE).await;
            beat();
            self.ticks.strike();
        }
    }

    /// Lets everything end: what has begun may be finished, and a client that keeps its connection learns from its next answer,
    /// for as long as `linger`, that it is the last.
    pub(super) async fn leave(&self, linger: Duration) {
        self.enter(Phase::Lingering);
        if self.is_empty_within(linger).await {
            return;
        }
        self.enter(Phase::Closing);
        if !self.is_empty_within(DRAIN).await {
            tracing::warn!("some requests were still going on when the time for draining was over");
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.ticks.ring();
    }

    async fn is_empty_within(&self, time: Duration) -> bool {
        let empty = async {
            while Rc::strong_count(&self.open) > 1 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(time, empty).await.is_ok()
    }
}
