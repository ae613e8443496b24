//! Calls about all jobs that have a tag: to cancel them, and to move them.
//!
//! # Rules
//! - In pages: one is read from the index of tags, and its jobs are changed as by [`Engine::cancel_many`], by their handles. It is as
//!   durable as the engine's calls are before the next one is read. So no lock is held for long, and the log does not fill up.
//! - Pages go from slot to slot, and a job keeps its slot. One that has the tag all the time is met once; one that comes, or goes
//!   and comes again, meanwhile may be met or not; none is met twice.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;

use super::batch::{Batch, Kind, OfCall};
use super::chunks::{ChunkError, Chunks, Source, Told};
use super::commit::Commit;
use super::outcomes::Outcomes;
use super::target::{Destination, Target};
use crate::clock::LazyNow;
use crate::engine::error::{CallError, CancelError, RescheduleError};
use crate::engine::state::{Aim, Engine, Owned, Shared};
use crate::job::{InvalidTag, Tags};
use crate::partition::{CancelOutcome, Due, Handle, JobId, Key, RescheduleOutcome};
use crate::time::Shift;

/// Jobs of a page: few enough for a log that has room for few records.
const PAGE: usize = 256;

/// What a call did with each of the jobs that have a tag.
#[derive(Debug)]
#[must_use = "each job has an outcome of its own"]
#[non_exhaustive]
pub struct Tagged<T, E> {
    /// Each job that was met.
    pub jobs: Vec<TaggedJob<T, E>>,
    /// Whether all jobs were met. `false` if the store did not confirm some of them: the outcomes of these are the error, and those
    /// that would have come after were left as they are.
    pub is_whole: bool,
}

/// A job that has a tag, and what a call did with it.
#[derive(Debug)]
#[non_exhaustive]
pub struct TaggedJob<T, E> {
    /// Its number.
    pub id: JobId,
    /// The caller's name for it.
    pub key: Key,
    /// What the call did.
    pub outcome: Result<T, E>,
}

impl<E> Tagged<CancelOutcome, E> {
    /// How many jobs were cancelled.
    pub fn cancelled(&self) -> usize {
        self.count(|outcome| matches!(outcome, CancelOutcome::Cancelled))
    }
}

impl<E> Tagged<RescheduleOutcome, E> {
    /// How many jobs were moved.
    pub fn rescheduled(&self) -> usize {
        self.count(|outcome| matches!(outcome, RescheduleOutcome::Rescheduled { .. }))
    }
}

impl<T, E> Tagged<T, E> {
    /// The first error that a job had, if one had any.
    pub fn error(&self) -> Option<&E> {
        self.jobs.iter().find_map(|job| job.outcome.as_ref().err())
    }

    fn count(&self, is_it: impl Fn(&T) -> bool) -> usize {
        self.jobs.iter().filter(|job| job.outcome.as_ref().is_ok_and(&is_it)).count()
    }
}

/// Of jobs that are named by targets elsewhere.
struct Shifting<'a>(Shift, PhantomData<&'a ()>);

impl<'a> Kind for Shifting<'a> {
    type Call = Destination<'a>;
    type Outcome = RescheduleOutcome;
    type Error = RescheduleError;

    fn aim(place: &Destination<'a>) -> Aim {
        place.aim()
    }

    fn make(
        &self,
        _: &Shared,
        owned: &mut Owned,
        place: &mut Destination<'a>,
        clock: &mut LazyNow<'_>,
    ) -> Result<RescheduleOutcome, RescheduleError> {
        let Some(handle) = place.find(owned) else { return Ok(RescheduleOutcome::NotFound) };
        Ok(owned.partition.shift(handle, self.0, clock)?)
    }
}

/// Where a page begins.
#[derive(Clone, Copy, Default)]
struct Place {
    partition: usize,
    slot: u32,
}

type Met = (Handle, JobId, Key);

impl Shared {
    /// The next jobs that have `tag`, and are pending or with a handler, from `place` on; it is set to where the next page begins. None:
    /// there are no more.
    fn tagged_page(&self, tag: &str, place: &mut Place, size: usize) -> Vec<Met> {
        let mut page = Vec::new();
        while let Some(cell) = self.cells.get(place.partition).filter(|_| page.len() < size) {
            let left = PAGE.min(size - page.len());
            let next = cell.lock().partition.tagged(tag, place.slot, left, |handle, id, key| {
                page.push((handle, id, Key::known(key)));
            });
            *place = match next {
                Some(slot) => Place { slot, ..*place },
                None => Place { partition: place.partition + 1, slot: 0 },
            };
        }
        page
    }
}

