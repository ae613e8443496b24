//! Whether a subject does what it is timed for.

use super::Subject;
use testkit::random::Random;

const TIMERS: usize = 10_000;
const DAY: u64 = 24 * 3600 * 1000;

/// Panics if `S` fires a wrong number, early, late, or out of the order of ticks.
pub(crate) fn check<S: Subject>() {
    let mut random = Random::seeded(1);
    let mut subject = S::with_capacity(TIMERS);
    // By value: the deadline of each pending timer.
    let mut pending = vec![None; TIMERS];
    let mut handles = Vec::new();
    for (value, deadline) in pending.iter_mut().enumerate() {
        let tick = 1 + random.below(DAY);
        *deadline = Some(tick);
        handles.push(Some(subject.insert(tick, value as u32)));
    }
    for value in 0..TIMERS {
        let Some(handle) = handles[value].take() else { continue };
        let tick = 1 + random.below(DAY);
        match random.below(4) {
            0 => {
                assert!(subject.cancel(handle), "{}: a pending timer can be cancelled", S::NAME);
                pending[value] = None;
            }
            1 => {
                handles[value] = Some(subject.reschedule(handle, tick));
                pending[value] = Some(tick);
            }
            2 => {
                assert!(subject.cancel(handle), "{}: a pending timer can be cancelled", S::NAME);
                handles[value] = Some(subject.insert(tick, value as u32));
                pending[value] = Some(tick);
            }
            _ => handles[value] = Some(handle),
        }
    }

    let mut now = 0;
    while now < DAY {
        // Steps of every size, many of them shorter than the lowest level of any wheel is.
        let longest = 1 << random.below(24);
        now = (now + 1 + random.below(longest)).min(DAY);
        subject.set_clock(now);
        let mut last = 0;
        let mut fired = Vec::new();
        subject.fire(now, |value| {
            let tick = pending[value as usize].take();
            let tick = tick.unwrap_or_else(|| panic!("{}: {value} is not pending, yet fired", S::NAME));
            assert!(tick <= now, "{}: {value} of tick {tick} fired early, at {now}", S::NAME);
            assert!(tick >= last, "{}: {value} of tick {tick} fired after one of tick {last}", S::NAME);
            last = tick;
            fired.push(value);
        });
        for value in fired {
            // As in use: a timer whose handle is given up, and put in again if there is time left.
            let handle = handles[value as usize].take().expect("a pending timer has a handle");
            subject.release(handle);
            if now < DAY && random.below(2) == 0 {
                let tick = now + 1 + random.below(DAY - now);
                handles[value as usize] = Some(subject.insert(tick, value));
                pending[value as usize] = Some(tick);
            }
        }
        let overdue = pending.iter().flatten().filter(|tick| **tick <= now).count();
        assert_eq!(overdue, 0, "{}: timers that have not fired by {now}", S::NAME);
    }
    assert!(pending.iter().all(Option::is_none));
}
