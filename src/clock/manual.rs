//! A clock for tests, moved by hand.

use std::sync::Weak;
use std::time::Duration;

use parking_lot::Mutex;

use super::{ORIGIN_US, Waker};
use crate::partition::{MonoTime, Now, Timestamp};

/// A clock that stands still until it is moved. Every move wakes all who wait on it.
///
/// The wall and the monotonic clock can be moved together, as time does, or the wall alone, as an administrator does.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<Now>,
    sleepers: Mutex<Vec<Weak<Waker>>>,
}

impl ManualClock {
    /// A clock whose wall shows `wall`.
    pub fn new(wall: impl Into<Timestamp>) -> Self {
        let now = Now { wall: wall.into(), mono: MonoTime::from_micros(ORIGIN_US) };
        ManualClock { now: Mutex::new(now), sleepers: Mutex::default() }
    }

    /// What both clocks show.
    pub fn now(&self) -> Now {
        *self.now.lock()
    }

    /// Lets `time` pass on both clocks.
    pub fn advance(&self, time: Duration) {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.change(|now| Now {
            wall: now.wall.saturating_add_micros(us),
            mono: now.mono.saturating_add_micros(us),
        });
    }

    /// Sets the wall clock, forward or back. No time passes.
    pub fn set_wall(&self, wall: impl Into<Timestamp>) {
        let wall = wall.into();
        self.change(|now| Now { wall, ..now });
    }

    fn change(&self, to: impl FnOnce(Now) -> Now) {
        {
            let mut now = self.now.lock();
            *now = to(*now);
        }
        self.sleepers.lock().retain(|sleeper| sleeper.upgrade().inspect(|waker| waker.wake()).is_some());
    }

    /// Has every move wake `waker` from now on, for as long as its owner keeps it.
    pub(super) fn register(&self, waker: Weak<Waker>) {
        self.sleepers.lock().push(waker);
    }
}
