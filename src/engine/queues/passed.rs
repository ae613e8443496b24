//! Occurrences of recurring jobs that do not run: each is counted, logged, and told to whoever wants to know.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;

use super::queue::Queue;
use crate::job::Passed;

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
        if let Some(told) = &self.policy().on_passed_over
            && catch_unwind(AssertUnwindSafe(|| told(key, &passed))).is_err()
        {
            tracing::error!(key, "what was to be told of occurrences that were passed over panicked");
        }
    }
}
