//! When timers are due: how the deadlines of a population are spread.

use testkit::random::Random;

pub(crate) const SECOND: u64 = 1_000;
pub(crate) const MINUTE: u64 = 60 * SECOND;
pub(crate) const HOUR: u64 = 60 * MINUTE;
pub(crate) const DAY: u64 = 24 * HOUR;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Spread {
    /// Uniform over a day.
    Day,
    /// Nine of ten within a minute, the tenth within a day: as timeouts are, with some longer ones among them.
    Short,
    /// Uniform over an hour.
    Hour,
}

impl Spread {
    pub(crate) const ALL: [Spread; 3] = [Spread::Day, Spread::Short, Spread::Hour];

    /// As it stands in the names of figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Spread::Day => "day",
            Spread::Short => "short",
            Spread::Hour => "hour",
        }
    }

    pub(crate) fn description(self) -> &'static str {
        match self {
            Spread::Day => "due within a day",
            Spread::Short => "most due within a minute",
            Spread::Hour => "due within an hour",
        }
    }

    /// The longest delay.
    pub(crate) fn end(self) -> u64 {
        match self {
            Spread::Day | Spread::Short => DAY,
            Spread::Hour => HOUR,
        }
    }

    /// A delay, in ticks.
    pub(crate) fn delay(self, random: &mut Random) -> u64 {
        let within = match self {
            Spread::Short if random.below(10) > 0 => MINUTE,
            _ => self.end(),
        };
        1 + random.below(within)
    }
}
