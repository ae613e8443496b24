//! What is remembered of the attempts at a job that have not done what it had to.
//!
//! Most jobs have none of it: it lies out of line, and a job that succeeds at once has no byte of it.
//!
//! # Rules
//! - What is kept is bounded: the last [`ERRORS_MAX`] errors, each with at most [`MESSAGE_BYTES_MAX`] bytes of text.
//! - It survives a move, a retry and a revival. It goes with the job.

use std::time::Duration;

use super::{JobId, Retry};
use crate::time::Timestamp;

/// How many errors a job keeps: the last ones.
pub const ERRORS_MAX: usize = 5;

/// How many bytes of an error's text are kept.
pub const MESSAGE_BYTES_MAX: usize = 512;

/// Why an attempt did not do what it had to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// The handler returned an error.
    Failed,
    /// The handler panicked.
    Panicked,
    /// The handler took longer than an attempt may.
    TimedOut,
    /// The process ended while the handler ran.
    Interrupted,
}

/// What went wrong in an attempt: the cause, and what the handler said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Why it did not do what it had to.
    pub cause: Cause,
    /// The error's own words, cut to [`MESSAGE_BYTES_MAX`] bytes.
    pub message: Box<str>,
}

/// A [`Fault`] with its attempt.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct AttemptError {
    /// Which attempt it was, counted from 1.
    pub attempt: u16,
    /// When it ended.
    pub at: Timestamp,
    /// Why.
    pub cause: Cause,
    /// The error's own words, as far as they are kept.
    pub message: Box<str>,
}

/// Why a job is dead: it is not tried again, and is kept for whoever wants to see it or to [revive](crate::Engine::revive) it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeathReason {
    /// It failed as often as it may.
    Exhausted,
    /// Its handler said that it is of no use to try again.
    Killed,
    /// Its `expires` had passed.
    Expired,
}

/// When and why a job died.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct Death {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: DeathReason,
}

/// What is remembered of a job's attempts.
#[derive(Clone, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[non_exhaustive]
pub struct History {
    /// How many attempts have failed, of those that count: since it was scheduled, or revived.
    pub failures: u16,
    /// How often it was revived. Once it was, it no longer expires.
    pub revivals: u16,
    /// The last errors, the newest last.
    pub errors: Vec<AttemptError>,
    /// When and why it died, if it is dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub death: Option<Death>,
    /// Whether a cancel came while it ran, so that nothing comes after this attempt.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_stopped: bool,
}

impl Fault {
    pub(crate) fn new(cause: Cause, message: &str) -> Self {
        Fault { cause, message: cut(message, MESSAGE_BYTES_MAX).into() }
    }
}

impl AttemptError {
    pub(crate) fn new(attempt: u16, at: Timestamp, fault: &Fault) -> Self {
        AttemptError { attempt, at, cause: fault.cause, message: fault.message.clone() }
    }
}

impl Death {
    pub(crate) fn new(at: Timestamp, reason: DeathReason) -> Self {
        Death { at, reason }
    }
}

impl History {
    /// The last error.
    pub fn last_error(&self) -> Option<&AttemptError> {
        self.errors.last()
    }

    /// After when a job that `expires`, and has this history, is not tried. One that was revived is never too late.
    pub(crate) fn deadline(history: Option<&Self>, expires: Option<Timestamp>) -> Option<Timestamp> {
        expires.filter(|_| history.is_none_or(|history| history.revivals == 0))
    }

    pub(crate) fn push(&mut self, error: AttemptError) {
        if self.errors.len() >= ERRORS_MAX {
            self.errors.remove(0);
        }
        self.errors.push(error);
    }
}

/// What is to become of a job whose attempt has failed, by its policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It is tried again after so long. The failure counts, or not.
    Again { after: Duration, is_counted: bool },
    /// It has failed as often as it may.
    Dies(DeathReason),
}

impl Verdict {
    /// By `policy`, for a job that had `failures` before this one, at `now`, and that is not tried after `deadline`.
    pub(crate) fn of(
        policy: &Retry,
        cause: Cause,
        failures: u16,
        draw: u64,
        now: Timestamp,
        deadline: Option<Timestamp>,
    ) -> Verdict {
        let is_counted = policy.counts(cause);
        let failures = failures.saturating_add(u16::from(is_counted));
        if is_counted && failures >= policy.attempts_max() {
            return Verdict::Dies(DeathReason::Exhausted);
        }
        let after = policy.delay(failures.max(1), draw);
        let again = now.saturating_add_micros(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
        if deadline.is_some_and(|deadline| again > deadline) {
            return Verdict::Dies(DeathReason::Expired);
        }
        Verdict::Again { after, is_counted }
    }
}

/// The chance that an attempt's retry draws: any number, and the same whoever asks.
pub(crate) fn draw(id: JobId, attempt: u16) -> u64 {
    let id = (u64::from(id.partition().0) << 48) ^ id.sequence();
    xxhash_rust::xxh3::xxh3_64_with_seed(&id.to_le_bytes(), attempt.into())
}

/// The beginning of a text, as much as is kept.
pub(super) fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_cut_between_characters() {
        let long = "é".repeat(MESSAGE_BYTES_MAX);
        let fault = Fault::new(Cause::Failed, &format!("x{long}"));
        assert_eq!(fault.message.len(), MESSAGE_BYTES_MAX - 1);
        assert_eq!(&*Fault::new(Cause::Failed, "short").message, "short");
    }

    #[test]
    fn the_last_errors_are_kept() {
        let mut history = History::default();
        for attempt in 1..=9 {
            let fault = Fault::new(Cause::Failed, &attempt.to_string());
            history.push(AttemptError::new(attempt, Timestamp::from_micros(0), &fault));
        }
        let kept: Vec<u16> = history.errors.iter().map(|error| error.attempt).collect();
        assert_eq!(kept, [5, 6, 7, 8, 9]);
    }

    #[test]
    fn a_job_dies_when_it_has_failed_as_often_as_it_may_or_would_be_too_late() {
        let policy = Retry::attempts(3).fixed(Duration::from_secs(1));
        let now = Timestamp::from_micros(0);
        let of = |failures, expires| Verdict::of(&policy, Cause::Failed, failures, 0, now, expires);
        let again = Verdict::Again { after: Duration::from_secs(1), is_counted: true };
        assert_eq!([of(0, None), of(1, None)], [again, again]);
        assert_eq!(of(2, None), Verdict::Dies(DeathReason::Exhausted));
        let second = Timestamp::from_micros(1_000_000);
        assert_eq!(of(0, Some(second)), again);
        let earlier = second.saturating_sub_micros(1);
        assert_eq!(of(0, Some(earlier)), Verdict::Dies(DeathReason::Expired));
    }
}
