//! What comes due while a large tick is on its way goes past it: a tick of a million jobs takes tens of milliseconds to be gathered
//! and released, and other queues are not to wait for that.
//!
//! # Rules
//! - A job goes past the first tick only if nothing that comes before it, of its queue, is still on its way: neither in that tick,
//!   nor between the two. So each queue's jobs still come by tick, priority, due and sequence, and only queues overtake each other.
//! - That is known without looking at the large tick, because the wheels' lists know the classes of their timers, and a queue's jobs
//!   are of one class. Where queues share a class, or lists are too long to be looked at, a job waits that would not have to.
//! - It leaves its wheel as if it were cancelled, and is ready: a stay in the partition leaves nothing half done.

use std::cmp::Reverse;

use super::batch::Entry;
use super::{Now, Partition, State, TimeBase};

/// How many jobs a call looks at.
const LOOKS: usize = 2048;

/// A job that goes past.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Passing {
    ticks_ago: Reverse<u64>,
    entry: Entry,
    tick: u64,
}

impl Partition {
    /// Moves to the ready lists what is due at `now` after the tick that is due first, as far as it need not wait for that. For
    /// whoever takes several slices to [gather](Self::gather) that tick or to release it. Bounded by some thousand looks. Returns
    /// how many jobs it moved.
    pub fn release_past(&mut self, now: Now) -> usize {
        let passing = self.passing(now);
        for Passing { entry, tick, .. } in &passing {
            let Some(index) = self.jobs.index_of(entry.slot) else { continue };
            let Some((queue, base)) = self.jobs.get(index).map(|job| (job.queue(), job.due().base())) else {
                continue;
            };
            self.unplace(index);
            self.come_in_time(entry.slot, queue, base, *tick);
        }
        passing.len()
    }

    /// The jobs that go past, in order.
    fn passing(&self, now: Now) -> Vec<Passing> {
        let ticks = self.ticks(now);
        let is_held_due = self.held.first_key_value().is_some_and(|(&(due, _), _)| due <= now.wall);
        let first = if self.batch.is_empty() {
            let age = self.oldest_age(ticks, now);
            age.map(|age| (ticks.wall.saturating_sub(age), ticks.mono.saturating_sub(age)))
        } else {
            Some((self.batch.wall_tick, self.batch.mono_tick))
        };
        // Held jobs come one by one, and so rarely that all may wait for them.
        let Some((wall, mono)) = first.filter(|_| !is_held_due) else { return Vec::new() };
        let (mut found, mut passed, mut left) = (Vec::new(), self.batch.classes, LOOKS);
        for (wheel, first, until) in [(&self.wall, wall, ticks.wall), (&self.mono, mono, ticks.mono)] {
            // What lies in the wheel's present tick is due whatever the clock says, and comes in its turn.
            let first = first.max(wheel.now());
            wheel.look_past(&self.jobs, first..=until.max(first), &mut passed, &mut left, &mut found);
        }
        let passing = found.into_iter().filter_map(|slot| {
            let job = self.jobs.at(slot).filter(|job| !passed.contains(job.queue().class()))?;
            debug_assert_eq!(job.state(), State::Waiting);
            let due = job.due();
            let tick = due.tick(self.config.tick_us);
            let now_tick = if due.base() == TimeBase::Wall { ticks.wall } else { ticks.mono };
            let entry = Entry::of(job.priority(), due.as_told(now), job.id(), slot, job.version());
            Some(Passing { ticks_ago: Reverse(now_tick.saturating_sub(tick)), entry, tick })
        });
        let mut passing: Vec<Passing> = passing.collect();
        passing.sort_unstable();
        passing
    }
}