impl Engine {
    /// [Cancels](Self::cancel) every job that has this tag and is pending. Finds them without a look at any other. Resolves when all are
    /// as durable as the engine's calls are, and says of each job what was done; a job whose handler has begun is
    /// [`Running`](CancelOutcome::Running), and goes on. The dead are not met: see [`purge_all`](Self::purge_all).
    ///
    /// It goes in slices: each job is cancelled or not by itself. One that comes meanwhile may be met or not, and none is met
    /// twice. Dropped before it resolves, it has been done for some of the jobs.
    ///
    /// ```
    /// # use reveille::{Engine, Job};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("mails", |_: Job| async {}).start().await?;
    /// let minute = Duration::from_secs(60);
    /// engine.schedule_raw("mails", "").key("mail:1").tag("tenant:7").after(minute).await?.scheduled()?;
    /// engine.schedule_raw("mails", "").key("mail:2").tag("tenant:8").after(minute).await?.scheduled()?;
    /// let done = engine.cancel_tagged("tenant:7").await?;
    /// assert_eq!((done.cancelled(), done.jobs[0].key.as_str()), (1, "mail:1"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When no job can have such a tag. What goes wrong with a job is in its outcome.
    pub async fn cancel_tagged(
        &self,
        tag: impl AsRef<str>,
    ) -> Result<Tagged<CancelOutcome, CancelError>, InvalidTag> {
        Ok(Self::change_tagged(self.cancel_tagged_chunks(tag)?).await)
    }

    /// As [`cancel_tagged`](Self::cancel_tagged), some jobs at a time: whoever asks knows how far it is, can stop after each chunk, and does not
    /// hold what became of all. 256 jobs a chunk unless told otherwise.
    ///
    /// ```
    /// # use reveille::{Engine, Job};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("mails", |_: Job| async {}).start().await?;
    /// # engine.schedule_raw("mails", "").key("mail:1").tag("tenant:7").after(Duration::from_secs(60)).await?.scheduled()?;
    /// let mut chunks = engine.cancel_tagged_chunks("tenant:7")?;
    /// while let Some(chunk) = chunks.next().await? {
    ///     for job in &chunk.jobs {
    ///         println!("{}: {:?}", job.key, job.outcome);
    ///     }
    ///     println!("{} so far", chunks.done());
    /// }
    /// # assert_eq!((engine.jobs(), chunks.done()), (0, 1));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When no job can have such a tag.
    pub fn cancel_tagged_chunks(
        &self,
        tag: impl AsRef<str>,
    ) -> Result<Chunks<'_, TaggedJob<CancelOutcome, CancelError>>, InvalidTag> {
        self.tagged_chunks(tag.as_ref(), |jobs| self.cancel_many(jobs))
    }

    /// [Moves](Self::reschedule) every job that has this tag and is pending to an instant, or to a delay from when its turn comes; in
    /// all else as [`cancel_tagged`](Self::cancel_tagged).
    ///
    /// # Errors
    /// As [`cancel_tagged`](Self::cancel_tagged).
    pub async fn reschedule_tagged(
        &self,
        tag: impl AsRef<str>,
        due: impl Into<Due>,
    ) -> Result<Tagged<RescheduleOutcome, RescheduleError>, InvalidTag> {
        Ok(Self::change_tagged(self.reschedule_tagged_chunks(tag, due)?).await)
    }

    /// As [`reschedule_tagged`](Self::reschedule_tagged), some jobs at a time: see [`cancel_tagged_chunks`](Self::cancel_tagged_chunks).
    ///
    /// # Errors
    /// When no job can have such a tag.
    pub fn reschedule_tagged_chunks(
        &self,
        tag: impl AsRef<str>,
        due: impl Into<Due>,
    ) -> Result<Chunks<'_, TaggedJob<RescheduleOutcome, RescheduleError>>, InvalidTag> {
        let due = due.into();
        self.tagged_chunks(tag.as_ref(), move |jobs| self.reschedule_many(jobs.iter().map(|job| (job, due))))
    }

    /// Moves every job that has this tag and is pending by a length of time, later or earlier than it was due; in all else as
    /// [`cancel_tagged`](Self::cancel_tagged). Made again, it moves them again: of a call that failed, the outcomes say which jobs it has
    /// moved.
    ///
    /// ```
    /// # use reveille::{Engine, Job, Shift};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("mails", |_: Job| async {}).start().await?;
    /// let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    /// engine.schedule_raw("mails", "").key("mail:1").tag("tenant:7").after(minutes(60)).await?.scheduled()?;
    /// assert_eq!(engine.move_tagged("tenant:7", Shift::Earlier(minutes(5))).await?.rescheduled(), 1);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`cancel_tagged`](Self::cancel_tagged).
    pub async fn move_tagged(
        &self,
        tag: impl AsRef<str>,
        by: impl Into<Shift>,
    ) -> Result<Tagged<RescheduleOutcome, RescheduleError>, InvalidTag> {
        Ok(Self::change_tagged(self.move_tagged_chunks(tag, by)?).await)
    }

    /// As [`move_tagged`](Self::move_tagged), some jobs at a time: see [`cancel_tagged_chunks`](Self::cancel_tagged_chunks).
    ///
    /// # Errors
    /// When no job can have such a tag.
    pub fn move_tagged_chunks(
        &self,
        tag: impl AsRef<str>,
        by: impl Into<Shift>,
    ) -> Result<Chunks<'_, TaggedJob<RescheduleOutcome, RescheduleError>>, InvalidTag> {
        let by = by.into();
        self.tagged_chunks(tag.as_ref(), move |jobs| self.shift_many(jobs, by))
    }

    fn shift_many(
        &self,
        jobs: &[Handle],
        by: Shift,
    ) -> Commit<Outcomes<RescheduleOutcome, RescheduleError>, CallError> {
        let shared = &self.shared;
        let targets: Vec<Target<'_>> = jobs.iter().map(Into::into).collect();
        let mut batch = Batch::with_capacity(targets.len());
        for target in &targets {
            let place = shared.place(target);
            batch.push(place.map(|place| (place.partition, place)).map_err(Into::into));
        }
        batch.make(&Shifting(by, PhantomData), shared, self.is_handler());
        batch.commit(shared, shared.durability())
    }

    fn tagged_chunks<'a, T: Unpin + Send + 'static, E: OfCall + Unpin + Send + 'static>(
        &'a self,
        tag: &str,
        call: impl Fn(&[Handle]) -> Commit<Outcomes<T, E>, CallError> + Send + Sync + 'a,
    ) -> Result<Chunks<'a, TaggedJob<T, E>>, InvalidTag> {
        Tags::check(tag)?;
        Ok(Chunks::new(TaggedSource { engine: self, tag: tag.to_owned(), place: Place::default(), call })
            .size(PAGE))
    }

    async fn change_tagged<T, E>(mut chunks: Chunks<'_, TaggedJob<T, E>>) -> Tagged<T, E> {
        let mut done = Tagged { jobs: Vec::new(), is_whole: true };
        loop {
            match chunks.next().await {
                Ok(Some(chunk)) => done.jobs.extend(chunk.jobs),
                Ok(None) => return done,
                Err(ChunkError { jobs, .. }) => {
                    done.jobs.extend(jobs);
                    done.is_whole = false;
                }
            }
        }
    }
}

