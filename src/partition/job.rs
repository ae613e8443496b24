//! Where a job stands, and when it is due by both clocks.

use super::rank::Rank;
use super::ready::Place;
use super::{End, MonoTime, Now, Priority, TimeBase, Timestamp};
use crate::wheel;

/// Both readings of a due time; the base says which one the job obeys, the other is an estimate.
///
/// Packed, so that the base takes one byte of a job and not eight.
#[derive(Clone, Copy, Debug)]
#[repr(Rust, packed(4))]
pub(super) struct JobDue {
    pub(super) wall: Timestamp,
    pub(super) mono: MonoTime,
    pub(super) base: TimeBase,
}

impl JobDue {
    /// Where a job of this due time stands as one of `tick`.
    #[inline]
    pub(super) fn rank(&self, priority: Priority, tick: u64, tick_us: u64) -> Rank {
        let JobDue { wall, mono, base } = *self;
        let before_us = match base {
            TimeBase::Wall => Timestamp::from_ticks(tick, tick_us).micros_since(wall),
            TimeBase::Mono => tick.saturating_mul(tick_us).saturating_sub(mono.as_micros()),
        };
        Rank::new(base, tick, priority, before_us)
    }

    /// The tick in which a job fires that is scheduled in time, by the clock of its base.
    pub(super) fn tick(&self, tick_us: u64) -> u64 {
        let JobDue { wall, mono, base } = *self;
        match base {
            TimeBase::Wall => wall.ticks_ceil(tick_us),
            TimeBase::Mono => mono.as_micros().div_ceil(tick_us),
        }
    }

    pub(super) fn is_reached(&self, now: Now) -> bool {
        let JobDue { wall, mono, base } = *self;
        match base {
            TimeBase::Wall => wall <= now.wall,
            TimeBase::Mono => mono <= now.mono,
        }
    }

    /// How many ticks ago the one was in which the job fires; `None` while that is ahead.
    pub(super) fn ticks_ago(&self, now: Now, tick_us: u64) -> Option<u64> {
        // Before the epoch there are no ticks, and the instant alone decides.
        if !self.is_reached(now) {
            return None;
        }
        let JobDue { wall, mono, base } = *self;
        let (tick, current) = match base {
            TimeBase::Wall => (wall.ticks_ceil(tick_us), now.wall.ticks_floor(tick_us)),
            TimeBase::Mono => (mono.as_micros().div_ceil(tick_us), now.mono.as_micros() / tick_us),
        };
        current.checked_sub(tick)
    }

    /// What is kept where the due time was, once the job has fired: when its handler ended.
    pub(super) fn ended(at: Timestamp) -> Self {
        JobDue { wall: at, mono: MonoTime::default(), base: TimeBase::Wall }
    }

    pub(super) fn lateness_us(&self, now: Now) -> u64 {
        match self.base {
            TimeBase::Wall => now.wall.micros_since(self.wall),
            TimeBase::Mono => now.mono.micros_since(self.mono),
        }
    }

    /// The due time as the wall clock stands now: what a person is told.
    pub(super) fn as_told(&self, now: Now) -> Timestamp {
        match self.base {
            TimeBase::Wall => self.wall,
            TimeBase::Mono => now.wall_at(self.mono),
        }
    }
}

/// Where a job stands. The order below is the way it goes; cancel takes it out of any but the last two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// On the wheel of its time base.
    Waiting(wheel::TimerHandle),
    /// Its tick is ahead, yet the wheel is past it: the wall clock was set back. In `Partition::held`.
    Held,
    /// Due since before a restart, until the pace of the catch-up lets it go. In `Partition::overdue`.
    Overdue,
    /// Off the wheel, in the batch of the tick that is being collected.
    Collected,
    /// Due: in this place of a ready list of its queue.
    Ready(Place),
    /// With its handler since this instant.
    Running(Timestamp),
    /// Its handler, begun at this instant, has ended, at the instant that [`JobDue::ended`] has put in place of the due
    /// time, and so. Kept for a while so that it can be told from an unknown key.
    Fired(Timestamp, End),
}

impl State {
    /// Whether the job can still be moved and cancelled: its handler has not begun.
    pub(super) fn is_pending(self) -> bool {
        !matches!(self, State::Running(_) | State::Fired(..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_stays_small() {
        assert!(size_of::<State>() <= 16, "State has {} bytes", size_of::<State>());
    }
}
