//! Whose turn it is. In: weights. Out: a sequence in which every server comes as often as its weight says, and as evenly spread as
//! can be. Must never allocate after it was made.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// A round of turns, gone through again and again by all workers together.
#[derive(Debug)]
pub struct Turns {
    /// Indices of servers.
    round: Box<[u8]>,
    next: Cursor,
}

/// On a cache line of its own: every request writes to it, and what lies beside it is only read.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Cursor(AtomicUsize);

impl Turns {
    /// A round for servers of these weights, by the smooth weighted round robin of nginx: each server gains its weight, the
    /// richest has the turn and pays the sum of all.
    pub fn new(weights: &[u32]) -> Self {
        let weights = reduced(weights);
        let sum: i64 = weights.iter().sum();
        let mut credit = vec![0; weights.len()];
        let round = (0..sum).filter_map(|_| turn(&mut credit, &weights, sum));
        Self { round: round.collect(), next: Cursor::default() }
    }

    /// Takes a turn; gives its number.
    pub fn take(&self) -> usize {
        self.next.0.fetch_add(1, Relaxed)
    }

    /// Everybody from this turn on, for one round.
    pub fn from(&self, turn: usize) -> impl Iterator<Item = usize> {
        let (before, after) = self.round.split_at_checked(turn.checked_rem(self.round.len()).unwrap_or(0)).unwrap_or_default();
        after.iter().chain(before).map(|index| usize::from(*index))
    }

    /// Passes over turns of servers that can't have them, so that the others keep their proportions.
    pub fn pass(&self, turns: usize) {
        if turns > 0 {
            self.next.0.fetch_add(turns, Relaxed);
        }
    }
}

fn turn(credit: &mut [i64], weights: &[i64], sum: i64) -> Option<u8> {
    credit.iter_mut().zip(weights).for_each(|(credit, weight)| *credit += weight);
    // The last of equals is what `max_by_key` gives, and the first is meant.
    let (index, richest) = credit.iter_mut().enumerate().rev().max_by_key(|(_, credit)| **credit)?;
    *richest -= sum;
    u8::try_from(index).ok()
}

/// The weights without what they have in common.
fn reduced(weights: &[u32]) -> Vec<i64> {
    let common = weights.iter().copied().fold(0, divisor).max(1);
    weights.iter().map(|weight| i64::from(weight / common)).collect()
}

const fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    fn round(weights: &[u32]) -> Vec<usize> {
        Turns::new(weights).from(0).collect()
    }

    #[test]
    fn turns_are_interleaved() {
        assert_eq!(round(&[1]), [0]);
        assert_eq!(round(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(round(&[5, 1, 1]), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(round(&[1, 3]), [1, 0, 1, 1]);
        assert_eq!(round(&[100, 50]), [0, 1, 0]);
    }

    #[test]
    fn a_round_begins_anywhere_and_goes_around() {
        let turns = Turns::new(&[2, 1]);
        assert_eq!((turns.take(), turns.take()), (0, 1));
        turns.pass(2);
        assert_eq!(turns.take(), 4);
        assert_eq!(turns.from(4).collect::<Vec<_>>(), [1, 0, 0]);
        assert_eq!(turns.from(usize::MAX).count(), 3);
    }

    proptest! {
        #[test]
        fn everybody_has_as_many_turns_as_their_weight_says_and_no_one_waits_long(weights in prop::collection::vec(1_u32..=100, 1..12)) {
            let round = round(&weights);
            let (sum, length) = (weights.iter().sum::<u32>() as usize, round.len());
            for (index, weight) in weights.iter().enumerate() {
                let turns: Vec<usize> = (0..length).filter(|turn| round[*turn] == index).collect();
                prop_assert_eq!(turns.len() * sum, length * *weight as usize);
                let again = turns.iter().skip(1).copied().chain([turns[0] + length]);
                let longest = turns.iter().zip(again).map(|(turn, next)| next - turn).max().unwrap();
                prop_assert!(longest <= 2 * sum.div_ceil(*weight as usize), "{} waits {}", weight, longest);
            }
        }
    }
}
