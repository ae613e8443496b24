//! How many jobs of a queue may start in a time.
//!
//! The generic cell rate algorithm (ITU-T I.371): one number, the instant at which the next start would be due if all came evenly.
//! A start may come before it by as much as the burst allows. So over any time the starts are at most those of the rate, and a burst.
//!
//! # Rules
//! - A start is taken before it is known whether there is a job for it, and given back if there is none. So workers of several
//!   partitions, which hold different locks, do not start too many between them.
//! - A queue that was refused starts nothing until the instant that it was told. The driver wakes it then: nobody spins, and other
//!   queues do not notice.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::partition::MonoTime;
use crate::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// A rate, for [`QueueConfig::rate`](crate::QueueConfig::rate): so many starts in a time, and how many of them at once.
///
/// ```
/// use reveille::Rate;
/// use std::num::NonZeroU32;
/// use std::time::Duration;
///
/// let calls = NonZeroU32::new(100).unwrap();
/// let rate = Rate::new(calls, Duration::from_secs(1)).burst(NonZeroU32::new(20).unwrap());
/// # let _ = rate;
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    starts: NonZeroU32,
    period: Duration,
    burst: NonZeroU32,
}

impl Rate {
    /// So many starts in this time, which is a millisecond at least. At once it lets as many start as it would in ten milliseconds,
    /// or one.
    pub fn new(starts: NonZeroU32, period: Duration) -> Self {
        let period = period.max(Duration::from_millis(1));
        let in_10_ms = u128::from(starts.get()) * 10 / period.as_millis().max(1);
        let burst = u32::try_from(in_10_ms).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        Rate { starts, period, burst }
    }

    /// How many may start at once, after a time in which fewer did.
    #[must_use]
    pub fn burst(mut self, starts: NonZeroU32) -> Self {
        self.burst = starts;
        self
    }
}

/// The rate of a queue, and how much of it is used. In nanoseconds since the first start: a monotonic clock may stand at any number
/// of microseconds.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    /// When the first start was taken, in microseconds, and one more; 0 if none was.
    began_us: AtomicU64,
    /// From one start to the next; 0 for no limit.
    interval_ns: AtomicU64,
    /// How far ahead of its even place a start may come.
    ahead_ns: AtomicU64,
    /// The even place of the next start.
    next_ns: AtomicU64,
    /// Until when nothing may start, in microseconds; 0 if something may.
    until_us: AtomicU64,
}

impl Limiter {
    pub(crate) fn set(&self, rate: Option<Rate>) {
        let interval_ns = rate.map_or(0, |rate| {
            let interval = rate.period.as_nanos() / u128::from(rate.starts.get());
            u64::try_from(interval).unwrap_or(u64::MAX / 2).max(1)
        });
        let burst = rate.map_or(1, |rate| rate.burst.get());
        self.ahead_ns.store(interval_ns.saturating_mul(u64::from(burst) - 1), SeqCst);
        self.interval_ns.store(interval_ns, SeqCst);
        // A queue that waits for the old rate looks again.
        self.until_us.store(0, SeqCst);
    }

    /// Whether there is a limit.
    #[inline]
    pub(crate) fn is_set(&self) -> bool {
        self.interval_ns.load(SeqCst) != 0
    }

    /// Takes a start at `now`. If there is none, until when.
    pub(crate) fn take(&self, now: MonoTime) -> Result<(), MonoTime> {
        let (interval_ns, ahead_ns) = (self.interval_ns.load(SeqCst), self.ahead_ns.load(SeqCst));
        let began = self.began(now);
        let now_ns = now.micros_since(began).saturating_mul(1_000);
        let taken = self.next_ns.fetch_update(SeqCst, SeqCst, |next_ns| {
            (next_ns <= now_ns.saturating_add(ahead_ns))
                .then(|| next_ns.max(now_ns).saturating_add(interval_ns))
        });
        taken.map(drop).map_err(|next_ns| {
            let until = began.saturating_add_micros(next_ns.saturating_sub(ahead_ns).div_ceil(1_000));
            // The driver sleeps by the microsecond, and wakes a queue for no less than it may start in a while.
            until.max(now.saturating_add_micros(WAKE_EVERY_US.min(interval_ns / 1_000 + ahead_ns / 2_000)))
        })
    }

