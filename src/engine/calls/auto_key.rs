//! Keys for jobs that are given none.
//!
//! # Shape
//! `auto:` and 18 digits of base 64, 23 bytes, so that they lie in the job as other short keys do: nine digits for an
//! instant, five for the process, four for a count. Digits are those of base64url in the order of ASCII, so the keys of a
//! process sort in the order in which they were made.
//!
//! # Why they are unique
//! - In a process the count goes up. When it runs over, after 16,777,216 keys, the instant goes on by a microsecond, which is
//!   far less than making them has taken.
//! - Of two processes at a time the numbers differ.
//! - A later process of the same number begins at a later instant: that at which it first needs a key.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;
use crate::partition::Key;

const PREFIX: &[u8; 5] = b"auto:";
const DIGITS: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/// Of an instant in microseconds: until the year 2540. Of a process: 2^30 is more than any system counts to.
const INSTANT_DIGITS: usize = 9;
const PROCESS_DIGITS: usize = 5;
const COUNT_DIGITS: usize = 4;
const COUNT_BITS: usize = 6 * COUNT_DIGITS;

const BYTES: usize = PREFIX.len() + INSTANT_DIGITS + PROCESS_DIGITS + COUNT_DIGITS;

/// A key that nobody has.
pub(super) fn unused_key(clock: &Clock) -> Key {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    // The number of the process is a call of the system each time.
    static ORIGIN: OnceLock<(u64, u32)> = OnceLock::new();
    let origin = || (u64::try_from(clock.now().wall.as_micros()).unwrap_or(0), std::process::id());
    let &(origin_us, process) = ORIGIN.get_or_init(origin);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let text = text(origin_us, process, number);
    // All of it is ASCII.
    Key::new(String::from_utf8_lossy(&text)).unwrap_or_else(|_| unreachable!("23 bytes are a key"))
}

/// The text of the key that a process made as its `number`th.
fn text(origin_us: u64, process: u32, number: u64) -> [u8; BYTES] {
    let (instant, count) = (origin_us.wrapping_add(number >> COUNT_BITS), number);
    let mut text = [0; BYTES];
    let (prefix, rest) = text.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX);
    let (instant_text, rest) = rest.split_at_mut(INSTANT_DIGITS);
    let (process_text, count_text) = rest.split_at_mut(PROCESS_DIGITS);
    for (digits, mut value) in
        [(instant_text, instant), (process_text, u64::from(process)), (count_text, count)]
    {
        for digit in digits.iter_mut().rev() {
            *digit = DIGITS[(value % 64) as usize];
            value /= 64;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const ORIGIN_US: u64 = 1_796_115_600_000_000;

    #[test]
    fn a_million_keys_are_short_and_differ() {
        let clock = Clock::default();
        let keys: HashSet<String> = (0..1_000_000).map(|_| unused_key(&clock).as_str().to_owned()).collect();
        assert_eq!(keys.len(), 1_000_000);
        assert!(keys.iter().all(|key| key.len() == 23 && key.starts_with("auto:")));
    }

    #[test]
    fn the_largest_values_have_room() {
        for text in [text(u64::MAX, u32::MAX, u64::MAX), text(0, 0, 0)] {
            assert_eq!(Key::new(std::str::from_utf8(&text).unwrap()).unwrap().as_str().len(), 23);
        }
        let shown = String::from_utf8(text(ORIGIN_US, 4_242, 7).to_vec()).unwrap();
        assert!(shown.starts_with("auto:") && shown.ends_with("--01H---6"), "{shown}");
    }

    /// When the count runs over, in another process, and after a restart at the next microsecond.
    #[test]
    fn they_differ_by_count_process_and_instant() {
        let last = (1 << COUNT_BITS) - 1;
        let texts = [
            text(ORIGIN_US, 1, 0),
            text(ORIGIN_US, 1, 1),
            text(ORIGIN_US, 1, last),
            text(ORIGIN_US, 1, last + 1),
            text(ORIGIN_US, 2, 0),
            text(ORIGIN_US + 9, 1, 0),
        ];
        assert_eq!(HashSet::from(texts).len(), texts.len());
        assert!(texts[..4].is_sorted(), "in the order in which they were made");
    }
}
