//! What becomes of jobs without a call and without a handler that ends well: occurrences that do not run, and deaths. Each is counted,
//! logged, and told to whoever wants to know.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;

use super::queue::Queue;
use crate::job::{JobView, Passed};

/// How much is kept, by queue, for whoever claims it.
const UNTOLD_MAX: usize = 1024;

/// Something to be told.
pub(super) enum Untold {
    /// Occurrences of the job of this key were passed over.
    Passed(Box<str>, Passed),
    Died(Box<JobView>),
}

impl Queue {
    /// Says that occurrences of the job of this key were passed over.
    pub(crate) fn tell_passed(&self, key: &str, passed: Passed) {
        let Passed { count, reason, first, last } = passed;
        self.share(0).passed.fetch_add(count, Relaxed);
        tracing::info!(
            key,
            queue = self.name.as_str(),
            count,
            reason = reason.name(),
            %first,
            %last,
            "occurrences of a recurring job were passed over"
        );
        self.tell(Untold::Passed(key.into(), passed));
    }

    /// A job has died, and will be [told](Self::tell_died).
    pub(crate) fn count_death(&self) {
        self.share(0).died.fetch_add(1, Relaxed);
    }

    /// Says that a job has died.
    pub(crate) fn tell_died(&self, job: JobView) {
        let history = job.history.as_ref();
        let error = history.and_then(|history| history.last_error());
        tracing::error!(
            key = job.key.as_str(),
            queue = self.name.as_str(),
            attempts = job.attempt,
            id = %job.id,
            reason = ?history.and_then(|history| history.death).map(|death| death.reason),
            error = error.map(|error| &*error.message),
            "a job is dead: it is kept, and can be revived"
        );
        self.tell(Untold::Died(Box::new(job)));
    }

    /// Says that a handler has discarded a job that it looked at; `find` looks it up.
    pub(crate) fn tell_discarded(&self, reason: &str, find: impl FnOnce() -> Option<JobView>) {
        if let Some(told) = &self.policy().on_discard
            && let Some(job) = find()
            && catch_unwind(AssertUnwindSafe(|| told(&job, reason))).is_err()
        {
            tracing::error!(key = job.key.as_str(), "what was to be told of a job panicked");
        }
    }

    /// Tells what a restart has found before anybody had claimed the queue.
    pub(super) fn tell_untold(&self) {
        let untold = std::mem::take(&mut *self.untold.lock());
        untold.iter().for_each(|untold| self.call(untold));
    }

    fn tell(&self, what: Untold) {
        if self.is_claimed() {
            return self.call(&what);
        }
        let mut untold = self.untold.lock();
        if untold.len() < UNTOLD_MAX {
            untold.push(what);
        }
    }

    fn call(&self, what: &Untold) {
        let policy = self.policy();
        let (key, is_told) = match what {
            Untold::Passed(key, passed) => {
                let told = policy.on_passed_over.as_ref();
                (&**key, told.map(|told| catch_unwind(AssertUnwindSafe(|| told(key, passed)))))
            }
            Untold::Died(job) => {
                let death = job.history.as_ref().and_then(|history| history.death);
                let told = policy.on_death.as_ref().zip(death);
                let told =
                    told.map(|(told, death)| catch_unwind(AssertUnwindSafe(|| told(job, death.reason))));
                (job.key.as_str(), told)
            }
        };
        if let Some(Err(_)) = is_told {
            tracing::error!(key, "what was to be told of a job panicked");
        }
    }
}
