//! The jobs of an engine, page by page, while they come, go and fire.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::by_due::After;
use crate::engine::state::{Engine, Shared};
use crate::job::{FiredView, JobFilter, JobView};
use crate::partition::{ViewSlice, Wanted};

/// Slots of the job table that are looked at in one hold of a partition's lock: some tens of microseconds.
const SLICE: usize = 256;

/// Slots that are looked at for one page. A filter that next to nothing matches must not make a call go through ten million
/// jobs.
const SLOTS_MAX: usize = 4_096;

/// Jobs of a page.
const JOBS_MAX: usize = 1_000;

/// A page of an engine's jobs. See [`Engine::list`].
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct JobPage {
    /// Jobs that are pending or with a handler.
    pub jobs: Vec<JobView>,
    /// Fired jobs that are remembered, if the filter wants them.
    pub fired: Vec<FiredView>,
    /// Where the next page begins; `None` if this is the last.
    pub next: Option<ListCursor>,
}

/// Where a page begins. The default: the first one.
///
/// As text (`Display`, `FromStr`, and with serde) it can go into a link. It holds for the engine that gave it out, as long as
/// that lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct ListCursor(pub(super) Option<At>);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct At {
    pub(super) incarnation: u64,
    pub(super) spot: Spot,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Spot {
    /// In the job table of a partition.
    Table { partition: u16, slot: u32 },
    /// Among the jobs by due.
    Due(After),
}

/// Why there is no page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// The cursor is of another engine, or of one that was here before a restart.
    #[error(
        "the cursor is of another engine, or of before a restart; begin anew, with `ListCursor::default()`"
    )]
    OtherEngine,
    /// The cursor is of a list in another order.
    #[error(
        "the cursor is of a list in another order; go on as you began, or begin anew, with `ListCursor::default()`"
    )]
    OtherOrder,
}

impl Engine {
    /// A page of the jobs that match, `jobs_max` of them at most (and 1,000 at most). Begin with `ListCursor::default()`, and go
    /// on with [`JobPage::next`] until there is none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use reveille::{Engine, Job, JobFilter, ListCursor};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("mails", |_: Job| async {}).start().await?;
    /// engine.schedule_raw("mails", "").key("order:42:reminder").after(Duration::from_secs(3600)).await?.scheduled()?;
    /// let filter = JobFilter::default().key_prefix("order:42:");
    /// let mut cursor = Some(ListCursor::default());
    /// while let Some(from) = cursor {
    ///     let page = engine.list(&filter, from, 100)?;
    ///     for job in page.jobs {
    ///         println!("{} is due at {}", job.key, job.due);
    ///     }
    ///     cursor = page.next;
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// The order is that in which jobs lie in memory, which says nothing about them. Jobs come, go and move between two pages,
    /// and within one: a job that is there from the first page to the last is shown exactly once, as it stood at that moment,
    /// also if it is moved, starts or fires meanwhile. One that comes or goes meanwhile is shown once or not at all.
    ///
    /// The work of a call is bounded: it looks at 4,096 places at most, in holds of a partition's lock of some tens of
    /// microseconds each. So **a page may have fewer jobs than were asked for, or none, and not be the last**.
    ///
    /// # Errors
    /// When the cursor is not this engine's, or is of [`list_by_due`](Self::list_by_due).
    pub fn list(&self, filter: &JobFilter, from: ListCursor, jobs_max: usize) -> Result<JobPage, ListError> {
        self.shared.list(filter, from, jobs_max.clamp(1, JOBS_MAX), SLOTS_MAX)
    }
}

