//! Instants and delays, in microseconds. Nothing here reads a clock: a [`Now`] is handed in.
//!
//! There are two time bases. The wall clock says what a person reads on the wall; it can be stepped and slewed.
//! The monotonic clock only moves forward, at one second a second, and means nothing outside this process.
//! A job due `At` an instant follows the wall, a job due `In` a delay follows the monotonic clock.

mod duration;
#[cfg(feature = "jiff")]
mod jiff;
mod rfc3339;
mod shift;
pub(crate) mod span;
mod spread;
mod system;

pub(crate) use duration::DurationText;
pub use duration::{InvalidDuration, parse_duration};
pub use rfc3339::InvalidTimestamp;
#[cfg(feature = "cron")]
pub(crate) use rfc3339::{civil, day_number};
pub use shift::Shift;

use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

/// An instant of the wall clock: microseconds since the Unix epoch, negative before it.
///
/// As text it is RFC 3339: in UTC with six digits of the second when it is written, with any offset when it is read. Serde
/// has it as that text in formats for people, such as JSON, and as microseconds in others.
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use reveille::Timestamp;
///
/// let opening: Timestamp = "2026-12-01T10:00:00+01:00".parse()?;
/// assert_eq!(opening.to_string(), "2026-12-01T09:00:00.000000Z");
/// assert_eq!(opening, Timestamp::from(UNIX_EPOCH + Duration::from_secs(1_796_115_600)));
/// # Ok::<(), reveille::InvalidTimestamp>(())
/// ```
///
/// With the cargo feature `jiff` an instant of `jiff` is one too, and `.at(..)` takes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last instant that can be named, some 292,000 years from now.
    pub const MAX: Timestamp = Timestamp(i64::MAX);

    /// The instant `us` microseconds after the Unix epoch.
    pub const fn from_micros(us: i64) -> Self {
        Timestamp(us)
    }

    /// Microseconds since the Unix epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// This instant and `us` microseconds, stopping at the last instant that can be named.
    #[must_use]
    pub const fn saturating_add_micros(self, us: u64) -> Self {
        Timestamp(self.0.saturating_add_unsigned(us))
    }

    /// This instant less `us` microseconds, stopping at the first instant that can be named.
    #[must_use]
    pub const fn saturating_sub_micros(self, us: u64) -> Self {
        Timestamp(self.0.saturating_sub_unsigned(us))
    }

    /// Microseconds from `earlier` to this instant; zero when `earlier` is the later one.
    pub const fn micros_since(self, earlier: Timestamp) -> u64 {
        if self.0 <= earlier.0 { 0 } else { self.0.abs_diff(earlier.0) }
    }

    /// The time from `earlier` to this instant; zero when `earlier` is the later one.
    pub const fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(self.micros_since(earlier))
    }

    /// The wheel's ticks are counted from the epoch; what lies before it is as due as the epoch itself.
    pub(super) fn ticks_floor(self, tick_us: u64) -> u64 {
        u64::try_from(self.0).unwrap_or(0) / tick_us
    }

    /// Rounded up, so that a tick never begins before the instant.
    pub(super) fn ticks_ceil(self, tick_us: u64) -> u64 {
        u64::try_from(self.0).unwrap_or(0).div_ceil(tick_us)
    }

    /// When the tick begins that belongs to the instant. Before the epoch there are no ticks to wait for.
    pub(super) fn tick_start(self, tick_us: u64) -> Self {
        if self.0 <= 0 { self } else { Timestamp::from_ticks(self.ticks_ceil(tick_us), tick_us) }
    }

    pub(super) fn from_ticks(ticks: u64, tick_us: u64) -> Self {
        Timestamp(i64::try_from(ticks.saturating_mul(tick_us)).unwrap_or(i64::MAX))
    }
}

/// Stops at the last instant that can be named; finer than a microsecond is rounded up.
impl Add<Duration> for Timestamp {
    type Output = Timestamp;

    fn add(self, delay: Duration) -> Timestamp {
        self.saturating_add_micros(micros_ceil(delay))
    }
}

/// Stops at the first instant that can be named; finer than a microsecond is rounded up.
impl Sub<Duration> for Timestamp {
    type Output = Timestamp;

    fn sub(self, delay: Duration) -> Timestamp {
        self.saturating_sub_micros(micros_ceil(delay))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0.div_euclid(1_000_000), self.0.rem_euclid(1_000_000))
    }
}

/// An instant of the monotonic clock: microseconds since an origin that holds for this process only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct MonoTime(u64);

