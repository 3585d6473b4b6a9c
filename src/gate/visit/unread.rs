//! Answers that a client does not read. In: the visits whose answer waits, and until when it may. Out: those that have waited for
//! too long. Must never cost a visit anything while no answer waits.
//!
//! HTTP gives nobody who writes an answer a turn while its client takes none of it. So whoever has a turn, the connection and the
//! tasks of its streams, looks here.

use super::Connection;
use crate::clock;
use std::cell::RefCell;
use std::rc::Rc;

/// How long an answer of our own may wait, in milliseconds.
const PATIENCE: u64 = 120_000;

/// The answers of one connection that wait: the number of the visit, and until when by [`clock::ticks`].
#[derive(Default)]
pub struct Unread(RefCell<Vec<(u64, u64)>>);

/// Whoever an answer is for.
pub struct Reader {
    connection: Rc<Connection>,
    visit: u64,
}

impl Reader {
    pub(super) const fn new(connection: Rc<Connection>, visit: u64) -> Self {
        Self { connection, visit }
    }

    /// The answer has ended before its end, and there is nobody left to say so but the connection.
    pub fn is_late(&self) {
        self.connection.unread.wait(self.visit, 0);
    }
}

impl Unread {
    /// An answer of our own waits.
    pub(super) fn begin(&self, visit: u64) {
        self.wait(visit, clock::ticks() + PATIENCE);
    }

    /// The visit is over.
    pub(super) fn end(&self, visit: u64) {
        let mut all = self.0.borrow_mut();
        if !all.is_empty() {
            all.retain(|(waits, _)| *waits != visit);
        }
    }

    /// Whether this answer has waited for too long.
    pub fn is_over(&self, visit: u64) -> bool {
        self.any(|waits| waits == visit)
    }

    /// Whether any has.
    pub fn any_is_over(&self) -> bool {
        self.any(|_| true)
    }

    fn wait(&self, visit: u64, until: u64) {
        self.0.borrow_mut().push((visit, until));
    }

    fn any(&self, meant: impl Fn(u64) -> bool) -> bool {
        let all = self.0.borrow();
        !all.is_empty() && all.iter().any(|(visit, until)| meant(*visit) && *until <= clock::ticks())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_over_when_it_has_waited_until_then_and_not_when_its_visit_has_ended() {
        let unread = Unread::default();
        unread.begin(1);
        unread.wait(2, 0);
        unread.begin(3);
        assert!(unread.any_is_over() && unread.is_over(2) && !unread.is_over(1) && !unread.is_over(4));
        unread.end(2);
        assert!(!unread.any_is_over());
        unread.wait(3, clock::ticks());
        assert!(unread.is_over(3) && !unread.is_over(1));
        unread.end(3);
        assert!(!unread.any_is_over());
        unread.end(1);
        assert!(unread.0.borrow().is_empty());
    }
}
