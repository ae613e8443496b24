//! Jobs that come again: by which rule, and which instants it names. Plain values; nothing here reads a clock.
//!
//! # Rules
//! - What a rule names next depends on the rule and on the instant that it named last, never on the time of day at which
//!   somebody asks, nor on when a handler ran. So a job does not drift, and a restart does not begin it anew.
//! - Every instant that the rule names is an *occurrence* with a number. Each is accounted for: it ran, or it was passed over
//!   with a reason, and then the next that runs is told how many were.
//! - Nothing here walks through what was missed one by one: a week of seconds costs no more than a week of hours.
//! - A rule that cannot be worked out here (its zone is unknown on this machine, or the cargo feature `cron` is off) is kept
//!   as it is, to the byte. Only working it out fails.
//!
//! # The clocks of a zone
//! There is one rule for the days on which they change, and it is in [`cron::Timetable`].

#[cfg(feature = "cron")]
mod cron;
mod every;
mod json;
mod occurrence;
mod pack;
mod plan;
mod progress;
#[cfg(test)]
mod tests;
mod text;

use std::num::NonZeroU32;
use std::time::Duration;

use crate::time::{DurationText, Timestamp, micros_ceil};

pub use occurrence::{LateCause, Occurrence, Passed, Preview, Reason, Step};
pub(crate) use pack::{read, write};
use plan::Plan;
pub use progress::Progress;
pub(crate) use progress::{read as read_progress, write as write_progress};
pub(crate) use text::CronText;

/// The shortest interval.
const INTERVAL_MIN: Duration = Duration::from_millis(1);

/// How a job recurs: when, from when, until when, how often, and what becomes of occurrences that cannot run when they are
/// due.
///
/// ```
/// use std::time::Duration;
/// use reveille::Timestamp;
/// use reveille::job::{Missed, Recurrence};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let heartbeat = Recurrence::every(Duration::from_secs(30))?;
/// let (signed_up, trial): (Timestamp, Timestamp) = ("2026-11-28T17:00:00Z".parse()?, "2026-12-01T09:00:00Z".parse()?);
/// let reminders = Recurrence::every(Duration::from_secs(24 * 3600))?.from(trial)?.count(14)?.missed(Missed::None);
///
/// let days: Vec<_> = reminders.preview(signed_up)?.take(2).map(|occurrence| occurrence.scheduled_for).collect();
/// assert_eq!(days, [trial, trial + Duration::from_secs(24 * 3600)]);
/// # let _ = heartbeat;
/// # Ok(()) }
/// ```
///
/// With the cargo feature `cron` there is also `Recurrence::cron("0 9 * * MON-FRI", "Europe/Berlin")`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recurrence {
    pub(crate) rule: Rule,
    pub(crate) from: Option<Timestamp>,
    pub(crate) until: Option<Timestamp>,
    pub(crate) count: Option<u64>,
    pub(crate) missed: Missed,
    pub(crate) overlap: Overlap,
}

/// Which instants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Rule {
    /// So many microseconds after one another, counted from the anchor, or else from `from`, or else from the call.
    Every { interval_us: u64, anchor: Option<Timestamp> },
    /// What a cron expression says of the clocks in a zone.
    Cron(CronText),
}

/// What becomes of occurrences that could not run when they were due: because no engine ran, or because the next one came due
/// before a worker was free.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Missed {
    /// One runs for all of them: the latest. It is told how many it stands for.
    #[default]
    One,
    /// All run, one after the other: the latest so many. Those before them are skipped.
    All {
        /// At most this many.
        max: NonZeroU32,
    },
    /// None runs. What came due while no engine ran is skipped. What is late because workers were busy still runs, unless the
    /// next is due by then.
    None,
}

/// What becomes of an occurrence that comes due while the one before it still runs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Overlap {
    /// It is skipped.
    #[default]
    Skip,
    /// It runs beside it.
    Allow,
    /// It runs after it. If several came due meanwhile, [`Missed`] says which.
    After,
}

