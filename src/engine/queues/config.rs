//! What a user says of a queue.

use std::sync::Arc;
use std::time::Duration;

use super::layers::Layers;
use super::policy::{FailedAttempt, Policy};
use super::pool::Place;
use super::rate::Rate;
use crate::engine::error::QueueError;
use crate::job::{AttemptError, DeathReason, JobView, Passed, Retry};

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
    pub(super) never_starts: bool,
    pub(super) misfire: Misfire,
    pub(super) policy: Policy,
    pub(super) rate: Option<Rate>,
    /// Where it stands in a pool, if that was said.
    pub(super) place: Option<Place>,
    pub(super) layers: Layers,
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
        QueueConfig {
            name: name.into(),
            concurrency: 128,
            is_paused: false,
            never_starts: false,
            misfire: Misfire::FireNow,
            policy: Policy::default(),
            rate: None,
            place: None,
            layers: Layers::default(),
        }
    }

    /// Its handler is not async.
    pub(crate) fn not_async(mut self) -> Self {
        self.layers.leave_idle();
        self
    }

    /// What is to go around its handler.
    pub(crate) fn layers(&self) -> &Layers {
        &self.layers
    }

    #[cfg(feature = "tower")]
    pub(crate) fn layers_mut(&mut self) -> &mut Layers {
        &mut self.layers
    }

    pub(crate) fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// What a task says of itself, where the queue says nothing.
    pub(crate) fn unless_said(mut self, retry: Option<Retry>, timeout: Option<Duration>) -> Self {
        let Policy { retry: own, backoff, timeout: own_timeout, .. } = &mut self.policy;
        if own.is_none() && backoff.is_none() {
            *own = retry;
        }
        *own_timeout = own_timeout.or(timeout);
        self
    }

    /// How many of its jobs may run at a time. Inline handlers always run one at a time.
    ///
    /// It can be changed while the engine runs, until that ends: [`Engine::set_concurrency`](crate::Engine::set_concurrency).
    ///
    /// With 1 they begin in exactly the order that [`Priority`](crate::Priority) describes; with more, neighbours may change
    /// places.
    #[must_use]
    pub fn concurrency(mut self, jobs: usize) -> Self {
        self.concurrency = jobs;
        self
    }

    /// How many of its jobs may start in a time. Those that are due and may not start yet wait, in order; other queues do not notice.
    /// It can be changed while the engine runs, until that ends: [`Engine::set_rate`](crate::Engine::set_rate).
    ///
    /// How much of it is used is not kept: after a restart a queue begins with its whole burst, and so does one whose rate is changed.
    #[must_use]
    pub fn rate(mut self, rate: Rate) -> Self {
        self.rate = Some(rate);
        self
    }

    /// How many jobs it starts for one of a queue of weight 1, while both have jobs that could start, out of a
    /// [pool](crate::Builder::pool): 1 by default. What a queue does not use goes to the others, and it has no claim to it later.
    ///
    /// It counts among queues of the same [precedence](Self::precedence), and starts, not time: a queue with handlers that take longer
    /// has a larger share of the pool.
    #[must_use]
    pub fn weight(mut self, weight: u16) -> Self {
        self.place.get_or_insert_default().weight = weight;
        self
    }

    /// Whether its jobs go before those of other queues out of a [pool](crate::Builder::pool): while one of a queue of a higher
    /// precedence could start, none of a lower one does. 0 by default, -1 for what can wait.
    ///
    /// A queue that always has jobs starves those below it. Give it a [`concurrency`](Self::concurrency) below that of the pool, or
    /// a [`weight`](Self::weight) in place of a precedence.
    #[must_use]
    pub fn precedence(mut self, precedence: i8) -> Self {
        self.place.get_or_insert_default().precedence = precedence;
        self
    }

    /// Whether what it says of its place among others means something: it is in a pool or not.
    pub(crate) fn check_place(&self, is_in_pool: bool) -> Result<(), QueueError> {
        match self.place {
            Some(Place { weight: 0, .. }) => Err(QueueError::NoWeight { name: self.name.clone() }),
            Some(_) if !is_in_pool => Err(QueueError::NoPool { name: self.name.clone() }),
            _ => Ok(()),
        }
    }

    /// What happens to jobs that a restart finds overdue. By default they fire.
    #[must_use]
    pub fn misfire(mut self, misfire: Misfire) -> Self {
        self.misfire = misfire;
        self
    }

    /// How often, and when, a job that failed is tried again, unless the job says so itself. By default it is not, and its end is
    /// remembered as that of any other; with a policy, one that has failed as often as it may is kept as
    /// [dead](crate::JobState::Dead).
    ///
    /// ```
    /// use reveille::{QueueConfig, Retry};
    /// use std::time::Duration;
    ///
    /// let mails = QueueConfig::new("mails").retry(Retry::attempts(5).exponential(Duration::from_secs(2)));
    /// ```
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.policy.retry = Some(retry);
        self
    }

    /// Whether no job waits by its policy for longer than any may.
    pub(crate) fn check(&self, horizon: Duration) -> Result<(), QueueError> {
        match self.policy.retry {
            Some(retry) if retry.longest_wait() > horizon => {
                Err(QueueError::WaitPastHorizon { name: self.name.clone(), horizon })
            }
            _ => Ok(()),
        }
    }

    /// Like [`retry`](Self::retry), by a function: of how often the job has failed, this time included, and of the error. It says how
    /// long the job waits, or `None` for not trying it again. The function runs where the handler ended. If it panics the job
    /// is not tried again.
    #[must_use]
    pub fn retry_with(
        mut self,
        backoff: impl Fn(u16, &AttemptError) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.policy.backoff = Some(Arc::new(backoff));
        self
    }

    /// How long an attempt may take, unless the job says so itself. An async handler that takes longer is dropped, and its attempt
    /// has failed. An inline or a blocking one cannot be: it hears of it by [`Job::cancellation`](crate::Job::cancellation).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.policy.timeout = Some(timeout);
        self
    }

    /// Is told of each attempt at a job of the queue that failed, after the engine has decided what comes next, where the handler
    /// ended: it must be quick.
    #[must_use]
    pub fn on_failure(mut self, told: impl Fn(&FailedAttempt) + Send + Sync + 'static) -> Self {
        self.policy.on_failure = Some(Arc::new(told));
        self
    }

    /// Is told of each job of the queue that dies, where that happens: it must be quick. For an alarm, or a place of one's own for the
    /// dead.
    #[must_use]
    pub fn on_death(mut self, told: impl Fn(&JobView, DeathReason) + Send + Sync + 'static) -> Self {
        self.policy.on_death = Some(Arc::new(told));
        self
    }

    /// Is told of each job of the queue that its handler discards ([`JobResult::Discarded`](crate::JobResult::Discarded)), as it is then, and
    /// of the reason, where the handler ended: it must be quick. If the job recurs, only this run of it is over.
    #[must_use]
    pub fn on_discard(mut self, told: impl Fn(&JobView, &str) + Send + Sync + 'static) -> Self {
        self.policy.on_discard = Some(Arc::new(told));
        self
    }

    /// Is told of occurrences of recurring jobs that did not run, by the job's key, where that is found out: it must be quick. Those
    /// that a restart finds are told before the first job fires.
    #[must_use]
    pub fn on_passed_over(mut self, told: impl Fn(&str, &Passed) + Send + Sync + 'static) -> Self {
        self.policy.on_passed_over = Some(Arc::new(told));
        self
    }

    /// Is paused to begin with: jobs become due and wait until [`Engine::resume`](crate::Engine::resume).
    ///
    /// This counts for a queue that was never paused nor resumed by a call. What a call has said last stands in the store: a queue that
    /// was resumed once is not paused again by this, whatever release starts next.
    #[must_use]
    pub fn paused(mut self) -> Self {
        self.is_paused = true;
        self
    }

    /// Its jobs never start in this process, whatever calls say, or have said, of pauses: for a program that only brings jobs in, and leaves
    /// them to the next engine. Another setting than [`paused`](Self::paused), which a call that has resumed the queue stands against.
    #[must_use]
    pub fn never_starts(mut self) -> Self {
        self.never_starts = true;
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
