//! Calls about any number of jobs, some at a time: for millions, of which neither the jobs nor what became of them fit in memory.
//!
//! # Rules
//! - A chunk is taken from the input, made as by [`Engine::schedule_many`] and the like, and given out once it is as durable as the call
//!   asks. Only then is the next one taken: so memory and log hold one chunk, however long the input is.
//! - Calls that the log had no room for are made again when it has. Every other refusal is the job's outcome.
//! - Whoever stops asking stops the call: what was given out is done, and nothing else is.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use super::batch::Batch;
use super::many::{Cancelling, Rescheduling, Scheduling};
use super::outcomes::Outcomes;
use super::schedule::Planned;
use super::target::Target;
use crate::engine::error::{CallError, CancelError, RescheduleError, ScheduleError};
use crate::engine::state::Engine;
use crate::partition::{CancelOutcome, Due, RescheduleOutcome, ScheduleOutcome};
use crate::store::Durability;

/// Jobs of a chunk unless told otherwise, and at most.
const SIZE: usize = 1_000;
const SIZE_MAX: usize = 10_000;

/// A call about many jobs that is made in chunks: see [`Engine::schedule_chunks`]. `R` is what it says of a job.
///
/// It does nothing until [`next`](Self::next) is called, and stops when that is not called any more.
#[must_use = "nothing is done until `next` is called"]
pub struct Chunks<'a, R> {
    /// `None` when there is no more.
    source: Option<Box<dyn Source<R> + Send + 'a>>,
    size: usize,
    done: u64,
}

/// Some of many jobs, and what became of each.
#[derive(Debug)]
#[must_use = "each job has an outcome of its own"]
#[non_exhaustive]
pub struct Chunk<R> {
    /// The place of the first of them among all, counted from 0.
    pub first: u64,
    /// What became of each, in order.
    pub jobs: Vec<R>,
}

/// The store has not confirmed a chunk, and the call is over. Those before it are confirmed, and those after it were not touched.
#[derive(Debug, thiserror::Error)]
#[error("{} jobs from number {first} on are not confirmed, and those after them were not touched", jobs.len())]
#[non_exhaustive]
pub struct ChunkError<R> {
    /// The place of the first of the chunk's jobs among all, counted from 0.
    pub first: u64,
    /// What became of each in memory, in order. [`CallError::change`] says whether it lasts.
    pub jobs: Vec<R>,
    /// Why they are not confirmed.
    #[source]
    pub error: CallError,
}

/// What comes of a chunk.
pub(super) type Told<R> = Option<(Vec<R>, Result<(), CallError>)>;

/// Where chunks come from.
pub(super) trait Source<R> {
    /// Makes the calls of the next jobs, `size` at most; `None` if there are no more.
    fn next(&mut self, size: usize) -> Pin<Box<dyn Future<Output = Told<R>> + Send + '_>>;
}

impl<'a, R> Chunks<'a, R> {
    pub(super) fn new(source: impl Source<R> + Send + 'a) -> Self {
        Chunks { source: Some(Box::new(source)), size: SIZE, done: 0 }
    }

    /// How many jobs a chunk has: 1 to 10,000, and 1,000 unless told otherwise. What is out of these bounds is brought into them.
    pub fn size(mut self, jobs: usize) -> Self {
        self.size = jobs.clamp(1, SIZE_MAX);
        self
    }

    /// How many jobs were given out so far.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Does what was asked with the next jobs, and says what became of them; `None` if there are no more. Dropped before it resolves, it
    /// has been done for some of them, or all.
    ///
    /// # Errors
    /// When the store does not confirm them. There is no more after that.
    pub async fn next(&mut self) -> Result<Option<Chunk<R>>, ChunkError<R>> {
        // Not there while it is awaited: a call that was dropped in the middle cannot be gone on with.
        let Some(mut source) = self.source.take() else { return Ok(None) };
        let Some((jobs, confirmed)) = source.next(self.size).await else { return Ok(None) };
        let first = self.done;
        match confirmed {
            Ok(()) => {
                (self.source, self.done) = (Some(source), first + jobs.len() as u64);
                Ok(Some(Chunk { first, jobs }))
            }
            Err(error) => Err(ChunkError { first, jobs, error }),
        }
    }
}

impl<T, E> Chunk<Result<T, E>> {
    /// The outcomes, to insist on one: `chunk.into_outcomes().scheduled()?`.
    pub fn into_outcomes(self) -> Outcomes<T, E> {
        Outcomes::new(self.jobs)
    }
}

impl<R> fmt::Debug for Chunks<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Chunks { source, size, done } = self;
        f.debug_struct("Chunks")
            .field("size", size)
            .field("done", done)
            .field("is_over", &source.is_none())
            .finish_non_exhaustive()
    }
}

struct Schedules<'a, I> {
    engine: &'a Engine,
    jobs: I,
}

