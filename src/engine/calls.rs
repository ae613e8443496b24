//! The calls of a user, by key and by handle: each finds the partition, enters it once, and wraps up the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Engine;
use super::commit::Commit;
use super::error::{CallError, CancelError, RescheduleError, ScheduleError};
use super::queue::Queue;
use super::shared::{Owned, Shared};
use crate::partition::{
    CancelOutcome, Delivery, Draft, Due, Handle, InvalidKey, Key, LookupOutcome, Now, OnConflict, Payload,
    Priority, RescheduleOutcome, ScheduleOutcome, Timestamp, Version,
};
use crate::store::Durability;

/// What a call is about: a job by its key, or by its handle, which is faster.
#[derive(Clone, Debug)]
pub struct Target(Named);

#[derive(Clone, Debug)]
enum Named {
    Key(Key),
    Handle(Handle),
    /// Kept for the call to report.
    Invalid(InvalidKey),
}

impl From<Handle> for Target {
    fn from(handle: Handle) -> Self {
        Target(Named::Handle(handle))
    }
}

impl From<&Key> for Target {
    fn from(key: &Key) -> Self {
        Target(Named::Key(key.clone()))
    }
}

impl From<Key> for Target {
    fn from(key: Key) -> Self {
        Target(Named::Key(key))
    }
}

impl From<&str> for Target {
    fn from(text: &str) -> Self {
        Target(Key::new(text).map_or_else(Named::Invalid, Named::Key))
    }
}

impl From<&String> for Target {
    fn from(text: &String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Target {
    fn from(text: String) -> Self {
        text.as_str().into()
    }
}

/// A job about to be scheduled. Ends with [`at`](Self::at), [`after`](Self::after) or [`due`](Self::due).
#[must_use = "nothing is scheduled until `at`, `after` or `due` is called"]
#[derive(Debug)]
pub struct Schedule<'a> {
    engine: &'a Engine,
    /// The first thing that is wrong with it, reported when it is scheduled.
    parts: Result<Parts, ScheduleError>,
    priority: Priority,
    delivery: Delivery,
    on_conflict: OnConflict,
    durability: Durability,
}

#[derive(Debug)]
struct Parts {
    queue: Arc<Queue>,
    payload: Payload,
    key: Option<Key>,
}

impl<'a> Schedule<'a> {
    pub(super) fn new(engine: &'a Engine, queue: &str, payload: Result<Payload, ScheduleError>) -> Self {
        let found = engine.shared.queues.by_name(queue);
        let queue = found.ok_or_else(|| ScheduleError::UnknownQueue { name: queue.to_owned() });
        Schedule {
            engine,
            parts: queue
                .and_then(|queue| Ok(Parts { queue: Arc::clone(queue), payload: payload?, key: None })),
            priority: Priority::NORMAL,
            delivery: Delivery::AtLeastOnce,
            on_conflict: OnConflict::Reject,
            durability: engine.shared.settings.durability.unwrap_or_default(),
        }
    }

    /// The caller's own name for the job: 1 to 512 bytes, unique among the pending jobs of the engine. A job without
    /// one gets a key that no other has.
    pub fn key(mut self, key: impl AsRef<str>) -> Self {
        self.parts = self.parts.and_then(|parts| Ok(Parts { key: Some(Key::new(key)?), ..parts }));
        self
    }

    /// Its place among the jobs of one tick; lower goes first.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// What to do if a job of this key is pending: [`OnConflict::Reject`] unless told otherwise.
    pub fn on_conflict(mut self, policy: OnConflict) -> Self {
        self.on_conflict = policy;
        self
    }

    /// Never run it twice: a crash in the middle of its handler ends it.
    pub fn at_most_once(mut self) -> Self {
        self.delivery = Delivery::AtMostOnce;
        self
    }

