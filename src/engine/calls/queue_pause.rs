//! Queues paused and resumed, for this process at once and for those after it.
//!
//! # Rules
//! - What is said of a queue is a record of one partition: the one to which the queue's name hashes, as a key does. So it is as
//!   durable as any change, goes to a standby with the jobs, and a log that is full or lost stops the pauses of few queues.
//! - It is said, and takes effect, under that partition's lock: of calls at the same time the last one recorded is the one in
//!   force.
//! - Once `pause` has returned no job of the queue starts, in whatever partition.
//! - A drain looks now and again whether jobs of its queue still run. It is not told: a plain job would have to ask, at its end,
//!   whether somebody wants to know.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::commit::Commit;
use super::ending::timer;
use crate::engine::error::PauseError;
use crate::engine::queues::{Drained, PauseOutcome, QUEUES_MAX, Queue, ResumeOutcome};
use crate::engine::state::{Engine, Shared};
use crate::partition::{NowSource, QueuePause};

/// Between the looks of a drain: the first, and the longest.
const LOOK: Duration = Duration::from_millis(1);
const LOOK_MAX: Duration = Duration::from_millis(20);

/// What there was before a call, and where the log ends after it.
struct Said {
    partition: usize,
    before: Option<QueuePause>,
    was_paused: bool,
    end: u64,
}

impl Shared {
    /// Says that a queue is paused, or goes on, unless that is what was said last.
    fn say_paused(
        self: &Arc<Self>,
        queue: &Arc<Queue>,
        is_paused: bool,
        is_handler: bool,
    ) -> Result<Said, PauseError> {
        let partition = self.partition_of(queue.name.as_str());
        self.check_open(partition, is_handler)?;
        self.enter_lazily(partition, |owned, clock| {
            let before = owned.partition.pause_of(&queue.name).cloned();
            let was_paused = before.as_ref().map_or_else(|| queue.is_paused(), |said| said.is_paused);
            // Of a queue of which nothing was said only what changes something is.
            let was_said =
                before.as_ref().map_or(!is_paused && !was_paused, |said| said.is_paused == is_paused);
            if !was_said {
                let at = clock.now().wall;
                if !owned.partition.set_paused(&queue.name, is_paused, at) {
                    return Err(PauseError::TooMany { max: QUEUES_MAX });
                }
                queue.say_paused(is_paused, at);
            }
            Ok(Said { partition, before, was_paused, end: owned.log_end() })
        })
    }

    /// Applies to a queue what was said of it before this process had it.
    pub(crate) fn recall_pause(&self, queue: &Queue) {
        let owned = self.cells[self.partition_of(queue.name.as_str())].lock();
        if let Some(said) = owned.partition.pause_of(&queue.name) {
            queue.say_paused(said.is_paused, said.at);
        }
    }

    /// Waits until none of a paused queue's jobs runs, or the engine stops. Returns how many run then.
    async fn run_out(&self, queue: &Queue, within: Duration) -> usize {
        if queue.running() > 0 {
            match timer(self) {
                Ok(timer) => {
                    let looks = async {
                        let mut next = LOOK;
                        while queue.running() > 0 && !self.is_stopping() {
                            timer.sleep(next).await;
                            next = LOOK_MAX.min(next * 2);
                        }
                    };
                    let _ = timer.timeout(within, looks).await;
                }
                Err(error) => {
                    tracing::error!(%error, "there is no thread to wait on: the drain is cut short")
                }
            }
        }
        queue.running()
    }

    /// Returns once nobody is starting a job of a queue that was stopped just now.
    pub(crate) fn starts_are_over(&self) {
        // A worker that is starting one holds a partition; the next one sees the stop.
        for cell in &self.cells {
            drop(cell.lock());
        }
    }
}

impl Engine {
    /// Stops starting jobs of a queue: once this has returned, none is started. Jobs that become due wait; running jobs go on.
    ///
    /// It lasts until [`resume`](Self::resume): across restarts, and at a standby that takes over, once the commit has resolved.
    /// What was said here stands against [`QueueConfig::paused`](crate::QueueConfig::paused), in later releases too. A queue without
    /// a handler can be paused if the engine knows it. O(partitions).
    ///
    /// ```
    /// # use reveille::{Engine, Job, PauseOutcome};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("mails", |_: Job| async {}).start().await?;
    /// let outcome = engine.pause("mails").await?; // none starts; a restart leaves it so
    /// assert_eq!(outcome, PauseOutcome::Paused);
    /// engine.resume("mails").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`PauseError`]; its [`change`](PauseError::change) says whether the queue is paused nevertheless.
    pub fn pause(&self, queue: &str) -> Commit<PauseOutcome, PauseError> {
        let said = self.known(queue).and_then(|queue| self.shared.say_paused(queue, true, self.is_handler()));
        let Said { partition, before, end, .. } = match said {
            Ok(said) => said,
            Err(error) => return Commit::now(Err(error)),
        };
        self.shared.starts_are_over();
        let outcome = match before {
            Some(said) if said.is_paused => PauseOutcome::AlreadyPaused { since: said.at },
            _ => PauseOutcome::Paused,
        };
        self.shared.commit(partition, outcome, self.shared.durability(), end)
    }

    /// Starts a paused queue again, in this process at once, and after a restart. The jobs that waited go first, in order.
    ///
    /// # Errors
    /// See [`PauseError`]; its [`change`](PauseError::change) says whether the queue goes on nevertheless.
    pub fn resume(&self, queue: &str) -> Commit<ResumeOutcome, PauseError> {
        let queue = match self.known(queue) {
            Ok(queue) => queue,
            Err(error) => return Commit::now(Err(error)),
        };
        let Said { partition, was_paused, end, .. } =
            match self.shared.say_paused(queue, false, self.is_handler()) {
                Ok(said) => said,
                Err(error) => return Commit::now(Err(error)),
            };
        self.shared.start_again(queue);
        let outcome = if was_paused { ResumeOutcome::Resumed } else { ResumeOutcome::NotPaused };
        self.shared.commit(partition, outcome, self.shared.durability(), end)
    }

    /// Pauses a queue, as [`pause`](Self::pause) does and at once, and waits until none of its jobs runs: before what its handlers
    /// need is taken away or changed. It stays paused until [`resume`](Self::resume).
    ///
    /// This waits `within` that time, and no longer once the engine stops. What still runs then goes on, and is counted in the answer. Due
    /// jobs wait, and so does a job whose attempt has failed meanwhile; new ones may be scheduled. A handler that drains its own queue waits
    /// for itself. Any executor may poll it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use reveille::{Engine, Job};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("mails", |_: Job| async {}).start().await?;
    /// let drained = engine.drain("mails", Duration::from_secs(30)).await?;
    /// if !drained.is_empty() {
    ///     eprintln!("{} mails are still being sent", drained.still_running);
    /// }
    /// engine.resume("mails").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`PauseError`], as for `pause`. The time counts from when the pause was acknowledged.
    pub fn drain(
        &self,
        queue: &str,
        within: Duration,
    ) -> impl Future<Output = Result<Drained, PauseError>> + Send + use<> {
        let (commit, queue) = (self.pause(queue), self.known(queue).cloned());
        let shared = Arc::clone(&self.shared);
        async move {
            let paused = commit.await?;
            let still_running = shared.run_out(&*queue?, within).await;
            Ok(Drained { paused, still_running })
        }
    }

    fn known(&self, name: &str) -> Result<&Arc<Queue>, PauseError> {
        let unknown = || PauseError::UnknownQueue { name: name.to_owned() };
        self.shared.queues.by_name(name).ok_or_else(unknown)
    }
}
