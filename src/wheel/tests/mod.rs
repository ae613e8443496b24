//! Tests of the wheel, named after the bugs that timers are known for, and against a model.

mod budget;
mod handles;
mod many;
mod memory;
mod model;
mod order;
mod shared;
mod ticks;
mod unwind;

use super::{Progress, TimerHandle, Wheel};

/// More work than any test has.
const ALL: usize = usize::MAX;

/// Advances and collects what fires: the wheel's tick is not told to the callback, so deadlines and values.
fn advance<T>(wheel: &mut Wheel<T>, now: u64, budget: usize) -> (Progress, Vec<(u64, T)>) {
    let mut fired = Vec::new();
    let progress = wheel.advance(now, budget, |timer| fired.push((timer.deadline, timer.value)));
    wheel.validate();
    (progress, fired)
}

/// Advances with no limit and returns the values that fire, in order.
fn fire<T>(wheel: &mut Wheel<T>, now: u64) -> Vec<T> {
    let (progress, fired) = advance(wheel, now, ALL);
    assert!(progress.done);
    assert_eq!(progress.fired, fired.len());
    fired.into_iter().map(|(_, value)| value).collect()
}

/// Drives the wheel as a driver does, from one next deadline to the next, and returns (tick, value).
fn drive<T>(wheel: &mut Wheel<T>) -> Vec<(u64, T)> {
    let mut fired = Vec::new();
    while let Some(now) = wheel.next_deadline() {
        let progress = wheel.advance(now, ALL, |timer| fired.push((now, timer.value)));
        assert!(progress.done);
        assert!(progress.fired + progress.moved > 0, "woken for nothing");
    }
    fired
}

fn insert_all(wheel: &mut Wheel<u64>, deadlines: impl IntoIterator<Item = u64>) -> Vec<TimerHandle> {
    deadlines.into_iter().map(|deadline| wheel.insert(deadline, deadline)).collect()
}