    /// When this call is acknowledged, other than as the engine does. Without a store it makes no difference.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Schedules it at an instant of the wall clock. One that has passed fires at once.
    ///
    /// # Errors
    /// See [`ScheduleError`]. Nothing was changed unless it is one of [`CallError::NotDurable`] and
    /// [`CallError::Interrupted`].
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
    pub fn due(self, due: impl Into<Due>) -> Commit<ScheduleOutcome, ScheduleError> {
        let Parts { queue, payload, key } = match self.parts {
            Ok(parts) => parts,
            Err(error) => return Commit::now(Err(error)),
        };
        let key = key.unwrap_or_else(|| unused_key(self.engine.shared.clock.now()));
        let draft = Draft {
            key,
            queue: queue.as_recorded(),
            payload,
            due: due.into(),
            priority: self.priority,
            delivery: self.delivery,
            on_conflict: self.on_conflict,
        };
        self.engine.shared.schedule(draft, self.durability)
    }
}

/// A key that no other job has: the instant at which the process began to need one, and a count.
fn unused_key(now: Now) -> Key {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    static ORIGIN: std::sync::OnceLock<i64> = std::sync::OnceLock::new();
    let origin = ORIGIN.get_or_init(|| now.wall.as_micros());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Key::new(format!("auto:{origin:x}-{:x}-{count:x}", std::process::id()))
        .unwrap_or_else(|_| unreachable!("three numbers are neither empty nor long"))
}

/// Where a call has to go.
struct Place {
    partition: usize,
    handle: Option<Handle>,
}

impl Shared {
    fn partition_of(&self, key: &Key) -> usize {
        // Fixed for ever, in every process: what is stored of a key is stored under its partition.
        let hash = xxhash_rust::xxh3::xxh3_64(key.as_str().as_bytes());
        ((u128::from(hash) * self.cells.len() as u128) >> 64) as usize
    }

    fn check_open(&self, partition: usize) -> Result<(), CallError> {
        if self.is_stopping() {
            return Err(CallError::ShuttingDown);
        }
        if self.cells[partition].is_log_full.load(Ordering::SeqCst) {
            return Err(CallError::LogFull { max: self.settings.log_records_max });
        }
        Ok(())
    }

    fn schedule(
        self: &Arc<Self>,
        draft: Draft,
        durability: Durability,
    ) -> Commit<ScheduleOutcome, ScheduleError> {
        let partition = self.partition_of(&draft.key);
        if let Err(error) = self.check_open(partition) {
            return Commit::now(Err(error.into()));
        }
        let has_room = self.reserve_job();
        let now = self.clock.now();
        let result = self.enter(partition, Some(now), |owned, now| {
            let current = self.keys.find(draft.key.as_str());
            if !has_room && !needs_no_room(owned, current, now) {
                return Err(ScheduleError::Full { max: self.settings.jobs_max });
            }
            let key = draft.key.clone();
            let outcome = owned.partition.schedule(current, draft, now)?;
            if outcome.is_taken() {
                self.keys.insert(key, outcome.handle());
            }
            Ok((outcome, owned.log_end()))
        });
        let is_new = matches!(result, Ok((ScheduleOutcome::Scheduled { .. }, _)));
        if has_room && !is_new {
            self.release_jobs(1);
        }
        match result {
            Ok((outcome, log_end)) => self.commit(partition, outcome, durability, log_end),
            Err(error) => Commit::now(Err(error)),
        }
    }

