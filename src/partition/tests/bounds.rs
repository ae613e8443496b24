//! Everything is bounded, and at a bound the caller is told.

use std::time::Duration;

use super::{ALL, MAIL, MS, Rig, config, draft, draft_with};
use crate::partition::{Config, Due, JobOptions, Payload, Priority, Refusal};

#[test]
fn promise_9_the_horizon_is_exact() {
    let horizon_us = 60_000_000;
    let mut rig = Rig::with(Config { horizon_us, ..config() });
    let refusal = Refusal::PastHorizon { horizon_s: 60 };
    let at = |rig: &Rig, us| Due::At(rig.now.wall.saturating_add_micros(us));
    let within = [at(&rig, horizon_us), Due::In(Duration::from_micros(horizon_us))];
    let beyond = [
        at(&rig, horizon_us + 1),
        Due::In(Duration::from_nanos(horizon_us * 1_000 + 1)),
        Due::At(crate::partition::Timestamp::MAX),
        Due::In(Duration::MAX),
    ];
    let handle = rig.at("pending", 5);
    for due in within {
        rig.take(draft("k", due));
    }
    for due in beyond {
        assert_eq!(rig.partition.schedule(None, draft("k", due), rig.now), Err(refusal));
        assert_eq!(rig.partition.reschedule(handle, due, None, rig.now), Err(refusal));
    }
    assert_eq!(rig.partition.live(), 3);
    assert_eq!(rig.drive().len(), 3);
}

#[test]
fn promise_9_the_payload_is_exact() {
    let mut rig = Rig::new();
    let of = |bytes| {
        let mut draft = draft("k", Due::In(Duration::ZERO));
        draft.spec.payload = Payload::from(vec![0; bytes]);
        draft
    };
    rig.take(of(16));
    let refused = rig.partition.schedule(None, of(17), rig.now);
    assert_eq!(refused, Err(Refusal::PayloadTooLarge { bytes: 17, max: 16 }));
    assert_eq!(rig.partition.live(), 1);
}

#[test]
fn a_delay_of_nothing_is_due_in_this_tick_and_not_early() {
    let mut rig = Rig::new();
    rig.pass_us(300);
    rig.after("zero", 0);
    rig.take(draft("nano", Due::In(Duration::from_nanos(1))));
    let mut late = Vec::new();
    while let Some(wake) = rig.partition.next_wake().as_mono(rig.now) {
        rig.pass_us(wake.micros_since(rig.now.mono));
        rig.settle();
        late.extend(std::iter::from_fn(|| rig.start()).map(|job| (job.key.to_string(), job.lateness_us)));
    }
    assert_eq!(late, [("zero".to_string(), late[0].1), ("nano".to_string(), late[0].1 - 1)]);
    assert!(late[0].1 < MS);
}

/// The bound of a call is its budget, however many jobs share the tick.
#[test]
fn promise_9_a_million_jobs_of_one_tick_take_slices_of_bounded_work() {
    const JOBS: usize = 1_000_000;
    const BUDGET: usize = 1_024;
    let mut rig = Rig::new();
    for n in 0..JOBS {
        // Priorities that make the slices' order differ from the wheel's.
        let priority = Priority((n % 3) as u8);
        rig.take(draft_with(
            "k",
            Due::In(Duration::from_secs(100)),
            JobOptions::default().with_priority(priority),
        ));
    }
    rig.pass_ms(100_000);
    let (mut slices, mut ready) = (0, 0);
    loop {
        let done = rig.partition.advance(rig.now, BUDGET);
        assert!(rig.partition.ready(MAIL) - ready <= BUDGET);
        ready = rig.partition.ready(MAIL);
        slices += 1;
        if done {
            break;
        }
    }
    // At most ten moves on a wheel, a fire and a release; this tick is two levels up.
    assert!((2 * JOBS / BUDGET..6 * JOBS / BUDGET).contains(&slices), "{slices} slices");
    let mut last = None;
    let mut started = 0;
    while let Some(job) = rig.start() {
        let place = (job.options.priority(), job.id);
        assert!(last < Some(place));
        (last, started) = (Some(place), started + 1);
    }
    assert_eq!(started, JOBS);
    assert_eq!((rig.partition.running(), rig.partition.next_wake()), (JOBS, Default::default()));
}

#[test]
fn nothing_due_takes_one_call_however_much_is_pending() {
    let mut rig = Rig::new();
    for n in 0..100_000 {
        rig.at("k", 1_000_000 + n * 37);
    }
    for _ in 0..10 {
        rig.pass_ms(7);
        assert!(rig.partition.advance(rig.now, 0));
    }
    assert!(rig.partition.advance(rig.now, ALL));
}