/// Why something is no rule.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRecurrence {
    /// The interval is zero, or next to it.
    #[error("the interval is {}, and the shortest is 1 ms; take a longer one", DurationText(micros_ceil(*interval)))]
    IntervalTooShort {
        /// What was given.
        interval: Duration,
    },
    /// The interval is longer than microseconds can be counted.
    #[error("the interval is out of range; it must be shorter than 292,000 years")]
    IntervalTooLong,
    /// The expression does not have so many fields.
    #[error(
        "the cron expression has {count} fields; write five (minute, hour, day of month, month, day of week), or six \
         with a second before them, or seven with a year behind"
    )]
    CronFields {
        /// How many it has.
        count: usize,
    },
    /// A field of the expression cannot be read.
    #[error("the cron expression has {text:?} for the {field}: {reason}")]
    CronField {
        /// Which field.
        field: &'static str,
        /// What it says.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No day will ever be as the expression wants it.
    #[error(
        "the cron expression {expression:?} names no day that there is, such as 31 February; correct its day or month"
    )]
    CronNever {
        /// The expression.
        expression: String,
    },
    /// The expression or the name of the zone is too long, or has characters that are in none.
    #[error("the {what} must be 1 to {bytes_max} printable ASCII characters")]
    Text {
        /// Which of them.
        what: &'static str,
        /// How long it can be.
        bytes_max: usize,
    },
    /// There is no such time zone.
    #[error(
        "there is no time zone {name:?}; write a name of the IANA database such as \"Europe/Berlin\", or \"UTC\""
    )]
    Zone {
        /// What was given.
        name: String,
    },
    /// It would end before it begins.
    #[error("`until` ({until}) lies before `from` ({from}); exchange them, or leave one out")]
    UntilBeforeFrom {
        /// The beginning.
        from: Timestamp,
        /// The end.
        until: Timestamp,
    },
    /// It would never run.
    #[error("`count` is 0; take 1 or more, or leave it out")]
    CountZero,
    /// Only an interval is counted from an anchor.
    #[error("a cron expression has no anchor; leave it out")]
    UselessAnchor,
}

/// Why a rule names no occurrence, or cannot be worked out.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecurrenceError {
    /// It was over before the call.
    #[error("`until` ({until}) has passed; take a later one")]
    UntilPassed {
        /// The end.
        until: Timestamp,
    },
    /// It names no instant between its beginning and its end.
    #[error(
        "the rule names no instant from {from} on, up to its end; correct `from` or `until`, or the expression"
    )]
    NoOccurrence {
        /// From when on it was asked.
        from: Timestamp,
    },
    /// This build has no cron.
    #[error("this build cannot work out cron expressions; turn on the cargo feature `cron` of `reveille`")]
    NoCron,
    /// A zone that was known when the rule was made is not known here.
    #[error("the time zone {name:?} is unknown on this machine; update its time zone database")]
    Zone {
        /// The zone.
        name: String,
    },
    /// An expression that could be read where the rule was made cannot be read here.
    #[error("the cron expression {expression:?} cannot be read by this version; update the program")]
    Expression {
        /// The expression.
        expression: String,
    },
}

impl Recurrence {
    /// Every `interval`, counted from the [anchor](Recurrence::anchor), or else from [`from`](Recurrence::from), or else from
    /// the call that schedules it: then the first is due one interval after that.
    ///
    /// Finer than a microsecond is rounded up.
    ///
    /// # Errors
    /// When the interval is shorter than a millisecond, or longer than 292,000 years.
    pub fn every(interval: Duration) -> Result<Self, InvalidRecurrence> {
        if interval < INTERVAL_MIN {
            return Err(InvalidRecurrence::IntervalTooShort { interval });
        }
        let interval_us = micros_ceil(interval);
        if i64::try_from(interval_us).is_err() {
            return Err(InvalidRecurrence::IntervalTooLong);
        }
        Ok(Recurrence::of(Rule::Every { interval_us, anchor: None }))
    }

