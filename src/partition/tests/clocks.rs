//! The wall clock is set, the monotonic clock is not: nothing is early, nothing is lost, nothing fires twice.

use std::time::Duration;

use super::{ALL, HOUR, MAIL, MS, Rig, SECOND, YEAR, config, draft, draft_with};
use crate::partition::{Due, JobOptions, MonoTime, Now, Partition, PartitionId, Priority, Timestamp, Wake};

/// A clock stepped back once popped every timer of a well-known service.
#[test]
fn a_wall_clock_set_back_fires_nothing() {
    for back in [SECOND, HOUR, YEAR] {
        let mut rig = Rig::new();
        rig.pass_ms(5_000);
        for key in 0..100 {
            rig.at(&format!("at-{key}"), 6_000 + key);
            rig.after(&format!("in-{key}"), 1_000 + key as u64);
        }
        rig.settle();
        rig.step_wall(-back);
        assert_eq!(rig.fire(), [""; 0]);
        assert!(!rig.partition.next_wake().is_due(rig.now));
        // Those after a delay come when they would have; the others when the wall gets there.
        rig.pass_ms(1_099);
        let delayed = rig.fire();
        assert_eq!((delayed.len(), &delayed[0][..]), (100, "in-0"));
        let fired = rig.drive();
        assert_eq!(fired.len(), 100);
        assert!(fired.iter().enumerate().all(|(n, (_, ms))| *ms == 6_000 + n as i64), "{fired:?}");
    }
}

#[test]
fn new_jobs_in_the_window_that_the_wall_repeats_fire_at_their_instant() {
    for back in [SECOND, HOUR] {
        let mut rig = Rig::new();
        rig.pass_us(2 * back as u64);
        rig.settle();
        rig.step_wall(-back);
        let here = back / 1_000;
        rig.at("third", here + 30);
        rig.at("first", here + 10);
        rig.after("second", 20);
        assert_eq!(rig.partition.held.len(), 2, "the wheel is past them");
        rig.partition.validate();
        assert_eq!(rig.fire(), [""; 0]);
        rig.pass_us(10 * MS - 1);
        assert_eq!(rig.fire(), [""; 0]);
        let fired = rig.drive();
        let expected = [("first", here + 10), ("second", here + 20), ("third", here + 30)];
        assert_eq!(fired, expected.map(|(key, ms)| (key.to_string(), ms)));
    }
}

/// Once this went round in `advance` for ever: due by the microsecond, not yet by the tick.
#[test]
fn a_held_job_due_within_a_tick_waits_for_its_end() {
    let mut rig = Rig::new();
    rig.pass_ms(2_000);
    rig.settle();
    rig.step_wall(-SECOND);
    let due = Timestamp::from_micros(rig.now.wall.as_micros() + 300);
    rig.take(draft("a", Due::At(due)));
    rig.pass_us(500);
    assert!(rig.partition.advance(rig.now, 10));
    assert_eq!(rig.partition.ready(MAIL), 0);
    assert_eq!(rig.partition.next_wake().wall(), Some(due.saturating_add_micros(700)));
    assert_eq!(rig.drive(), [("a".to_string(), 1_001)]);
}

#[test]
fn held_jobs_of_one_tick_come_in_order_of_priority() {
    let mut rig = Rig::new();
    rig.pass_ms(2_000);
    rig.settle();
    rig.step_wall(-SECOND);
    for (key, us, priority) in [("b", 100, 9), ("c", 200, 9), ("a", 900, 1)] {
        let due = Due::At(rig.now.wall.saturating_add_micros(us));
        rig.take(draft_with(key, due, JobOptions::default().with_priority(Priority(priority))));
    }
    // Driven in small steps, and with the least of budgets.
    for _ in 0..10 {
        rig.pass_us(100);
        rig.settle_by(1);
    }
    assert_eq!(rig.run_ready(), ["a", "b", "c"]);
}

/// What is due by the microsecond waits for its siblings of the tick even where the wheel is past them all.
#[test]
fn a_job_due_at_once_keeps_to_its_tick_where_the_wall_was_set_back() {
    let mut rig = Rig::new();
    rig.pass_ms(2_000);
    rig.settle();
    rig.step_wall(-SECOND);
    rig.pass_us(500);
    rig.take(draft_with("low", Due::At(rig.now.wall), JobOptions::default().with_priority(Priority(9))));
    rig.settle();
    assert_eq!(rig.partition.ready(MAIL), 0);
    let due = Due::At(rig.now.wall.saturating_add_micros(100));
    rig.take(draft_with("high", due, JobOptions::default().with_priority(Priority(1))));
    rig.pass_us(500);
    assert_eq!(rig.fire(), ["high", "low"]);
}

#[test]
fn a_held_job_can_be_moved_and_cancelled() {
    let mut rig = Rig::new();
    rig.pass_ms(2_000);
    rig.settle();
    rig.step_wall(-SECOND);
    let (a, b, due) = (rig.at("a", 1_500), rig.at("b", 1_500), rig.wall_ms(1_700));
    rig.partition.cancel(a, None).cancelled().unwrap();
    rig.partition.reschedule(b, due, None, rig.now).unwrap().rescheduled().unwrap();
    rig.partition.validate();
    assert_eq!(rig.drive(), [("b".to_string(), 1_700)]);
    assert_eq!(rig.partition.held.len(), 0);
}

