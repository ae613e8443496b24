//! A budget that runs out: in mid-slot, in mid-cascade, and what may happen before the rest.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{ALL, Progress, Wheel, advance, drive, fire, insert_all};

#[test]
fn budget_exhausted_mid_slot_then_resume() {
    let mut wheel = Wheel::new(0);
    for value in 0..10 {
        wheel.insert(5, value);
    }
    let (progress, fired) = advance(&mut wheel, 50, 4);
    assert_eq!(progress, Progress { fired: 4, moved: 0, done: false });
    assert_eq!(fired, [(5, 0), (5, 1), (5, 2), (5, 3)]);
    assert_eq!((wheel.now(), wheel.next_deadline()), (5, Some(5)));
    assert_eq!(fire(&mut wheel, 50), [4, 5, 6, 7, 8, 9]);
    assert_eq!(wheel.now(), 50);
}

#[test]
fn budget_exhausted_mid_slot_then_cancel_and_reschedule_what_is_due() {
    let mut wheel = Wheel::new(0);
    let handles: Vec<_> = (0..8).map(|value| wheel.insert(5, value)).collect();
    assert_eq!(advance(&mut wheel, 5, 2).1, [(5, 0), (5, 1)]);
    assert_eq!(wheel.cancel(handles[0]), None); // has fired
    assert_eq!(wheel.cancel(handles[2]), Some(2)); // head of what is left
    assert_eq!(wheel.cancel(handles[7]), Some(7)); // tail
    assert!(wheel.reschedule(handles[3], 5)); // to the tail of the tick
    assert!(wheel.reschedule(handles[4], 6)); // not yet, after all
    wheel.insert(5, 100); // joins the tick that is half fired
    wheel.insert(1, 101); // and so does what is overdue
    assert_eq!(fire(&mut wheel, 5), [5, 6, 3, 100, 101]);
    assert_eq!(fire(&mut wheel, 6), [4]);
}

#[test]
fn budget_exhausted_with_the_last_timer_is_done() {
    let mut wheel = Wheel::new(0);
    insert_all(&mut wheel, [5, 5, 100]);
    let (progress, _) = advance(&mut wheel, 99, 2);
    // The move to the lowest level comes at 64, so there is work left until then.
    assert_eq!((progress, wheel.now()), (Progress { fired: 2, moved: 0, done: false }, 5));
    let (progress, _) = advance(&mut wheel, 99, 1);
    assert_eq!((progress, wheel.now()), (Progress { fired: 0, moved: 1, done: true }, 99));
    let (progress, _) = advance(&mut wheel, 100, 1);
    assert_eq!((progress, wheel.now()), (Progress { fired: 1, moved: 0, done: true }, 100));
}

#[test]
fn a_budget_of_zero_does_nothing_and_says_so_truly() {
    let mut wheel = Wheel::new(0);
    insert_all(&mut wheel, [10, 200]);
    let idle = |done| Progress { fired: 0, moved: 0, done };
    assert_eq!(advance(&mut wheel, 9, 0), (idle(true), vec![]));
    assert_eq!(wheel.now(), 9);
    assert_eq!(advance(&mut wheel, 10, 0), (idle(false), vec![]));
    assert_eq!(fire(&mut wheel, 10), [10]);
    assert_eq!(advance(&mut wheel, 191, 0), (idle(true), vec![]));
    assert_eq!(advance(&mut wheel, 192, 0), (idle(false), vec![]));
    assert_eq!(drive(&mut wheel), [(200, 200)]);
    assert_eq!(advance(&mut wheel, u64::MAX, 0), (idle(true), vec![]));
}

#[test]
fn an_insert_does_not_overtake_what_waits_in_a_half_cascaded_slot() {
    let mut wheel = Wheel::new(0);
    let handles: Vec<_> = (0..6).map(|value| wheel.insert(100, value)).collect();
    // What goes one way moves as one; this one does not.
    let other = wheel.insert(101, 8);
    let (progress, _) = advance(&mut wheel, 64, 3);
    assert_eq!(progress, Progress { fired: 0, moved: 3, done: false });
    assert_eq!((wheel.now(), wheel.next_deadline()), (64, Some(64)));
    wheel.insert(100, 6);
    wheel.insert(0, 7); // due now, and must wait for the cascade
    assert!(wheel.reschedule(handles[1], 100)); // has been moved already
    assert!(wheel.reschedule(handles[4], 100)); // has not
    assert_eq!(fire(&mut wheel, 64), [7]);
    assert_eq!(fire(&mut wheel, 100), [0, 2, 3, 5, 6, 1, 4]);
    assert_eq!(wheel.cancel(other), Some(8));
}

