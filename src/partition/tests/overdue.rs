//! What came due while nobody was there: skipped, held to a pace, or fired at once; and what comes due meanwhile.

use std::num::NonZeroU32;

use super::{ALL, HOUR, MAIL, MS, Rig, SECOND, config, draft, draft_with, in_queue};
use crate::job::JobState;
use crate::partition::{
    CancelOutcome, CatchUp, Config, Delivery, Draft, Due, End, Handle, JobOptions, LookupOutcome, MonoTime,
    OnConflict, PartitionId, Priority, QueueId, Record, Replay, RescheduleOutcome, Restored, Timestamp, Wake,
};

const OTHER: QueueId = QueueId(5);

fn logged() -> Rig {
    Rig::with(Config { is_logged: true, ..config() })
}

/// Another process takes over, whose monotonic clock stands elsewhere.
fn restart_with(rig: &mut Rig, catch_up: &CatchUp<'_>) -> Restored {
    rig.now.mono = MonoTime::from_micros(3_600_000_000_000_000_000 + rig.now.mono.as_micros());
    let mut replay = Replay::new(PartitionId(0), config(), rig.now);
    for record in rig.partition.drain_records() {
        replay.apply(record, rig.now).unwrap();
    }
    let restored = replay.finish(true, catch_up, rig.now);
    restored.partition.validate();
    restored
}

/// Restarts with so many a second, and returns the handles by key, in the order of the keys.
fn restart(rig: &mut Rig, per_second: u32) -> Vec<Handle> {
    let per_second_max = NonZeroU32::new(per_second);
    let mut restored = restart_with(rig, &CatchUp { per_second_max, ..CatchUp::default() });
    rig.partition = restored.partition;
    restored.keys.sort_by(|(a, _), (b, _)| a.cmp(b));
    restored.keys.into_iter().map(|(_, handle)| handle).collect()
}

/// A number of jobs, a millisecond apart, all overdue by an hour; restarted with so many a second.
fn late(jobs: i64, per_second: u32) -> (Rig, Vec<Handle>) {
    let mut rig = logged();
    for n in 0..jobs {
        rig.at(&format!("{n:04}"), n);
    }
    rig.pass_us(HOUR as u64);
    let handles = restart(&mut rig, per_second);
    assert_eq!(handles.len(), jobs as usize);
    (rig, handles)
}

fn sleep(rig: &mut Rig) -> bool {
    let Some(wake) = rig.partition.next_wake().as_mono(rig.now) else { return false };
    rig.pass_us(wake.micros_since(rig.now.mono));
    true
}

#[test]
fn overdue_jobs_go_by_tick_then_priority_then_due_then_sequence() {
    let mut rig = logged();
    for n in 0..60u64 {
        // Ticks apart, and within one.
        let (tick, us, priority) = (n * 7 % 5, n * 13 % 4 * 200, (n * 11 % 3) as u8);
        let due_us = 1_001 + tick * MS + us;
        let due = if n % 2 == 0 {
            Due::At(rig.began.saturating_add_micros(due_us))
        } else {
            Due::In(std::time::Duration::from_micros(due_us))
        };
        let key = format!("{tick} {priority} {us:03} {n:02}");
        rig.take(draft_with(&key, due, JobOptions::default().with_priority(Priority(priority))));
    }
    rig.pass_ms(60_000);
    restart(&mut rig, 1_000);
    let mut order = Vec::new();
    while order.len() < 60 {
        assert!(sleep(&mut rig));
        let fired = rig.fire();
        assert!(fired.len() <= 10, "ten at once, then one a tick");
        order.extend(fired);
    }
    assert!(order.is_sorted(), "{order:?}");
}

#[test]
fn the_pace_is_kept_to_the_last_job() {
    let (mut rig, _) = late(1_000, 100);
    let began = rig.now.mono;
    let mut fired = 0;
    while sleep(&mut rig) {
        let now = rig.fire();
        assert!(!now.is_empty(), "woken for nothing");
        fired += now.len() as u64;
        let elapsed_us = rig.now.mono.micros_since(began);
        assert!(fired <= 1 + elapsed_us / 10_000, "{fired} within {elapsed_us} us");
    }
    assert_eq!(fired, 1_000);
    assert_eq!(rig.now.mono.micros_since(began).div_ceil(10 * MS), 999, "ten seconds, less the first");
    assert_eq!(rig.partition.next_wake(), Wake::default());
}