#[test]
fn promise_1_a_job_ready_when_the_wall_is_set_back_waits_for_its_time_again() {
    let mut rig = Rig::new();
    for key in 0..200 {
        rig.at(&format!("at-{key}"), 100);
    }
    rig.after("in", 100);
    rig.pass_ms(100);
    rig.settle();
    assert_eq!(rig.partition.ready(MAIL), 201);
    rig.step_wall(-SECOND);
    // A call puts back so many, and says nothing of the rest: hence the loop.
    assert_eq!(rig.start(), None);
    assert_eq!(rig.run_ready(), ["in"]);
    assert_eq!(rig.partition.ready(MAIL), 0);
    rig.partition.validate();
    rig.pass_us(SECOND as u64 - 1);
    assert_eq!(rig.fire(), [""; 0]);
    rig.pass_us(1);
    assert_eq!(rig.fire().len(), 200);
}

#[test]
fn promise_8_a_year_forward_is_caught_up_within_budgets_and_in_order() {
    let mut rig = Rig::new();
    for n in 0..5_000 {
        rig.at(&format!("at-{n:05}"), 1_000 + n * 5_000_000);
    }
    rig.after("in", 60_000);
    rig.step_wall(YEAR);
    let mut slices = 0;
    while !rig.partition.advance(rig.now, 64) {
        slices += 1;
        assert!(slices < 5_000 * 12 / 64, "each job is moved ten times at most, fired and released");
    }
    let fired = rig.run_ready();
    assert_eq!(fired.len(), 5_000);
    assert!(fired.is_sorted());
    rig.pass_ms(59_999);
    assert_eq!(rig.fire(), [""; 0]);
    rig.pass_ms(1);
    assert_eq!(rig.fire(), ["in"]);
}

#[test]
fn the_wall_set_forward_by_mistake_and_back_again_in_mid_catch_up() {
    let mut rig = Rig::new();
    for n in 0..50 {
        rig.at(&format!("{n:02}"), 1_000 + n * 1_000);
    }
    rig.step_wall(YEAR);
    assert!(!rig.partition.advance(rig.now, 30));
    rig.step_wall(-YEAR);
    rig.settle();
    assert_eq!(rig.run_ready(), [""; 0], "none of them is due after all");
    let fired = rig.drive();
    assert_eq!(fired.len(), 50);
    assert!(fired.iter().enumerate().all(|(n, (_, ms))| *ms == 1_000 + n as i64 * 1_000), "{fired:?}");
}

#[test]
fn suspend_the_wall_goes_on_and_the_monotonic_clock_does_not() {
    let mut rig = Rig::new();
    rig.at("at", 10_000);
    rig.after("in", 5_000);
    rig.step_wall(60 * SECOND);
    assert_eq!(rig.fire(), ["at"]);
    assert_eq!(rig.drive(), [("in".to_string(), 65_000)]);
}

#[test]
fn before_the_epoch_there_are_no_ticks_and_jobs_fire_all_the_same() {
    let now = Now { wall: Timestamp::from_micros(-10 * SECOND), mono: MonoTime::from_micros(5) };
    let mut rig = Rig { partition: Partition::new(PartitionId(0), config(), now), now, began: now.wall };
    rig.at("past", -1);
    rig.at("before", 5_000);
    rig.at("after", 10_001);
    rig.after("in", 7_000);
    assert_eq!(rig.fire(), ["past"]);
    let expected = [("before", 5_000), ("in", 7_000), ("after", 10_001)];
    assert_eq!(rig.drive(), expected.map(|(key, ms)| (key.to_string(), ms)));
}

#[test]
fn extremes_are_refused_or_kept_and_end_no_loop() {
    let ends = [i64::MIN, -1, 0, 1, i64::MAX - 1_500, i64::MAX];
    for wall in ends.map(Timestamp::from_micros) {
        for mono in [0, 1, u64::MAX - 1_500, u64::MAX].map(MonoTime::from_micros) {
            let now = Now { wall, mono };
            let limits = crate::partition::Config { horizon_us: u64::MAX, ..config() };
            let mut rig =
                Rig { partition: Partition::new(PartitionId(0), limits, now), now, began: now.wall };
            let delays = [Duration::ZERO, Duration::from_nanos(1), Duration::from_millis(2), Duration::MAX];
            let dues =
                ends.map(|us| Due::At(Timestamp::from_micros(us))).into_iter().chain(delays.map(Due::In));
            for (n, due) in dues.enumerate() {
                let Ok(outcome) = rig.partition.schedule(None, draft(&n.to_string(), due), now) else {
                    continue;
                };
                rig.partition.reschedule(outcome.handle(), due, None, now).unwrap().rescheduled().unwrap();
            }
            rig.settle_by(1);
            assert!(!rig.partition.next_wake().is_due(rig.now), "woken for nothing at {now:?}");
            let ready = rig.partition.ready(MAIL);
            assert_eq!(rig.run_ready().len(), ready);
            // To the ends of both clocks: everything that was taken fires.
            rig.now = Now { wall: Timestamp::MAX, mono: MonoTime::MAX };
            rig.fire();
            assert_eq!((rig.partition.live(), rig.partition.next_wake()), (0, Wake::default()));
        }
    }
}

/// Two threads may read the clock in one order and get to the partition in the other.
#[test]
fn a_clock_read_a_little_earlier_loses_nothing() {
    let mut rig = Rig::new();
    for key in 0..10 {
        rig.after(&format!("{key}"), 50);
    }
    rig.pass_ms(50);
    assert!(!rig.partition.advance(rig.now, 3));
    let now = rig.now;
    rig.now = Now {
        wall: Timestamp::from_micros(now.wall.as_micros() - 2_000),
        mono: MonoTime::from_micros(now.mono.as_micros() - 2_000),
    };
    rig.partition.advance(rig.now, ALL);
    assert_eq!(rig.start(), None, "early by this reading");
    rig.now = now;
    assert_eq!(rig.fire().len(), 10);
}
