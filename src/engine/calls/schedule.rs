//! A job about to be scheduled: what a caller says about it, until a partition takes it.

use std::time::Duration;

use super::auto_key::unused_key;
use super::commit::Commit;
use crate::engine::error::ScheduleError;
use crate::engine::queues::Queue;
use crate::engine::state::{Engine, Shared};
use crate::job::{Debounce, Expires, Headers, Recurrence, Refusal, Retry, Tags, Timeout};
use crate::partition::{
    Delivery, Draft, Due, JobOptions, JobSpec, Key, OnConflict, Payload, Priority, ScheduleOutcome, Timestamp,
};
use crate::store::Durability;

/// A job about to be scheduled. Ends with [`at`](Self::at), [`after`](Self::after), [`due`](Self::due) or
/// [`spread`](Self::spread).
#[must_use = "nothing is scheduled until `at`, `after` or `due` is called"]
#[derive(Debug)]
pub struct Schedule<'a> {
    engine: &'a Engine,
    /// The first mistake in it, reported when it is scheduled.
    parts: Result<Parts<'a>, ScheduleError>,
    options: JobOptions,
    on_conflict: Option<OnConflict>,
    durability: Durability,
}

#[derive(Debug)]
struct Parts<'a> {
    queue: &'a Queue,
    payload: Payload,
    key: Option<Key>,
}

impl<'a> Schedule<'a> {
    #[inline]
    pub(crate) fn new(engine: &'a Engine, queue: &str, payload: Result<Payload, ScheduleError>) -> Self {
        let found = engine.shared.queues.by_name(queue).filter(|queue| queue.is_claimed());
        let queue = found.ok_or_else(|| ScheduleError::UnknownQueue { name: queue.to_owned() });
        Schedule {
            engine,
            parts: queue.and_then(|queue| Ok(Parts { queue, payload: payload?, key: None })),
            options: JobOptions::default(),
            on_conflict: None,
            durability: engine.shared.settings.durability.unwrap_or_default(),
        }
    }

    /// The caller's own name for the job: 1 to 512 bytes, unique among the pending jobs of the engine. A job without
    /// one gets a unique key: `auto:` and 18 letters, digits, `-` and `_`.
    #[inline]
    pub fn key(mut self, key: impl AsRef<str>) -> Self {
        if let Ok(parts) = &mut self.parts {
            match Key::new(key) {
                Ok(key) => parts.key = Some(key),
                Err(error) => self.parts = Err(error.into()),
            }
        }
        self
    }

    /// Its place among the jobs of one tick; lower goes first. See [`Priority`].
    pub fn priority(mut self, priority: Priority) -> Self {
        self.options = self.options.with_priority(priority);
        self
    }

