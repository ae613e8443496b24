//! Occurrences of recurring jobs that do not run: each is counted, logged, and told to whoever wants to know.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;

use super::queue::Queue;
use crate::job::Passed;

/// How many jobs of a queue that nobody has claimed are told of when somebody does.
const UNTOLD_MAX: usize = 1024;

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
        if self.is_claimed() {
            return self.call(key, &passed);
        }
        let mut untold = self.untold_passed.lock();
        if untold.len() < UNTOLD_MAX {
            untold.push((key.into(), passed));
        }
    }

    /// Tells what a restart has found before anybody had claimed the queue.
    pub(super) fn tell_untold(&self) {
        let untold = std::mem::take(&mut *self.untold_passed.lock());
        untold.iter().for_each(|(key, passed)| self.call(key, passed));
    }

    fn call(&self, key: &str, passed: &Passed) {
        if let Some(told) = &self.policy().on_passed_over
            && catch_unwind(AssertUnwindSafe(|| told(key, passed))).is_err()
        {
            tracing::error!(key, "what was to be told of occurrences that were passed over panicked");
        }
    }
}
