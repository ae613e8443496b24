//! What an expression means, worked out in another way: second by second, with each one's clock as `jiff` tells it, and the
//! fields compared by hand. Nothing is shared with what is tested but the database of zones.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp as Instant};

use crate::time::Timestamp;

/// The clocks of a zone around an instant, second by second.
pub(super) struct Walk {
    pub(super) zone: String,
    /// Seconds since 1970, and what clocks show then.
    seconds: Vec<(i64, DateTime)>,
}

impl Walk {
    pub(super) fn around(zone: &str, instant: i64, seconds: i64) -> Self {
        let time_zone = TimeZone::get(zone).unwrap();
        let all = instant - seconds..=instant + seconds;
        let seconds = all.map(|second| {
            let zoned = Instant::from_second(second).unwrap().to_zoned_datetime(time_zone.clone());
            (second, zoned.datetime())
        });
        Walk { zone: zone.to_owned(), seconds: seconds.collect() }
    }

    pub(super) fn first(&self) -> Timestamp {
        Timestamp::from_micros(self.seconds[0].0 * 1_000_000)
    }

    pub(super) fn last(&self) -> Timestamp {
        Timestamp::from_micros(self.seconds[self.seconds.len() - 1].0 * 1_000_000)
    }

    /// The instants after the first second of the walk that an expression means, in whole seconds.
    pub(super) fn instants(&self, expression: &str) -> Vec<Timestamp> {
        let pattern = Pattern::new(expression);
        let second = SignedDuration::from_secs(1);
        let mut found = Vec::new();
        // The latest time that clocks have shown.
        let mut latest = self.seconds[0].1;
        for pair in self.seconds.windows(2) {
            let (before, (at, clock)) = (pair[0].1, pair[1]);
            let mut runs = pattern.shows(clock) && (!pattern.is_fixed() || clock > latest);
            if pattern.is_fixed() {
                let mut skipped = before + second;
                while skipped < clock {
                    runs |= pattern.shows(skipped);
                    skipped += second;
                }
            }
            if runs {
                found.push(Timestamp::from_micros(at * 1_000_000));
            }
            latest = latest.max(clock);
        }
        found
    }
}

/// The fields of an expression: second, minute, hour, day of month, month, day of week.
struct Pattern(Vec<Vec<i8>>, bool, [bool; 2]);

impl Pattern {
    fn new(expression: &str) -> Self {
        let with_second =
            if expression.split(' ').count() == 5 { format!("0 {expression}") } else { expression.into() };
        let fields: Vec<&str> = with_second.split(' ').collect();
        let limits = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)];
        let values: Vec<Vec<i8>> =
            fields.iter().zip(limits).map(|(field, limits)| values(field, limits)).collect();
        let is_fixed = (0..3).all(|at| {
            !fields[at].contains(['*', '/']) && values[at].len() <= (limits[at].1 - limits[at].0) as usize
        });
        Pattern(values, is_fixed, [fields[3] == "*", fields[5] == "*"])
    }

    fn is_fixed(&self) -> bool {
        self.1
    }

    fn shows(&self, clock: DateTime) -> bool {
        let has = |field: usize, value: i8| self.0[field].contains(&value);
        let of_month = has(3, clock.day());
        let of_week = has(5, clock.date().weekday().to_sunday_zero_offset());
        let day = match self.2 {
            [false, false] => of_month || of_week,
            _ => of_month && of_week,
        };
        has(0, clock.second())
            && has(1, clock.minute())
            && has(2, clock.hour())
            && day
            && has(4, clock.month())
    }
}

fn values(field: &str, (min, max): (i8, i8)) -> Vec<i8> {
    let number = |text: &str| match text {
        "SUN" => 0,
        "MON" => 1,
        "SAT" => 6,
        text => text.parse().unwrap(),
    };
    let of_item = |item: &str| -> Vec<i8> {
        let (range, step) = item.split_once('/').unwrap_or((item, "1"));
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (min, max),
            Some((first, last)) => (number(first), number(last)),
            None => (number(range), number(range)),
        };
        (first..=last).step_by(step.parse().unwrap()).collect()
    };
    field.split(',').flat_map(of_item).collect()
}