    /// How often, and when, it is tried again if it fails, in place of what its queue says.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.check(&retry);
        self.options = self.options.with_retry(retry);
        self
    }

    fn check(&mut self, retry: &Retry) {
        let horizon = self.engine.shared.settings.horizon;
        if retry.longest_wait() > horizon {
            self.refuse(Refusal::WaitPastHorizon { horizon_s: horizon.as_secs() });
        }
    }

    /// How long an attempt may take, in place of what its queue says. See [`QueueConfig::timeout`](crate::QueueConfig::timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options = self.options.with_timeout(Timeout(timeout));
        self
    }

    /// After this instant no attempt begins: the job is [dead](crate::DeathReason::Expired) then.
    pub fn expires(mut self, instant: impl Into<Timestamp>) -> Self {
        self.options = self.options.with_expires(Expires(instant.into()));
        self
    }

    /// For calls that come in rows, of which the last counts: each takes the place of the one before and pushes the job back, at most
    /// to this long after the first. [`OnConflict::Replace`] unless told otherwise.
    ///
    /// ```
    /// # use reveille::{Engine, Job};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("index", |_: Job| async {}).start().await?;
    /// // Two seconds after the last change of a document, and ten after the first at most.
    /// let change = engine.schedule_raw("index", "doc 7").key("doc:7").debounce(Duration::from_secs(10));
    /// change.after(Duration::from_secs(2)).await?.scheduled()?;
    /// # Ok(()) }
    /// ```
    pub fn debounce(mut self, max: Duration) -> Self {
        self.options = self.options.with_debounce(Debounce::new(max));
        self.on_conflict = self.on_conflict.or(Some(OnConflict::Replace));
        self
    }

    /// A label by which it is found, cancelled and moved with all others that have it: see
    /// [`Engine::cancel_tagged`]. Up to 8 of 1 to 64 bytes, without control characters.
    pub fn tag(self, tag: impl AsRef<str>) -> Self {
        self.tags([tag])
    }

    /// More labels: see [`tag`](Self::tag).
    pub fn tags<T: AsRef<str>>(mut self, tags: impl IntoIterator<Item = T>) -> Self {
        let all = self.options.tags().unwrap_or(&Tags::default()).with(tags);
        match all {
            Ok(all) => self.options = self.options.with_tags(all),
            Err(error) => self.refuse(error),
        }
        self
    }

    /// A short text that travels with it under a name, beside its payload: `traceparent`, for one, which the
    /// span of its handler then has as a field. Up to 16, with names of 1 to 64 visible ASCII characters, and values of up to 256
    /// bytes without control characters. A name that is given again has the later value.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        let all = self.options.headers().unwrap_or(&Headers::default()).with([(name, value)]);
        match all {
            Ok(all) => self.options = self.options.with_headers(all),
            Err(error) => self.refuse(error),
        }
        self
    }

    /// Keeps the first mistake.
    #[cold]
    fn refuse(&mut self, error: impl Into<ScheduleError>) {
        if self.parts.is_ok() {
            self.parts = Err(error.into());
        }
    }

    /// All of its options, in place of those that were set before.
    pub fn options(mut self, options: JobOptions) -> Self {
        if let Some(retry) = options.retry() {
            self.check(retry);
        }
        self.options = options;
        self
    }

    /// What to do if a job of this key is pending: [`OnConflict::Reject`] unless told otherwise.
    pub fn on_conflict(mut self, policy: OnConflict) -> Self {
        self.on_conflict = Some(policy);
        self
    }

    /// Never run it twice: a crash in the middle of its handler ends it.
    pub fn at_most_once(mut self) -> Self {
        self.options = self.options.with_delivery(Delivery::AtMostOnce);
        self
    }

    /// How durable the job must be before this call is acknowledged, instead of the engine's level. Has no effect without a
    /// store.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Schedules it at an instant of the wall clock. An instant that has passed fires at once.
    ///
    /// # Errors
    /// See [`ScheduleError`]; its [`change`](ScheduleError::change) says whether the job is pending all the same.
    #[inline]
    pub fn at(self, instant: impl Into<Timestamp>) -> Commit<ScheduleOutcome, ScheduleError> {
        self.due(Due::At(instant.into()))
    }

    /// Schedules it after a delay. Setting the wall clock does not move it.
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub fn after(self, delay: Duration) -> Commit<ScheduleOutcome, ScheduleError> {
        self.due(Due::In(delay))
    }

    /// Schedules it. O(1).
    ///
    /// # Errors
    /// As [`at`](Self::at).
    #[inline]
    pub fn due(self, due: impl Into<Due>) -> Commit<ScheduleOutcome, ScheduleError> {
        let (engine, durability) = (self.engine, self.durability);
        match self.into_draft(due.into()) {
            Ok(draft) => engine.shared.schedule(draft, durability, engine.is_handler()),
            Err(error) => Commit::now(Err(error)),
        }
    }

    /// Schedules it somewhere within a `window` that begins at `due`: where is decided by its key, so it is the same for whoever schedules
    /// it again, and after a restart. For jobs that would all come at once, as at midnight. O(1). See [`Due::spread`].
    ///
    /// ```
    /// # use reveille::{Engine, Job};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("invoices", |_: Job| async {}).start().await?;
    /// for customer in 0..1_000 {
    ///     let invoice = engine.schedule_raw("invoices", "").key(format!("invoice:{customer}"));
    ///     invoice.spread(Duration::from_secs(3600), Duration::from_secs(600)).await?.scheduled()?;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub fn spread(mut self, due: impl Into<Due>, window: Duration) -> Commit<ScheduleOutcome, ScheduleError> {
        let mut due = due.into();
        if let Ok(parts) = &mut self.parts {
            let key = parts.key.get_or_insert_with(|| unused_key(&self.engine.shared.clock));
            due = due.spread(key.as_str(), window);
        }
        self.due(due)
    }

    /// Schedules it to come again and again, by a rule, under its key. O(1).
    ///
    /// It is one job: when a run has ended it waits again, with the same key and id, until the rule ends or it is cancelled. If a
    /// job of the key is there, [`OnConflict::Update`] says what to do unless told otherwise: every replica of a service may
    /// schedule it when it starts, and nothing is done if it is just the same.
    ///
    /// ```
    /// use std::time::Duration;
    /// use reveille::{Engine, Job, Recurrence};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let report = |job: Job| async move {
    ///     println!("for {}, {} missed before it", job.scheduled_for(), job.missed());
    /// };
    /// let engine = Engine::builder().queue("reports", report).start().await?;
    ///
    /// let hourly = Recurrence::every(Duration::from_secs(3600))?;
    /// engine.schedule_raw("reports", "sales").key("report:sales").recurring(hourly).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`at`](Self::at); and [`ScheduleError::Recurrence`] when the rule has ended by now, names no instant, or cannot be
    /// worked out here.
    pub fn recurring(mut self, rule: Recurrence) -> Commit<ScheduleOutcome, ScheduleError> {
        let first = match rule.first(self.engine.shared.clock.now().wall) {
            Ok(first) => first,
            Err(error) => return Commit::now(Err(error.into())),
        };
        self.on_conflict = self.on_conflict.or(Some(OnConflict::Update));
        self.options = self.options.with_recurrence(rule);
        self.at(first.scheduled_for)
    }

    pub(super) fn engine(&self) -> &'a Engine {
        self.engine
    }

    pub(super) fn asked_durability(&self) -> Durability {
        self.durability
    }

    /// Sets the due time of a job for [`Engine::schedule_many`]. Nothing is scheduled yet.
    pub fn planned(self, due: impl Into<Due>) -> Planned<'a> {
        Planned { due: due.into(), job: self }
    }

    #[inline(always)]
    pub(super) fn into_draft(self, due: Due) -> Result<Draft, ScheduleError> {
        let Parts { queue, payload, key } = self.parts?;
        let key = key.unwrap_or_else(|| unused_key(&self.engine.shared.clock));
        let spec = JobSpec { key, queue: queue.name.clone(), payload, due, options: self.options };
        Ok(Draft { spec, queue: queue.id, on_conflict: self.on_conflict.unwrap_or_default() })
    }
}

/// One of many jobs about to be scheduled. See [`Schedule::planned`].
#[must_use = "nothing is scheduled until it is given to `Engine::schedule_many`"]
#[derive(Debug)]
pub struct Planned<'a> {
    job: Schedule<'a>,
    due: Due,
}

impl Planned<'_> {
    pub(crate) fn durability(&self) -> Durability {
        self.job.durability
    }

    /// The job, for the engine of `shared`.
    pub(crate) fn into_draft(self, shared: &Shared) -> Result<Draft, ScheduleError> {
        let is_of_another = !std::ptr::eq(&*self.job.engine.shared, shared);
        let mut draft = self.job.into_draft(self.due)?;
        if is_of_another {
            // Queues have different numbers there.
            let queue = shared.queues.by_name(draft.spec.queue.as_str()).filter(|queue| queue.is_claimed());
            let unknown = || ScheduleError::UnknownQueue { name: draft.spec.queue.as_str().to_owned() };
            draft.queue = queue.ok_or_else(unknown)?.id;
        }
        Ok(draft)
    }
}
