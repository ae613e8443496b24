//! The jobs that wait for their due, page by page, the earliest first.

use super::list::{At, JobPage, ListCursor, ListError, Spot};
use crate::engine::state::{Engine, Shared};
use crate::job::JobFilter;
use crate::partition::{DueWalk, Mark, Waits, Wanted};
use crate::time::{Now, TimeBase, Timestamp};

/// Jobs that are looked at in one hold of a partition's lock: some tens of microseconds.
const SLICE: usize = 256;

/// Jobs of all partitions that are looked at for one page, and those of the slots that this number ends in.
const LOOKS_MAX: usize = 65_536;

/// Jobs of a page.
const JOBS_MAX: usize = 1_000;

/// Where a page begins, on each clock: after the job of this mark. Jobs that follow the monotonic clock have no fixed place among
/// the others, since the wall clock is set.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct After {
    pub(super) wall: Mark,
    pub(super) mono: Mark,
}

impl After {
    const NOTHING: After = After { wall: (i64::MIN, 0), mono: (i64::MIN, 0) };
}

/// A job that was found: its due as it is told, which orders all of them, and where it is.
type Found = (Timestamp, TimeBase, usize, Waits);

impl Engine {
    /// A page of the jobs that match and wait for their due, the earliest first; those of one due by their ids. `jobs_max` of them at
    /// most (and 1,000 at most). Begin with `ListCursor::default()`, and go on with [`JobPage::next`] until there is none.
    ///
    /// Jobs that are ready, with a handler, paused, dead or fired do not wait, and are not shown; nor those that a restart found
    /// overdue.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use reveille::{Engine, Job, JobFilter, ListCursor};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("mails", |_: Job| async {}).start().await?;
    /// for (key, seconds) in [("later", 7200), ("soon", 3600)] {
    ///     engine.schedule_raw("mails", "").key(key).after(Duration::from_secs(seconds)).await?.scheduled()?;
    /// }
    /// let page = engine.list_by_due(&JobFilter::default(), ListCursor::default(), 1)?;
    /// assert_eq!(page.jobs[0].key, "soon");
    /// let page = engine.list_by_due(&JobFilter::default(), page.next.expect("one more"), 1)?;
    /// assert_eq!(page.jobs[0].key, "later");
    /// # Ok(()) }
    /// ```
    ///
    /// A job that does not change from the first page to the last is shown exactly once, however the others come, go and move. One
    /// that is moved meanwhile is shown once, twice or not at all, as it is moved over the place where the pages are.
    ///
    /// No index is kept for this: the slots of the timing wheel are gathered, which follow each other in time, and sorted within.
    /// The work is that of the slots which the page lies in, in holds of a partition's lock of some tens of microseconds each. What is
    /// due soon lies in slots of a millisecond, and what is far away in coarse ones: a page that begins there looks at all jobs of a
    /// slot. With [`JobFilter::tag`] it looks at the jobs that have the tag, and at no others. **A page may have fewer jobs than
    /// were asked for, or none, and not be the last**: where few match, a call ends at the next slot after 65,536 looks.
    ///
    /// # Errors
    /// When the cursor is not this engine's, or is of [`list`](Self::list).
    pub fn list_by_due(
        &self,
        filter: &JobFilter,
        from: ListCursor,
        jobs_max: usize,
    ) -> Result<JobPage, ListError> {
        let after = match from.0 {
            Some(At { incarnation, .. }) if incarnation != self.shared.incarnation => {
                return Err(ListError::OtherEngine);
            }
            Some(At { spot: Spot::Due(after), .. }) => after,
            Some(_) => return Err(ListError::OtherOrder),
            None => After::NOTHING,
        };
        Ok(self.shared.list_by_due(filter, after, jobs_max.clamp(1, JOBS_MAX)))
    }
}

impl Shared {
    fn list_by_due(&self, filter: &JobFilter, mut after: After, jobs_max: usize) -> JobPage {
        let mut page = JobPage::default();
        // No job is of a queue that the engine does not know.
        let Some(wanted) = Wanted::of(filter, |name| self.queues.by_name(name).map(|queue| queue.id)) else {
            return page;
        };
        let now = self.clock.now();
        let start = filter.due_from.map(|from| (from.as_micros(), 0));
        let mut found: Vec<Found> = Vec::new();
        // Up to where all have been found, and all are in the order of the others.
        let mut reached: Option<Timestamp> = None;
        for partition in 0..self.cells.len() {
            for base in [TimeBase::Wall, TimeBase::Mono] {
                let after = match base {
                    TimeBase::Wall => after.wall.max(start.unwrap_or(after.wall)),
                    TimeBase::Mono => after.mono,
                };
                let (waiting, up_to) = self.gather(partition, base, after, jobs_max, &wanted);
                found.extend(
                    waiting.into_iter().map(|waits| (told(base, waits.mark, now), base, partition, waits)),
                );
                if let Some(up_to) = up_to.map(|mark| told(base, mark, now)) {
                    reached = Some(reached.map_or(up_to, |reached| reached.min(up_to)));
                }
            }
        }
        found.retain(|&(due, ..)| reached.is_none_or(|reached| due <= reached));
        found.sort_unstable_by_key(|&(due, _, _, waits)| (due, waits.mark.1));
        let is_cut = found.len() > jobs_max;
        found.truncate(jobs_max);
        if let Some(reached) = reached.filter(|_| found.len() < jobs_max) {
            after.wall = after.wall.max((reached.as_micros(), u64::MAX));
            after.mono = after.mono.max((micros(now, reached), u64::MAX));
        }
        for &(_, base, partition, waits) in &found {
            match base {
                TimeBase::Wall => after.wall = after.wall.max(waits.mark),
                TimeBase::Mono => after.mono = after.mono.max(waits.mark),
            }
            let now = self.clock.now();
            page.jobs.extend(self.cells[partition].read(|partition| partition.found(waits, now)));
        }
        if is_cut || reached.is_some() {
            page.next = Some(ListCursor(Some(At { incarnation: self.incarnation, spot: Spot::Due(after) })));
        }
        page
    }

    /// The first jobs of one clock in one partition, and up to where they are all that there are.
    fn gather(
        &self,
        partition: usize,
        base: TimeBase,
        after: Mark,
        jobs_max: usize,
        wanted: &Wanted<'_>,
    ) -> (Vec<Waits>, Option<Mark>) {
        let looks_max = LOOKS_MAX / (2 * self.cells.len());
        let mut walk = DueWalk::new(base, after, jobs_max, looks_max, wanted, self.clock.now());
        loop {
            let now = self.clock.now();
            if !self.cells[partition].read(|partition| partition.walk_by_due(&mut walk, SLICE, wanted, now)) {
                return walk.into_found();
            }
        }
    }
}

/// When a job of this mark is due, as a person is told.
fn told(base: TimeBase, (due_us, _): Mark, now: Now) -> Timestamp {
    match base {
        TimeBase::Wall => Timestamp::from_micros(due_us),
        TimeBase::Mono => now.wall_at(crate::time::MonoTime::from_micros(u64::try_from(due_us).unwrap_or(0))),
    }
}

/// What the monotonic clock shows at an instant.
fn micros(now: Now, wall: Timestamp) -> i64 {
    i64::try_from(now.mono_at(wall).as_micros()).unwrap_or(i64::MAX)
}