    fn reschedule(
        self: &Arc<Self>,
        target: Target,
        due: Due,
        expected: Option<Version>,
    ) -> Commit<RescheduleOutcome, RescheduleError> {
        let place = match self.place(&target) {
            Ok(place) => place,
            Err(error) => return Commit::now(Err(error.into())),
        };
        if let Err(error) = self.check_open(place.partition) {
            return Commit::now(Err(error.into()));
        }
        let now = self.clock.now();
        let result = self.enter(place.partition, Some(now), |owned, now| {
            let call = |owned: &mut Owned, handle| owned.partition.reschedule(handle, due, expected, now);
            let mut outcome = match place.handle {
                Some(handle) => call(owned, handle)?,
                None => RescheduleOutcome::NotFound,
            };
            let is_moved = matches!(outcome, RescheduleOutcome::Rescheduled { .. });
            if !is_moved && let Some(handle) = self.newer(&target, place.handle) {
                outcome = call(owned, handle)?;
            }
            Ok((outcome, owned.log_end()))
        });
        match result {
            Ok((outcome, log_end)) => self.commit(place.partition, outcome, self.durability(), log_end),
            Err(refusal) => Commit::now(Err(RescheduleError::Refused(refusal))),
        }
    }

    fn cancel(
        self: &Arc<Self>,
        target: Target,
        expected: Option<Version>,
    ) -> Commit<CancelOutcome, CancelError> {
        let place = match self.place(&target) {
            Ok(place) => place,
            Err(error) => return Commit::now(Err(error.into())),
        };
        if let Err(error) = self.check_open(place.partition) {
            return Commit::now(Err(error.into()));
        }
        let now = self.clock.now();
        let (outcome, log_end) = self.enter(place.partition, Some(now), |owned, now| {
            let call = |owned: &mut Owned, handle| {
                // The index drops a cancelled job by its key, which goes with the job.
                let key = owned.partition.key(handle).cloned();
                let outcome = owned.partition.cancel(handle, expected, now);
                if outcome == CancelOutcome::Cancelled
                    && let Some(key) = key
                {
                    self.keys.remove(key.as_str(), handle);
                }
                outcome
            };
            let mut outcome = place.handle.map_or(CancelOutcome::NotFound, |handle| call(owned, handle));
            if outcome != CancelOutcome::Cancelled
                && let Some(handle) = self.newer(&target, place.handle)
            {
                outcome = call(owned, handle);
            }
            (outcome, owned.log_end())
        });
        if outcome == CancelOutcome::Cancelled {
            self.release_jobs(1);
        }
        self.commit(place.partition, outcome, self.durability(), log_end)
    }

    fn lookup(self: &Arc<Self>, target: Target) -> LookupOutcome {
        let Ok(place) = self.place(&target) else { return LookupOutcome::NotFound };
        self.enter(place.partition, Some(self.clock.now()), |owned, now| {
            let handle = self.newer(&target, place.handle).or(place.handle);
            handle.map_or(LookupOutcome::NotFound, |handle| owned.partition.lookup(handle, now))
        })
    }

    /// Where `target` is, as far as can be told without entering a partition.
    fn place(&self, target: &Target) -> Result<Place, InvalidKey> {
        match &target.0 {
            Named::Invalid(error) => Err(*error),
            Named::Handle(handle) => {
                let partition = usize::from(handle.partition().0).min(self.cells.len() - 1);
                Ok(Place { partition, handle: Some(*handle) })
            }
            Named::Key(key) => {
                Ok(Place { partition: self.partition_of(key), handle: self.keys.find(key.as_str()) })
            }
        }
    }

    /// Looks a key up again, under its partition's lock, where the answer is exact: between the first look and the lock
    /// the key may have got another job.
    fn newer(&self, target: &Target, seen: Option<Handle>) -> Option<Handle> {
        let Named::Key(key) = &target.0 else { return None };
        self.keys.find(key.as_str()).filter(|handle| Some(*handle) != seen)
    }

    fn durability(&self) -> Durability {
        self.settings.durability.unwrap_or_default()
    }

