//! The memory of fired jobs, bounded in count and in time, so that `AlreadyFired` can be told from `NotFound`.
//!
//! A fired job stays in the job table as a tombstone without its payload; this is the order in which they leave. What
//! is forgotten is decided by the records alone (each carries its time), so that replay forgets the same jobs.
//!
//! Ends have one order, by time: each is recorded as later than the one before it ([`Partition::end_at`]), even where
//! the wall clock was set back. So tombstones can be read in any order, as they are for a snapshot, and be put in order
//! again by what each of them says of itself. The price: what ends while the wall repeats a time is remembered as if it
//! had ended after it, and so for longer.
//!
//! Invariant: what is forgotten ended before all that is not.

use std::collections::VecDeque;

use super::job::State;
use super::table::Job;
use super::{End, FiredImage, Key, Now, Partition, Timestamp};
use crate::slab::Index;

/// How many fired jobs are forgotten for one that comes. A burst of them grows old all at once, and no call may take
/// as long as forgetting it whole would.
const FORGET_MAX: usize = 16;

/// How far ahead of its end a tombstone is fetched.
const TOMBSTONES_AHEAD: usize = 16;

#[derive(Debug, Default)]
pub(super) struct FiredMemory {
    /// Oldest first, each with the instant at which its handler ended.
    order: VecDeque<(Index, Timestamp)>,
    /// From an image: those that ended after all that replay has come to so far. In the same order; empty once replay
    /// has ended.
    ahead: VecDeque<(Index, Timestamp)>,
}

impl FiredMemory {
    pub(super) fn len(&self) -> usize {
        self.order.len() + self.ahead.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Index, Timestamp)> + '_ {
        self.order.iter().chain(&self.ahead).copied()
    }

    /// Adds those of an image, in any order. They count towards the bounds once replay has come to their ends: a fuzzy
    /// image shows some that ended later than records which are yet to be replayed.
    pub(super) fn load(&mut self, ended: impl IntoIterator<Item = (Index, Timestamp)>) {
        self.ahead.extend(ended);
        // Slots say nothing of the order in which jobs have ended; no two have ended at one instant.
        self.ahead.make_contiguous().sort_by_key(|&(_, ended)| ended);
    }

    /// Comes to the ends of an image up to `at`.
    pub(super) fn reach(&mut self, at: Timestamp) {
        // As it is once replay has ended.
        if self.ahead.is_empty() {
            return;
        }
        let reached = self.ahead.partition_point(|&(_, ended)| ended <= at);
        self.order.extend(self.ahead.drain(..reached));
        if self.ahead.is_empty() {
            self.ahead = VecDeque::new();
        }
    }

    fn push(&mut self, index: Index, at: Timestamp) {
        self.order.push_back((index, at));
    }

    fn newest(&self) -> Option<Timestamp> {
        self.ahead.back().or(self.order.back()).map(|&(_, ended)| ended)
    }

    /// The one that is forgotten `later` ones after the oldest.
    fn ahead(&self, later: usize) -> Option<Index> {
        self.order.get(later).map(|&(index, _)| index)
    }

    /// Takes the oldest, if there are more than `max` or it ended before `oldest`.
    fn pop_excess(&mut self, max: usize, oldest: Timestamp) -> Option<Index> {
        let &(index, ended) = self.order.front()?;
        if self.order.len() <= max && ended >= oldest {
            return None;
        }
        self.order.pop_front();
        // Give memory back once most of it is idle.
        if self.order.capacity() > 1024 && self.order.len() < self.order.capacity() / 4 {
            self.order.shrink_to(self.order.len() * 2);
        }
        Some(index)
    }
}

impl Partition {
    /// The instant to record for a handler that ends now.
    pub(super) fn end_at(&self, now: Now) -> Timestamp {
        self.fired.newest().map_or(now.wall, |newest| now.wall.max(newest.saturating_add_micros(1)))
    }

    /// Turns the job at `index`, whose handler has ended so, into a tombstone at `at`, and forgets those whose time has come.
    pub(super) fn entomb(&mut self, index: Index, at: Timestamp, end: End) {
        let Some(job) = self.jobs.get(index) else { return };
        let fired_at = match job.state() {
            State::Running(since) => since,
            _ => at,
        };
        self.priorities.remove(job.priority());
        self.unplace(index);
        self.jobs.entomb(index, fired_at, at, end);
        self.fired.reach(at);
        self.fired.push(index, at);
        self.forget_until(at);
    }

    /// Forgets those whose time has come with an end at `at`.
    pub(super) fn forget_until(&mut self, at: Timestamp) {
        let oldest = at.saturating_sub_micros(self.config.fired_for_us);
        self.forget(FORGET_MAX, oldest);
    }

    /// The key of a tombstone that will be forgotten soon: what is needed to forget it in an index can be fetched meanwhile.
    pub(crate) fn soon_forgotten(&self) -> Option<&str> {
        let ahead = self.fired.ahead(TOMBSTONES_AHEAD / 2)?;
        self.jobs.get(ahead).map(|job| job.key())
    }

    /// Ends a replay: comes to all that an image has, and forgets as many as are too many, at once.
    pub(super) fn settle_fired(&mut self) {
        self.fired.reach(Timestamp::MAX);
        self.forget(usize::MAX, Timestamp::from_micros(i64::MIN));
    }

    fn forget(&mut self, at_most: usize, oldest: Timestamp) {
        for _ in 0..at_most {
            let Some(index) = self.fired.pop_excess(self.config.fired_max, oldest) else { break };
            if let Some(ahead) = self.fired.ahead(TOMBSTONES_AHEAD) {
                self.jobs.prefetch(ahead.slot);
            }
            let handle = self.handle(index);
            if let Some(job) = self.jobs.get(index) {
                self.forgotten.push((Key::known(job.key()), handle));
                self.jobs.remove(index);
            }
        }
    }
}

impl Job<'_> {
    /// What an image says of a tombstone; `None` if it is none.
    pub(super) fn fired_image(&self) -> Option<FiredImage> {
        let State::Fired(fired_at, end) = self.state() else { return None };
        let ended_at = self.recorded_due().wall;
        Some(FiredImage { id: self.id(), key: Key::known(self.key()), fired_at, ended_at, end })
    }
}
