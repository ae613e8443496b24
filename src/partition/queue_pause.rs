//! Which queues are paused, as calls have said.
//!
//! # Rules
//! - The partition keeps what was said and does nothing about it: that a paused queue starts nothing is the engine's affair, which
//!   also picks the partition, by the queue's name.
//! - What was said last is kept for good, a resume too: it stands against what the configuration of a queue says by default.
//! - No more queues than an engine can have are kept.

use super::{Partition, QUEUES_MAX, QueueName, Record, Timestamp, Version};

/// What was last said of a queue: that it is paused, or that it goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueuePause {
    /// The queue.
    pub queue: QueueName,
    /// Whether it is paused.
    pub is_paused: bool,
    /// When that was said.
    pub at: Timestamp,
    /// 1 for the first time, and 1 more for every change.
    pub version: Version,
}

impl Partition {
    /// What was last said of a queue, if something was.
    pub fn pause_of(&self, queue: &QueueName) -> Option<&QueuePause> {
        self.pauses.get(queue)
    }

    /// What was said of queues, in the order of their names.
    pub fn pauses(&self) -> impl Iterator<Item = &QueuePause> {
        self.pauses.values()
    }

    /// Says that a queue is paused, or goes on. Returns `false`, and says nothing, if that would be one queue too many.
    #[must_use = "nothing may have been said"]
    pub fn set_paused(&mut self, queue: &QueueName, is_paused: bool, at: Timestamp) -> bool {
        let version = match self.pauses.get(queue) {
            Some(said) => said.version.next(),
            None if self.pauses.len() >= QUEUES_MAX => return false,
            None => Version::FIRST,
        };
        let pause = QueuePause { queue: queue.clone(), is_paused, at, version };
        self.keep_pause(&pause);
        self.note(|| Record::PauseSet(pause));
        true
    }

    /// The change of [`Record::PauseSet`].
    pub(super) fn keep_pause(&mut self, pause: &QueuePause) {
        self.pauses.insert(pause.queue.clone(), pause.clone());
    }
}
