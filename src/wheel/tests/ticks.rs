//! The whole range of `u64`, and the ticks at which levels turn over.

use super::{ALL, Wheel, advance, drive, fire, insert_all};

#[test]
fn past_2_pow_36() {
    // tokio's wheel ends there, and has panicked.
    for now in [0, (1 << 36) - 2, 1 << 36, (1 << 36) + 1, 1 << 42, u64::MAX / 2] {
        let mut wheel = Wheel::new(now);
        let deadlines = [now + 1, now + (1 << 36) - 1, now + (1 << 36), now + (1 << 36) + 1, now + (1 << 60)];
        insert_all(&mut wheel, deadlines);
        assert_eq!(drive(&mut wheel), deadlines.map(|deadline| (deadline, deadline)));
    }
}

#[test]
fn the_end_of_time() {
    let mut wheel = Wheel::new(0);
    insert_all(&mut wheel, [u64::MAX, u64::MAX - 1, u64::MAX / 2]);
    let (progress, fired) = advance(&mut wheel, u64::MAX - 1, ALL);
    assert!(progress.done && fired.len() == 2);
    assert_eq!(wheel.next_deadline(), Some(u64::MAX));
    assert_eq!(fire(&mut wheel, u64::MAX), [u64::MAX]);
    // Time stands still there, and timers still fire.
    insert_all(&mut wheel, [u64::MAX, 0, u64::MAX]);
    assert_eq!(fire(&mut wheel, u64::MAX), [u64::MAX, 0, u64::MAX]);
}

#[test]
fn from_one_end_of_time_to_the_other() {
    let mut wheel = Wheel::new(0);
    let (first, last) = (wheel.insert(0, ()), wheel.insert(u64::MAX, ()));
    assert!(wheel.reschedule(first, u64::MAX) && wheel.reschedule(last, 0));
    assert_eq!(drive(&mut wheel), [(0, ()), (u64::MAX, ())]);
}

#[test]
fn exact_multiples_of_the_wheel_s_period() {
    for level in 1..=10 {
        let period = 1_u64 << (6 * level);
        for start in [0, 1, period - 1, period, period + 1] {
            let mut wheel = Wheel::new(start);
            let mut deadlines: Vec<u64> =
                (1..=4).flat_map(|k| [k * period - 1, k * period, k * period + 1]).collect();
            deadlines.extend([start + period, start + 2 * period, start + 64, start + 63]);
            insert_all(&mut wheel, deadlines.iter().copied());
            deadlines.sort_by_key(|&deadline| deadline.max(start));
            let expected: Vec<_> =
                deadlines.iter().map(|&deadline| (deadline.max(start), deadline)).collect();
            assert_eq!(drive(&mut wheel), expected, "level {level}, start {start}");
        }
    }
}

#[test]
fn every_tick_of_two_turns_off_by_none() {
    let mut wheel = Wheel::new(37);
    insert_all(&mut wheel, (38..38 + 2 * 4096).rev());
    for now in 38..38 + 2 * 4096 {
        assert_eq!(fire(&mut wheel, now), [now]);
    }
}

#[test]
fn an_empty_stretch_is_crossed_at_once() {
    // Tick by tick this would never end.
    let mut wheel = Wheel::new(0);
    let handle = wheel.insert(u64::MAX, ());
    for now in [1, 1 << 20, 1 << 40, u64::MAX - 1] {
        let (progress, fired) = advance(&mut wheel, now, 1);
        assert!(fired.is_empty() && progress.moved <= 1);
        while !advance(&mut wheel, now, 1).0.done {}
        assert_eq!(wheel.now(), now);
    }
    assert_eq!(wheel.get(handle), Some(&()));
}

#[test]
fn next_deadline_is_exact_on_the_lowest_level_and_a_lower_bound_above() {
    let mut wheel = Wheel::new(100);
    wheel.insert(127, ());
    assert_eq!(wheel.next_deadline(), Some(127));
    assert_eq!(fire(&mut wheel, 127), [()]);
    wheel.insert(128 + 5, ());
    assert_eq!(wheel.next_deadline(), Some(128));
    let (progress, _) = advance(&mut wheel, 128, ALL);
    assert_eq!((progress.fired, progress.moved, progress.done), (0, 1, true));
    assert_eq!(wheel.next_deadline(), Some(128 + 5));
}

#[test]
fn a_timer_is_moved_at_most_ten_times() {
    let mut wheel = Wheel::new(0);
    // A one in every digit: it stops at every level.
    wheel.insert(0o1010101010101010101010_u64 | 1 << 60 | 1, ());
    let (progress, _) = advance(&mut wheel, u64::MAX, ALL);
    assert_eq!((progress.fired, progress.moved), (1, 10));
}
