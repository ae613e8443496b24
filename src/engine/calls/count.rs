//! Jobs counted while they come, go and fire: how many match, and when they are due.

use serde::Serialize;

use crate::engine::state::{Engine, Shared};
use crate::job::{JobFilter, JobState};
use crate::partition::{Glance, Wanted};
use crate::read::{Load, LoadBuckets};

/// Slots of the job table that are looked at in one hold of a partition's lock: some tens of microseconds.
const SLICE: usize = 512;

/// How many jobs match. See [`Engine::count`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct JobCount {
    /// How many.
    pub jobs: u64,
    /// Whether there was a moment at which it was exactly so. Jobs of several partitions, and of a large one, are counted one after
    /// the other, while others come and go.
    pub is_exact: bool,
}

impl Engine {
    /// How many jobs match. O(jobs): it looks at every job, in holds of a partition's lock of some tens of microseconds each, and
    /// takes 10 to 100 milliseconds a million, as memory is near or far. By tag ([`JobFilter::tag`]) it looks at the jobs that have the tag, and at no others.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use reveille::{Engine, Job, JobFilter};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("mails", |_: Job| async {}).start().await?;
    /// engine.schedule_raw("mails", "").key("order:42:mail").after(Duration::from_secs(60)).await?.scheduled()?;
    /// assert_eq!(engine.count(&JobFilter::default().key_prefix("order:42:")).jobs, 1);
    /// # Ok(()) }
    /// ```
    pub fn count(&self, filter: &JobFilter) -> JobCount {
        let mut count = JobCount { jobs: 0, is_exact: true };
        let slices = self.shared.each(filter, |_| count.jobs += 1);
        count.is_exact = slices <= 1;
        count
    }

    /// When the jobs that match and are still to fire are due: how many in each bucket, before, and after. The first bucket begins now, or
    /// where the filter begins ([`JobFilter::due_from`]). A paused job is not among them. O(jobs), as [`count`](Self::count).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use reveille::{Engine, Job, JobFilter, read::LoadBuckets};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("mails", |_: Job| async {}).start().await?;
    /// engine.schedule_raw("mails", "").after(Duration::from_secs(90)).await?.scheduled()?;
    /// let next_hour = engine.load(&JobFilter::default(), LoadBuckets::default());
    /// assert_eq!(next_hour.buckets[..3], [0, 1, 0]);
    /// # Ok(()) }
    /// ```
    pub fn load(&self, filter: &JobFilter, buckets: LoadBuckets) -> Load {
        let mut load = Load::new(filter.due_from.unwrap_or_else(|| self.now()), buckets);
        self.shared.each(filter, |job| {
            if matches!(job.state, JobState::Pending | JobState::Retrying | JobState::Ready) {
                load.add(job.due);
            }
        });
        load
    }
}

impl Shared {
    /// Tells of every job that matches. Returns in how many holds of a lock.
    fn each(&self, filter: &JobFilter, mut each: impl FnMut(Glance)) -> usize {
        // No job is of a queue that the engine does not know.
        let number = |name: &str| self.queues.by_name(name).map(|queue| queue.id);
        let Some(wanted) = Wanted::of(filter, number) else { return 0 };
        let mut slices = 0;
        for cell in &self.cells {
            let mut from = Some(0);
            while let Some(slot) = from {
                let now = self.clock.now();
                from = cell.read(|partition| partition.count(slot, SLICE, &wanted, now, &mut each));
                slices += 1;
            }
        }
        slices
    }
}
