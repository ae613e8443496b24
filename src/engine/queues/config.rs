//! What a user says of a queue.

use std::time::Duration;

/// The name and the limits of a queue.
///
/// ```
/// use reveille::QueueConfig;
///
/// let mails = QueueConfig::new("mails").concurrency(4).paused();
/// ```
#[derive(Clone, Debug)]
pub struct QueueConfig {
    pub(super) name: String,
    pub(super) concurrency: usize,
    pub(super) is_paused: bool,
    pub(super) misfire: Misfire,
}

/// What happens to a queue's jobs that came due while no engine ran: between the end of one and the restore of the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Misfire {
    /// They fire now, late.
    #[default]
    FireNow,
    /// Jobs that are overdue by more than this never fire: they are skipped, recorded, counted and logged. For jobs that are
    /// useless when late.
    SkipAfter(Duration),
}

impl QueueConfig {
    /// A queue that runs up to 128 jobs at a time.
    pub fn new(name: impl Into<String>) -> Self {
        QueueConfig { name: name.into(), concurrency: 128, is_paused: false, misfire: Misfire::FireNow }
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// How many of its jobs may run at a time. Inline handlers always run one at a time.
    ///
    /// With 1 they begin in exactly the order that [`Priority`](crate::Priority) describes; with more, neighbours may change
    /// places.
    #[must_use]
    pub fn concurrency(mut self, jobs: usize) -> Self {
        self.concurrency = jobs;
        self
    }

    /// What happens to jobs that a restart finds overdue. By default they fire.
    #[must_use]
    pub fn misfire(mut self, misfire: Misfire) -> Self {
        self.misfire = misfire;
        self
    }

    /// Starts paused: jobs become due and wait until [`Engine::resume`](crate::Engine::resume).
    #[must_use]
    pub fn paused(mut self) -> Self {
        self.is_paused = true;
        self
    }
}

impl From<&str> for QueueConfig {
    fn from(name: &str) -> Self {
        QueueConfig::new(name)
    }
}

impl From<String> for QueueConfig {
    fn from(name: String) -> Self {
        QueueConfig::new(name)
    }
}
