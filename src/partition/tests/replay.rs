//! What was written down of a partition gives the partition back, whole, and refuses what does not fit.

use proptest::prelude::*;

use super::{HOUR, MAIL, MODEL, Rig, config, draft, draft_with};
use crate::partition::model::history;
use crate::partition::{
    CancelOutcome, CatchUp, Config, Delivery, Due, End, Handle, Image, JobId, JobImage, JobOptions,
    LookupOutcome, MonoTime, Now, Partition, PartitionId, Predecessor, Record, Replay, ReplayError,
    RescheduleOutcome, Timestamp,
};

/// Clocks as they may stand when the process comes back.
pub(super) fn later() -> impl Strategy<Value = Now> {
    let wall = prop_oneof![Just(0), Just(-HOUR), 1_600_000_000_000_000i64..1_900_000_000_000_000];
    (wall, 0u64..1 << 50).prop_map(|(wall, mono)| Now {
        wall: Timestamp::from_micros(wall),
        mono: MonoTime::from_micros(mono),
    })
}

/// Whether a record can come next after a state: its job is new, or there.
fn follows(image: &Image, record: &Record) -> bool {
    let is_there = |id: JobId, is_dead: bool| {
        let died = |job: &JobImage| job.history.as_ref().is_some_and(|history| history.death.is_some());
        image.jobs.iter().any(|job| job.id == id && died(job) == is_dead)
    };
    match record {
        Record::Scheduled(job) => {
            job.id.sequence() >= image.next_sequence
                && match job.before {
                    Predecessor::None => true,
                    Predecessor::Replaced(old) => is_there(old, false),
                    Predecessor::Detached(old) => is_there(old, false),
                }
        }
        Record::Revived { id, .. } | Record::Purged { id } => is_there(*id, true),
        record => record.id().is_none_or(|id| is_there(id, false)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_prefix_of_the_records_gives_the_state_that_the_live_one_had(
        bytes in prop::collection::vec(any::<u8>(), 0..500),
        now in later(),
    ) {
        let history = history(&bytes);
        let mut replay = Replay::new(MODEL, history.config, now);
        for (record, image) in history.steps {
            replay.apply(record, now).unwrap();
            prop_assert_eq!(replay.image(), image);
        }
    }

    #[test]
    fn an_image_and_the_records_after_it_give_the_live_state(
        bytes in prop::collection::vec(any::<u8>(), 0..500),
        cut in any::<prop::sample::Index>(),
        now in later(),
    ) {
        let mut history = history(&bytes);
        prop_assume!(!history.steps.is_empty());
        let after = history.steps.split_off(cut.index(history.steps.len()) + 1);
        let (_, image) = history.steps.pop().unwrap();
        let mut replay = Replay::new(MODEL, history.config, now);
        replay.load(image.clone(), now).unwrap();
        prop_assert_eq!(replay.image(), image);
        for (record, image) in after {
            replay.apply(record, now).unwrap();
            prop_assert_eq!(replay.image(), image);
        }
        replay.finish(false, &CatchUp::default(), now).partition.validate();
    }

    /// A log out of order, with gaps and repetitions: what does not follow is refused, all else is taken, and there is never a
    /// panic nor an inconsistent state.
    #[test]
    fn a_corrupted_order_is_refused_and_does_not_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        order in prop::collection::vec(any::<prop::sample::Index>(), 1..60),
        now in later(),
    ) {
        let history = history(&bytes);
        prop_assume!(!history.steps.is_empty());
        let mut replay = Replay::new(MODEL, history.config, now);
        if let Some(snapshot) = history.snapshots.first() {
            replay.load(snapshot.image.clone(), now).unwrap();
        }
        for at in order {
            let record = at.get(&history.steps).0.clone();
            if at.index(2) == 0 {
                let is_next = follows(&replay.image(), &record);
                prop_assert_eq!(replay.apply(record, now).is_ok(), is_next);
            } else if let Err(error) = replay.apply_fuzzy(record, now) {
                // Whether the image may explain it is what `fuzzy` is about.
                prop_assert!(matches!(error, ReplayError::KnownJob(_) | ReplayError::UnknownJob(_)), "{}", error);
            }
        }
        let mut partition = replay.finish(true, &CatchUp::default(), now).partition;
        partition.validate();
        while !partition.advance(now, 7) {}
        partition.validate();
    }
}

/// A partition that keeps records, with the records so far.
fn logged() -> Rig {
    Rig::with(Config { is_logged: true, ..config() })
}

fn records(rig: &mut Rig) -> Vec<Record> {
    rig.partition.drain_records().collect()
}

fn replayed(records: &[Record], now: Now) -> Replay<'static> {
    let mut replay = Replay::new(PartitionId(0), config(), now);
    for record in records {
        replay.apply(record.clone(), now).unwrap();
    }
    replay
}

