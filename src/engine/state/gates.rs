//! What an application has asked of every job before it is scheduled.
//!
//! # Rules
//! - A gate is asked once for each job that a call schedules, on the thread of the call, before anything is locked. What it makes of the
//!   job is checked like what the caller said.
//! - Retries, occurrences and revived jobs were scheduled before: no gate is asked.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::engine::error::ScheduleError;
use crate::job::{Expires, Headers, InvalidHeader, InvalidTag, Retry, Tags, Timeout};
use crate::partition::{
    Delivery, Draft, Due, JobOptions, Key, Payload, Priority, QueueName, Refusal, Timestamp,
};

/// Looks at a job that is about to be scheduled.
type GateFn = dyn Fn(&mut Proposal<'_>) -> Result<(), Box<dyn Error + Send + Sync>> + Send + Sync;

/// In the order in which they are asked.
#[derive(Default)]
pub(crate) struct Gates {
    row: Vec<Box<GateFn>>,
    /// How far ahead a job may be due.
    horizon: Duration,
}

impl Gates {
    pub(crate) fn add(&mut self, gate: Box<GateFn>) {
        self.row.push(gate);
    }

    pub(crate) fn within(self, horizon: Duration) -> Self {
        Gates { horizon, ..self }
    }

    /// Whether there are none.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.row.is_empty()
    }

    /// Whether a job may be scheduled. Of an engine without gates it is all that is asked.
    #[inline]
    pub(crate) fn pass(&self, draft: &mut Draft) -> Result<(), ScheduleError> {
        if self.row.is_empty() { Ok(()) } else { self.ask(draft) }
    }

    #[cold]
    fn ask(&self, draft: &mut Draft) -> Result<(), ScheduleError> {
        let mut proposal = Proposal { draft, horizon: self.horizon };
        self.row.iter().try_for_each(|gate| gate(&mut proposal)).map_err(ScheduleError::Declined)
    }
}

/// A job that a call is about to schedule, for [`Builder::before_schedule`](crate::Builder::before_schedule) to look at and to change.
pub struct Proposal<'a> {
    draft: &'a mut Draft,
    horizon: Duration,
}

impl Proposal<'_> {
    /// Its key.
    pub fn key(&self) -> &Key {
        &self.draft.spec.key
    }

    /// The name of its queue.
    pub fn queue(&self) -> &QueueName {
        &self.draft.spec.queue
    }

    /// What its handler will get.
    pub fn payload(&self) -> &Payload {
        &self.draft.spec.payload
    }

    /// When it is to be due.
    pub fn due(&self) -> Due {
        self.draft.spec.due
    }

    /// What else was said of it.
    pub fn options(&self) -> &JobOptions {
        &self.draft.spec.options
    }

    /// Adds a header, or gives it another value: as [`Schedule::header`](crate::Schedule::header).
    ///
    /// # Errors
    /// When it cannot be one, or there are too many.
    pub fn header(
        &mut self,
        name: impl AsRef<str>,
        value: impl AsRef<str>,
    ) -> Result<&mut Self, InvalidHeader> {
        let all = self.options().headers().unwrap_or(&Headers::default()).with([(name, value)])?;
        Ok(self.change(|options| options.with_headers(all)))
    }

    /// Adds a tag: as [`Schedule::tag`](crate::Schedule::tag).
    ///
    /// # Errors
    /// When it cannot be one, or there are too many.
    pub fn tag(&mut self, tag: impl AsRef<str>) -> Result<&mut Self, InvalidTag> {
        let all = self.options().tags().unwrap_or(&Tags::default()).with([tag])?;
        Ok(self.change(|options| options.with_tags(all)))
    }

    /// Gives it another priority.
    pub fn priority(&mut self, priority: Priority) -> &mut Self {
        self.change(|options| options.with_priority(priority))
    }

    /// Gives it another policy for retries.
    ///
    /// # Errors
    /// When it may wait for longer than the [horizon](crate::Builder::horizon).
    pub fn retry(&mut self, retry: Retry) -> Result<&mut Self, Refusal> {
        if retry.longest_wait() > self.horizon {
            return Err(Refusal::WaitPastHorizon { horizon_s: self.horizon.as_secs() });
        }
        Ok(self.change(|options| options.with_retry(retry)))
    }

    /// Gives its attempts another time-out.
    pub fn timeout(&mut self, timeout: Duration) -> &mut Self {
        self.change(|options| options.with_timeout(Timeout(timeout)))
    }

    /// Gives it another deadline, after which no attempt begins.
    pub fn expires(&mut self, instant: impl Into<Timestamp>) -> &mut Self {
        let expires = Expires(instant.into());
        self.change(|options| options.with_expires(expires))
    }

    /// Has it run at most once.
    pub fn at_most_once(&mut self) -> &mut Self {
        self.change(|options| options.with_delivery(Delivery::AtMostOnce))
    }

    fn change(&mut self, change: impl FnOnce(JobOptions) -> JobOptions) -> &mut Self {
        let options = &mut self.draft.spec.options;
        *options = change(std::mem::take(options));
        self
    }
}

impl fmt::Debug for Proposal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proposal").field("spec", &self.draft.spec).finish_non_exhaustive()
    }
}
