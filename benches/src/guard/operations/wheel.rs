//! The wheel by itself.

use std::hint::black_box;

use reveille::wheel::{TimerHandle, Wheel};

use super::{DAY_MS, PENDING, TIMES, delay_ms, measure, picked};
use testkit::random::Random;

pub(super) fn run() {
    let mut random = Random::seeded(1);
    let (mut wheel, handles) = filled(&mut random);

    let dues: Vec<u64> = (0..TIMES).map(|_| delay_ms(&mut random)).collect();
    let mut new = Vec::with_capacity(TIMES);
    measure("wheel: insert", TIMES, || new.extend(dues.iter().map(|&due| wheel.insert(due, 0))));
    new.into_iter().for_each(|handle| assert!(wheel.cancel(handle).is_some()));

    let moved = picked(&mut random, PENDING);
    measure("wheel: reschedule", TIMES, || {
        for (&number, &due) in moved.iter().zip(&dues) {
            assert!(wheel.reschedule(handles[number], due));
        }
    });
    let gone = picked(&mut random, PENDING);
    measure("wheel: cancel", TIMES, || {
        gone.iter().for_each(|&number| assert!(wheel.cancel(handles[number]).is_some()));
    });

    let (mut wheel, _) = filled(&mut random);
    measure("wheel: fire, with all cascades before", PENDING, || {
        let progress = wheel.advance(DAY_MS, usize::MAX, |timer| {
            black_box(timer.value);
        });
        assert!(progress.done && progress.fired == PENDING);
    });
    let mut wheel = Wheel::new(0);
    wheel.insert(DAY_MS, 0);
    measure("wheel: a tick in which nothing is due", TIMES, || {
        for now in 0..TIMES as u64 {
            let progress = wheel.advance(now, usize::MAX, |_| ());
            assert!(progress.fired == 0);
        }
    });
}

fn filled(random: &mut Random) -> (Wheel<u32>, Vec<TimerHandle>) {
    let mut wheel = Wheel::new(0);
    let handles = (0..PENDING as u32).map(|value| wheel.insert(delay_ms(random), value)).collect();
    (wheel, handles)
}