#[test]
fn the_pace_is_kept_whenever_somebody_looks() {
    for step_us in [333, 1_000, 10_000, 77_777, 1_000_000] {
        let (mut rig, _) = late(300, 100);
        let (began, mut fired) = (rig.now.mono, 0);
        while fired < 300 && rig.now.mono.micros_since(began) < 4_000_000 {
            fired += rig.fire().len() as u64;
            let allowed = 1 + rig.now.mono.micros_since(began) / 10_000;
            assert!(fired <= allowed && (fired + 1 >= allowed || fired == 300), "{fired} of {allowed}");
            rig.pass_us(step_us);
        }
        assert_eq!(fired, 300, "in steps of {step_us} us");
    }
}

#[test]
fn what_comes_due_meanwhile_is_on_time() {
    let (mut rig, _) = late(500, 10);
    let now_ms = rig.now.wall.micros_since(rig.began) as i64 / 1_000;
    for n in 0..100 {
        rig.at(&format!("new-{n:02}"), now_ms + 5 + n * 7);
        rig.after(&format!("soon-{n:02}"), 5 + n as u64 * 7);
    }
    let mut new = 0;
    for (key, ms) in rig.drive() {
        if let Some((_, n)) = key.split_once('-') {
            assert_eq!(ms, now_ms + 5 + n.parse::<i64>().unwrap() * 7, "{key}");
            new += 1;
        }
    }
    assert_eq!((new, rig.partition.live()), (200, 0));
}

/// The least of budgets goes to what is due now.
#[test]
fn overdue_jobs_take_what_is_left_of_the_budget() {
    let (mut rig, _) = late(500, 10_000);
    for n in 0..50 {
        rig.after(&format!("new-{n:02}"), 2);
    }
    rig.pass_ms(2);
    let mut calls = 0;
    while rig.partition.ready(MAIL) < 50 {
        assert!(!rig.partition.advance(rig.now, 5));
        calls += 1;
    }
    assert!(calls <= 25, "{calls} calls: one move, a fire and a release each");
    let keys: Vec<_> = std::iter::from_fn(|| rig.start()).map(|job| job.key.to_string()).collect();
    assert!(keys.iter().all(|key| key.starts_with("new")), "{keys:?}");
    // A hundred at once and twenty for two milliseconds, five a call.
    let mut ready = rig.partition.ready(MAIL);
    while !rig.partition.advance(rig.now, 5) {
        assert!(rig.partition.ready(MAIL) <= ready + 5);
        ready = rig.partition.ready(MAIL);
        assert!(rig.partition.next_wake().is_due(rig.now));
    }
    assert_eq!(rig.partition.ready(MAIL), 120);
    assert!(!rig.partition.next_wake().is_due(rig.now));
}

#[test]
fn promise_3_a_job_that_waits_its_turn_can_be_cancelled_moved_and_replaced() {
    let (mut rig, jobs) = late(8, 1);
    assert_eq!(rig.fire(), ["0000"]);
    for &job in &jobs[1..] {
        let LookupOutcome::Scheduled(view) = rig.partition.lookup(job, rig.now) else { panic!("pending") };
        assert_ne!(view.state, JobState::Ready);
        assert!(rig.partition.is_pending(job));
    }
    let in_two = Due::In(std::time::Duration::from_micros(2_500_000));
    assert_eq!(rig.partition.cancel(jobs[1], None), CancelOutcome::Cancelled);
    let moved = rig.partition.reschedule(jobs[2], in_two, None, rig.now);
    assert!(matches!(moved, Ok(RescheduleOutcome::Rescheduled { .. })), "{moved:?}");
    let again = Draft { on_conflict: OnConflict::Replace, ..draft("0003", in_two) };
    assert!(rig.partition.schedule(Some(jobs[3]), again, rig.now).unwrap().is_taken());
    rig.partition.validate();
    let began_ms = rig.now.wall.micros_since(rig.began) as i64 / 1_000;
    let fired: Vec<_> = rig.drive().into_iter().map(|(key, ms)| (key, ms - began_ms)).collect();
    // Those that left cost no turn.
    let expected = [
        ("0004", 1_000),
        ("0005", 2_000),
        ("0002", 2_500),
        ("0003", 2_500),
        ("0006", 3_000),
        ("0007", 4_000),
    ];
    assert_eq!(fired, expected.map(|(key, ms)| (key.to_string(), ms)));
}

