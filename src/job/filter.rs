//! Which jobs a reader wants to see.

use super::JobState;
use crate::time::Timestamp;

/// Which jobs a reader wants to see. The default: all that are to fire.
///
/// ```
/// use reveille::{JobFilter, JobState};
///
/// let late_mails = JobFilter::default().queue("mails").states([JobState::Ready]);
/// let of_an_order = JobFilter::default().key_prefix("order:42:");
/// let of_a_tenant = JobFilter::default().tag("tenant:7");
/// let of_2026: JobFilter = JobFilter::default().due_to("2027-01-01T00:00:00Z".parse::<reveille::Timestamp>()?);
/// # let _ = (late_mails, of_an_order, of_a_tenant, of_2026);
/// # Ok::<(), reveille::InvalidTimestamp>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JobFilter {
    pub(crate) queue: Option<String>,
    pub(crate) key_prefix: String,
    pub(crate) tag: Option<String>,
    pub(crate) due_from: Option<Timestamp>,
    pub(crate) due_to: Option<Timestamp>,
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

    /// Only jobs that are due then or later. Of a fired job it is not remembered when it was due, so none matches.
    #[must_use]
    pub fn due_from(mut self, instant: impl Into<Timestamp>) -> Self {
        self.due_from = Some(instant.into());
        self
    }

    /// Only jobs that are due before that. Of a fired job it is not remembered when it was due, so none matches.
    #[must_use]
    pub fn due_to(mut self, instant: impl Into<Timestamp>) -> Self {
        self.due_to = Some(instant.into());
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

    /// Whether it matters when a job is due.
    pub(crate) fn is_by_due(&self) -> bool {
        self.due_from.is_some() || self.due_to.is_some()
    }

    pub(crate) fn has_due(&self, due: Timestamp) -> bool {
        self.due_from.is_none_or(|from| from <= due) && self.due_to.is_none_or(|to| due < to)
    }
}

impl Default for JobFilter {
    fn default() -> Self {
        use JobState::{Paused, Pending, Ready, Retrying, Running};
        let all = JobFilter {
            queue: None,
            key_prefix: String::new(),
            tag: None,
            due_from: None,
            due_to: None,
            states: 0,
        };
        all.states([Pending, Retrying, Ready, Running, Paused])
    }
}
