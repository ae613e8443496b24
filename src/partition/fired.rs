//! The memory of fired jobs, bounded in count and in time, so that `AlreadyFired` can be told from `NotFound`.
//!
//! A fired job stays in the job table as a tombstone without its payload; this is the order in which they leave. What
//! is forgotten is decided by the records alone (each carries its time), so that replay forgets the same jobs.

use std::collections::VecDeque;

use super::job::State;
use super::{Partition, Payload, Timestamp};
use crate::wheel::slab::Index;

/// How many fired jobs are forgotten for one that comes. A burst of them grows old all at once, and no call may take
/// as long as forgetting it whole would.
const FORGET_MAX: usize = 16;

#[derive(Debug, Default)]
pub(super) struct FiredMemory {
    /// Oldest first, each with the instant at which its handler ended.
    order: VecDeque<(Index, Timestamp)>,
}

impl FiredMemory {
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn push(&mut self, index: Index, at: Timestamp) {
        self.order.push_back((index, at));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Index, Timestamp)> + '_ {
        self.order.iter().copied()
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
    /// Turns the job at `index` into a tombstone at `at`, and forgets those whose time has come.
    pub(super) fn entomb(&mut self, index: Index, at: Timestamp) {
        let Some(job) = self.jobs.get(index) else { return };
        let fired_at = match job.state {
            State::Running(since) => since,
            _ => at,
        };
        self.unplace(index);
        if let Some(job) = self.jobs.get_mut(index) {
            job.state = State::Fired(fired_at);
            job.payload = Payload::default();
        }
        self.fired.push(index, at);
        let oldest = at.saturating_sub_micros(self.config.fired_for_us);
        for _ in 0..FORGET_MAX {
            let Some(index) = self.fired.pop_excess(self.config.fired_max, oldest) else { break };
            let handle = self.handle(index);
            if let Some(job) = self.jobs.remove(index) {
                self.forgotten.push((job.key, handle));
            }
        }
    }
}