    /// By a cron expression, on the clocks of a time zone.
    ///
    /// The fields are those of Vixie cron: minute, hour, day of month, month, day of week. A sixth in front is the second, a
    /// seventh at the end the year. `L`, `W`, `#`, names such as `MON` or `JAN`, and `@daily` and its like are understood. If
    /// both the day of month and the day of week are given, either will do; with a `+` before the day of week, both must fit.
    ///
    /// `zone` is a name of the IANA time zone database, such as `Europe/Berlin`; it is kept by that name, so that a change of
    /// its rules takes effect when the machine's database is updated.
    ///
    /// # When the clocks change
    /// - Fixed times, that is numbers, lists and ranges for second, minute and hour: one that clocks skip runs right after the
    ///   gap, once, however many were skipped. One that clocks show twice runs the first time only.
    /// - With a `*`, a step, or a complete range in one of these fields: it runs whenever clocks show it. So every 15 minutes
    ///   is every 15 minutes, on such days too.
    ///
    /// # Errors
    /// When the expression or the zone cannot be read, or no day is ever as the expression wants it.
    ///
    /// ```
    /// use reveille::Timestamp;
    /// use reveille::job::Recurrence;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let rule = Recurrence::cron("30 2 * * *", "Europe/Berlin")?;
    /// // On 28 March 2027 clocks in Berlin go from 02:00 to 03:00, which is 01:00 in UTC.
    /// let night: Timestamp = "2027-03-27T12:00:00Z".parse()?;
    /// let runs: Vec<_> = rule.preview(night)?.take(2).map(|run| run.scheduled_for.to_string()).collect();
    /// assert_eq!(runs, ["2027-03-28T01:00:00.000000Z", "2027-03-29T00:30:00.000000Z"]);
    /// # Ok(()) }
    /// ```
    #[cfg(feature = "cron")]
    #[cfg_attr(docsrs, doc(cfg(feature = "cron")))]
    pub fn cron(expression: &str, zone: &str) -> Result<Self, InvalidRecurrence> {
        cron::checked(expression, zone).map(|text| Recurrence::of(Rule::Cron(text)))
    }

    fn of(rule: Rule) -> Self {
        Recurrence {
            rule,
            from: None,
            until: None,
            count: None,
            missed: Missed::default(),
            overlap: Overlap::default(),
        }
    }

    /// From where an interval is counted: occurrences lie at the anchor and at whole intervals before and after it, whenever
    /// the job is scheduled.
    ///
    /// # Errors
    /// When it is a cron expression, which needs none.
    pub fn anchor(mut self, at: impl Into<Timestamp>) -> Result<Self, InvalidRecurrence> {
        match &mut self.rule {
            Rule::Every { anchor, .. } => *anchor = Some(at.into()),
            Rule::Cron(_) => return Err(InvalidRecurrence::UselessAnchor),
        }
        Ok(self)
    }

    /// No occurrence lies before this instant. It may have passed: the first occurrence is then the next after the call.
    ///
    /// # Errors
    /// When it lies after [`until`](Recurrence::until).
    pub fn from(mut self, instant: impl Into<Timestamp>) -> Result<Self, InvalidRecurrence> {
        self.from = Some(instant.into());
        self.in_order()
    }

    /// No occurrence lies after this instant.
    ///
    /// # Errors
    /// When it lies before [`from`](Recurrence::from).
    pub fn until(mut self, instant: impl Into<Timestamp>) -> Result<Self, InvalidRecurrence> {
        self.until = Some(instant.into());
        self.in_order()
    }

    fn in_order(self) -> Result<Self, InvalidRecurrence> {
        match (self.from, self.until) {
            (Some(from), Some(until)) if until < from => {
                Err(InvalidRecurrence::UntilBeforeFrom { from, until })
            }
            _ => Ok(self),
        }
    }

    /// So many occurrences, those that are passed over included.
    ///
    /// # Errors
    /// When it is 0.
    pub fn count(mut self, count: u64) -> Result<Self, InvalidRecurrence> {
        if count == 0 {
            return Err(InvalidRecurrence::CountZero);
        }
        self.count = Some(count);
        Ok(self)
    }

    /// What becomes of occurrences that could not run when they were due.
    #[must_use]
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }

    /// What becomes of an occurrence that comes due while the one before it still runs.
    #[must_use]
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }
}