    fn commit<T, E>(
        self: &Arc<Self>,
        partition: usize,
        outcome: T,
        durability: Durability,
        log_end: u64,
    ) -> Commit<T, E> {
        if durability == Durability::Memory || self.store.is_none() {
            return Commit::now(Ok(outcome));
        }
        let shared = Arc::clone(self);
        Commit::after(outcome, async move { shared.cells[partition].progress.reached(log_end).await })
    }
}

impl Owned {
    /// The sequence after every record formed so far, those not yet moved to the buffer included.
    fn log_end(&self) -> u64 {
        self.log.end() + self.partition.records_pending() as u64
    }
}

/// Whether a new job needs no room of its own: one of its key is pending, so that it takes that one's place, or is not
/// taken at all, as its policy says.
fn needs_no_room(owned: &Owned, current: Option<Handle>, now: Now) -> bool {
    let found = current.map(|handle| owned.partition.lookup(handle, now));
    matches!(found, Some(LookupOutcome::Scheduled(_)))
}

impl Engine {
    /// Begins to schedule a task. Ends with `.at(instant)` or `.after(delay)`.
    ///
    /// ```
    /// # use reveille::{BoxError, Engine, Job, Task};
    /// # use std::time::{Duration, SystemTime};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct OpenSale { product: u64 }
    /// # impl Task for OpenSale {
    /// #     const NAME: &'static str = "open_sale";
    /// #     async fn run(self, _: Job) -> Result<(), BoxError> { Ok(()) }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::builder().task::<OpenSale>().start().await?;
    /// let opening = SystemTime::now() + Duration::from_secs(3600);
    /// engine.schedule(OpenSale { product: 42 }).key("product:42").at(opening).await?;
    /// # Ok(()) }
    /// ```
    pub fn schedule<T: super::Task>(&self, task: T) -> Schedule<'_> {
        let payload = serde_json::to_vec(&task).map(Payload::from).map_err(ScheduleError::Encode);
        Schedule::new(self, T::NAME, payload)
    }

    /// Begins to schedule a job of any queue with a payload of bytes. Ends with `.at(instant)` or `.after(delay)`.
    pub fn schedule_raw(&self, queue: impl AsRef<str>, payload: impl Into<Payload>) -> Schedule<'_> {
        Schedule::new(self, queue.as_ref(), Ok(payload.into()))
    }

    /// Moves a pending job to another due time: an instant or a delay. O(1).
    ///
    /// # Errors
    /// See [`RescheduleError`]. Nothing was changed unless it is one of [`CallError::NotDurable`] and
    /// [`CallError::Interrupted`].
    pub fn reschedule(
        &self,
        target: impl Into<Target>,
        due: impl Into<Due>,
    ) -> Commit<RescheduleOutcome, RescheduleError> {
        self.shared.reschedule(target.into(), due.into(), None)
    }

    /// As [`reschedule`](Self::reschedule), if the job still is of the version that the caller knows.
    ///
    /// # Errors
    /// As [`reschedule`](Self::reschedule).
    pub fn reschedule_if(
        &self,
        target: impl Into<Target>,
        version: Version,
        due: impl Into<Due>,
    ) -> Commit<RescheduleOutcome, RescheduleError> {
        self.shared.reschedule(target.into(), due.into(), Some(version))
    }

    /// Takes a pending job back: after this it never fires. O(1).
    ///
    /// # Errors
    /// See [`CancelError`]. Nothing was changed unless it is one of [`CallError::NotDurable`] and
    /// [`CallError::Interrupted`].
    pub fn cancel(&self, target: impl Into<Target>) -> Commit<CancelOutcome, CancelError> {
        self.shared.cancel(target.into(), None)
    }

    /// As [`cancel`](Self::cancel), if the job still is of the version that the caller knows.
    ///
    /// # Errors
    /// As [`cancel`](Self::cancel).
    pub fn cancel_if(
        &self,
        target: impl Into<Target>,
        version: Version,
    ) -> Commit<CancelOutcome, CancelError> {
        self.shared.cancel(target.into(), Some(version))
    }

    /// The job as it stands. O(1).
    pub fn lookup(&self, target: impl Into<Target>) -> LookupOutcome {
        self.shared.lookup(target.into())
    }
}
