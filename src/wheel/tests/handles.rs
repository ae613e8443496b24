//! Handles that are stale, doubled or worn out.

use std::collections::HashSet;

use super::{Wheel, fire};
use crate::wheel::TimerHandle;

#[test]
fn a_stale_handle_after_slot_reuse() {
    let mut wheel = Wheel::new(0);
    let old = wheel.insert(10, "old");
    assert_eq!(wheel.cancel(old), Some("old"));
    let new = wheel.insert(10, "new");
    assert_ne!(old, new);
    assert_eq!(wheel.get(old), None);
    assert_eq!(wheel.deadline(old), None);
    assert!(!wheel.reschedule(old, 5));
    assert_eq!(wheel.cancel(old), None);
    wheel.validate();
    assert_eq!((wheel.get(new), wheel.deadline(new)), (Some(&"new"), Some(10)));
}

#[test]
fn a_double_cancel() {
    let mut wheel = Wheel::new(0);
    let handle = wheel.insert(10, ());
    wheel.insert(10, ());
    assert_eq!(wheel.cancel(handle), Some(()));
    assert_eq!(wheel.cancel(handle), None);
    assert_eq!(wheel.len(), 1);
    wheel.validate();
}

#[test]
fn a_handle_is_stale_once_it_has_fired() {
    let mut wheel = Wheel::new(0);
    let handle = wheel.insert(10, ());
    let mut fired = None;
    assert!(wheel.advance(10, 1, |timer| fired = Some(timer.handle)).done);
    assert_eq!(fired, Some(handle));
    assert_eq!(wheel.get(handle), None);
    assert_eq!(wheel.cancel(handle), None);
    assert!(!wheel.reschedule(handle, 20), "a fired timer is never resurrected");
    assert!(wheel.is_empty());
}

#[test]
fn a_reschedule_keeps_the_handle_good() {
    let mut wheel = Wheel::new(0);
    let handle = wheel.insert(10, 'x');
    for deadline in [u64::MAX, 0, 64, 1 << 36] {
        assert!(wheel.reschedule(handle, deadline));
        assert_eq!((wheel.get(handle), wheel.deadline(handle)), (Some(&'x'), Some(deadline)));
        wheel.validate();
    }
    assert_eq!(wheel.cancel(handle), Some('x'));
}

#[test]
fn no_handle_is_given_out_twice_however_often_a_slot_is_used() {
    let mut wheel = Wheel::new(0);
    let mut seen = HashSet::new();
    // In tests a slot has 256 generations and a page 16 slots: this wears out several pages.
    for round in 0..20_000_u64 {
        let handle = wheel.insert(round, round);
        assert!(seen.insert(handle), "{handle:?} again");
        let gone = if round % 2 == 0 { wheel.cancel(handle) } else { fire(&mut wheel, round).pop() };
        assert_eq!(gone, Some(round));
    }
    assert!(seen.iter().all(|&handle| wheel.get(handle).is_none()));
}

#[test]
fn handles_are_stale_after_clear() {
    let mut wheel = Wheel::new(7);
    let handles: Vec<TimerHandle> = (0..100).map(|i| wheel.insert(i * i * i, i)).collect();
    wheel.clear();
    wheel.validate();
    assert_eq!((wheel.len(), wheel.next_deadline(), wheel.now()), (0, None, 7));
    let again: Vec<TimerHandle> = (0..100).map(|i| wheel.insert(i, i)).collect();
    for (old, new) in handles.iter().zip(&again) {
        assert_eq!(wheel.cancel(*old), None);
        assert!(wheel.get(*new).is_some());
    }
    assert_eq!(fire(&mut wheel, 100).len(), 100);
}

#[test]
fn clear_in_the_middle_of_a_cascade() {
    let mut wheel = Wheel::new(0);
    for value in 0..10 {
        wheel.insert(100 + value, value);
    }
    assert!(!wheel.advance(100, 3, drop).done);
    wheel.clear();
    wheel.validate();
    assert_eq!((wheel.now(), wheel.next_deadline()), (64, None));
    wheel.insert(70, 1);
    assert_eq!(wheel.next_deadline(), Some(70));
}

#[test]
fn handles_are_small() {
    assert_eq!(size_of::<TimerHandle>(), 8);
}
