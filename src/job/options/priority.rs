//! The place of a job among those of its tick.

use serde::{Deserialize, Serialize};

use super::JobOption;

/// Which of the jobs due at one tick goes first: the lower number. Jobs of equal priority go by due, then, within a partition, by
/// sequence. A due that has passed when the job is scheduled or moved belongs to the tick that is current then.
///
/// So a queue's jobs start by (tick, priority, due) among those that are ready, in whichever partitions they are. A job of an
/// earlier tick goes before one of a later tick whatever their priorities: a backlog is worked off in the order of time.
///
/// What concurrency leaves of it:
/// - With a concurrency of 1, or an inline handler, starts are in exactly this order. With more, two handlers may begin
///   neighbours in this order the other way round.
/// - A tick of more than 8,192 jobs in several partitions is released in slices, and what is released may start. It starts by
///   priority all the same; of jobs of equal priority one may start before another partition's that was due up to a tick
///   earlier.
/// - Where the jobs of a queue are due at an instant and after a delay, the ticks of the two clocks do not begin together: a job
///   of the one kind may be ordered a tick off those of the other.
/// - A partition that may not start jobs, its log being full, holds up no other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Priority(pub u8);

impl Priority {
    /// Before all others.
    pub const FIRST: Priority = Priority(0);
    /// What a job has unless told otherwise.
    pub const NORMAL: Priority = Priority(100);
    /// After all others.
    pub const LAST: Priority = Priority(255);
}

impl Default for Priority {
    fn default() -> Self {
        Priority::NORMAL
    }
}

impl JobOption for Priority {
    const NAME: &'static str = "priority";
    const MUST_BE: &'static str = "a whole number from 0 to 255";

    fn write(&self, out: &mut dyn FnMut(&[u8])) {
        out(&[self.0]);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let &[priority] = bytes else { return None };
        Some(Priority(priority))
    }
}
