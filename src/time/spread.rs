//! Jobs of one instant spread over a window, so that they do not all come at once.
//!
//! # Rules
//! - Where in the window a job comes is decided by its key alone: the same in every process and after every restart, so that to
//!   schedule it again does not move it. What a key gives is fixed for ever.
//! - It has nothing to do with the key's partition: each partition's jobs are all over the window.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Due;

/// Any number but the one that partitions are picked with.
const SEED: u64 = 0x7370_7265_6164;

impl Due {
    /// This, or later by a part of `window` that is decided by `key`, which may be the key of the job or any other text: the same part each
    /// time and in every process. Of many keys as many come in each part of the window. To whole microseconds, and before the
    /// window's end.
    ///
    /// ```
    /// use std::time::Duration;
    /// use reveille::{Due, Timestamp};
    ///
    /// let midnight: Timestamp = "2026-12-01T00:00:00Z".parse()?;
    /// let hour = Duration::from_secs(3600);
    /// let due = Due::At(midnight).spread("invoice:42", hour);
    /// assert!(matches!(due, Due::At(instant) if midnight <= instant && instant < midnight + hour));
    /// assert_eq!(due, Due::At(midnight).spread("invoice:42", hour));
    /// # Ok::<(), reveille::InvalidTimestamp>(())
    /// ```
    #[must_use]
    pub fn spread(self, key: &str, window: Duration) -> Due {
        let window_us = window.as_micros().min(u128::from(u64::MAX));
        let hash = xxh3_64_with_seed(key.as_bytes(), SEED);
        let later_us = ((u128::from(hash) * window_us) >> 64) as u64;
        match self {
            Due::At(instant) => Due::At(instant.saturating_add_micros(later_us)),
            Due::In(delay) => Due::In(delay.saturating_add(Duration::from_micros(later_us))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    const HOUR: Duration = Duration::from_secs(3600);

    fn later_us(key: &str, window: Duration) -> i64 {
        match Due::At(Timestamp::from_micros(0)).spread(key, window) {
            Due::At(instant) => instant.as_micros(),
            Due::In(_) => panic!("it follows another clock"),
        }
    }

    /// What is stored was spread like this: it stays so.
    #[test]
    fn a_key_has_its_place_for_ever() {
        let places = ["a", "user:7", "", "é"].map(|key| later_us(key, HOUR));
        assert_eq!(places, [1_529_585_001, 46_560_023, 1_246_146_163, 2_671_171_392]);
    }

    #[test]
    fn it_stays_in_the_window() {
        for n in 0..10_000 {
            let key = n.to_string();
            assert!((0..1_000).contains(&later_us(&key, Duration::from_millis(1))));
            assert_eq!(later_us(&key, Duration::ZERO), 0);
            assert!(later_us(&key, Duration::MAX) >= 0, "it stops at the last instant");
        }
        let spread = Due::In(Duration::MAX).spread("k", Duration::MAX);
        assert_eq!(spread, Due::In(Duration::MAX));
    }

    /// Whichever keys are looked at: all, or those of one partition.
    #[test]
    fn each_part_of_the_window_has_its_share() {
        let partition = |key: &str| (u128::from(xxhash_rust::xxh3::xxh3_64(key.as_bytes())) * 16) >> 64;
        let keys: Vec<String> = (0..160_000).map(|n| format!("user:{n}")).collect();
        for of in [None, Some(0), Some(7), Some(15)] {
            let mut parts = [0usize; 60];
            let looked_at = keys.iter().filter(|key| of.is_none_or(|of| partition(key) == of));
            looked_at.for_each(|key| parts[(later_us(key, HOUR) / 60_000_000) as usize] += 1);
            let each = parts.iter().sum::<usize>() / 60;
            // Six deviations of a fair throw.
            let most = 6.0 * (each as f64).sqrt();
            assert!(parts.iter().all(|&part| (part as f64 - each as f64).abs() < most), "{parts:?}");
        }
    }
}
