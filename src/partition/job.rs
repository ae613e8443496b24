//! Where a job stands, and when it is due by the clock that it follows.

use super::rank::Rank;
use super::ready::Place;
use super::{End, MonoTime, Now, NowSource, Priority, TimeBase, Timestamp};

/// A due time, by the clock that the job follows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum JobDue {
    Wall(Timestamp),
    Mono(MonoTime),
}

impl JobDue {
    #[inline]
    pub(super) fn base(self) -> TimeBase {
        match self {
            JobDue::Wall(_) => TimeBase::Wall,
            JobDue::Mono(_) => TimeBase::Mono,
        }
    }

    /// Where a job of this due time stands as one of `tick`.
    #[inline]
    pub(super) fn rank(self, priority: Priority, tick: u64, tick_us: u64) -> Rank {
        let before_us = match self {
            JobDue::Wall(wall) => Timestamp::from_ticks(tick, tick_us).micros_since(wall),
            JobDue::Mono(mono) => tick.saturating_mul(tick_us).saturating_sub(mono.as_micros()),
        };
        Rank::new(self.base(), tick, priority, before_us)
    }

    /// The tick in which a job fires that is scheduled in time, by the clock of its base.
    #[inline]
    pub(super) fn tick(self, tick_us: u64) -> u64 {
        match self {
            JobDue::Wall(wall) => wall.ticks_ceil(tick_us),
            JobDue::Mono(mono) => mono.as_micros().div_ceil(tick_us),
        }
    }

    pub(super) fn is_reached(self, now: Now) -> bool {
        match self {
            JobDue::Wall(wall) => wall <= now.wall,
            JobDue::Mono(mono) => mono <= now.mono,
        }
    }

    /// How many ticks ago the one was in which the job fires; `None` while that is ahead.
    pub(super) fn ticks_ago(self, now: Now, tick_us: u64) -> Option<u64> {
        // Before the epoch there are no ticks, and the instant alone decides.
        if !self.is_reached(now) {
            return None;
        }
        let current = match self {
            JobDue::Wall(_) => now.wall.ticks_floor(tick_us),
            JobDue::Mono(_) => now.mono.as_micros() / tick_us,
        };
        current.checked_sub(self.tick(tick_us))
    }

    pub(super) fn lateness_us(self, now: Now) -> u64 {
        match self {
            JobDue::Wall(wall) => now.wall.micros_since(wall),
            JobDue::Mono(mono) => now.mono.micros_since(mono),
        }
    }

    /// The due time as the wall clock stands now: what a person is told.
    #[inline]
    pub(super) fn as_told(self, mut now: impl NowSource) -> Timestamp {
        match self {
            JobDue::Wall(wall) => wall,
            JobDue::Mono(mono) => now.now().wall_at(mono),
        }
    }
}

/// Where a job stands. The order below is the way it goes; cancel takes it out of any but the last three.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// On the wheel of its time base.
    Waiting,
    /// Its tick is ahead, yet the wheel is past it: the wall clock was set back. In `Partition::held`.
    Held,
    /// Due since before a restart, until the pace of the catch-up lets it go. In `Partition::overdue`.
    Overdue,
    /// It rests until it is resumed. Nowhere.
    Paused,
    /// Off the wheel, in the batch of the tick that is being collected.
    Collected,
    /// Due: in this place of a ready list of its queue.
    Ready(Place),
    /// With its handler since this instant.
    Running(Timestamp),
    /// Not to be tried again, since this instant. In `Partition::dead`.
    Dead(Timestamp),
    /// Its handler, begun at this instant, has ended, at the instant that stands in place of the due
    /// time, and so. Kept for a while so that it can be told from an unknown key.
    Fired(Timestamp, End),
}

impl State {
    /// Whether the job can still be moved and cancelled: its handler has not begun.
    pub(super) fn is_pending(self) -> bool {
        !matches!(self, State::Running(_) | State::Dead(_) | State::Fired(..))
    }

    /// Whether the job is pending or with its handler.
    pub(super) fn is_live(self) -> bool {
        !matches!(self, State::Dead(_) | State::Fired(..))
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