impl Shared {
    fn list(
        &self,
        filter: &JobFilter,
        from: ListCursor,
        jobs_max: usize,
        slots_max: usize,
    ) -> Result<JobPage, ListError> {
        let (mut partition, mut slot) = match from.0 {
            Some(at) if at.incarnation != self.incarnation => return Err(ListError::OtherEngine),
            Some(At { spot: Spot::Table { partition, slot }, .. }) => (partition, slot),
            Some(_) => return Err(ListError::OtherOrder),
            None => (0, 0),
        };
        let mut page = JobPage::default();
        // No job is of a queue that the engine does not know.
        let Some(wanted) = Wanted::of(filter, |name| self.queues.by_name(name).map(|queue| queue.id)) else {
            return Ok(page);
        };
        let mut slots_left = slots_max;
        while let Some(cell) = self.cells.get(usize::from(partition)) {
            let jobs_left = jobs_max - page.len();
            if jobs_left == 0 || slots_left == 0 {
                let spot = Spot::Table { partition, slot };
                page.next = Some(ListCursor(Some(At { incarnation: self.incarnation, spot })));
                break;
            }
            let now = self.clock.now();
            let slots = SLICE.min(slots_left);
            let ViewSlice { jobs, fired, looked_at, next } =
                cell.read(|partition| partition.list(slot, slots, jobs_left, &wanted, now));
            page.jobs.extend(jobs);
            page.fired.extend(fired);
            // One that has no job of the tag is only asked for it.
            slots_left -= if filter.tag.is_some() { looked_at.max(1) } else { slots };
            (partition, slot) = match next {
                Some(slot) => (partition, slot),
                None => (partition + 1, 0),
            };
        }
        Ok(page)
    }
}

impl JobPage {
    fn len(&self) -> usize {
        self.jobs.len() + self.fired.len()
    }
}

/// The first page's.
const FIRST: &str = "first";

impl fmt::Display for ListCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str(FIRST),
            Some(At { incarnation, spot: Spot::Table { partition, slot } }) => {
                write!(f, "{incarnation:x}-{partition:x}-{slot:x}")
            }
            Some(At { incarnation, spot: Spot::Due(After { wall, mono }) }) => {
                // Negative numbers have the form of large ones.
                write!(f, "{incarnation:x}-{:x}-{:x}-{:x}-{:x}", wall.0, wall.1, mono.0, mono.1)
            }
        }
    }
}

/// A text that is no [`ListCursor`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("this is no cursor of a list; use one that `JobPage::next` gave, or \"first\"")]
pub struct InvalidCursor;

impl FromStr for ListCursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Self, InvalidCursor> {
        if text == FIRST {
            return Ok(ListCursor::default());
        }
        let parts = text.split('-').map(|part| u64::from_str_radix(part, 16));
        let parts: Vec<u64> = parts.collect::<Result<_, _>>().map_err(|_| InvalidCursor)?;
        let (incarnation, spot) = match parts[..] {
            [incarnation, partition, slot] => {
                let partition = u16::try_from(partition).map_err(|_| InvalidCursor)?;
                let slot = u32::try_from(slot).map_err(|_| InvalidCursor)?;
                (incarnation, Spot::Table { partition, slot })
            }
            [incarnation, wall_us, wall_id, mono_us, mono_id] => {
                let (wall, mono) = ((wall_us as i64, wall_id), (mono_us as i64, mono_id));
                (incarnation, Spot::Due(After { wall, mono }))
            }
            _ => return Err(InvalidCursor),
        };
        Ok(ListCursor(Some(At { incarnation, spot })))
    }
}

impl Serialize for ListCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ListCursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let spot = Spot::Table { partition: 1_023, slot: u32::MAX - 1 };
        let at = At { incarnation: u64::MAX, spot };
        let after = After { wall: (-2, 7), mono: (i64::MAX, u64::MAX) };
        let by_due = At { incarnation: 1, spot: Spot::Due(after) };
        for (cursor, text) in [
            (ListCursor::default(), "first"),
            (ListCursor(Some(at)), "ffffffffffffffff-3ff-fffffffe"),
            (ListCursor(Some(by_due)), "1-fffffffffffffffe-7-7fffffffffffffff-ffffffffffffffff"),
        ] {
            assert_eq!(cursor.to_string(), text);
            assert_eq!(text.parse(), Ok(cursor));
            let json = serde_json::to_string(&cursor).unwrap();
            assert_eq!(serde_json::from_str::<ListCursor>(&json).unwrap(), cursor);
        }
        for wrong in ["", "First", "1", "1-2", "1-2-3-4", "1-2-x", "1--3", "1-10000-3", "1-2-100000000"] {
            assert_eq!(wrong.parse::<ListCursor>(), Err(InvalidCursor), "{wrong}");
        }
        assert!(serde_json::from_str::<ListCursor>("\"1-2\"").is_err());
    }
}
