//! Values that panic in their drop, and callbacks that panic: whatever call they unwind from, the wheel is in order after
//! it, and no value is dropped twice. A value may be leaked, though none is where this looks.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use proptest::prelude::*;

use super::{ALL, TimerHandle, Wheel};
use crate::slab::Slab;

/// How often each value was dropped, and which one panics when it is.
#[derive(Default)]
struct Ledger {
    drops: RefCell<Vec<u32>>,
    armed: Cell<Option<usize>>,
}

struct Value {
    id: usize,
    ledger: Rc<Ledger>,
}

impl Ledger {
    fn value(self: &Rc<Self>) -> Value {
        let mut drops = self.drops.borrow_mut();
        drops.push(0);
        Value { id: drops.len() - 1, ledger: Rc::clone(self) }
    }

    fn arm(&self, id: usize) {
        self.armed.set(Some(id));
    }

    /// Runs something in which the armed value is dropped.
    fn unwinds(&self, run: impl FnOnce()) {
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err(), "the armed value was not dropped");
        assert_eq!(self.armed.get(), None);
    }

    /// All values that were made have been dropped once.
    fn is_settled(&self) -> bool {
        self.drops.borrow().iter().all(|&drops| drops == 1)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.ledger.drops.borrow_mut()[self.id] += 1;
        assert_eq!(self.ledger.drops.borrow()[self.id], 1, "value {} is dropped twice", self.id);
        if self.ledger.armed.get() == Some(self.id) {
            self.ledger.armed.set(None);
            // As a panic, and without a word on the tests' output.
            resume_unwind(Box::new("a value's drop"));
        }
    }
}

/// Timers in many pages of the table, some of them in one slot of the wheel, with holes between them.
fn filled(count: usize) -> (Wheel<Value>, Vec<TimerHandle>, Rc<Ledger>) {
    let (mut wheel, ledger) = (Wheel::new(0), Rc::<Ledger>::default());
    let handles: Vec<TimerHandle> =
        (0..count).map(|n| wheel.insert([5, 70, n as u64 * 13][n % 3], ledger.value())).collect();
    for handle in handles.iter().skip(4).step_by(7) {
        assert!(wheel.cancel(*handle).is_some());
    }
    wheel.validate();
    (wheel, handles, ledger)
}

/// Whatever has come before, it works as an empty wheel does, and stale handles find nothing.
fn is_as_good_as_new(wheel: &mut Wheel<Value>, stale: &[TimerHandle], ledger: &Rc<Ledger>) {
    wheel.validate();
    assert_eq!((wheel.len(), wheel.next_deadline()), (0, None));
    let now = wheel.now();
    let ids: Vec<usize> = (0..300u64)
        .map(|n| {
            let value = ledger.value();
            let id = value.id;
            wheel.insert(now + n % 100, value);
            id
        })
        .collect();
    wheel.validate();
    assert!(stale.iter().all(|&handle| wheel.get(handle).is_none() && !wheel.reschedule(handle, 1)));
    let mut fired = Vec::new();
    assert!(wheel.advance(now + 100, ALL, |timer| fired.push(timer.value.id)).done);
    let mut expected = ids.clone();
    expected.sort_by_key(|id| (id - ids[0]) % 100);
    assert_eq!(fired, expected);
    wheel.validate();
}

#[test]
fn a_clear_that_unwinds_has_cleared_all() {
    // The first page, one in the middle, and the last: those before it were closed, those behind it stayed live.
    for armed in [0, 1, 15, 40, 100, 170, 297, 299] {
        let (mut wheel, handles, ledger) = filled(300);
        ledger.arm(armed);
        ledger.unwinds(|| wheel.clear());
        assert!(ledger.is_settled(), "the others are dropped all the same");
        is_as_good_as_new(&mut wheel, &handles, &ledger);
        wheel.clear();
        assert!(ledger.is_settled());
    }
}

#[test]
fn a_clear_that_unwinds_in_the_middle_of_a_cascade_has_cleared_all() {
    let (mut wheel, handles, ledger) = filled(300);
    let progress = wheel.advance(80, 120, drop);
    assert!(!progress.done);
    let pending = (0..300).rev().find(|&id| ledger.drops.borrow()[id] == 0);
    ledger.arm(pending.expect("some are left"));
    ledger.unwinds(|| wheel.clear());
    is_as_good_as_new(&mut wheel, &handles, &ledger);
    drop(wheel);
    assert!(ledger.is_settled());
}

