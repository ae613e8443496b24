//! How many things may be done by now, at so many a second.

use std::num::NonZeroU32;

use super::MonoTime;

/// So many a second from `since` on, and `credit` besides.
///
/// - Counted from one instant: nothing is lost to rounding, however long it goes on.
/// - Time is looked at in whole ticks: a high rate is a few at every tick, not a wake-up for each.
/// - What was not made use of is saved for a second at most: a process that was suspended for an hour does not make up
///   for it all at once. So in any `t` seconds there are at most `(t + 1) * per_second`, and one tick's more.
#[derive(Debug)]
pub(crate) struct Pace {
    per_second: NonZeroU32,
    tick_us: u64,
    since: MonoTime,
    credit: u64,
    spent: u64,
}

const SECOND_US: u64 = 1_000_000;

impl Pace {
    /// From `now` on. What a hundredth of a second brings may be done at once, and one thing in any case.
    pub(crate) fn new(per_second: NonZeroU32, tick_us: u64, now: MonoTime) -> Pace {
        let credit = u64::from(per_second.get() / 100).max(1);
        Pace { per_second, tick_us, since: now, credit, spent: 0 }
    }

    /// Whether one more may be done.
    pub(super) fn allows(&mut self, now: MonoTime) -> bool {
        self.allowance(now) > 0
    }

    /// How many more may be done.
    pub(crate) fn allowance(&mut self, now: MonoTime) -> u64 {
        let now = MonoTime::from_micros(now.as_micros() / self.tick_us * self.tick_us);
        let earned = self.earned(now.micros_since(self.since));
        let allowance = earned.saturating_add(self.credit).saturating_sub(self.spent);
        let saved_max = self.earned(SECOND_US.max(self.tick_us));
        if allowance > saved_max {
            (self.since, self.credit, self.spent) = (now, saved_max, 0);
        }
        allowance.min(saved_max)
    }

    /// Counts one that was done.
    pub(super) fn spend(&mut self) {
        self.spend_many(1);
    }

    /// Counts so many.
    pub(crate) fn spend_many(&mut self, done: u64) {
        self.spent += done;
    }

    /// When one more may be done: [`allows`](Self::allows) says so then, and not before.
    pub(crate) fn next(&self) -> MonoTime {
        if self.spent < self.credit {
            return MonoTime::default();
        }
        let to_earn = u128::from(self.spent - self.credit) + 1;
        let us = (to_earn * u128::from(SECOND_US)).div_ceil(u128::from(self.per_second.get()));
        let at = self.since.saturating_add_micros(u64::try_from(us).unwrap_or(u64::MAX));
        MonoTime::from_micros(at.as_micros().div_ceil(self.tick_us).saturating_mul(self.tick_us))
    }

    fn earned(&self, elapsed_us: u64) -> u64 {
        let earned = u128::from(elapsed_us) * u128::from(self.per_second.get()) / u128::from(SECOND_US);
        u64::try_from(earned).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_US: u64 = 3_600_000_123;

    fn pace(per_second: u32, tick_us: u64) -> Pace {
        let per_second = NonZeroU32::new(per_second).unwrap();
        Pace::new(per_second, tick_us, MonoTime::from_micros(START_US))
    }

    fn take(pace: &mut Pace, us: u64) -> u64 {
        let mut taken = 0;
        while pace.allows(MonoTime::from_micros(us)) {
            pace.spend();
            taken += 1;
        }
        taken
    }

    /// Woken when it asks to be, it gives what the rate says to the last one: there is no drift.
    #[test]
    fn what_is_asked_for_in_time_is_exact() {
        for (per_second, tick_us) in
            [(1, 1_000), (3, 1), (7, 1_000), (999, 7), (30_011, 1_000), (1_000_000, 1)]
        {
            let mut pace = pace(per_second, tick_us);
            let credit = take(&mut pace, START_US);
            assert_eq!(credit, u64::from(per_second / 100).max(1));
            let (mut taken, mut now) = (0, START_US);
            for _ in 0..3_000 {
                let next = pace.next().as_micros();
                assert!(next > now && next.is_multiple_of(tick_us), "{next} after {now}");
                assert!(!pace.allows(MonoTime::from_micros(next - 1)));
                now = next;
                let more = take(&mut pace, now);
                assert!(more > 0, "woken for nothing");
                taken += more;
                let exact = u128::from(now - START_US) * u128::from(per_second) / 1_000_000;
                assert_eq!(u128::from(taken), exact, "{per_second} a second, {} us on", now - START_US);
            }
        }
    }

    #[test]
    fn no_more_than_a_second_is_saved() {
        let mut pace = pace(100, 1_000);
        assert_eq!(take(&mut pace, START_US), 1);
        assert_eq!(take(&mut pace, START_US + 900_000), 89, "all of it, in whole ticks");
        assert_eq!(take(&mut pace, START_US + 3_600_000_000), 100, "and not an hour's");
        let now = START_US + 3_600_000_000;
        assert_eq!(take(&mut pace, now), 0);
        // From then on it counts anew, from the beginning of that tick.
        assert_eq!((take(&mut pace, now + 9_000), take(&mut pace, now + 10_000)), (0, 1));
    }

    #[test]
    fn a_clock_read_a_little_earlier_allows_no_more_and_loses_nothing() {
        let mut pace = pace(1_000, 1_000);
        assert_eq!(take(&mut pace, START_US), 10);
        assert_eq!(take(&mut pace, START_US + 5_000), 5 - 1, "whole ticks, and the first was not whole");
        assert_eq!(take(&mut pace, START_US - 5_000), 0);
        assert_eq!(take(&mut pace, START_US + 6_000), 1);
    }

    #[test]
    fn a_long_tick_brings_all_that_is_its_own() {
        let mut pace = pace(5, 10_000_000);
        assert_eq!(take(&mut pace, START_US), 1);
        let next = pace.next().as_micros();
        assert_eq!(next, 3_610_000_000);
        // 9.999877 seconds' worth, at the first whole tick.
        assert_eq!(take(&mut pace, next), 49);
    }

    #[test]
    fn the_end_of_time_ends_no_loop() {
        let mut pace = Pace::new(NonZeroU32::MIN, 1, MonoTime::from_micros(u64::MAX - 1));
        take(&mut pace, u64::MAX - 1);
        assert_eq!(pace.next(), MonoTime::MAX);
        take(&mut pace, u64::MAX);
        assert!(pace.next() >= MonoTime::MAX);
    }
}
