//! How often, and when, a job that failed is tried again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::JobOption;
use crate::job::Cause;
use crate::time::span;

/// How often a job may fail, and how long it waits before it is tried again.
///
/// Said of a [queue](crate::QueueConfig::retry), or of one job, which goes before its queue's. A job with neither is tried once.
/// One that has failed as often as it may is [dead](crate::DeathReason::Exhausted): it is kept, and can be revived.
///
/// ```
/// use reveille::Retry;
/// use std::time::Duration;
///
/// // 1 s, 2 s, 4 s … each with up to as much again taken off at random, at most a minute; ten attempts in all.
/// let calls = Retry::attempts(10).exponential(Duration::from_secs(1)).max(Duration::from_secs(60));
/// // As Sidekiq does: 25 retries over about 20 days.
/// let mails = Retry::sidekiq();
/// # let _ = (calls, mails);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Retry {
    attempts: u16,
    backoff: Backoff,
    base: Duration,
    max: Duration,
    jitter: Jitter,
    /// The causes that do not count, as bits.
    uncounted: u8,
}

/// How the wait grows from one failure to the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Backoff {
    /// It is always the base.
    Fixed,
    /// It doubles with every failure, from the base on.
    Exponential,
    /// As Sidekiq has it: `n⁴ + 15` seconds after `n` retries, and up to `10 (n + 1)` more at random.
    Sidekiq,
}

/// What chance does to a wait, so that jobs that failed together do not come back together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Jitter {
    /// Nothing.
    None,
    /// The wait is anything between nothing and what it would be.
    Full,
}