fn restart(rig: &mut Rig) -> (Partition, Vec<(String, Handle)>) {
    let records = records(rig);
    let restored = replayed(&records, rig.now).finish(true, &CatchUp::default(), rig.now);
    (restored.partition, restored.keys.into_iter().map(|(key, handle)| (key.to_string(), handle)).collect())
}

#[test]
fn records_are_kept_only_when_asked_for() {
    let mut silent = Rig::new();
    silent.at("a", 5);
    assert_eq!(records(&mut silent), []);
    let mut rig = logged();
    let handle = rig.at("a", 5);
    rig.partition.reschedule(handle, Due::At(rig.now.wall), None, rig.now).unwrap().rescheduled().unwrap();
    rig.settle();
    let id = rig.start().unwrap().id;
    rig.partition.finish(handle, End::Done, rig.now);
    let at = rig.now.wall;
    let log = records(&mut rig);
    assert_eq!(log.len(), 4);
    assert_eq!(
        log[2..],
        [Record::Started { id, at, attempt: 1 }, Record::Finished { id, at, end: End::Done }]
    );
    assert_eq!(records(&mut rig), []);
    // What is refused leaves no record.
    rig.partition.schedule(None, draft("b", Due::In(std::time::Duration::MAX)), rig.now).unwrap_err();
    assert_eq!(rig.partition.cancel(handle, None), CancelOutcome::AlreadyFired { at });
    assert_eq!(records(&mut rig), []);
}

#[test]
fn promise_6_a_job_cut_short_runs_again_with_its_attempts_counted() {
    let mut rig = logged();
    rig.at("a", 0);
    rig.settle();
    assert_eq!(rig.start().unwrap().attempt, 1);
    let (partition, keys) = restart(&mut rig);
    rig.partition = partition;
    assert_eq!((keys.len(), rig.partition.running(), rig.partition.live()), (1, 0, 1));
    rig.settle();
    let again = rig.start().unwrap();
    assert_eq!((again.key.as_str(), again.attempt, again.handle), ("a", 2, keys[0].1));
    // What the restart has decided is written down, and who reads it later need not decide it again.
    let (id, at) = (again.id, rig.now.wall);
    let after = [Record::Interrupted { id, at, attempt: 1 }, Record::Started { id, at, attempt: 2 }];
    assert_eq!(records(&mut rig), after);
}

/// Such a job may be what ended the process, and whoever runs it has a reason to be careful.
#[test]
fn a_start_tells_whether_the_restart_found_the_job_overdue() {
    let mut rig = logged();
    rig.after("cut short", 5);
    rig.pass_ms(5);
    rig.settle();
    rig.start().unwrap();
    for (key, ms) in [("overdue", 5), ("ahead", 50), ("moved", 7)] {
        rig.after(key, ms);
    }
    rig.pass_ms(20);
    let (partition, keys) = restart(&mut rig);
    rig.partition = partition;
    let moved = keys.iter().find(|(key, _)| key == "moved").unwrap().1;
    rig.partition
        .reschedule(moved, Due::In(std::time::Duration::from_millis(30)), None, rig.now)
        .unwrap()
        .rescheduled()
        .unwrap();
    rig.after("new", 0);
    rig.pass_ms(100);
    rig.settle();
    let started: Vec<_> = std::iter::from_fn(|| rig.start()).collect();
    let was_overdue = started.iter().filter(|started| started.was_overdue);
    let mut overdue: Vec<&str> = was_overdue.map(|started| started.key.as_str()).collect();
    overdue.sort_unstable();
    assert_eq!((overdue, started.len()), (vec!["cut short", "overdue"], 5));
}

#[test]
fn promise_4_a_lookup_tells_what_failed_from_what_was_done() {
    let mut rig = logged();
    let jobs = ["done", "failed"].map(|key| rig.at(key, 0));
    rig.settle();
    for end in [End::Done, End::Failed] {
        let handle = rig.start().unwrap().handle;
        rig.partition.finish(handle, end, rig.now);
    }
    let at = rig.now.wall;
    let told = jobs.map(|job| rig.partition.lookup(job, rig.now));
    assert_eq!(told, [End::Done, End::Failed].map(|end| LookupOutcome::AlreadyFired { at, end }));
    // And so it says after a crash, from the records and from an image.
    let records = records(&mut rig);
    assert_eq!(replayed(&records, rig.now).image(), rig.partition.image());
    let mut replay = Replay::new(rig.partition.id(), config(), rig.now);
    replay.load(rig.partition.image(), rig.now).unwrap();
    assert_eq!(replay.image(), rig.partition.image());
}

