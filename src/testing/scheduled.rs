//! What is scheduled, and when; and assertions about it, whose failures list what is there.

use std::fmt::Write;

use super::TestEngine;
use crate::engine::ListCursor;
use crate::job::{JobFilter, JobState, JobView, LookupOutcome, Occurrence};
use crate::partition::{Key, Timestamp};

/// Jobs of a page.
const PAGE: usize = 1_000;

/// Lines of a failed assertion.
const SHOWN: usize = 30;

/// A start that is to come: see [`TestEngine::upcoming`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Upcoming {
    /// When it is due.
    pub due: Timestamp,
    /// The job's key.
    pub key: Key,
    /// The name of its queue.
    pub queue: String,
    /// Which occurrence it is of, if the job recurs.
    pub occurrence: Option<Occurrence>,
}

impl TestEngine {
    /// The jobs that are still to start, by due time and then by key: those that wait for their time, for another attempt, for their
    /// queue, or for the end of a pause. Those that run, have fired or are dead are not among them. O(jobs).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use reveille::{Engine, Job, Timestamp, testing::TestEngine};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = TestEngine::start(Engine::builder().queue("mails", |_: Job| async {}), Timestamp::from_micros(0)).await?;
    /// for (key, hours) in [("second", 2), ("first", 1)] {
    ///     engine.schedule_raw("mails", "").key(key).after(Duration::from_secs(hours * 3600)).await?.scheduled()?;
    /// }
    /// let keys: Vec<_> = engine.scheduled().into_iter().map(|job| job.key).collect();
    /// assert_eq!(keys, ["first", "second"]);
    /// # Ok(()) }
    /// ```
    pub fn scheduled(&self) -> Vec<JobView> {
        self.scheduled_by(&to_start())
    }

    /// The jobs that match, by due time and then by key. O(jobs).
    pub fn scheduled_by(&self, filter: &JobFilter) -> Vec<JobView> {
        let mut jobs = Vec::new();
        let mut cursor = Some(ListCursor::default());
        // A cursor of its own engine holds.
        while let Some(page) = cursor.and_then(|from| self.engine.list(filter, from, PAGE).ok()) {
            jobs.extend(page.jobs);
            cursor = page.next;
        }
        jobs.sort_unstable_by(|a, b| (a.due, a.key.as_str()).cmp(&(b.due, b.key.as_str())));
        jobs
    }

    /// The next `starts` starts that are to come, by due time and then by key. A job that recurs is there once for each of its
    /// occurrences, as if each ran when it is due. Paused jobs are left out. O(jobs).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use reveille::{Engine, Job, Recurrence, Timestamp, testing::TestEngine};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let noon: Timestamp = "2026-11-28T12:00:00Z".parse()?;
    /// let engine = TestEngine::start(Engine::builder().queue("q", |_: Job| async {}), noon).await?;
    /// let hourly = Recurrence::every(Duration::from_secs(3600))?;
    /// engine.schedule_raw("q", "").key("hourly").recurring(hourly).await?;
    /// engine.schedule_raw("q", "").key("once").at(noon + Duration::from_secs(90 * 60)).await?.scheduled()?;
    ///
    /// let keys: Vec<_> = engine.upcoming(4).into_iter().map(|start| start.key.to_string()).collect();
    /// assert_eq!(keys, ["hourly", "once", "hourly", "hourly"]);
    /// # Ok(()) }
    /// ```
    pub fn upcoming(&self, starts: usize) -> Vec<Upcoming> {
        let jobs = self.scheduled().into_iter().filter(|job| job.state != JobState::Paused);
        let mut all: Vec<Upcoming> = jobs.flat_map(|job| upcoming_of(&job, starts)).collect();
        // Occurrences of one job keep their order.
        all.sort_by(|a, b| (a.due, a.key.as_str()).cmp(&(b.due, b.key.as_str())));
        all.truncate(starts);
        all
    }

    /// The one job of this key that is still to start.
    ///
    /// # Panics
    /// When there is none. The message says what became of it, and lists what is scheduled.
    #[track_caller]
    pub fn assert_scheduled(&self, key: &str) -> JobView {
        let found = self.scheduled().into_iter().find(|job| job.key.as_str() == key);
        found.unwrap_or_else(|| panic!("no job {key:?} is scheduled{}; {}", self.became(key), self.listed()))
    }

