//! Where a ready job stands among those of its queue, in whichever partition: by tick, then priority, then due.
//!
//! A tick is one of the clock that the job follows. The ticks of the two clocks do not begin together; how far they are
//! apart, in whole ticks, is the same for all whom a [`Rank`] is compared for, and is theirs to say.

use super::{Priority, TimeBase};

/// Where a ready job stands among those of its queue: by tick, then priority, then due. A tick is one of the clock that the job
/// follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rank {
    tick: u64,
    /// Priority, due, base: eight bits, 55, and one.
    rest: u64,
}

/// What ranks of both clocks are compared by: the lower goes first.
pub type RankKey = (i64, u64);

const DUE_BITS: u32 = 55;

impl Rank {
    /// Of a job due `before_us` microseconds before its tick begins.
    pub(super) fn new(base: TimeBase, tick: u64, priority: Priority, before_us: u64) -> Rank {
        let due_max = (1 << DUE_BITS) - 1;
        let due = due_max - before_us.min(due_max);
        let rest = u64::from(priority.0) << (DUE_BITS + 1) | due << 1 | u64::from(base == TimeBase::Wall);
        Rank { tick, rest }
    }

    /// As two words, to be published.
    pub fn to_words(self) -> (u64, u64) {
        (self.tick, self.rest)
    }

    /// From the words of one that was published.
    pub fn from_words(tick: u64, rest: u64) -> Rank {
        Rank { tick, rest }
    }

    /// Which of the jobs of its tick it goes with.
    pub fn priority(self) -> Priority {
        Priority((self.rest >> (DUE_BITS + 1)) as u8)
    }

    /// What to compare it by, where a tick of the wall clock is the monotonic clock's tick `apart` later.
    pub fn key(self, apart: i64) -> RankKey {
        let tick = i64::try_from(self.tick).unwrap_or(i64::MAX);
        let apart = if self.rest & 1 == 1 { apart } else { 0 };
        (tick.saturating_add(apart), self.rest >> 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_go_by_tick_then_priority_then_due() {
        let rank = |tick, priority, before_us| Rank::new(TimeBase::Mono, tick, Priority(priority), before_us);
        let in_order = [
            rank(0, 255, 0),
            rank(1, 0, u64::MAX),
            rank(1, 0, 999),
            rank(1, 0, 0),
            rank(1, 7, 5_000),
            rank(1, 255, 3),
            rank(u64::MAX >> 1, 0, 0),
        ];
        assert!(in_order.iter().map(|rank| rank.key(77)).is_sorted_by(|a, b| a < b));
        for rank in in_order {
            let (tick, rest) = rank.to_words();
            assert_eq!(Rank::from_words(tick, rest), rank);
        }
    }

    #[test]
    fn the_ticks_of_the_wall_are_told_as_those_of_the_other_clock() {
        let wall = |tick| Rank::new(TimeBase::Wall, tick, Priority(9), 4);
        let mono = |tick| Rank::new(TimeBase::Mono, tick, Priority(9), 4);
        assert_eq!(wall(100).key(-30), mono(70).key(-30));
        assert!(wall(100).key(-31) < mono(70).key(-31));
        assert_eq!(wall(u64::MAX).key(i64::MAX).0, i64::MAX);
    }
}