#[test]
fn a_cascade_whose_rest_is_cancelled_is_over() {
    let mut wheel = Wheel::new(0);
    let handles: Vec<_> = (0..4).map(|value| wheel.insert(100 + value / 3, value)).collect();
    assert!(!advance(&mut wheel, 64, 2).0.done);
    assert_eq!(wheel.cancel(handles[2]), Some(2));
    assert_eq!(wheel.next_deadline(), Some(64));
    assert!(wheel.reschedule(handles[3], 200));
    assert_eq!(wheel.next_deadline(), Some(100));
    wheel.insert(100, 4);
    assert_eq!(fire(&mut wheel, 150), [0, 1, 4]);
    assert_eq!(fire(&mut wheel, 200), [3]);
}

#[test]
fn a_million_timers_cascading_at_one_boundary_are_bounded_by_the_budget() {
    const COUNT: usize = 1_000_000;
    const BUDGET: usize = 1_000;
    let boundary = 64 * 64;
    let mut wheel = Wheel::new(0);
    for i in 0..COUNT {
        wheel.insert(boundary + i as u64 % boundary, i);
    }
    assert_eq!(wheel.next_deadline(), Some(boundary));
    let (mut slices, mut moved) = (0, 0);
    loop {
        let progress = wheel.advance(boundary, BUDGET, |timer| assert_eq!(timer.deadline, boundary));
        assert!(progress.fired + progress.moved <= BUDGET);
        (slices, moved) = (slices + 1, moved + progress.moved);
        if progress.done {
            break;
        }
    }
    wheel.validate();
    // Each is moved once here; what shares the first tick, or the first 64, fires or waits.
    assert_eq!(moved, COUNT);
    assert_eq!(slices, (COUNT + COUNT / 4096 + 1).div_ceil(BUDGET));
}

#[test]
fn what_goes_one_way_moves_as_one() {
    let due = (1 << 20) + 77;
    let mut wheel = Wheel::new(0);
    let handles: Vec<_> = (0..1_000).map(|value| wheel.insert(due, value)).collect();
    let (progress, _) = advance(&mut wheel, due - 1, 2);
    // From the fourth level to the second and from there to the first.
    assert_eq!(progress, Progress { fired: 0, moved: 2, done: true });
    wheel.validate();
    for end in [0, 999] {
        assert_eq!(wheel.cancel(handles[end]), Some(end));
    }
    assert!(wheel.reschedule(handles[1], due));
    assert_eq!(fire(&mut wheel, due), (2..999).chain([1]).collect::<Vec<_>>());
}

#[test]
fn nothing_due_among_many_costs_nothing() {
    let mut wheel = Wheel::new(0);
    for i in 0..100_000_u64 {
        wheel.insert(4096 + i * 1_000, i);
    }
    let before = wheel.next_deadline();
    assert_eq!(before, Some(4096));
    for now in 0..4096 {
        // A budget of nothing suffices: stepping on is not a matter of how many are pending.
        assert!(wheel.advance(now, 0, |_| panic!("nothing is due")).done);
    }
    assert_eq!(wheel.next_deadline(), before);
}

#[test]
fn a_panic_in_mid_slot_loses_one_timer_and_no_order() {
    let mut wheel = Wheel::new(0);
    let handles: Vec<_> = (0..5).map(|value| wheel.insert(5, value)).collect();
    let mut fired = Vec::new();
    let result = catch_unwind(AssertUnwindSafe(|| {
        wheel.advance(9, ALL, |timer| {
            assert_ne!(timer.value, 2, "as this test wants it");
            fired.push(timer.value);
        })
    }));
    assert!(result.is_err());
    assert_eq!(fired, [0, 1]);
    wheel.validate();
    assert_eq!((wheel.len(), wheel.get(handles[2])), (2, None));
    wheel.insert(5, 5);
    assert_eq!(fire(&mut wheel, 9), [3, 4, 5]);
}
