//! From pending to ready: what is due comes off the wheels, tick by tick, in order, within a budget.
//!
//! Three sources hold pending jobs: the two wheels, and the jobs held since the wall clock was set back. They are
//! compared by age, the number of ticks that a tick of theirs lies behind now; the oldest goes first. A tick is
//! collected whole, in as many slices as the budget asks for, before the first of its jobs is released: only then is
//! it known which comes first.
//!
//! Jobs that were overdue at a restart are a fourth, apart from the others: they come last, with what is left of the
//! budget, so that they hold up nobody. See `overdue`.

use super::batch::Entry;
use super::{Job, MonoTime, Now, Partition, QueueId, State, Timestamp};
use crate::wheel::slab::Index;

/// When a partition next has something to do, on each clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wake {
    /// When the wall clock shows this. Never later than the earliest job; earlier when a wheel has to turn first.
    pub wall: Option<Timestamp>,
    /// When the monotonic clock shows this.
    pub mono: Option<MonoTime>,
}

impl Wake {
    /// The moment, by the monotonic clock, if nobody sets the wall clock until then.
    pub fn as_mono(&self, now: Now) -> Option<MonoTime> {
        let wall = self.wall.map(|wall| now.mono_at(wall));
        match (wall, self.mono) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Whether the moment has come.
    pub fn is_due(&self, now: Now) -> bool {
        self.wall.is_some_and(|wall| wall <= now.wall) || self.mono.is_some_and(|mono| mono <= now.mono)
    }
}

/// The current tick on both clocks.
#[derive(Clone, Copy)]
struct Ticks {
    wall: u64,
    mono: u64,
}

impl Partition {
    /// Moves what is due at `now` to the ready lists. `budget` bounds the work: a job that fires, one that moves down
    /// a level of a wheel and one that is released each count one. Returns whether nothing due is left, but for what was
    /// overdue at a restart and may not go yet; if not, call again, whenever convenient.
    pub fn advance(&mut self, now: Now, budget: usize) -> bool {
        let mut left = budget;
        let ticks = Ticks {
            wall: now.wall.ticks_floor(self.config.tick_us),
            // Should a caller read its clock before another that got here first, nothing is lost for it.
            mono: (now.mono.as_micros() / self.config.tick_us).max(self.mono.now()),
        };
        loop {
            // A tick whose release was cut short comes before anything else.
            if self.collecting_since.is_none() && !self.release(&mut left) {
                return false;
            }
            let age = self.oldest_age(ticks, now);
            match age {
                Some(_) if left == 0 => return false,
                Some(age) => {
                    let since = *self.collecting_since.get_or_insert(now);
                    if self.collect(age, ticks, now, since, &mut left) {
                        self.collecting_since = None;
                    }
                }
                // The rest of a tick that was cut short was cancelled meanwhile.
                None => self.collecting_since = None,
            }
            self.batch.end_slice();
            if self.collecting_since.is_some() {
                return false;
            }
            if age.is_none() && self.batch.is_empty() {
                break;
            }
        }
        // Nothing is due: bring the wheels up to now, across an empty stretch, so that near jobs land on low levels.
        let wall = self.wall.advance(ticks.wall, 0, |_| {});
        let mono = self.mono.advance(ticks.mono, 0, |_| {});
        debug_assert!(wall.done && mono.done, "nothing was due");
        self.release_overdue(now, &mut left)
    }

    /// Has the processor fetch the job that will be due first, by each of the clocks. Changes nothing.
    pub(crate) fn warm_next(&self) {
        for slot in [self.wall.next_value(), self.mono.next_value()].into_iter().flatten() {
            self.jobs.prefetch(*slot);
            if let Some(job) = self.jobs.at(*slot) {
                job.warm_counts();
            }
        }
    }

