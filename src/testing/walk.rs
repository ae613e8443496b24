//! Time, as a test lets it pass: from one instant at which something is due to the next.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use super::{FiredJob, TestEngine};
use crate::clock::Clock;
use crate::engine::QueueError;
use crate::job::{JobFilter, JobState};
use crate::partition::{MonoTime, Timestamp};

/// Why a test's run of jobs did not come to its end.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// More jobs started than were to. As a rule something recurs without an end, or a handler schedules itself again.
    #[error(
        "{} jobs have started and it is only {now}; most of them: {}; end what recurs, run until an earlier instant, or raise \
         `TestEngine::starts_max`",
        fired.len(), most(fired)
    )]
    #[non_exhaustive]
    TooManyStarts {
        /// How far the clock has come.
        now: Timestamp,
        /// What has fired.
        fired: Vec<FiredJob>,
    },
}

impl RunError {
    /// What has fired until then.
    pub fn fired(&self) -> &[FiredJob] {
        match self {
            RunError::TooManyStarts { fired, .. } => fired,
        }
    }
}

/// The keys that are there most often.
fn most(fired: &[FiredJob]) -> String {
    const SHOWN: usize = 3;
    let mut times: HashMap<(&str, &str), usize> = HashMap::new();
    for job in fired {
        *times.entry((job.key.as_str(), &job.queue)).or_default() += 1;
    }
    let mut times: Vec<_> = times.into_iter().collect();
    times.sort_unstable_by(|(of, times), (other, others)| others.cmp(times).then(of.cmp(other)));
    let shown =
        times.iter().take(SHOWN).map(|((key, queue), times)| format!("{key} (queue {queue}) {times} times"));
    shown.collect::<Vec<_>>().join(", ")
}

impl TestEngine {
    /// Lets `time` pass. The clock stops at every instant at which something is due, and goes on when the handlers of the
    /// fired jobs have ended. Returns the jobs that fired since the test last asked,
    /// in order.
    ///
    /// Handlers may wait by tokio's clock, also while it is paused (`tokio::time::pause`): it then runs ahead to what they
    /// wait for.
    ///
    /// # Panics
    /// When a step takes longer than [`patience`](Self::patience). The message names the jobs whose handlers run, and the
    /// queues in which due jobs wait.
    pub async fn advance(&self, time: Duration) -> Vec<FiredJob> {
        let end = self.clock.now().mono.saturating_add_micros(micros(time));
        self.walk(usize::MAX, || Some(end)).await;
        self.take_fired()
    }

    /// Runs everything that is due until the clock shows `instant`, as [`advance`](Self::advance) does: attempts that follow from a
    /// failure and occurrences that follow from one before are run when they are due, like all others. At an instant that has passed
    /// nothing is run but what is due now.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use reveille::{Engine, Job, Recurrence, Timestamp, testing::{RunError, TestEngine}};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let noon: Timestamp = "2026-11-28T12:00:00Z".parse()?;
    /// let builder = Engine::builder().queue("pulses", |_: Job| async {});
    /// let engine = TestEngine::start(builder, noon).await?.starts_max(100);
    /// let hourly = Recurrence::every(Duration::from_secs(3600))?;
    /// engine.schedule_raw("pulses", "").key("hourly").recurring(hourly).await?;
    ///
    /// let day = engine.run_until(noon + Duration::from_secs(24 * 3600)).await?;
    /// assert_eq!(day.len(), 24);
    ///
    /// let error = engine.run_until(noon + Duration::from_secs(365 * 24 * 3600)).await.unwrap_err();
    /// assert!(error.to_string().contains("hourly (queue pulses) 101 times"), "{error}");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When more jobs start than [`starts_max`](Self::starts_max) says. The clock then stands where that was.
    ///
    /// # Panics
    /// As [`advance`](Self::advance).
    pub async fn run_until(&self, instant: impl Into<Timestamp>) -> Result<Vec<FiredJob>, RunError> {
        let now = self.clock.now();
        let ahead_us = instant.into().as_micros().saturating_sub(now.wall.as_micros());
        let end = now.mono.saturating_add_micros(u64::try_from(ahead_us).unwrap_or(0));
        self.run(|| Some(end)).await
    }