    /// As [`assert_scheduled`](Self::assert_scheduled), of a job that is due at `instant`.
    ///
    /// # Panics
    /// When there is none, or it is due at another.
    #[track_caller]
    pub fn assert_due(&self, key: &str, instant: impl Into<Timestamp>) -> JobView {
        let (job, instant) = (self.assert_scheduled(key), instant.into());
        let due = job.due;
        assert!(due == instant, "the job {key:?} is due at {due}, and not at {instant}; {}", self.listed());
        job
    }

    /// Asserts that no job of this key is still to start.
    ///
    /// # Panics
    /// When there is one.
    #[track_caller]
    pub fn assert_not_scheduled(&self, key: &str) {
        let is_there = self.scheduled().iter().any(|job| job.key.as_str() == key);
        assert!(!is_there, "the job {key:?} is scheduled; {}", self.listed());
    }

    /// Asserts that no job is still to start.
    ///
    /// # Panics
    /// When there is one.
    #[track_caller]
    pub fn assert_nothing_scheduled(&self) {
        assert!(self.scheduled().is_empty(), "something is scheduled; {}", self.listed());
    }

    /// The job of this key that is dead.
    ///
    /// # Panics
    /// When there is none. The message says what became of it, and lists the dead.
    #[track_caller]
    pub fn assert_dead(&self, key: &str) -> JobView {
        let dead = self.scheduled_by(&JobFilter::default().states([JobState::Dead]));
        let keys: Vec<&str> = dead.iter().map(|job| job.key.as_str()).collect();
        match dead.iter().find(|job| job.key.as_str() == key) {
            Some(job) => job.clone(),
            None => {
                panic!("no job {key:?} is dead{}; the dead: {keys:?}; {}", self.became(key), self.listed())
            }
        }
    }

    /// What has become of a job, as an aside.
    fn became(&self, key: &str) -> String {
        match self.engine.lookup(key) {
            LookupOutcome::Scheduled(job) => format!(" (it is due at {})", job.due),
            LookupOutcome::Running(_) => " (its handler runs)".into(),
            LookupOutcome::AlreadyFired { at, end } => format!(" (it fired at {at}, and ended as {end:?})"),
            LookupOutcome::Dead(job) => {
                let error = job.history.as_ref().and_then(|history| history.last_error());
                let error = error.map_or("no error", |error| &error.message);
                format!(" (it is dead after {} attempts: {error})", job.attempt)
            }
            LookupOutcome::NotFound => String::new(),
        }
    }

    /// What is scheduled, in lines.
    fn listed(&self) -> String {
        let (now, jobs) = (self.engine.now(), self.scheduled());
        if jobs.is_empty() {
            return format!("nothing is scheduled at {now}");
        }
        let mut text = format!("scheduled at {now}:");
        for JobView { due, key, queue, state, attempt, options, .. } in jobs.iter().take(SHOWN) {
            let queue = queue.as_str();
            let recurs = if options.recurrence().is_some() { ", recurs" } else { "" };
            let _ = write!(text, "\n  {due} {key} (queue {queue}, {state:?}, attempts {attempt}{recurs})");
        }
        if jobs.len() > SHOWN {
            let _ = write!(text, "\n  and {} more", jobs.len() - SHOWN);
        }
        text
    }
}

fn to_start() -> JobFilter {
    use JobState::{Paused, Pending, Ready, Retrying};
    JobFilter::default().states([Pending, Ready, Retrying, Paused])
}

/// The next starts of a job.
fn upcoming_of(job: &JobView, starts: usize) -> Vec<Upcoming> {
    let start = |due, occurrence| Upcoming {
        due,
        key: job.key.clone(),
        queue: job.queue.as_str().to_owned(),
        occurrence,
    };
    let (Some(rule), Some(progress)) = (job.options.recurrence(), job.options.occurrence()) else {
        return vec![start(job.due, None)];
    };
    let waits_for = progress.occurrence;
    let mut all = vec![start(job.due, Some(waits_for))];
    // One that was brought forward is one more: the occurrence still comes.
    let is_extra = job.state == JobState::Pending && job.due < waits_for.scheduled_for;
    let mut next = if is_extra { Some(waits_for) } else { rule.next_after(&waits_for).ok().flatten() };
    while let Some(occurrence) = next.filter(|_| all.len() < starts) {
        all.push(start(occurrence.scheduled_for, Some(occurrence)));
        next = rule.next_after(&occurrence).ok().flatten();
    }
    all
}
