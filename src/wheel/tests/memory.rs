//! What the wheel holds, and that it gives it back.

use std::rc::Rc;

use super::{ALL, Wheel, fire};

#[test]
fn memory_comes_back_after_a_burst() {
    let mut wheel = Wheel::new(0);
    let empty = wheel.allocated_bytes();
    for i in 0..100_000_u64 {
        wheel.insert(i % 1_000, i);
    }
    let full = wheel.allocated_bytes();
    assert!(full - empty > 100_000 * 32);
    assert_eq!(fire(&mut wheel, 1_000).len(), 100_000);
    // What stays is the directory; in tests a page is 16 timers, so it weighs 64 times what it does in earnest.
    assert!(wheel.allocated_bytes() - empty < full / 6, "{} of {full}", wheel.allocated_bytes());
}

#[test]
fn memory_comes_back_although_old_timers_stay() {
    let mut wheel = Wheel::new(0);
    for i in 0..16 {
        wheel.insert(1 << 40, i);
    }
    for i in 0..100_000_u64 {
        wheel.insert(i % 1_000, i);
    }
    let full = wheel.allocated_bytes();
    assert_eq!(fire(&mut wheel, 1_000).len(), 100_000);
    // New timers take the low pages and leave the high ones free.
    for i in 0..160 {
        wheel.insert(1 << 41, i);
    }
    wheel.validate();
    assert!(wheel.allocated_bytes() < full / 8);
}

#[test]
fn clear_gives_memory_back_and_drops_every_value() {
    let value = Rc::new(());
    let mut wheel = Wheel::new(0);
    let empty = wheel.allocated_bytes();
    for i in 0..10_000_u64 {
        wheel.insert(i * i, Rc::clone(&value));
    }
    let full = wheel.allocated_bytes();
    wheel.clear();
    assert_eq!(Rc::strong_count(&value), 1);
    assert!(wheel.allocated_bytes() - empty < full / 8);
}

#[test]
fn dropping_a_wheel_drops_what_is_pending_and_no_more() {
    let value = Rc::new(());
    let mut wheel = Wheel::new(0);
    let cancelled = wheel.insert(1, Rc::clone(&value));
    for deadline in [1, 2, 3, 1 << 50] {
        wheel.insert(deadline, Rc::clone(&value));
    }
    assert!(wheel.cancel(cancelled).is_some());
    let mut kept = Vec::new();
    assert!(wheel.advance(2, ALL, |timer| kept.push(timer.value)).done);
    drop(wheel);
    assert_eq!((kept.len(), Rc::strong_count(&value)), (2, 3));
}

#[test]
fn a_wheel_may_be_sent_to_another_thread() {
    fn assert_send<T: Send + Sync>() {}
    assert_send::<Wheel<u32>>();
}
