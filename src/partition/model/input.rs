//! How bytes are read: due times, clock moves and budgets of the kinds that timers have had trouble with.

use std::time::Duration;

use super::oracle::{HORIZON_US, TICK_US};
use super::world::World;
use crate::partition::{Due, MonoTime, Now, Timestamp};

const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3_600 * SECOND_US;
const YEAR_US: i64 = 365 * 24 * HOUR_US;

/// The rest of the input. What is missing reads as zero.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl Bytes<'_> {
    pub(super) fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub(super) fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    pub(super) fn budget(&mut self) -> usize {
        match self.byte() {
            small @ 0..192 => usize::from(small % 6),
            some @ 192..240 => usize::from(some - 192),
            _ => 100_000,
        }
    }

    pub(super) fn first_now(&mut self) -> Now {
        let phase = i64::from(self.byte()) * 37;
        let wall = match self.byte() % 8 {
            0 => phase,
            1 => -10 * SECOND_US + phase,
            // A little before a place where many levels of the wheel turn over.
            2 => (1 << 36) * TICK_US as i64 - phase,
            _ => 1_700_000_000 * SECOND_US + phase,
        };
        let mono = (1 << 40) + u64::from(self.byte()) * 41;
        Now { wall: Timestamp::from_micros(wall), mono: MonoTime::from_micros(mono) }
    }
}

impl World {
    pub(super) fn pass(&mut self, us: u64) {
        self.now.wall = self.now.wall.saturating_add_micros(us);
        self.now.mono = self.now.mono.saturating_add_micros(us);
    }

    pub(super) fn move_clocks(&mut self, bytes: &mut Bytes<'_>) {
        let (kind, by) = (bytes.byte(), i64::from(bytes.byte()));
        let step = match kind % 16 {
            0 => return self.pass(by as u64 * 1_000),
            1 => return self.pass(by as u64 * SECOND_US as u64),
            2 => return self.pass(by as u64 * HOUR_US as u64),
            3 => return self.pass(1),
            4 => by,
            5 => -by,
            6 => by * 1_000,
            7 | 8 => -SECOND_US,
            9 | 10 => -HOUR_US + by,
            11 => -by * 100,
            12 => YEAR_US,
            13 => -YEAR_US,
            14 => SECOND_US,
            _ => HOUR_US,
        };
        let wall = self.now.wall.as_micros();
        // Before 1968 and after 4000 there is nothing new to find, and the model would have to saturate.
        if (-2 * YEAR_US..2_000 * YEAR_US).contains(&(wall + step)) {
            self.now.wall = Timestamp::from_micros(wall + step);
        }
    }

    pub(super) fn due(&self, bytes: &mut Bytes<'_>) -> Due {
        let (kind, by) = (bytes.byte(), i64::from(bytes.byte()));
        let wall = self.now.wall.as_micros();
        let at = |us: i64| Due::At(Timestamp::from_micros(us));
        let after = |us: i64| Due::In(Duration::from_micros(us as u64));
        match kind % 24 {
            0 => at(wall),
            1 => at(wall + by),
            2 => at(wall - by),
            3 | 4 => at(wall + by * 100),
            5 => at(wall + by * 1_000),
            6 => at((wall + by * 1_000).div_euclid(64_000) * 64_000),
            7 => at(wall + by * SECOND_US),
            8 => at(wall + by * HOUR_US),
            9 => at(wall - by * HOUR_US),
            10 => at(wall + HORIZON_US as i64 + by % 2),
            11 => at(if by % 2 == 0 { i64::MIN } else { i64::MAX }),
            12 => after(0),
            13 => Due::In(Duration::from_nanos(by as u64)),
            14 => after(by),
            15 | 16 => after(by * 100),
            17 => after(by * 1_000),
            18 => after(by * SECOND_US),
            19 => after(by * HOUR_US),
            20 => Due::In(Duration::from_micros(HORIZON_US) + Duration::from_nanos(by as u64 % 2)),
            21 => Due::In(Duration::MAX),
            // The same as another's, as the wall says now.
            _ => match self.oracle.jobs.len() {
                0 => at(wall),
                len => Due::At(self.oracle.jobs[by as usize % len].due.told(self.now)),
            },
        }
    }
}
