//! What is known of the circumstances of a request, and how well. In: a value, who observed it and when. Out: a [`Signal`]:
//! fresh, stale or absent are three different things. Must never let a stale value pass for a fresh one.

use super::Timestamp;
use std::sync::Arc;

/// Who observed something.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The connection itself, or a trusted proxy in front of it.
    Connection,
    /// The identity provider, when the person signed in.
    Provider,
    /// The device inventory.
    Inventory,
    /// A database of addresses.
    Database,
    /// Somebody through the administration API.
    Administration,
    /// A transmitter of security events; made by [`Self::transmitter`].
    Transmitter(Arc<str>),
    /// Our own clock.
    Clock,
}

impl Source {
    /// The transmitter of this name.
    pub fn transmitter(name: &str) -> Self {
        Self::Transmitter(format!("transmitter {name}").into())
    }

    /// The stable code, as explanations and audit say it.
    pub fn code(&self) -> &str {
        match self {
            Self::Connection => "connection",
            Self::Provider => "provider",
            Self::Inventory => "inventory",
            Self::Database => "database",
            Self::Administration => "administration",
            Self::Transmitter(name) => name,
            Self::Clock => "clock",
        }
    }
}

/// A value that somebody observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed<T> {
    /// What.
    pub value: T,
    /// Who.
    pub source: Source,
    /// When.
    pub observed_at: Timestamp,
    /// From when on it says nothing any more; `None` where it holds until something newer comes.
    pub expires_at: Option<Timestamp>,
}

/// What is known at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal<'a, T> {
    /// It holds.
    Fresh(&'a Observed<T>),
    /// It once held; helps nobody in.
    Stale(&'a Observed<T>),
    /// Nobody has said anything.
    Absent,
}

impl<T> Observed<T> {
    /// What it is worth now. A value from the future is worth as much as one from now: clocks differ.
    pub fn at(&self, now: Timestamp) -> Signal<'_, T> {
        if self.expires_at.is_some_and(|end| now >= end) { Signal::Stale(self) } else { Signal::Fresh(self) }
    }
}

impl<'a, T> Signal<'a, T> {
    /// What is known now of something that may never have been observed.
    pub fn of(observed: Option<&'a Observed<T>>, now: Timestamp) -> Self {
        observed.map_or(Self::Absent, |observed| observed.at(now))
    }

    /// The value, if it holds.
    pub const fn fresh(self) -> Option<&'a T> {
        match self {
            Self::Fresh(observed) => Some(&observed.value),
            Self::Stale(_) | Self::Absent => None,
        }
    }

    /// When it stops being what it is.
    pub const fn until(self) -> Option<Timestamp> {
        match self {
            Self::Fresh(observed) => observed.expires_at,
            Self::Stale(_) | Self::Absent => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_fresh_until_it_expires_and_stale_from_then_on() {
        let at = Timestamp::from_seconds;
        let observed = Observed { value: 1, source: Source::Inventory, observed_at: at(10), expires_at: Some(at(20)) };
        assert_eq!(observed.at(at(19)).fresh(), Some(&1));
        assert_eq!(observed.at(at(20)), Signal::Stale(&observed));
        assert_eq!(observed.at(at(20)).fresh(), None);
        assert_eq!(Signal::<u8>::of(None, at(0)).fresh(), None);
        let lasting = Observed { expires_at: None, ..observed };
        assert_eq!(lasting.at(at(9_999)).fresh(), Some(&1));
    }
}