#[test]
fn a_job_moved_into_the_past_is_due_at_once() {
    let (mut rig, jobs) = late(5, 1);
    assert_eq!(rig.fire(), ["0000"]);
    rig.partition.reschedule(jobs[4], Due::At(rig.began), None, rig.now).unwrap().rescheduled().unwrap();
    assert_eq!(rig.fire(), ["0004"], "whoever moves it has decided anew");
}

#[test]
fn when_the_last_of_them_has_left_nothing_is_waited_for() {
    let (mut rig, jobs) = late(4_000, 1);
    rig.fire();
    assert!(rig.partition.next_wake().mono().is_some());
    for job in &jobs[1..] {
        assert_eq!(rig.partition.cancel(*job, None), CancelOutcome::Cancelled);
    }
    assert!(rig.partition.overdue.is_none(), "its memory is given back");
    assert_eq!((rig.partition.live(), rig.partition.next_wake()), (0, Wake::default()));
    rig.partition.validate();
}

#[test]
fn promise_1_the_wall_set_back_makes_none_early_and_costs_no_turn() {
    let (mut rig, _) = late(5, 1);
    rig.after("in", 0);
    assert_eq!(rig.fire(), ["0000", "in"], "both are ready, and one is from an earlier tick");
    rig.step_wall(-2 * HOUR);
    let back_ms = rig.now.wall.as_micros().abs_diff(rig.began.as_micros()) / MS;
    rig.pass_ms(1_000);
    assert_eq!(rig.fire(), [""; 0], "none of them is due any more");
    assert!(rig.partition.overdue.is_none(), "they wait for their instants again");
    rig.pass_ms(back_ms - 1_001);
    assert_eq!(rig.fire(), [""; 0]);
    let fired = rig.drive();
    assert!(
        fired.iter().enumerate().all(|(n, (_, ms))| *ms == n as i64 + 1) && fired.len() == 4,
        "{fired:?}"
    );
}

#[test]
fn jobs_after_a_delay_are_overdue_whatever_the_wall_says_later() {
    let mut rig = logged();
    rig.after("a", 10);
    rig.after("b", 20);
    rig.pass_ms(1_000);
    restart(&mut rig, 1);
    assert_eq!(rig.fire(), ["a"]);
    rig.step_wall(-HOUR);
    rig.pass_ms(999);
    assert_eq!(rig.fire(), [""; 0]);
    rig.pass_ms(1);
    assert_eq!(rig.fire(), ["b"]);
}

#[test]
fn a_queue_says_how_late_is_too_late_to_the_microsecond() {
    let mut rig = logged();
    let now_us = 10 * SECOND;
    for (key, queue_id, late_us) in
        [("a", MAIL, 5_000), ("b", MAIL, 5_001), ("c", OTHER, 9_000), ("d", MAIL, -1)]
    {
        let due = Due::At(Timestamp::from_micros(rig.began.as_micros() + now_us - late_us));
        rig.take(in_queue(queue_id, draft(key, due)));
    }
    rig.pass_us(now_us as u64);
    let before: Vec<Record> = rig.partition.drain_records().collect();
    for (after_us, gone) in
        [(5_000, vec!["b"]), (5_001, vec![]), (4_999, vec!["a", "b"]), (0, vec!["a", "b"])]
    {
        let replay = |records: &[Record]| {
            let mut replay = Replay::new(PartitionId(0), config(), rig.now);
            records.iter().for_each(|record| replay.apply(record.clone(), rig.now).unwrap());
            replay
        };
        let skip_after_us = |queue| (queue == MAIL).then_some(after_us);
        let catch_up = CatchUp { skip_after_us: &skip_after_us, ..CatchUp::default() };
        let mut restored = replay(&before).finish(true, &catch_up, rig.now);
        assert_eq!((restored.overdue, restored.skipped), (3 - gone.len(), gone.len()));
        assert_eq!(restored.partition.counts().skipped, gone.len() as u64);
        assert_eq!(restored.partition.live(), 4 - gone.len());
        let keys: Vec<_> = restored.keys.iter().map(|(key, _)| key.as_str()).collect();
        assert!(gone.iter().all(|key| !keys.contains(key)), "{keys:?}");

        // It is written down: the next process knows it as well, and is not asked again.
        let skips: Vec<Record> = restored.partition.drain_records().collect();
        assert_eq!(skips.len(), gone.len());
        assert!(
            skips.iter().all(|record| matches!(record, Record::Skipped { at, .. } if *at == rig.now.wall))
        );
        let again = replay(&[before.clone(), skips].concat());
        assert_eq!(again.image(), restored.partition.image());
        assert_eq!(again.finish(true, &CatchUp::default(), rig.now).skipped, 0);
    }
}

