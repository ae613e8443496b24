//! Options go the whole way with their job, whether they lie in it or beside it, and go with it.

use super::{Rig, config, draft_with};
use crate::job::Trial;
use crate::partition::{
    Config, Delivery, End, Image, JobOptions, LookupOutcome, OnConflict, Priority, Record, Replay,
};

fn options(text: &str) -> JobOptions {
    JobOptions::default()
        .with_priority(Priority(7))
        .with_delivery(Delivery::AtMostOnce)
        .with_trial(Trial(text.into()))
}

#[test]
fn they_are_in_the_record_the_view_the_image_and_with_the_handler() {
    let mut rig = Rig::with(Config { is_logged: true, ..config() });
    let handle = rig.take(draft_with("k", rig.wall_ms(10), options("a")));
    let records: Vec<_> = rig.partition.drain_records().collect();
    let [Record::Scheduled(scheduled)] = &*records else { panic!("{records:?}") };
    assert_eq!(scheduled.spec.options, options("a"));
    let LookupOutcome::Scheduled(view) = rig.partition.lookup(handle, rig.now) else { panic!() };
    assert_eq!(view.options, options("a"));
    assert_eq!(rig.partition.image().jobs[0].spec.options, options("a"));
    rig.pass_ms(10);
    rig.settle();
    assert_eq!(rig.start().unwrap().options, options("a"));
}

#[test]
fn a_replay_of_the_record_or_of_the_image_has_them() {
    let mut rig = Rig::with(Config { is_logged: true, ..config() });
    rig.take(draft_with("k", rig.wall_ms(10), options("a")));
    let live = rig.partition.image();
    let records: Vec<_> = rig.partition.drain_records().collect();
    let replay = || Replay::new(rig.partition.id(), config(), rig.now);
    let (mut by_records, mut by_image) = (replay(), replay());
    for record in records {
        by_records.apply(record, rig.now).unwrap();
    }
    by_image.load(Image { next_sequence: 1, ..live.clone() }, rig.now).unwrap();
    assert_eq!((by_records.image(), by_image.image()), (live.clone(), live));
}

#[test]
fn what_lies_beside_a_job_goes_with_it() {
    let mut rig = Rig::with(Config { fired_max: 1, ..config() });
    let cancelled = rig.take(draft_with("a", rig.wall_ms(10), options("a")));
    let replaced = rig.take(draft_with("b", rig.wall_ms(10), options("b")));
    rig.take(draft_with("c", rig.wall_ms(10), options("c")));
    assert_eq!(rig.partition.jobs.with_rare(), 3);
    rig.partition.cancel(cancelled, None).cancelled().unwrap();
    let mut plain = draft_with("b", rig.wall_ms(10), JobOptions::default());
    plain.on_conflict = OnConflict::Replace;
    let _ = rig.partition.schedule(Some(replaced), plain, rig.now).unwrap();
    assert_eq!(rig.partition.jobs.with_rare(), 1);
    rig.pass_ms(10);
    rig.settle();
    while let Some(started) = rig.start() {
        assert!(rig.partition.finish(started.handle, End::Done, rig.now));
    }
    assert_eq!(rig.partition.jobs.with_rare(), 0);
    rig.partition.validate();
}