    fn began(&self, now: MonoTime) -> MonoTime {
        let began_us = match self.began_us.load(SeqCst) {
            0 => {
                let first_us = now.as_micros().saturating_add(1);
                self.began_us.compare_exchange(0, first_us, SeqCst, SeqCst).map_or_else(|us| us, |_| first_us)
            }
            us => us,
        };
        MonoTime::from_micros(began_us - 1)
    }

    /// Gives a start back for which there was no job.
    pub(crate) fn give_back(&self) {
        self.next_ns.fetch_sub(self.interval_ns.load(SeqCst), SeqCst);
    }

    /// Nothing may start until then.
    pub(crate) fn hold(&self, until: MonoTime) {
        self.until_us.store(until.as_micros().max(1), SeqCst);
    }

    /// Until when nothing may start, if something is held.
    #[inline]
    pub(crate) fn held_until(&self) -> Option<MonoTime> {
        match self.until_us.load(SeqCst) {
            0 => None,
            us => Some(MonoTime::from_micros(us)),
        }
    }

    /// Lets starts go again, if their time has come. Returns whether they were held.
    pub(crate) fn let_go(&self, now: MonoTime) -> bool {
        let until = self.until_us.load(SeqCst);
        until != 0
            && until <= now.as_micros()
            && self.until_us.compare_exchange(until, 0, SeqCst, SeqCst).is_ok()
    }
}

/// No queue is woken more often for its rate, if it may start several at once.
const WAKE_EVERY_US: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(starts: u32, period: Duration, burst: Option<u32>) -> Limiter {
        let rate = Rate::new(NonZeroU32::new(starts).unwrap(), period);
        let limiter = Limiter::default();
        limiter.set(Some(match burst {
            Some(burst) => rate.burst(NonZeroU32::new(burst).unwrap()),
            None => rate,
        }));
        limiter
    }

    /// Starts as many as it may, waiting as it is told, until `end_us`. Returns when each was.
    fn drain(limiter: &Limiter, end_us: u64) -> Vec<u64> {
        let begin = MonoTime::from_micros(u64::MAX / 2);
        let (mut now, mut starts) = (begin, Vec::new());
        while now.micros_since(begin) < end_us {
            match limiter.take(now) {
                Ok(()) => starts.push(now.micros_since(begin)),
                Err(until) => {
                    assert!(until > now, "it would spin");
                    now = until;
                }
            }
        }
        starts
    }

    #[test]
    fn a_rate_is_kept_whatever_it_is() {
        let second = Duration::from_secs(1);
        for (starts, period, burst) in [
            (1_000, second, None),
            (1_000, second, Some(1)),
            (1, second, None),
            (7, Duration::from_secs(3), None),
            (250_000, second, None),
            (90, Duration::from_secs(60), Some(30)),
        ] {
            let limiter = limiter(starts, period, burst);
            let seconds = 60;
            let found = drain(&limiter, seconds * 1_000_000).len() as f64;
            let expected = f64::from(starts) * seconds as f64 / period.as_secs_f64();
            let burst = f64::from(burst.unwrap_or(starts / 100 + 1));
            assert!(found <= expected * 1.001 + burst + 1.0, "{starts} in {period:?}: {found} of {expected}");
            assert!(found >= expected * 0.98 - 1.0, "{starts} in {period:?}: {found} of {expected}");
        }
    }

    #[test]
    fn a_burst_comes_at_once_and_the_rest_evenly() {
        let limiter = limiter(10, Duration::from_secs(1), Some(4));
        let starts = drain(&limiter, 1_000_000);
        assert_eq!(starts[..6], [0, 0, 0, 0, 100_000, 200_000]);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let limiter = limiter(1, Duration::from_secs(3_600), None);
        let now = MonoTime::from_micros(7);
        assert_eq!(limiter.take(now), Ok(()));
        assert!(limiter.take(now).is_err());
        limiter.give_back();
        assert_eq!(limiter.take(now), Ok(()));
    }

    #[test]
    fn a_queue_without_a_rate_is_not_held() {
        let limiter = Limiter::default();
        assert!(!limiter.is_set() && limiter.held_until().is_none());
        limiter.hold(MonoTime::from_micros(9));
        assert!(!limiter.let_go(MonoTime::from_micros(8)) && limiter.let_go(MonoTime::from_micros(9)));
        assert!(!limiter.let_go(MonoTime::from_micros(9)));
    }
}