    /// Runs until no job waits for its time any more: each is done, dead, paused, or in a queue that is paused. The clock then shows
    /// when the last one fired.
    ///
    /// # Errors
    /// As [`run_until`](Self::run_until): a job that recurs for ever brings that about.
    ///
    /// # Panics
    /// As [`advance`](Self::advance).
    pub async fn run_all(&self) -> Result<Vec<FiredJob>, RunError> {
        let waiting = JobFilter::default().states([JobState::Pending, JobState::Retrying]);
        let is_any_left = || self.engine.count(&waiting).jobs > 0;
        self.run(|| is_any_left().then(|| self.engine.next_wake(self.clock.now())).flatten()).await
    }

    async fn run(&self, end: impl Fn() -> Option<MonoTime>) -> Result<Vec<FiredJob>, RunError> {
        self.walk(self.starts_max, end).await;
        let is_too_many = self.sink.lock().len() > self.starts_max;
        let fired = self.take_fired();
        if is_too_many { Err(RunError::TooManyStarts { now: self.engine.now(), fired }) } else { Ok(fired) }
    }

    /// Runs the jobs of one queue that are due, also if it is paused, and nothing of any other queue. No time passes. Returns those
    /// of its jobs that fired since the test last asked.
    ///
    /// Build a queue [`paused`](crate::QueueConfig::paused) if its jobs are to wait for this. Other queues stand until it returns; then
    /// they go on, unless they are paused themselves. What its handlers schedule in the same queue for now, and attempts
    /// that follow without a wait, run too.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use reveille::{Engine, Job, QueueConfig, Timestamp, testing::TestEngine};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let queue = |name: &str| QueueConfig::new(name).paused();
    /// let builder = Engine::builder()
    ///     .queue(queue("orders"), |job: Job| async move {
    ///         job.engine().schedule_raw("mails", "thank you").key("mail").after(Duration::ZERO).await?.scheduled()?;
    ///         Ok::<_, reveille::BoxError>(())
    ///     })
    ///     .queue(queue("mails"), |_: Job| async {});
    /// let engine = TestEngine::start(builder, Timestamp::from_micros(0)).await?;
    /// engine.schedule_raw("orders", "").key("order").after(Duration::ZERO).await?.scheduled()?;
    ///
    /// let ran = engine.run_queue("orders").await?;
    /// assert_eq!(ran[0].key.as_str(), "order");
    /// engine.assert_scheduled("mail");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When there is no such queue.
    ///
    /// # Panics
    /// As [`advance`](Self::advance).
    pub async fn run_queue(&self, queue: &str) -> Result<Vec<FiredJob>, QueueError> {
        self.run_one(queue, || ()).await
    }

    /// As [`run_queue`](Self::run_queue), and brings everything forward that waits in the queue for a later time: each job is
    /// [rescheduled](crate::Engine::reschedule) to now and runs once. What follows from that keeps its time: another attempt, and the
    /// next occurrence of a job that recurs. A paused job stays.
    ///
    /// # Errors
    /// When there is no such queue.
    ///
    /// # Panics
    /// As [`advance`](Self::advance).
    pub async fn run_queue_ahead(&self, queue: &str) -> Result<Vec<FiredJob>, QueueError> {
        let waiting = JobFilter::default().queue(queue).states([JobState::Pending, JobState::Retrying]);
        self.run_one(queue, || {
            for job in self.scheduled_by(&waiting) {
                // In force at once; a store that does not answer is not waited for.
                drop(self.engine.reschedule(job.handle, self.engine.now()));
            }
        })
        .await
    }