#[test]
fn promise_6_a_job_delivered_at_most_once_does_not_run_again() {
    let mut rig = logged();
    let due = rig.wall_ms(0);
    rig.take(draft_with("once", due, JobOptions::default().with_delivery(Delivery::AtMostOnce)));
    rig.settle();
    let started = rig.start().unwrap();
    let before = records(&mut rig);
    let began = rig.now.wall;
    rig.pass_ms(50);
    let restored = replayed(&before, rig.now).finish(true, &CatchUp::default(), rig.now);
    let (mut partition, handle) = (restored.partition, restored.keys[0].1);
    assert_eq!(
        partition.lookup(handle, rig.now),
        LookupOutcome::AlreadyFired { at: began, end: End::Interrupted }
    );
    assert_eq!((partition.live(), partition.counts().failed), (0, 1));
    let after: Vec<Record> = partition.drain_records().collect();
    assert_eq!(after, [Record::Finished { id: started.id, at: rig.now.wall, end: End::Interrupted }]);
    // And so it says again after the next crash.
    let all = [before, after].concat();
    assert_eq!(replayed(&all, rig.now).image(), partition.image());
}

#[test]
fn promise_2_and_8_jobs_overdue_at_a_restart_fire_late_and_in_order() {
    let mut rig = logged();
    rig.at("second", 20);
    rig.after("first", 10);
    rig.at("future", 90_000);
    rig.pass_ms(60_000);
    let (partition, _) = restart(&mut rig);
    rig.partition = partition;
    assert_eq!(rig.fire(), ["first", "second"]);
    assert_eq!(rig.drive(), [("future".to_string(), 90_000)]);
}

#[test]
fn promise_4_a_fired_job_is_remembered_across_a_restart_and_is_not_resurrected() {
    let mut rig = logged();
    rig.at("a", 0);
    assert_eq!(rig.fire(), ["a"]);
    let at = rig.now.wall;
    let (partition, keys) = restart(&mut rig);
    rig.partition = partition;
    let outcome = rig.partition.reschedule(keys[0].1, rig.wall_ms(70), None, rig.now).unwrap();
    assert_eq!(outcome, RescheduleOutcome::AlreadyFired { at });
    rig.pass_ms(100);
    assert_eq!(rig.fire(), [""; 0]);
}

#[test]
fn the_newest_pending_job_of_a_key_is_the_one_an_index_ends_with() {
    let mut rig = logged();
    let old = rig.at("a", 0);
    rig.settle();
    rig.start().unwrap();
    // Its handler schedules the key anew, twice; the first of these has fired.
    rig.at("a", 0);
    rig.fire();
    let new = rig.at("a", 5_000);
    assert_ne!(old, new);
    let (partition, keys) = restart(&mut rig);
    let (_, last) = keys.last().unwrap();
    match partition.lookup(*last, rig.now) {
        LookupOutcome::Scheduled(view) => assert_eq!(view.id.sequence(), 2),
        odd => panic!("{odd:?}"),
    }
}

#[test]
fn what_does_not_follow_is_refused() {
    let mut rig = logged();
    let handle = rig.at("a", 5);
    rig.partition.cancel(handle, None).cancelled().unwrap();
    let log = records(&mut rig);
    let (now, id) = (rig.now, log[0].id().unwrap());
    let apply = |replay: &mut Replay, record: &Record| replay.apply(record.clone(), now);

    let mut replay = Replay::new(PartitionId(0), config(), now);
    assert_eq!(apply(&mut replay, &log[1]), Err(ReplayError::UnknownJob(id)));
    let mut replay = replayed(&log[..1], now);
    assert_eq!(apply(&mut replay, &log[0]), Err(ReplayError::KnownJob(id)));
    // Applied twice, a log must not bring back what was cancelled in it.
    let mut replay = replayed(&log, now);
    assert_eq!(apply(&mut replay, &log[0]), Err(ReplayError::KnownJob(id)));
    assert_eq!(replay.image().jobs, []);

    let foreign = JobId::new(PartitionId(1), 0);
    let mut replay = replayed(&log[..1], now);
    assert_eq!(apply(&mut replay, &Record::Cancelled { id: foreign }), Err(ReplayError::ForeignJob(foreign)));
    let mut replay = Replay::new(PartitionId(1), config(), now);
    assert_eq!(apply(&mut replay, &log[0]), Err(ReplayError::ForeignJob(id)));

    let Record::Scheduled(mut scheduled) = log[0].clone() else { panic!("{log:?}") };
    let gone = JobId::new(PartitionId(0), 77);
    scheduled.before = Predecessor::Replaced(gone);
    let mut replay = Replay::new(PartitionId(0), config(), now);
    assert_eq!(replay.apply(Record::Scheduled(scheduled), now), Err(ReplayError::UnknownJob(gone)));
}

#[test]
fn an_image_is_refused_by_the_wrong_partition_and_by_one_that_has_it() {
    let mut rig = logged();
    rig.at("a", 5);
    rig.partition.start(MAIL, rig.now);
    let image: Image = rig.partition.image();
    let id = image.jobs[0].id;
    let mut replay = Replay::new(PartitionId(9), config(), rig.now);
    assert_eq!(replay.load(image.clone(), rig.now), Err(ReplayError::ForeignJob(id)));
    let mut replay = Replay::new(PartitionId(0), config(), rig.now);
    replay.load(image.clone(), rig.now).unwrap();
    assert_eq!(replay.load(image, rig.now), Err(ReplayError::KnownJob(id)));
}