    /// When [`advance`](Self::advance) next has something to do. O(levels).
    pub fn next_wake(&self) -> Wake {
        if !self.batch.is_empty() {
            return Wake { wall: None, mono: Some(MonoTime::from_micros(0)) };
        }
        let tick_us = self.config.tick_us;
        let wheel = self.wall.next_deadline().map(|tick| {
            // What lies in the wheel's present tick is due whatever the wall clock says now.
            let is_past = tick <= self.wall.now();
            if is_past { Timestamp::from_micros(i64::MIN) } else { Timestamp::from_ticks(tick, tick_us) }
        });
        let held = self.held.first_key_value().map(|(&(due, _), _)| due.tick_start(tick_us));
        let mono = self.mono.next_deadline().map(|tick| MonoTime::from_micros(tick.saturating_mul(tick_us)));
        let overdue = self.overdue.as_ref().map(|overdue| overdue.next_release());
        Wake {
            wall: match (wheel, held) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
            mono: match (mono, overdue) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
        }
    }

    /// How many ticks ago the earliest source had something to do; `None` when nothing is due.
    fn oldest_age(&self, ticks: Ticks, now: Now) -> Option<u64> {
        let wall = self
            .wall
            .next_deadline()
            .filter(|&tick| tick <= ticks.wall.max(self.wall.now()))
            .map(|tick| ticks.wall.saturating_sub(tick));
        let mono = self.mono.next_deadline().filter(|&tick| tick <= ticks.mono).map(|tick| ticks.mono - tick);
        // Held jobs keep to the ticks as well: those of one tick must come in order.
        let held = self
            .held
            .first_key_value()
            .map(|(&(due, _), _)| (due, due.ticks_ceil(self.config.tick_us)))
            .filter(|&(due, tick)| due <= now.wall && tick <= ticks.wall)
            .map(|(_, tick)| ticks.wall - tick);
        // `None` is less than any age.
        wall.max(mono).max(held)
    }

    /// Takes everything of the tick `age` ticks ago off its source. All dues of a tick are told by the clocks as they stood
    /// at its first slice, `since`, so that those of one clock compare the same in every slice. Returns whether it got to the end.
    fn collect(&mut self, age: u64, ticks: Ticks, now: Now, since: Now, left: &mut usize) -> bool {
        let Partition { jobs, wall, mono, batch, held, .. } = self;
        let mut gather = |slot: u32| {
            let Some(index) = jobs.index_of(slot) else { return };
            let Some(job) = jobs.at_mut(slot) else { return };
            job.state = State::Collected;
            let due = job.due.as_told(since);
            batch.gather(Entry { priority: job.priority, due, id: job.id, index, version: job.version });
        };
        let progress = wall.advance(ticks.wall.saturating_sub(age), *left, |timer| gather(timer.value));
        *left -= progress.fired + progress.moved;
        if !progress.done {
            return false;
        }
        let progress = mono.advance(ticks.mono.saturating_sub(age), *left, |timer| gather(timer.value));
        *left -= progress.fired + progress.moved;
        if !progress.done {
            return false;
        }
        let horizon =
            Timestamp::from_ticks(ticks.wall.saturating_sub(age), self.config.tick_us).min(now.wall);
        while let Some(first) = held.first_entry()
            && first.key().0 <= horizon
        {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            gather(first.remove());
        }
        true
    }

    /// Moves the collected tick to the ready lists. Returns whether it got to the end.
    fn release(&mut self, left: &mut usize) -> bool {
        while !self.batch.is_empty() {
            if *left == 0 {
                return false;
            }
            *left -= 1;
            let Some(entry) = self.batch.take_first() else { break };
            // A job that was moved since may have been collected anew, for another place in the order.
            let is_same = |job: &&Job| job.state == State::Collected && job.version == entry.version;
            let collected = self.jobs.get(entry.index).filter(is_same);
            let Some(queue) = collected.map(|job| job.queue) else { continue };
            self.make_ready(entry.index, queue);
        }
        true
    }

    /// Appends a job, which is nowhere, to the ready list of its queue and priority.
    pub(super) fn make_ready(&mut self, index: Index, queue: QueueId) {
        if let Some(Some(ready)) = self.queues.get_mut(usize::from(queue.0)) {
            ready.push(&mut self.jobs, index.slot);
        }
        self.touch(queue);
    }
}
