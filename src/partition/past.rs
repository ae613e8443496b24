//! What comes due while a large tick is on its way goes past it: a tick of a million jobs takes tens of milliseconds to be gathered
//! and released, and other queues are not to wait for that.
//!
//! # Rules
//! - A job goes past the first tick only if nothing that comes before it, of its queue, is still on its way: neither in that tick,
//!   nor between the two, in any partition ([`Behind`]). So each queue's jobs still come by tick, priority, due and sequence, and only queues overtake each other.
//! - That is known without looking at the large tick, because the wheels' lists know the classes of their timers, and a queue's jobs
//!   are of one class. Where queues share a class, or lists are too long to be looked at, a job waits that would not have to.
//! - It leaves its wheel as if it were cancelled, and is ready: a stay in the partition leaves nothing half done.

use std::cmp::Reverse;

use super::batch::Entry;
use super::{Now, Partition, Priority, State, TimeBase};
use crate::wheel::Classes;

/// How many jobs a call looks at.
const LOOKS: usize = 2048;

/// How many gathered jobs go past a tick one by one.
const GATHERED_MAX: usize = 256;

/// Queues, by class, of which something that comes first may still be on its way.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Behind(Classes);

impl Behind {
    /// Also those of `other`.
    pub fn add(&mut self, other: Behind) {
        self.0.add(other.0);
    }
}

/// A job that goes past.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Passing {
    ticks_ago: Reverse<u64>,
    entry: Entry,
    tick: u64,
}

impl Partition {
    /// Of which queues nothing may go past the first tick, as far as this partition knows: for
    /// [`release_past`](Self::release_past). `is_out` says that this partition has nothing left of that tick, and what it has
    /// gathered since is of a later one.
    pub fn behind(&self, now: Now, is_out: bool) -> Behind {
        let may_split = self.may_split(is_out);
        let mut behind = if may_split { Classes::NONE } else { self.batch.classes };
        self.passing(now, may_split, &mut behind);
        Behind(behind)
    }

    /// Moves to the ready lists what is due at `now` after the tick that is due first, as far as it need not wait for that. For
    /// whoever takes several slices to [gather](Self::gather) that tick or to release it. `behind` is what this partition says is
    /// [behind](Self::behind), and all others that share the order. Bounded by some thousand looks. Returns how many jobs it moved.
    pub fn release_past(&mut self, now: Now, Behind(mut behind): Behind, is_out: bool) -> usize {
        let may_split = self.may_split(is_out);
        let split = if may_split { self.split_batch(behind) } else { 0 };
        behind.add(self.batch.classes);
        let passing = self.passing(now, may_split, &mut behind);
        for Passing { entry, tick, .. } in &passing {
            let Some(index) = self.jobs.index_of(entry.slot) else { continue };
            let Some((queue, base)) = self.jobs.get(index).map(|job| (job.queue(), job.due().base())) else {
                continue;
            };
            self.unplace(index);
            self.come_in_time(entry.slot, queue, base, *tick);
        }
        split + passing.len()
    }

    /// Whether what is gathered is a later tick, whole and small, so that its jobs may go one by one.
    fn may_split(&self, is_out: bool) -> bool {
        is_out && self.collecting_since.is_none() && self.batch.len() <= GATHERED_MAX
    }

    /// Releases what is gathered, but for what is `behind`. Returns how many jobs that are.
    fn split_batch(&mut self, behind: Classes) -> usize {
        let (wall_tick, mono_tick) = (self.batch.wall_tick, self.batch.mono_tick);
        let entries: Vec<Entry> = std::iter::from_fn(|| self.batch.take_first(Priority::LAST)).collect();
        let mut released = 0;
        for entry in entries {
            let job = self.jobs.at(entry.slot).filter(|job| entry.is_of(job));
            let Some((queue, base)) = job.map(|job| (job.queue(), job.due().base())) else { continue };
            if behind.contains(queue.class()) {
                self.batch.has_wall |= base == TimeBase::Wall;
                self.batch.classes.add(queue.class());
                self.batch.gather(entry);
                continue;
            }
            let tick = if base == TimeBase::Wall { wall_tick } else { mono_tick };
            self.come_in_time(entry.slot, queue, base, tick);
            released += 1;
        }
        self.batch.end_slice();
        released
    }

    /// The jobs that go past, in order: on the wheels, after the first tick, or all that are due if `has_none` of that. Adds to
    /// `behind` what this partition knows to be.
    fn passing(&self, now: Now, has_none: bool, behind: &mut Classes) -> Vec<Passing> {
        let ticks = self.ticks(now);
        let is_held_due = self.held.first_key_value().is_some_and(|(&(due, _), _)| due <= now.wall);
        let first = if has_none {
            Some((0, 0))
        } else if self.batch.is_empty() {
            let age = self.oldest_age(ticks, now);
            age.map(|age| (ticks.wall.saturating_sub(age), ticks.mono.saturating_sub(age)))
        } else {
            Some((self.batch.wall_tick, self.batch.mono_tick))
        };
        // Held jobs come one by one, and so rarely that all may wait for them.
        if is_held_due {
            *behind = Classes::ALL;
        }
        let Some((wall, mono)) = first.filter(|_| !is_held_due) else { return Vec::new() };
        let (mut found, mut left) = (Vec::new(), LOOKS);
        for (wheel, first, until) in [(&self.wall, wall, ticks.wall), (&self.mono, mono, ticks.mono)] {
            // What lies in the wheel's present tick is due whatever the clock says, and comes in its turn.
            let first = first.max(wheel.now());
            wheel.look_past(&self.jobs, first..=until.max(first), behind, &mut left, &mut found);
        }
        let passing = found.into_iter().filter_map(|slot| {
            let job = self.jobs.at(slot).filter(|job| !behind.contains(job.queue().class()))?;
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