#[test]
fn a_drop_that_unwinds_drops_each_value_once() {
    for armed in [0, 40, 299] {
        let (wheel, _, ledger) = filled(300);
        ledger.arm(armed);
        ledger.unwinds(|| drop(wheel));
        assert!(ledger.is_settled());
    }
}

#[test]
fn a_cancelled_value_that_panics_is_off_the_wheel() {
    let (mut wheel, handles, ledger) = filled(100);
    ledger.arm(50);
    ledger.unwinds(|| drop(wheel.cancel(handles[50])));
    wheel.validate();
    assert!(wheel.cancel(handles[50]).is_none());
    wheel.clear();
    is_as_good_as_new(&mut wheel, &handles, &ledger);
    assert!(ledger.is_settled());
}

#[test]
fn a_fired_value_that_panics_is_gone_and_the_others_fire_in_order() {
    for budget in [1, 7, ALL] {
        let (mut wheel, handles, ledger) = filled(200);
        let mut fired = Vec::new();
        for armed in [0, 3, 6, 1, 199] {
            ledger.arm(armed);
            while ledger.armed.get().is_some() {
                let advance = || {
                    let _ = wheel.advance(10_000, budget, |timer| {
                        fired.push((timer.deadline, timer.value.id));
                        drop(timer);
                    });
                };
                let _ = catch_unwind(AssertUnwindSafe(advance));
                wheel.validate();
            }
        }
        assert!(wheel.advance(10_000, ALL, |timer| fired.push((timer.deadline, timer.value.id))).done);
        assert!(fired.is_sorted() && fired.len() > 150);
        is_as_good_as_new(&mut wheel, &handles, &ledger);
        assert!(ledger.is_settled());
    }
}

#[test]
fn a_slab_whose_clear_unwinds_opens_all_its_pages_again() {
    let ledger = Rc::<Ledger>::default();
    let mut slab = Slab::new();
    let fill = |slab: &mut Slab<Value>| -> Vec<_> {
        (0..200).map(|_| slab.insert(ledger.value()).unwrap_or_else(|_| panic!("room"))).collect()
    };
    let mut bytes = None;
    for armed in [0, 230, 599] {
        let indices = fill(&mut slab);
        assert_eq!(slab.allocated_bytes(), *bytes.get_or_insert(slab.allocated_bytes()), "no page is lost");
        ledger.arm(armed);
        ledger.unwinds(|| slab.clear());
        slab.validate();
        assert_eq!(slab.len(), 0);
        assert!(indices.iter().all(|&index| slab.get(index).is_none() && slab.at(index.slot).is_none()));
    }
    assert!(ledger.is_settled());
}

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Cancel(usize),
    Reschedule(usize, u64),
    Advance(u64, usize),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..6000_u64).prop_map(Step::Insert),
        3 => any::<usize>().prop_map(Step::Cancel),
        3 => (any::<usize>(), 0..6000_u64).prop_map(|(at, deadline)| Step::Reschedule(at, deadline)),
        2 => (0..3000_u64, 0..40_usize).prop_map(|(ticks, budget)| Step::Advance(ticks, budget)),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    /// Any value at all may panic, in any call that drops it.
    #[test]
    fn no_call_that_unwinds_leaves_a_trace(
        steps in prop::collection::vec((step(), 0..4_u8, any::<usize>()), 0..300),
    ) {
        let (mut wheel, ledger) = (Wheel::new(0), Rc::<Ledger>::default());
        let mut handles: Vec<TimerHandle> = Vec::new();
        for (step, is_armed, which) in steps {
            let made = ledger.drops.borrow().len();
            ledger.armed.set((is_armed == 0 && made > 0).then(|| which % made));
            let now = wheel.now();
            let call = || match step {
                Step::Insert(ahead) => handles.push(wheel.insert(now + ahead, ledger.value())),
                Step::Cancel(at) if !handles.is_empty() => drop(wheel.cancel(handles[at % handles.len()])),
                Step::Reschedule(at, ahead) if !handles.is_empty() => {
                    wheel.reschedule(handles[at % handles.len()], now + ahead);
                }
                Step::Advance(ticks, budget) => drop(wheel.advance(now + ticks, budget, drop)),
                Step::Clear => wheel.clear(),
                Step::Cancel(_) | Step::Reschedule(..) => {}
            };
            let _ = catch_unwind(AssertUnwindSafe(call));
            ledger.armed.set(None);
            wheel.validate();
            let pending = ledger.drops.borrow().iter().filter(|&&drops| drops == 0).count();
            prop_assert_eq!(wheel.len(), pending);
        }
        drop(wheel);
        prop_assert!(ledger.is_settled());
    }
}
