//! By how much something is moved in time.

use std::time::Duration;

/// By how much a job is moved from where it is.
///
/// ```
/// # use std::time::Duration;
/// use reveille::Shift;
///
/// assert_eq!(Shift::from(Duration::from_secs(60)), Shift::Later(Duration::from_secs(60)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shift {
    /// It is due so much later.
    Later(Duration),
    /// It is due so much earlier. What is due by then fires at once.
    Earlier(Duration),
}

impl Shift {
    /// In microseconds. What is finer is rounded so that nothing is due earlier than was said.
    pub(crate) fn as_micros(self) -> i128 {
        let us = |length: Duration| length.as_nanos().div_ceil(1_000) as i128;
        match self {
            Shift::Later(length) => us(length),
            Shift::Earlier(length) => -((length.as_nanos() / 1_000) as i128),
        }
    }
}

impl From<Duration> for Shift {
    fn from(length: Duration) -> Self {
        Shift::Later(length)
    }
}