impl<'a, I: Iterator<Item = Planned<'a>> + Send> Source<Result<ScheduleOutcome, ScheduleError>>
    for Schedules<'a, I>
{
    fn next(
        &mut self,
        size: usize,
    ) -> Pin<Box<dyn Future<Output = Told<Result<ScheduleOutcome, ScheduleError>>> + Send + '_>> {
        let (shared, mut level) = (&self.engine.shared, Durability::Memory);
        let mut batch = Batch::with_capacity(0);
        for planned in self.jobs.by_ref().take(size) {
            let durability = planned.durability();
            let bound = shared.bind(planned);
            if bound.is_ok() {
                level = level.max(durability);
            }
            batch.push(bound);
        }
        let is_handler = self.engine.is_handler();
        Box::pin(async move { batch.make_whole(&Scheduling, shared, level, is_handler).await })
    }
}

/// Of jobs that are there.
struct Changes<'a, I, R> {
    engine: &'a Engine,
    jobs: I,
    kind: PhantomData<fn() -> R>,
}

impl<'a, I> Source<Result<RescheduleOutcome, RescheduleError>>
    for Changes<'a, I, Result<RescheduleOutcome, RescheduleError>>
where
    I: Iterator<Item = (Target<'a>, Due)> + Send,
{
    fn next(
        &mut self,
        size: usize,
    ) -> Pin<Box<dyn Future<Output = Told<Result<RescheduleOutcome, RescheduleError>>> + Send + '_>> {
        let shared = &self.engine.shared;
        let (moves, is_handler) =
            (self.jobs.by_ref().take(size).collect::<Vec<_>>(), self.engine.is_handler());
        Box::pin(async move {
            let mut batch = Batch::with_capacity(moves.len());
            for (target, due) in &moves {
                let place = shared.place(target);
                batch.push(place.map(|place| (place.partition, (place, None, *due))).map_err(Into::into));
            }
            let kind = Rescheduling(PhantomData);
            batch.make_whole(&kind, shared, shared.durability(), is_handler).await
        })
    }
}

impl<'a, I> Source<Result<CancelOutcome, CancelError>> for Changes<'a, I, Result<CancelOutcome, CancelError>>
where
    I: Iterator<Item = Target<'a>> + Send,
{
    fn next(
        &mut self,
        size: usize,
    ) -> Pin<Box<dyn Future<Output = Told<Result<CancelOutcome, CancelError>>> + Send + '_>> {
        let shared = &self.engine.shared;
        let (targets, is_handler) =
            (self.jobs.by_ref().take(size).collect::<Vec<_>>(), self.engine.is_handler());
        Box::pin(async move {
            let mut batch = Batch::with_capacity(targets.len());
            for target in &targets {
                let place = shared.place(target);
                batch.push(place.map(|place| (place.partition, place)).map_err(Into::into));
            }
            batch.make_whole(&Cancelling(PhantomData), shared, shared.durability(), is_handler).await
        })
    }
}

impl Engine {
    /// As [`schedule_many`](Self::schedule_many), for any number of jobs: `jobs` is asked for some at a time, and says what became of
    /// these before it is asked for more. So millions need no more memory than a thousand, whoever waits knows how far it is, and it can be
    /// stopped after each chunk.
    ///
    /// ```
    /// # use reveille::{Engine, Job};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("mails", |_: Job| async {}).start().await?;
    /// let all = (0..25_000).map(|n| engine.schedule_raw("mails", "").key(format!("mail:{n}")).planned(Duration::from_secs(900)));
    /// let mut chunks = engine.schedule_chunks(all);
    /// while let Some(chunk) = chunks.next().await? {
    ///     for (number, outcome) in (chunk.first..).zip(&chunk.jobs) {
    ///         if let Err(error) = outcome {
    ///             eprintln!("mail:{number}: {error}");
    ///         }
    ///     }
    ///     println!("{} of 25,000", chunks.done());
    /// }
    /// # assert_eq!(engine.jobs(), 25_000);
    /// # Ok(()) }
    /// ```
    pub fn schedule_chunks<'a, I>(&'a self, jobs: I) -> Chunks<'a, Result<ScheduleOutcome, ScheduleError>>
    where
        I: IntoIterator<Item = Planned<'a>>,
        I::IntoIter: Send + 'a,
    {
        Chunks::new(Schedules { engine: self, jobs: jobs.into_iter() })
    }

    /// As [`reschedule_many`](Self::reschedule_many), for any number of jobs: see [`schedule_chunks`](Self::schedule_chunks).
    pub fn reschedule_chunks<'a, I, T, D>(
        &'a self,
        moves: I,
    ) -> Chunks<'a, Result<RescheduleOutcome, RescheduleError>>
    where
        I: IntoIterator<Item = (T, D)>,
        I::IntoIter: Send + 'a,
        T: Into<Target<'a>> + 'a,
        D: Into<Due> + 'a,
    {
        let jobs = moves.into_iter().map(|(target, due)| (target.into(), due.into()));
        Chunks::new(Changes { engine: self, jobs, kind: PhantomData })
    }

    /// As [`cancel_many`](Self::cancel_many), for any number of jobs: see [`schedule_chunks`](Self::schedule_chunks).
    pub fn cancel_chunks<'a, I, T>(&'a self, targets: I) -> Chunks<'a, Result<CancelOutcome, CancelError>>
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'a,
        T: Into<Target<'a>> + 'a,
    {
        let jobs = targets.into_iter().map(Into::into);
        Chunks::new(Changes { engine: self, jobs, kind: PhantomData })
    }
}
