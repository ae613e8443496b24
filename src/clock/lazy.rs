//! The time for one call, read when it is first asked for.

use super::Clock;
use crate::partition::{Now, NowSource};

/// What the clocks show, read at most once: most calls get by without. A reading takes as long as a fifth of a call, and
/// the processor does not begin the next call before it has ended.
pub(crate) struct LazyNow<'a> {
    clock: &'a Clock,
    read: Option<Now>,
}

impl<'a> LazyNow<'a> {
    /// Nothing is read yet.
    #[inline]
    pub(crate) fn new(clock: &'a Clock) -> Self {
        LazyNow { clock, read: None }
    }

    /// What was read already, if anything was.
    #[inline]
    pub(crate) fn with(clock: &'a Clock, read: Option<Now>) -> Self {
        LazyNow { clock, read }
    }

    #[cold]
    #[inline(never)]
    fn read(&mut self) -> Now {
        *self.read.insert(self.clock.now())
    }
}

impl NowSource for LazyNow<'_> {
    #[inline]
    fn now(&mut self) -> Now {
        match self.read {
            Some(now) => now,
            None => self.read(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;
    use crate::partition::Timestamp;

    #[test]
    fn a_call_has_one_time_and_it_is_that_of_the_first_question() {
        let manual = Arc::new(ManualClock::new(Timestamp::from_micros(7)));
        let clock = Clock::from(Arc::clone(&manual));
        let mut call = LazyNow::new(&clock);
        manual.advance(Duration::from_secs(1));
        let first = manual.now();
        assert_eq!(call.now(), first);
        manual.advance(Duration::from_secs(1));
        assert_eq!(call.now(), first);
        assert_eq!(LazyNow::with(&clock, Some(first)).now(), first);
        assert_ne!(LazyNow::with(&clock, None).now(), first);
    }
}
