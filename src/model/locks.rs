//! Who and what is locked out. In: what administrators say. Out: whether a device may be used. Must never lift a lock because what
//! it names is not known any more.

use super::risks::Whose;
use super::{Fingerprint, Timestamp};
use std::collections::HashMap;

/// A lock on somebody or something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// For other administrators; not for the person.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// The certificates of a device, as they were known when it was locked, the latest first: the inventory may forget them.
    pub fingerprints: Vec<Fingerprint>,
}

impl Lock {
    /// Whether it holds at this time.
    pub fn holds(&self, now: Timestamp) -> bool {
        now < self.end()
    }

    /// Holds for these certificates too, which it had when it was said before.
    pub fn keep(&mut self, former: Vec<Fingerprint>) {
        let is_new = |fingerprint: &Fingerprint| !self.fingerprints.contains(fingerprint);
        let former: Vec<_> = former.into_iter().filter(is_new).collect();
        self.fingerprints.extend(former);
    }

    fn end(&self) -> Timestamp {
        self.until.unwrap_or(Timestamp::from_millis(u64::MAX))
    }
}

/// All locks.
#[derive(Clone, Debug, Default)]
pub struct Locks {
    people: HashMap<Whose, Lock>,
    devices: HashMap<String, Lock>,
    /// Until when certificates are locked, by whichever lock holds longest.
    fingerprints: HashMap<Fingerprint, Timestamp>,
    /// By how many milliseconds the clock by which they end is ahead of this machine's.
    ahead: i64,
}

impl Locks {
    /// None, which end by the same clock.
    pub fn emptied(&self) -> Self {
        Self { ahead: self.ahead, ..Self::default() }
    }

    /// They end by a clock that says `theirs` when this machine's says `ours`.
    pub fn end_by(&mut self, theirs: Timestamp, ours: Timestamp) {
        self.ahead = i64::try_from(theirs.millis()).unwrap_or(i64::MAX).saturating_sub_unsigned(ours.millis());
    }

    /// What the clock by which they end says when this machine's says this.
    pub fn by_clock(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_millis(now.millis().saturating_add_signed(self.ahead))
    }

    /// Takes a lock in, in place of what was there.
    pub fn put(&mut self, whose: Whose, lock: Lock) {
        let (fingerprints, until) = (lock.fingerprints.clone(), lock.end());
        let replaced = match whose {
            Whose::Device(id) => self.devices.insert(id, lock),
            person => self.people.insert(person, lock),
        };
        match replaced {
            Some(_) => self.index(),
            None => fingerprints.into_iter().for_each(|fingerprint| keep_longest(&mut self.fingerprints, (fingerprint, until))),
        }
    }

    /// Takes a lock out.
    pub fn remove(&mut self, whose: &Whose) -> Option<Lock> {
        let removed = match whose {
            Whose::Device(id) => self.devices.remove(id),
            person => self.people.remove(person),
        };
        self.index();
        removed
    }

    fn index(&mut self) {
        self.fingerprints.clear();
        for lock in self.devices.values() {
            lock.fingerprints.iter().for_each(|fingerprint| keep_longest(&mut self.fingerprints, (*fingerprint, lock.end())));
        }
    }

    /// The lock on one, as long as it holds.
    pub fn find(&self, whose: &Whose, now: Timestamp) -> Option<&Lock> {
        let lock = match whose {
            Whose::Device(id) => self.devices.get(id),
            person => self.people.get(person),
        };
        lock.filter(|lock| lock.holds(self.by_clock(now)))
    }

    /// Whether a device must not be used: by its name in the inventory, or by its certificate.
    pub fn has_device(&self, id: Option<&str>, fingerprint: Fingerprint, now: Timestamp) -> bool {
        if self.devices.is_empty() {
            return false;
        }
        let now = self.by_clock(now);
        let by_id = id.and_then(|id| self.devices.get(id)).is_some_and(|lock| lock.holds(now));
        by_id || self.fingerprints.get(&fingerprint).is_some_and(|until| now < *until)
    }