    async fn run_one(&self, queue: &str, prepare: impl FnOnce()) -> Result<Vec<FiredJob>, QueueError> {
        let alone = self.engine.alone(queue)?;
        self.settle_within(usize::MAX).await;
        prepare();
        alone.run();
        self.settle_within(usize::MAX).await;
        drop(alone);
        Ok(self.sink.lock().take_fired(|job| job.queue == queue))
    }

    /// Sets the wall clock, forward or back, while no time passes. Returns what fired.
    pub async fn set_wall(&self, wall: impl Into<Timestamp>) -> Vec<FiredJob> {
        self.settle_within(usize::MAX).await;
        self.clock.set_wall(wall);
        self.settle().await
    }

    /// Waits until everything due has fired and its handlers have ended. Returns the jobs that fired since the test last
    /// asked. Jobs of a paused queue keep waiting.
    ///
    /// # Panics
    /// As [`advance`](Self::advance).
    pub async fn settle(&self) -> Vec<FiredJob> {
        self.settle_within(usize::MAX).await;
        self.take_fired()
    }

    fn take_fired(&self) -> Vec<FiredJob> {
        self.sink.lock().take_fired(|_| true)
    }

    /// Goes from one instant at which something is due to the next, up to `end`, which is asked for anew at each; `None` ends it too.
    /// So does a job that starts beyond `starts_max`.
    async fn walk(&self, starts_max: usize, end: impl Fn() -> Option<MonoTime>) {
        loop {
            self.settle_within(starts_max).await;
            let now = self.clock.now();
            let Some(end) = end().filter(|&end| end > now.mono) else { return };
            if self.sink.lock().len() > starts_max {
                return;
            }
            let next = self.engine.next_wake(now).unwrap_or(end).min(end);
            // A due job that cannot settle (its queue is busy) must not stop time.
            let step = if next > now.mono { next.micros_since(now.mono) } else { end.micros_since(now.mono) };
            self.clock.advance(Duration::from_micros(step));
        }
    }

    /// Waits until everything due has fired and its handlers have ended; or until more have fired since the test last asked.
    async fn settle_within(&self, starts_max: usize) {
        let begun = Clock::System.now().mono;
        let patience_us = micros(self.patience);
        let mut looks = 0;
        while !self.engine.is_settled() && self.sink.lock().len() <= starts_max {
            if Clock::System.now().mono.micros_since(begun) >= patience_us {
                assert!(self.goes_on, "{}", self.unsettled());
                break;
            }
            looks += 1;
            if looks > LOOKS_AWAKE && self.engine.waits_for_handlers() {
                idle_briefly().await;
            } else {
                // The workers may share this thread, the driver may share its core.
                tokio::task::yield_now().await;
                thread::sleep(Duration::from_micros(20));
            }
        }
    }

    /// What a step still waits for, in words.
    fn unsettled(&self) -> String {
        let running = self.sink.lock().running();
        let waiting = self.engine.stats().queues.into_iter().filter(|queue| queue.ready > 0);
        let waiting: Vec<String> =
            waiting.map(|queue| format!("{} in {}", queue.ready, queue.name)).collect();
        format!(
            "after {:?} the handlers of these jobs have not ended: [{running}]; due jobs that wait: [{}]. Raise \
             `TestEngine::patience`, or let steps go on without them: `TestEngine::go_on_after`",
            self.patience,
            waiting.join(", ")
        )
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// How often a step looks again without a pause. Handlers that wait for nothing have ended by then.
const LOOKS_AWAKE: usize = 64;

/// Waits for a millisecond of real time without a tokio timer: the runtime is idle meanwhile, so a paused clock of tokio
/// runs ahead to what handlers wait for.
async fn idle_briefly() {
    let (done, waited) = tokio::sync::oneshot::channel::<()>();
    let sleeper = thread::Builder::new().name("reveille-test".into()).spawn(move || {
        thread::sleep(Duration::from_millis(1));
        drop(done);
    });
    if sleeper.is_ok() {
        let _ = waited.await;
    } else {
        tokio::task::yield_now().await;
    }
}
