//! Which jobs a reader wants to see.

use super::JobState;

/// Which jobs a reader wants to see. The default: all that are to fire.
///
/// ```
/// use reveille::{JobFilter, JobState};
///
/// let late_mails = JobFilter::default().queue("mails").states([JobState::Ready]);
/// let of_an_order = JobFilter::default().key_prefix("order:42:");
/// let of_a_tenant = JobFilter::default().tag("tenant:7");
/// # let _ = (late_mails, of_an_order, of_a_tenant);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobFilter {
    pub(crate) queue: Option<String>,
    pub(crate) key_prefix: String,
    pub(crate) tag: Option<String>,
    states: u8,
}

impl JobFilter {
    /// Only jobs of this queue. A fired job is of none: its queue is not remembered.
    #[must_use]
    pub fn queue(mut self, name: impl Into<String>) -> Self {
        self.queue = Some(name.into());
        self
    }

    /// Only jobs whose key begins so.
    #[must_use]
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.key_prefix = prefix.into();
        self
    }

    /// Only jobs that have this tag: they are found without a look at any other. A fired job has none: its tags are not remembered.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// Only jobs in one of these states.
    #[must_use]
    pub fn states(mut self, states: impl IntoIterator<Item = JobState>) -> Self {
        self.states = states.into_iter().fold(0, |bits, state| bits | state.bit());
        self
    }

    pub(crate) fn has_state(&self, state: JobState) -> bool {
        self.states & state.bit() != 0
    }
}

impl Default for JobFilter {
    fn default() -> Self {
        use JobState::{Paused, Pending, Ready, Retrying, Running};
        let all = JobFilter { queue: None, key_prefix: String::new(), tag: None, states: 0 };
        all.states([Pending, Retrying, Ready, Running, Paused])
    }
}
