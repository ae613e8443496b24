//! In which order timers fire, and at which tick.

use super::{ALL, Wheel, advance, drive, fire, insert_all};

#[test]
fn timers_fire_at_their_tick_by_deadline_then_first_in_first_out() {
    let mut wheel = Wheel::new(0);
    for (deadline, value) in [(70, "c"), (5, "a"), (70, "d"), (5, "b"), (5_000, "f"), (71, "e")] {
        wheel.insert(deadline, value);
    }
    assert_eq!(drive(&mut wheel), [(5, "a"), (5, "b"), (70, "c"), (70, "d"), (71, "e"), (5_000, "f")]);
}

#[test]
fn one_tick_is_first_in_first_out_across_levels() {
    // Put in from further and further away, so that each comes from another level.
    let due = 64 * 64 * 64 * 3 + 64 * 64 * 5 + 64 * 7 + 9;
    let mut wheel = Wheel::new(0);
    for (value, now) in
        [0, 64 * 64 * 64 * 3, due - due % 4096, due - due % 64, due - 1].into_iter().enumerate()
    {
        assert!(fire(&mut wheel, now).is_empty());
        wheel.insert(due, value);
    }
    assert_eq!(drive(&mut wheel), [(due, 0), (due, 1), (due, 2), (due, 3), (due, 4)]);
}

#[test]
fn nothing_fires_early_and_nothing_is_late() {
    let mut wheel = Wheel::new(0);
    wheel.insert(100, ());
    assert!(fire(&mut wheel, 99).is_empty());
    assert_eq!(wheel.next_deadline(), Some(100));
    assert_eq!(fire(&mut wheel, 100), [()]);
}

#[test]
fn inserts_during_catch_up_do_not_fire_early() {
    let mut wheel = Wheel::new(0);
    insert_all(&mut wheel, 1..=300);
    let (progress, _) = advance(&mut wheel, 300, 100);
    assert!(!progress.done && wheel.now() < 300);
    wheel.insert(1_000, 1_000);
    wheel.insert(200, 999);
    let fired = fire(&mut wheel, 300);
    // Behind the other timer of its own tick, and the one that is not due stays.
    assert_eq!(fired.iter().position(|&value| value == 999).map(|at| fired[at - 1]), Some(200));
    assert_eq!(fired.last(), Some(&300));
    assert_eq!(drive(&mut wheel), [(1_000, 1_000)]);
}

#[test]
fn a_deadline_in_the_past_means_the_current_tick() {
    let mut wheel = Wheel::new(500);
    wheel.insert(500, "first");
    wheel.insert(0, "second");
    wheel.insert(499, "third");
    assert_eq!(wheel.next_deadline(), Some(500));
    let (progress, fired) = advance(&mut wheel, 500, ALL);
    assert!(progress.done);
    assert_eq!(fired, [(500, "first"), (0, "second"), (499, "third")]);
}

#[test]
fn time_never_goes_back_but_what_is_due_fires() {
    let mut wheel = Wheel::new(500);
    wheel.insert(400, "past");
    wheel.insert(501, "next");
    assert_eq!(fire(&mut wheel, 10), ["past"]);
    assert_eq!(wheel.now(), 500);
    assert!(fire(&mut wheel, 0).is_empty());
    assert_eq!(drive(&mut wheel), [(501, "next")]);
}

#[test]
fn insert_earlier_than_the_next_deadline() {
    let mut wheel = Wheel::new(0);
    wheel.insert(10_000, "late");
    let before = wheel.next_deadline();
    wheel.insert(20_000, "later");
    assert_eq!(wheel.next_deadline(), before);
    wheel.insert(3, "early");
    assert_eq!(wheel.next_deadline(), Some(3));
    assert_eq!(drive(&mut wheel), [(3, "early"), (10_000, "late"), (20_000, "later")]);
}

#[test]
fn a_reschedule_goes_to_the_tail_even_of_its_own_tick() {
    let mut wheel = Wheel::new(0);
    let first = wheel.insert(1_000, 1);
    wheel.insert(1_000, 2);
    assert!(wheel.reschedule(first, 1_000));
    wheel.insert(1_000, 3);
    assert_eq!(fire(&mut wheel, 1_000), [2, 1, 3]);
}

#[test]
fn a_reschedule_into_the_past_is_due_at_once() {
    let mut wheel = Wheel::new(700);
    let handle = wheel.insert(1_000_000, ());
    assert!(wheel.reschedule(handle, 3));
    assert_eq!(wheel.deadline(handle), Some(3));
    assert_eq!(wheel.next_deadline(), Some(700));
    assert_eq!(fire(&mut wheel, 700), [()]);
}

#[test]
fn removing_the_last_timer_leaves_no_deadline() {
    let mut wheel = Wheel::new(0);
    let near = wheel.insert(4, ());
    let far = wheel.insert(4_000, ());
    assert_eq!(wheel.cancel(near), Some(()));
    assert_eq!(wheel.next_deadline(), Some(4_000 - 4_000 % 64));
    assert_eq!(wheel.cancel(far), Some(()));
    assert_eq!((wheel.next_deadline(), wheel.is_empty()), (None, true));
}
