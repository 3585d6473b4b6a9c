//! Counts by key, in a table of a fixed size. In: hashes of keys that nobody outside can foresee. Out: how often each came. Must
//! never count one key for another: who asks a lot, of another app even, would lock others out.
//!
//! Where more keys come to a bucket than it has places, the one that came least is forgotten: it is let off, not locked out.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How many buckets a table has.
const BUCKETS: u64 = 4096;
/// How many keys a bucket has a place for: as many as fit into a cache line.
const PLACES: usize = 8;

/// Counts of some thirty thousand keys.
pub(super) struct Table(Box<[Bucket]>);

#[derive(Default)]
#[repr(align(64))]
struct Bucket([Place; PLACES]);

/// Half of a key's hash and, in the lower half, its count; free where that is 0.
type Place = AtomicU64;

const MARK: u64 = u64::MAX << 32;

impl Default for Table {
    fn default() -> Self {
        Self((0..BUCKETS).map(|_| Bucket::default()).collect())
    }
}

impl Table {
    /// Counts one more; how many that makes.
    pub(super) fn add(&self, key: u64) -> u64 {
        loop {
            let Some((place, seen)) = self.place(key) else { return 1 };
            let before = if is_of(seen, key) { count(seen) } else { 0 };
            let after = (before + 1).min(u32::MAX.into());
            if place.compare_exchange(seen, key & MARK | after, Relaxed, Relaxed).is_ok() {
                return after;
            }
        }
    }

    /// Counts one less, unless the key is forgotten.
    pub(super) fn take(&self, key: u64) {
        while let Some((place, seen)) = self.place(key) {
            if !is_of(seen, key) || place.compare_exchange(seen, seen - 1, Relaxed, Relaxed).is_ok() {
                return;
            }
        }
    }

    /// How many there are.
    pub(super) fn count(&self, key: u64) -> u64 {
        self.place(key).filter(|(_, seen)| is_of(*seen, key)).map_or(0, |(_, seen)| count(seen))
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        self.0.iter().flat_map(|bucket| &bucket.0).for_each(|place| place.store(0, Relaxed));
    }

    /// The place of a key, or the one that it can have, and what is there.
    fn place(&self, key: u64) -> Option<(&Place, u64)> {
        let bucket = self.0.get(usize::try_from(key % BUCKETS).ok()?)?;
        let seen = bucket.0.iter().map(|place| (place, place.load(Relaxed)));
        seen.min_by_key(|(_, seen)| (!is_of(*seen, key), count(*seen)))
    }
}

const fn is_of(seen: u64, key: u64) -> bool {
    seen & MARK == key & MARK && count(seen) != 0
}

const fn count(seen: u64) -> u64 {
    seen & !MARK
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distinct hashes, spread evenly.
    fn key(number: u64) -> u64 {
        number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    #[test]
    fn a_key_counts_for_itself_alone_however_many_others_there_are() {
        let table = Table::default();
        for number in 0..200_000 {
            assert!(table.add(key(number)) == 1, "{number} has never come before");
        }
        assert!((0..200_000).all(|number| table.count(key(number)) <= 1));
        table.clear();
        assert!((0..200_000).all(|number| table.count(key(number)) == 0));
    }

    #[test]
    fn who_comes_often_is_not_forgotten_for_those_who_come_once() {
        let table = Table::default();
        let eve = key(0);
        for number in 1..200_000 {
            table.add(key(number));
            assert_eq!(table.add(eve), number);
        }
    }

    #[test]
    fn what_ends_no_longer_counts_and_never_counts_for_less_than_nothing() {
        let table = Table::default();
        assert_eq!((table.add(key(1)), table.add(key(1)), table.count(key(1))), (1, 2, 2));
        (0..5).for_each(|_| table.take(key(1)));
        table.take(key(2));
        assert_eq!((table.count(key(1)), table.add(key(1)), table.count(key(2))), (0, 1, 0));
    }
}