#[test]
fn promise_6_jobs_cut_short_wait_their_turn_too_unless_they_run_at_most_once() {
    let mut rig = logged();
    for (key, delivery) in [("again", Delivery::AtLeastOnce), ("once", Delivery::AtMostOnce)] {
        rig.take(draft_with(key, Due::At(rig.began), JobOptions::default().with_delivery(delivery)));
    }
    rig.at("late", 5);
    rig.settle();
    let [again, once] = [rig.start().unwrap(), rig.start().unwrap()].map(|started| started.id);
    rig.pass_ms(1_000);
    let per_second_max = NonZeroU32::new(1);
    let mut restored = restart_with(&mut rig, &CatchUp { per_second_max, ..CatchUp::default() });
    assert_eq!((restored.overdue, restored.skipped, restored.superseded), (2, 0, 0));
    let records: Vec<Record> = restored.partition.drain_records().collect();
    let at = rig.now.wall;
    let interrupted = Record::Interrupted { id: again, at, attempt: 1 };
    assert_eq!(records, [interrupted, Record::Finished { id: once, at, end: End::Interrupted }]);
    assert_eq!(restored.interrupted, 2);
    rig.partition = restored.partition;
    rig.settle();
    assert_eq!(rig.start().unwrap().attempt, 2);
    assert_eq!(rig.start(), None);
    rig.pass_ms(1_000);
    assert_eq!(rig.fire(), ["late"]);
}

/// A job whose tick is not over is due with the others of that tick.
#[test]
fn a_job_of_the_present_tick_is_not_late() {
    let mut rig = logged();
    rig.pass_us(500);
    rig.after("zero", 0);
    rig.at("late", 0);
    let due = Due::At(rig.now.wall.saturating_add_micros(100));
    rig.pass_us(100);
    rig.take(draft_with("first", due, JobOptions::default().with_priority(Priority(1))));
    rig.pass_us(100);
    restart(&mut rig, 1);
    assert_eq!(rig.fire(), ["late"]);
    rig.pass_us(300);
    assert_eq!(rig.fire(), ["first", "zero"]);
}

#[test]
fn without_a_pace_they_stay_on_the_wheel_and_fire_at_once() {
    let mut rig = logged();
    for n in 0..100 {
        rig.at(&format!("{n:02}"), n);
    }
    rig.pass_us(HOUR as u64);
    let restored = restart_with(&mut rig, &CatchUp::default());
    assert_eq!((restored.overdue, restored.skipped), (100, 0));
    assert!(restored.partition.overdue.is_none());
    rig.partition = restored.partition;
    assert_eq!(rig.fire().len(), 100);
}

#[test]
fn memory_comes_back_as_they_go() {
    let (mut rig, jobs) = late(50_000, 1_000);
    let held = |rig: &Rig| rig.partition.overdue.as_ref().map_or(0, |overdue| overdue.allocated_bytes());
    let full = held(&rig);
    assert!((8 * 50_000..9 * 50_000).contains(&full), "{full} bytes");
    // Most of them are cancelled, and their entries stay until they are passed over.
    for job in jobs.iter().skip(1).step_by(2) {
        rig.partition.cancel(*job, None).cancelled().unwrap();
    }
    let began = rig.now.mono;
    while rig.partition.overdue.is_some() {
        rig.pass_ms(500);
        rig.partition.advance(rig.now, ALL);
        let gone = rig.partition.ready(MAIL);
        assert!(held(&rig) <= full - 16 * gone.min(25_000) + 3 * 8_192, "{} for {gone}", held(&rig));
    }
    assert_eq!(rig.partition.ready(MAIL), 25_000);
    assert!(rig.now.mono.micros_since(began) <= 25_500_000);
    rig.partition.validate();
}

#[test]
fn promise_9_entries_left_behind_cost_budget() {
    let (mut rig, jobs) = late(10_000, 1);
    rig.fire();
    for job in &jobs[1..9_999] {
        rig.partition.cancel(*job, None).cancelled().unwrap();
    }
    rig.pass_ms(1_000);
    let mut calls = 0;
    while !rig.partition.advance(rig.now, 100) {
        calls += 1;
        assert!(rig.partition.next_wake().is_due(rig.now));
    }
    assert!((99..=100).contains(&calls), "{calls}");
    let job = rig.start().unwrap();
    assert!(rig.partition.finish(job.handle, End::Done, rig.now));
    assert_eq!(job.handle, jobs[9_999]);
}