    /// The lock that keeps a device out, with its name: the one that holds longest.
    pub fn on_device(&self, id: &str, fingerprint: Option<Fingerprint>, now: Timestamp) -> Option<(&str, &Lock)> {
        let is_on = |name: &str, lock: &Lock| name == id || fingerprint.is_some_and(|one| lock.fingerprints.contains(&one));
        let (now, held) = (self.by_clock(now), self.devices.iter().map(|(name, lock)| (name.as_str(), lock)));
        held.filter(|(name, lock)| lock.holds(now) && is_on(name, lock)).max_by_key(|(_, lock)| lock.end())
    }

    /// How many there are, those that are over among them.
    pub fn len(&self) -> usize {
        self.people.len().saturating_add(self.devices.len())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that hold, in no order.
    pub fn all(&self, now: Timestamp) -> impl Iterator<Item = (Whose, &Lock)> {
        let people = self.people.iter().map(|(whose, lock)| (whose.clone(), lock));
        let devices = self.devices.iter().map(|(id, lock)| (Whose::Device(id.clone()), lock));
        let now = self.by_clock(now);
        people.chain(devices).filter(move |(_, lock)| lock.holds(now))
    }
}

fn keep_longest(all: &mut HashMap<Fingerprint, Timestamp>, (fingerprint, until): (Fingerprint, Timestamp)) {
    let kept = all.entry(fingerprint).or_insert(until);
    *kept = until.max(*kept);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_locked_by_name_and_by_certificate_until_the_lock_is_over() {
        let (one, other) = (Fingerprint([1; 32]), Fingerprint([2; 32]));
        let time = Timestamp::from_seconds;
        let lock = Lock { reason: "lost".to_owned(), since: time(1), until: Some(time(9)), fingerprints: vec![one] };
        let mut locks = Locks::default();
        assert!(!locks.has_device(Some("mac-1"), one, time(5)));
        locks.put(Whose::Device("mac-1".to_owned()), lock);
        assert_eq!(locks.on_device("mac-2", Some(one), time(5)).map(|(name, _)| name), Some("mac-1"));
        for (id, fingerprint, now, expected) in [
            (Some("mac-1"), one, 5, true),
            (Some("mac-1"), other, 5, true),
            (None, one, 5, true),
            (Some("mac-2"), one, 5, true),
            (Some("mac-2"), other, 5, false),
            (None, other, 5, false),
            (Some("mac-1"), one, 9, false),
        ] {
            assert_eq!(locks.has_device(id, fingerprint, time(now)), expected, "{id:?} {now}");
            assert_eq!(locks.on_device(id.unwrap_or("another"), Some(fingerprint), time(now)).is_some(), expected, "{id:?} {now}");
        }
        assert_eq!((locks.all(time(8)).count(), locks.all(time(9)).count()), (1, 0));
        locks.end_by(time(20), time(22));
        assert_eq!([10, 11].map(|now| locks.has_device(None, one, time(now))), [true, false], "a clock that is two seconds behind");
        assert_eq!((locks.all(time(10)).count(), locks.find(&Whose::Device("mac-1".to_owned()), time(11))), (1, None));
        assert_eq!([10, 11].map(|now| locks.on_device("mac-1", None, time(now)).is_some()), [true, false]);
        assert_eq!(locks.emptied().by_clock(time(10)), time(8), "whatever is read anew");
        locks.end_by(time(22), time(20));
        assert_eq!([6, 7].map(|now| locks.has_device(None, one, time(now))), [true, false], "or ahead");
        locks.end_by(time(20), time(20));
        let lasting = Lock { reason: "stolen".to_owned(), since: time(1), until: None, fingerprints: vec![one] };
        locks.put(Whose::Device("by-certificate".to_owned()), lasting);
        assert!(locks.has_device(None, one, time(99)), "the one that holds longest counts");
        locks.remove(&Whose::Device("by-certificate".to_owned()));
        assert_eq!((locks.has_device(None, one, time(8)), locks.has_device(None, one, time(99))), (true, false));
    }
}