impl MonoTime {
    /// The last instant that can be named.
    pub const MAX: MonoTime = MonoTime(u64::MAX);

    /// The instant `us` microseconds after the origin.
    pub const fn from_micros(us: u64) -> Self {
        MonoTime(us)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// This instant and `us` microseconds, stopping at the last instant that can be named.
    #[must_use]
    pub const fn saturating_add_micros(self, us: u64) -> Self {
        MonoTime(self.0.saturating_add(us))
    }

    /// Microseconds from `earlier` to this instant; zero when `earlier` is the later one.
    pub const fn micros_since(self, earlier: MonoTime) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// What both clocks showed at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Now {
    /// The wall clock.
    pub wall: Timestamp,
    /// The monotonic clock.
    pub mono: MonoTime,
}

impl Now {
    /// What the wall clock would have shown when the monotonic clock showed `mono`, had nobody set it since.
    pub fn wall_at(self, mono: MonoTime) -> Timestamp {
        if mono >= self.mono {
            self.wall.saturating_add_micros(mono.micros_since(self.mono))
        } else {
            self.wall.saturating_sub_micros(self.mono.micros_since(mono))
        }
    }

    /// What the monotonic clock will show when the wall shows `wall`, if nobody sets it until then.
    pub fn mono_at(self, wall: Timestamp) -> MonoTime {
        if wall >= self.wall {
            self.mono.saturating_add_micros(wall.micros_since(self.wall))
        } else {
            MonoTime(self.mono.0.saturating_sub(self.wall.micros_since(wall)))
        }
    }
}

/// Where a call gets the time from, should it need it. Reading the clocks takes as long as a good part of a call, and keeps the
/// processor from overlapping calls.
pub trait NowSource {
    /// What both clocks show. The same for all of a call, however often it asks.
    fn now(&mut self) -> Now;
}

impl NowSource for Now {
    #[inline]
    fn now(&mut self) -> Now {
        *self
    }
}

impl<S: NowSource> NowSource for &mut S {
    #[inline]
    fn now(&mut self) -> Now {
        (**self).now()
    }
}

/// When a job must fire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Due {
    /// At an instant of the wall clock. If the wall clock is set, the job follows it.
    At(Timestamp),
    /// After a delay from the call. Setting the wall clock does not move the job.
    In(Duration),
}

impl Due {
    /// At an instant, given as [`SystemTime`] or [`Timestamp`].
    pub fn at(instant: impl Into<Timestamp>) -> Self {
        Due::At(instant.into())
    }
}

impl From<SystemTime> for Due {
    fn from(instant: SystemTime) -> Self {
        Due::At(instant.into())
    }
}

impl From<Timestamp> for Due {
    fn from(instant: Timestamp) -> Self {
        Due::At(instant)
    }
}

impl From<Duration> for Due {
    fn from(delay: Duration) -> Self {
        Due::In(delay)
    }
}

/// The clock that a job follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TimeBase {
    /// The wall clock: the job was scheduled `At` an instant.
    Wall,
    /// The monotonic clock: the job was scheduled `In` a delay.
    Mono,
}

/// Microseconds of a delay, rounded up so that the delay is never cut short.
pub(super) fn micros_ceil(delay: Duration) -> u64 {
    u64::try_from(delay.as_nanos().div_ceil(1_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_saturate() {
        assert_eq!(micros_ceil(Duration::MAX), u64::MAX);
        assert_eq!(Timestamp::MAX.saturating_add_micros(u64::MAX), Timestamp::MAX);
        let first = Timestamp::from_micros(i64::MIN);
        assert_eq!(first.saturating_sub_micros(9), first);
        assert_eq!(Timestamp::MAX.micros_since(first), u64::MAX);
        assert_eq!(first.ticks_ceil(1_000), 0);
        assert_eq!(Timestamp::from_ticks(u64::MAX, 1_000), Timestamp::MAX);
    }

    #[test]
    fn the_two_bases_convert_around_one_moment() {
        let now = Now { wall: Timestamp::from_micros(1_000_000), mono: MonoTime::from_micros(500) };
        assert_eq!(now.wall_at(MonoTime::from_micros(700)), Timestamp::from_micros(1_000_200));
        assert_eq!(now.wall_at(MonoTime::from_micros(100)), Timestamp::from_micros(999_600));
        assert_eq!(now.mono_at(Timestamp::from_micros(1_000_200)), MonoTime::from_micros(700));
        assert_eq!(now.mono_at(Timestamp::from_micros(0)), MonoTime::from_micros(0));
    }
}