/// A retry policy that cannot be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
struct Impossible(&'static str);

/// In JSON. What is missing is as the constructors have it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    attempts: u16,
    #[serde(default = "exponential")]
    backoff: Backoff,
    #[serde(with = "span", default = "base")]
    base: Duration,
    #[serde(default)]
    max: Option<Length>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jitter: Option<Jitter>,
    #[serde(default = "interrupted")]
    uncounted: Vec<Uncounted>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
struct Length(#[serde(with = "span")] Duration);

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Uncounted {
    Panicked,
    TimedOut,
    Interrupted,
}

impl Retry {
    /// So many attempts in all, the first included; at least 1. The wait is [exponential](Self::exponential) from a second up to an
    /// hour, with [full jitter](Jitter::Full).
    ///
    /// An attempt that fails, panics or times out counts. One that the end of its process cut short does not, unless
    /// [`count_interrupted`](Self::count_interrupted) says so.
    pub const fn attempts(attempts: u16) -> Self {
        Retry {
            attempts: if attempts == 0 { 1 } else { attempts },
            backoff: Backoff::Exponential,
            base: base(),
            max: longest(),
            jitter: Jitter::Full,
            uncounted: bit(Cause::Interrupted),
        }
    }

    /// As Sidekiq: 26 attempts, the last about 20 days after the first.
    pub const fn sidekiq() -> Self {
        let day = 86_400;
        Retry {
            backoff: Backoff::Sidekiq,
            max: Duration::from_secs(7 * day),
            jitter: Jitter::None,
            ..Retry::attempts(26)
        }
    }

    /// Waits the same every time, and exactly that.
    #[must_use]
    pub const fn fixed(mut self, wait: Duration) -> Self {
        (self.backoff, self.base, self.jitter) = (Backoff::Fixed, wait, Jitter::None);
        self.max = at_least(self.max, wait);
        self
    }

    /// Waits for `base` after the first failure, and twice as long after each one that follows, up to an hour, or to `base` if that is
    /// longer, or to what [`max`](Self::max) says.
    #[must_use]
    pub const fn exponential(mut self, base: Duration) -> Self {
        (self.backoff, self.base) = (Backoff::Exponential, base);
        self.max = at_least(self.max, base);
        self
    }

    /// Waits no longer than this.
    #[must_use]
    pub const fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// What chance does to the wait.
    #[must_use]
    pub const fn jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// A panic does not count as a failure: the job is tried again however often it panics.
    #[must_use]
    pub const fn forgive_panics(mut self) -> Self {
        self.uncounted |= bit(Cause::Panicked);
        self
    }

    /// An attempt that took too long does not count as a failure.
    #[must_use]
    pub const fn forgive_timeouts(mut self) -> Self {
        self.uncounted |= bit(Cause::TimedOut);
        self
    }

    /// An attempt that the end of its process cut short counts as a failure. For jobs that may be what ends it.
    #[must_use]
    pub const fn count_interrupted(mut self) -> Self {
        self.uncounted &= !bit(Cause::Interrupted);
        self
    }

    /// How many attempts there are in all.
    pub const fn attempts_max(&self) -> u16 {
        self.attempts
    }

    /// Whether an attempt that the end of its process cut short counts as a failure.
    pub const fn counts_interrupted(&self) -> bool {
        self.uncounted & bit(Cause::Interrupted) == 0
    }

    pub(crate) fn counts(&self, cause: Cause) -> bool {
        self.uncounted & bit(cause) == 0
    }

    /// The longest that a job may wait by it.
    pub(crate) fn longest_wait(&self) -> Duration {
        self.jitter(Jitter::None).delay(self.attempts.saturating_sub(1).max(1), LONGEST_SPREAD)
    }

    /// How long a job waits that has failed so often, at least once. `draw` is the chance: the same gives the same.
    pub(crate) fn delay(&self, failures: u16, draw: u64) -> Duration {
        let before = u64::from(failures.saturating_sub(1));
        let us = match self.backoff {
            Backoff::Fixed => micros(self.base),
            Backoff::Exponential => {
                let doublings = u32::try_from(before).unwrap_or(u32::MAX);
                micros(self.base).saturating_mul(1u64.checked_shl(doublings).unwrap_or(u64::MAX))
            }
            Backoff::Sidekiq => {
                let spread = (draw % 10) * (before + 1);
                before.saturating_pow(4).saturating_add(15 + spread).saturating_mul(1_000_000)
            }
        };
        let us = us.min(micros(self.max));
        Duration::from_micros(match self.jitter {
            Jitter::None => us,
            Jitter::Full => ((u128::from(draw) * u128::from(us)) >> 64) as u64,
        })
    }
}

/// The draw of chance for which Sidekiq's wait is the longest.
const LONGEST_SPREAD: u64 = 9;

/// `max`, or `wait` if that is longer.
const fn at_least(max: Duration, wait: Duration) -> Duration {
    if wait.as_nanos() > max.as_nanos() { wait } else { max }
}

const fn exponential() -> Backoff {
    Backoff::Exponential
}

const fn base() -> Duration {
    Duration::from_secs(1)
}

const fn longest() -> Duration {
    Duration::from_secs(3600)
}

fn interrupted() -> Vec<Uncounted> {
    vec![Uncounted::Interrupted]
}

/// As it is written down.
const fn bit(cause: Cause) -> u8 {
    match cause {
        Cause::Failed => 1,
        Cause::Panicked => 2,
        Cause::TimedOut => 4,
        Cause::Interrupted => 8,
    }
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

impl From<Retry> for Written {
    fn from(retry: Retry) -> Self {
        let Retry { attempts, backoff, base, max, jitter, .. } = retry;
        let all = [
            (Cause::Panicked, Uncounted::Panicked),
            (Cause::TimedOut, Uncounted::TimedOut),
            (Cause::Interrupted, Uncounted::Interrupted),
        ];
        let uncounted = all.into_iter().filter(|&(cause, _)| !retry.counts(cause)).map(|(_, name)| name);
        let (max, jitter) = (Some(Length(max)), Some(jitter));
        Written { attempts, backoff, base, max, jitter, uncounted: uncounted.collect() }
    }
}

impl TryFrom<Written> for Retry {
    type Error = Impossible;

    fn try_from(written: Written) -> Result<Self, Impossible> {
        let Written { attempts, backoff, base, max, jitter, uncounted } = written;
        if attempts == 0 {
            return Err(Impossible("attempts must be at least 1"));
        }
        let max = max.map_or(at_least(longest(), base), |max| max.0);
        let by_backoff = if backoff == Backoff::Exponential { Jitter::Full } else { Jitter::None };
        let uncounted = uncounted.into_iter().fold(0, |bits, one| {
            bits | match one {
                Uncounted::Panicked => bit(Cause::Panicked),
                Uncounted::TimedOut => bit(Cause::TimedOut),
                Uncounted::Interrupted => bit(Cause::Interrupted),
            }
        });
        Ok(Retry { attempts, backoff, base, max, jitter: jitter.unwrap_or(by_backoff), uncounted })
    }
}

impl JobOption for Retry {
    const NAME: &'static str = "retry";
    const MUST_BE: &'static str = "an object such as {\"attempts\":5,\"backoff\":\"exponential\",\"base\":\"1s\",\"max\":\"1h\",\"jitter\":\"full\"}, attempts from 1 to 65535, backoff fixed, exponential or sidekiq, jitter none or full";

    fn write(&self, out: &mut dyn FnMut(&[u8])) {
        let backoff = match self.backoff {
            Backoff::Fixed => 1,
            Backoff::Exponential => 2,
            Backoff::Sidekiq => 3,
        };
        let jitter = match self.jitter {
            Jitter::None => 1,
            Jitter::Full => 2,
        };
        out(&self.attempts.to_le_bytes());
        out(&[backoff, jitter, self.uncounted]);
        out(&micros(self.base).to_le_bytes());
        out(&micros(self.max).to_le_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (attempts, rest) = bytes.split_first_chunk()?;
        let (&[backoff, jitter, uncounted], rest) = rest.split_first_chunk()?;
        let (base, rest) = rest.split_first_chunk()?;
        let max: &[u8; 8] = rest.try_into().ok()?;
        let attempts = u16::from_le_bytes(*attempts);
        let known = [Cause::Panicked, Cause::TimedOut, Cause::Interrupted].map(bit).iter().sum::<u8>();
        if attempts == 0 || uncounted & !known != 0 {
            return None;
        }
        Some(Retry {
            attempts,
            backoff: match backoff {
                1 => Backoff::Fixed,
                2 => Backoff::Exponential,
                3 => Backoff::Sidekiq,
                _ => return None,
            },
            base: Duration::from_micros(u64::from_le_bytes(*base)),
            max: Duration::from_micros(u64::from_le_bytes(*max)),
            jitter: match jitter {
                1 => Jitter::None,
                2 => Jitter::Full,
                _ => return None,
            },
            uncounted,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(retry: Retry, failures: u16, draw: u64) -> u64 {
        retry.delay(failures, draw).as_secs()
    }

    #[test]
    fn waits_grow_as_they_are_told_and_no_further() {
        let second = Duration::from_secs(1);
        let fixed = Retry::attempts(9).fixed(second * 7);
        assert_eq!([1, 2, 9].map(|failures| seconds(fixed, failures, u64::MAX)), [7, 7, 7]);
        let doubling = Retry::attempts(9).exponential(second).jitter(Jitter::None).max(second * 100);
        assert_eq!(
            [1, 2, 3, 7, 8, 65_535].map(|failures| seconds(doubling, failures, 0)),
            [1, 2, 4, 64, 100, 100]
        );
        let full = doubling.jitter(Jitter::Full);
        assert_eq!(full.delay(4, 0), Duration::ZERO);
        assert_eq!(full.delay(4, 1 << 63), second * 4);
        assert!(full.delay(4, u64::MAX) < second * 8);
        let overflowing =
            Retry::attempts(9).exponential(Duration::MAX).max(Duration::MAX).jitter(Jitter::None);
        assert_eq!(overflowing.delay(u16::MAX, 0), Duration::from_micros(u64::MAX));
    }

    #[test]
    fn a_wait_of_more_than_an_hour_is_not_cut_unless_somebody_says_so() {
        let hours = |n: u64| Duration::from_secs(n * 3_600);
        let (fixed, exponential) =
            (Retry::attempts(3).fixed(hours(2)), Retry::attempts(9).exponential(hours(2)));
        assert_eq!(fixed.delay(1, 0), hours(2));
        assert_eq!(exponential.jitter(Jitter::None).delay(3, 0), hours(2));
        assert_eq!(fixed.max(hours(1)).delay(1, 0), hours(1));
        let written: Retry = serde_json::from_str(r#"{"attempts":3,"backoff":"fixed","base":"2h"}"#).unwrap();
        assert_eq!(written, fixed);
        let cut: Retry =
            serde_json::from_str(r#"{"attempts":3,"backoff":"fixed","base":"2h","max":"1h"}"#).unwrap();
        assert_eq!(cut, fixed.max(hours(1)));
    }

    #[test]
    fn the_longest_wait_is_the_last() {
        let of = |retry: Retry| retry.longest_wait().as_secs();
        let doubling = Retry::attempts(5).exponential(Duration::from_secs(1));
        assert_eq!([of(doubling), of(doubling.max(Duration::from_secs(3)))], [8, 3]);
        assert_eq!(of(Retry::attempts(2).fixed(Duration::from_secs(7))), 7);
        assert_eq!(of(Retry::sidekiq()), 24u64.pow(4) + 15 + 9 * 25);
        assert_eq!(of(Retry::attempts(1).fixed(Duration::from_secs(7)).forgive_panics()), 7);
    }

    #[test]
    fn the_curve_of_sidekiq_takes_about_twenty_days() {
        let retry = Retry::sidekiq();
        assert_eq!(
            [1, 2, 3, 25].map(|failures| seconds(retry, failures, 0)),
            [15, 16, 31, 24u64.pow(4) + 15]
        );
        assert_eq!(seconds(retry, 3, 9), 31 + 27);
        let days: u64 = (1..=25).map(|failures| seconds(retry, failures, 5)).sum::<u64>() / 86_400;
        assert!((19..=21).contains(&days), "{days} days");
        assert_eq!(retry.attempts_max(), 26);
    }

    #[test]
    fn in_json_all_but_the_attempts_may_be_missing() {
        let read = |json| serde_json::from_str::<Retry>(json);
        assert_eq!(read(r#"{"attempts":10}"#).unwrap(), Retry::attempts(10));
        let counted = read(r#"{"attempts":10,"uncounted":[]}"#).unwrap();
        assert_eq!(counted, Retry::attempts(10).count_interrupted());
        let fixed =
            read(r#"{"attempts":3,"backoff":"fixed","base":"500ms","max":"1h","jitter":"none"}"#).unwrap();
        assert_eq!(fixed.delay(1, 7), Duration::from_millis(500));
        for json in [
            r#"{}"#,
            r#"{"attempts":0}"#,
            r#"{"attempts":-1}"#,
            r#"{"attempts":65536}"#,
            r#"{"attempts":3,"backoff":"linear"}"#,
            r#"{"attempts":3,"base":"-1s"}"#,
            r#"{"attempts":3,"base":1}"#,
            r#"{"attempts":3,"jitter":"some"}"#,
            r#"{"attempts":3,"color":"red"}"#,
        ] {
            assert!(read(json).is_err(), "{json}");
        }
    }
}
