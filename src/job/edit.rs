//! What is to be changed of a pending job.

use super::{Payload, Priority, QueueName, Tags};

/// What is to be changed of a pending job, for [`Engine::edit`](crate::Engine::edit). What is not said stays.
///
/// ```
/// use reveille::{Edit, Priority};
///
/// let edit = Edit::payload("500 seats").and_priority(Priority::FIRST);
/// # let _ = edit;
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Edit {
    /// What its handler gets.
    pub payload: Option<Payload>,
    /// Its place among the jobs of one tick.
    pub priority: Option<Priority>,
    /// The name of its queue.
    pub queue: Option<QueueName>,
    /// All its tags, in place of those that it has.
    pub tags: Option<Tags>,
}

impl Edit {
    /// Another payload.
    pub fn payload(payload: impl Into<Payload>) -> Self {
        Edit { payload: Some(payload.into()), ..Edit::default() }
    }

    /// Another priority.
    pub fn priority(priority: Priority) -> Self {
        Edit { priority: Some(priority), ..Edit::default() }
    }

    /// Another queue.
    pub fn queue(queue: QueueName) -> Self {
        Edit { queue: Some(queue), ..Edit::default() }
    }

    /// Other tags: these, in place of all that it has.
    pub fn tags(tags: Tags) -> Self {
        Edit { tags: Some(tags), ..Edit::default() }
    }

    /// This, and another payload.
    #[must_use]
    pub fn and_payload(mut self, payload: impl Into<Payload>) -> Self {
        self.payload = Some(payload.into());
        self
    }

    /// This, and another priority.
    #[must_use]
    pub fn and_priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// This, and another queue.
    #[must_use]
    pub fn and_queue(mut self, queue: QueueName) -> Self {
        self.queue = Some(queue);
        self
    }

    /// This, and other tags.
    #[must_use]
    pub fn and_tags(mut self, tags: Tags) -> Self {
        self.tags = Some(tags);
        self
    }

    /// About how many bytes it takes in a log.
    pub(crate) fn weight(&self) -> usize {
        let payload = self.payload.as_ref().map_or(0, Payload::len);
        let queue = self.queue.as_ref().map_or(0, |queue| queue.as_str().len());
        payload + queue + self.tags.as_ref().map_or(0, Tags::bytes)
    }
}
