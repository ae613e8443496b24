//! Every so many microseconds from an origin: all by arithmetic.

use crate::time::Timestamp;

/// The instants at whole intervals before and after an origin.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    /// Not zero.
    pub(super) interval_us: u64,
    pub(super) origin: Timestamp,
}

impl Grid {
    /// The first instant after `after`; `None` if it cannot be named.
    pub(super) fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        self.at(self.index(after) + 1)
    }

    /// How many instants lie after `after`, up to and with `through`.
    pub(super) fn count(&self, after: Timestamp, through: Timestamp) -> u64 {
        u64::try_from(self.index(through) - self.index(after)).unwrap_or(0)
    }

    /// The instant number `n` after `after`, the next being number 1.
    pub(super) fn nth_after(&self, after: Timestamp, n: u64) -> Option<Timestamp> {
        self.at(self.index(after) + i128::from(n))
    }

    /// Which instant is the last that is not after `instant`, counted from the origin.
    fn index(&self, instant: Timestamp) -> i128 {
        let since = i128::from(instant.as_micros()) - i128::from(self.origin.as_micros());
        since.div_euclid(i128::from(self.interval_us))
    }

    fn at(&self, index: i128) -> Option<Timestamp> {
        let us = index.checked_mul(i128::from(self.interval_us))?;
        i64::try_from(us.checked_add(i128::from(self.origin.as_micros()))?).ok().map(Timestamp::from_micros)
    }
}