/// The jobs of a tag, a page after the other, and what is to be done with them.
struct TaggedSource<'a, F> {
    engine: &'a Engine,
    tag: String,
    place: Place,
    call: F,
}

impl<T, E, F> Source<TaggedJob<T, E>> for TaggedSource<'_, F>
where
    T: Unpin + Send + 'static,
    E: OfCall + Unpin + Send + 'static,
    F: Fn(&[Handle]) -> Commit<Outcomes<T, E>, CallError> + Send + Sync,
{
    fn next(&mut self, size: usize) -> Pin<Box<dyn Future<Output = Told<TaggedJob<T, E>>> + Send + '_>> {
        Box::pin(self.next_page(size))
    }
}

impl<F> TaggedSource<'_, F> {
    async fn next_page<T: Unpin, E: OfCall + Unpin>(&mut self, size: usize) -> Told<TaggedJob<T, E>>
    where
        F: Fn(&[Handle]) -> Commit<Outcomes<T, E>, CallError>,
    {
        let mut page = self.engine.shared.tagged_page(&self.tag, &mut self.place, size);
        if page.is_empty() {
            return None;
        }
        let mut done = Vec::with_capacity(page.len());
        while !page.is_empty() {
            let handles: Vec<Handle> = page.iter().map(|&(handle, ..)| handle).collect();
            match (self.call)(&handles).await {
                Ok(outcomes) => page = take(&mut done, page, outcomes.into_vec()),
                Err(error) => {
                    let failed = page.into_iter().map(|(_, id, key)| {
                        let outcome = Err(error.clone().into());
                        TaggedJob { id, key, outcome }
                    });
                    done.extend(failed);
                    return Some((done, Err(error)));
                }
            }
        }
        Some((done, Ok(())))
    }
}

/// Takes the outcomes of a page. Returns the jobs that the log had no room for, if it had room for any: by now it has for more.
fn take<T, E: OfCall>(
    done: &mut Vec<TaggedJob<T, E>>,
    page: Vec<Met>,
    outcomes: Vec<Result<T, E>>,
) -> Vec<Met> {
    let is_full = |outcome: &Result<T, E>| outcome.as_ref().is_err_and(OfCall::is_log_full);
    let has_room = !outcomes.iter().all(is_full);
    let mut again = Vec::new();
    for (job, outcome) in page.into_iter().zip(outcomes) {
        if has_room && is_full(&outcome) {
            again.push(job);
        } else {
            let (_, id, key) = job;
            done.push(TaggedJob { id, key, outcome });
        }
    }
    again
}
