//! An image read in slices while the partition went on, and the records since: the live state.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::replay::later;
use super::{ALL, HOUR, Rig, config, draft};
use crate::partition::model::{History, history};
use crate::partition::{
    CatchUp, Config, Draft, Due, End, Handle, Image, JobId, Now, OnConflict, Partition, PartitionId, QueueId,
    Record, Replay, ReplayError,
};

proptest! {
    #![proptest_config(super::model::config())]

    #[test]
    fn slices_and_the_records_since_give_the_live_state_and_go_on_with_it(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        now in later(),
    ) {
        let history = history(&bytes);
        for snapshot in &history.snapshots {
            let records = history.steps.iter().map(|(record, _)| record);
            let mut replay = snapshot.replay(&history.config, records, now);
            if let Some(last) = snapshot.complete.checked_sub(1) {
                prop_assert_eq!(&replay.image(), &history.steps[last].1);
            }
            for (record, image) in &history.steps[snapshot.complete..] {
                replay.apply(record.clone(), now).unwrap();
                prop_assert_eq!(&replay.image(), image);
            }
        }
    }

    /// The log has lost its end, and with it records of which the image shows something.
    #[test]
    fn a_log_that_ends_too_early_gives_a_sound_state_and_one_to_go_on_from(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        cut in any::<prop::sample::Index>(),
        next in prop::collection::vec(any::<(u8, prop::sample::Index)>(), 0..40),
        now in later(),
    ) {
        let History { config, steps, snapshots } = history(&bytes);
        let Some(snapshot) = snapshots.into_iter().max_by_key(|s| s.complete - s.covered) else { return Ok(()) };
        let lost = cut.index(snapshot.complete - snapshot.covered + 1);
        let log: Vec<_> = steps.into_iter().map(|(record, _)| record).take(snapshot.complete - lost).collect();

        let restored = snapshot.replay(&config, &log, now).finish(true, &CatchUp::default(), now);
        let mut partition = restored.partition;
        partition.validate();
        check_sound(&partition.image(), &snapshot.image);
        let mut log = log;
        go_on(&mut partition, &next, now, &mut log);

        // And once more: the same image, and a log that goes on after what was lost.
        let mut replay = snapshot.replay(&config, &log, now);
        for record in log.into_iter().skip(snapshot.complete) {
            replay.apply(record, now).unwrap();
        }
        prop_assert_eq!(settled(replay.image(), &config), settled(partition.image(), &config));
    }
}

fn check_sound(image: &Image, fuzzy: &Image) {
    let ids = image.jobs.iter().map(|job| job.id).chain(image.fired.iter().map(|fired| fired.id));
    let met = fuzzy.jobs.iter().map(|job| job.id).chain(fuzzy.fired.iter().map(|fired| fired.id));
    assert!(ids.chain(met).all(|id| id.sequence() < image.next_sequence), "an id would be used twice");
    let mut pending = BTreeMap::new();
    for job in &image.jobs {
        assert_eq!(job.running_since, None);
        // One that was cut short has given its key up when its handler began.
        if job.attempt == 0 {
            assert_eq!(pending.insert(job.spec.key.clone(), job.id), None, "two of key {}", job.spec.key);
        }
    }
    assert!(image.fired.is_sorted_by(|a, b| a.ended_at < b.ended_at));
}

/// Another process makes some calls.
fn go_on(partition: &mut Partition, calls: &[(u8, prop::sample::Index)], now: Now, log: &mut Vec<Record>) {
    let mut now = Now { wall: now.wall.saturating_add_micros(10 * HOUR as u64), ..now };
    for (call, at) in calls {
        let jobs: Vec<_> = partition.jobs.iter().map(|(index, _)| index).collect();
        let any = (!jobs.is_empty()).then(|| partition.handle(jobs[at.index(jobs.len())]));
        now = Now { wall: now.wall.saturating_add_micros(7), mono: now.mono.saturating_add_micros(7) };
        match (call % 6, any) {
            (0, Some(job)) => {
                let _too_late_or_not = partition.cancel(job, None);
            }
            (1, Some(job)) => {
                let _too_late_or_not = partition.reschedule(job, Due::At(now.wall), None, now).unwrap();
            }
            (2, Some(job)) => {
                partition.finish(job, End::Done, now);
            }
            (3, _) => {
                let key = format!("new-{}", at.index(9));
                partition.schedule(None, draft(&key, Due::At(now.wall)), now).unwrap().scheduled().unwrap();
            }
            _ => {
                while !partition.advance(now, ALL) {}
                partition.start(QueueId(u16::from(call / 8) % 3), now);
            }
        }
        partition.validate();
        log.extend(partition.drain_records());
    }
    log.extend(partition.drain_records());
}

/// A restart leaves no record of two things: that a job which was cut short no longer runs, and that fired jobs which
/// were too many were forgotten at once, where ends forget a few each.
fn settled(mut image: Image, config: &Config) -> Image {
    image.jobs.iter_mut().for_each(|job| job.running_since = None);
    image.fired.drain(..image.fired.len().saturating_sub(config.fired_max));
    not_too_old(image, config)
}

/// Without the fired jobs that are too old, and remembered only because an end forgets no more than a few.
fn not_too_old(mut image: Image, config: &Config) -> Image {
    if let Some(newest) = image.fired.last().map(|fired| fired.ended_at) {
        image.fired.retain(|fired| fired.ended_at >= newest.saturating_sub_micros(config.fired_for_us));
    }
    image
}

fn id(sequence: u64) -> JobId {
    JobId::new(PartitionId(0), sequence)
}

/// A live partition with its log, and what was read of it.
struct Scene {
    rig: Rig,
    log: Vec<Record>,
    image: Image,
    covered: usize,
}

impl Scene {
    fn new(fired_max: usize) -> Scene {
        let rig = Rig::with(Config { is_logged: true, fired_max, ..config() });
        Scene { rig, log: Vec::new(), image: Image::default(), covered: 0 }
    }

    fn note(&mut self) {
        self.log.extend(self.rig.partition.drain_records());
    }

    fn begin(&mut self) {
        self.note();
        self.covered = self.log.len();
        self.image.next_sequence = self.rig.partition.next_sequence();
    }

    /// Reads so many slots.
    fn meet(&mut self, from: u32, slots: usize) {
        let slice = self.rig.partition.scan(from, slots);
        self.image.add(slice.image);
    }

    fn end(&mut self, handle: Handle) {
        assert!(self.rig.partition.finish(handle, End::Done, self.rig.now));
    }

    fn load(&self) -> Replay<'static> {
        let mut replay = Replay::new(PartitionId(0), self.rig.partition.config.clone(), self.rig.now);
        replay.load(self.image.clone(), self.rig.now).unwrap();
        replay
    }

    /// The image and the whole log since.
    fn replay(&mut self) -> Replay<'static> {
        self.note();
        let mut replay = self.load();
        for record in &self.log[self.covered..] {
            replay.apply_fuzzy(record.clone(), self.rig.now).unwrap();
        }
        replay
    }
}

/// The table rarely comes to it: a new job takes the lowest place that is free, which is that of the old or one before.
#[test]
fn a_replaced_job_and_the_one_in_its_place_can_both_have_been_met() {
    let mut scene = Scene::new(10);
    let old = scene.rig.at("a", 10);
    scene.begin();
    scene.meet(0, 1);
    let new = Draft { on_conflict: OnConflict::Replace, ..draft("a", scene.rig.wall_ms(20)) };
    scene.rig.partition.schedule(Some(old), new, scene.rig.now).unwrap().scheduled().unwrap();
    scene.meet(0, 1);
    assert_eq!(scene.image.jobs.len(), 2);
    assert_eq!(scene.replay().image(), scene.rig.partition.image());

    // With the record lost, the later one is the one whose caller was told last.
    let mut restored = scene.load().finish(true, &CatchUp::default(), scene.rig.now);
    assert_eq!((restored.superseded, restored.keys.len()), (1, 1));
    assert_eq!(restored.partition.image(), scene.rig.partition.image());
    assert_eq!(restored.partition.drain_records().collect::<Vec<_>>(), [Record::Cancelled { id: id(0) }]);
    restored.partition.validate();
}

/// Its handler has begun, so its key was free: that it must run again takes nothing from the other.
#[test]
fn a_job_that_scheduled_itself_anew_gives_way_to_nobody() {
    let mut scene = Scene::new(10);
    scene.rig.at("a", 0);
    scene.rig.settle();
    scene.rig.start().unwrap();
    scene.begin();
    scene.rig.at("a", 20);
    scene.meet(0, 16);
    let restored = scene.load().finish(true, &CatchUp::default(), scene.rig.now);
    assert_eq!((restored.superseded, restored.partition.live()), (0, 2));
}

#[test]
fn a_record_that_no_fuzzy_image_explains_is_refused() {
    let mut scene = Scene::new(10);
    let a = scene.rig.at("a", 10);
    scene.begin();
    let b = scene.rig.at("b", 10);
    scene.meet(0, 16);
    let now = scene.rig.now;
    scene.rig.partition.cancel(a, None).cancelled().unwrap();
    scene.rig.partition.cancel(b, None).cancelled().unwrap();
    scene.note();
    let [old, new, cancel_a, cancel_b] = &scene.log[..] else { panic!("{:?}", scene.log) };
    let apply = |replay: &mut Replay, record: &Record| replay.apply_fuzzy(record.clone(), now);

    // The image has both, but only one of them came to be after it was begun.
    assert_eq!(apply(&mut scene.load(), old), Err(ReplayError::KnownJob(id(0))));
    let mut replay = scene.load();
    assert_eq!(apply(&mut replay, new), Ok(()));
    assert_eq!(apply(&mut replay, new), Err(ReplayError::KnownJob(id(1))));
    assert_eq!(apply(&mut replay, cancel_a), Ok(()));
    assert_eq!(apply(&mut replay, cancel_a), Ok(()), "gone before the image was begun, or since");
    assert_eq!(apply(&mut replay, cancel_b), Ok(()));
    assert_eq!(apply(&mut replay, &Record::Cancelled { id: id(2) }), Err(ReplayError::UnknownJob(id(2))));
    let foreign = JobId::new(PartitionId(1), 0);
    assert_eq!(apply(&mut replay, &Record::Cancelled { id: foreign }), Err(ReplayError::ForeignJob(foreign)));
    assert_eq!(replay.image(), scene.rig.partition.image());
    // From here on the rules are strict.
    assert_eq!(replay.apply(cancel_b.clone(), now), Err(ReplayError::UnknownJob(id(1))));
    assert_eq!(replay.apply(new.clone(), now), Err(ReplayError::KnownJob(id(1))));
}

/// Slots say nothing of the order in which jobs have ended, nor does the clock where it was set back.
#[test]
fn promise_4_fired_jobs_are_forgotten_in_the_order_of_their_ends() {
    let mut scene = Scene::new(3);
    let jobs: Vec<_> = (0..6).map(|n| scene.rig.at(&format!("{n}"), 0)).collect();
    scene.rig.settle();
    (0..6).for_each(|_| drop(scene.rig.start().unwrap()));
    scene.end(jobs[2]);
    scene.rig.step_wall(-HOUR / 2);
    scene.end(jobs[1]);
    scene.begin();
    scene.meet(0, 2);
    scene.end(jobs[5]);
    scene.end(jobs[0]);
    scene.end(jobs[4]);
    // Number 2 was forgotten before it was met, number 1 after; 5 and 4 ended before they were met, 0 after.
    scene.meet(2, 16);
    let ended: Vec<u64> = scene.image.fired.iter().map(|fired| fired.id.sequence()).collect();
    assert_eq!(ended, [1, 4, 5]);
    let live = scene.rig.partition.image();
    assert_eq!(live.fired.iter().map(|fired| fired.id.sequence()).collect::<Vec<_>>(), [5, 0, 4]);
    assert_eq!(scene.replay().image(), live);
}

/// The one way in which the memory can differ: what lacks need not be forgotten, so more of the rest is.
#[test]
fn a_burst_that_grows_old_at_once_is_forgotten_no_later_than_live() {
    let mut scene = Scene::new(1_000);
    for _ in 0..103 {
        scene.rig.at("k", 0);
    }
    scene.rig.settle();
    let jobs: Vec<_> = std::iter::from_fn(|| scene.rig.start()).map(|job| job.handle).collect();
    jobs[..100].iter().for_each(|&job| scene.end(job));
    scene.rig.pass_us(2 * HOUR as u64);
    scene.begin();
    scene.end(jobs[100]);
    scene.meet(0, ALL);
    scene.end(jobs[101]);
    let (image, live) = (scene.replay().image(), scene.rig.partition.image());
    assert_eq!((live.fired.len(), image.fired.len()), (100 - 2 * 16 + 2, 100 - 3 * 16 + 2));
    assert!(live.fired.ends_with(&image.fired), "nothing that the live one has forgotten");
    let config = &scene.rig.partition.config;
    assert_eq!(not_too_old(image, config), not_too_old(live, config));
}

/// After a log that lost its end: what the image shows running was made pending again, by a record that goes on after it.
#[test]
fn calls_on_a_job_that_the_image_shows_running_count() {
    let mut scene = Scene::new(10);
    scene.rig.at("moved", 0);
    scene.rig.at("again", 0);
    scene.begin();
    scene.rig.settle();
    scene.rig.start().unwrap();
    scene.rig.start().unwrap();
    scene.meet(0, 16);
    scene.rig.partition.drain_records();

    let restored = scene.load().finish(true, &CatchUp::default(), scene.rig.now);
    scene.rig.partition = restored.partition;
    let moved = restored.keys.iter().find(|(key, _)| key.as_str() == "moved").unwrap().1;
    let due = scene.rig.wall_ms(5_000);
    scene.rig.partition.reschedule(moved, due, None, scene.rig.now).unwrap().rescheduled().unwrap();
    scene.rig.pass_us(1);
    scene.rig.settle();
    assert_eq!(scene.rig.start().unwrap().attempt, 2);
    assert_eq!(scene.replay().image(), scene.rig.partition.image());
}

/// The log goes on after its lost end, and with it what the restart has decided.
#[test]
fn an_interruption_counts_once_wherever_the_scan_came_by() {
    for is_met in [false, true] {
        let mut scene = Scene::new(10);
        let job = scene.rig.at("a", 0);
        scene.begin();
        scene.rig.settle();
        scene.rig.start().unwrap();
        if is_met {
            scene.meet(0, 16);
        }
        let (id, at) = (scene.rig.partition.job(job).unwrap().id(), scene.rig.now.wall);
        let index = job.index;
        scene.rig.partition.commit(Record::Interrupted { id, at, attempt: 1 }, index, scene.rig.now);
        scene.rig.settle();
        if !is_met {
            scene.meet(0, 16);
        }
        // Met before it: it makes the job pending. Met after it: neither it nor the start before it is made again.
        let image = scene.replay().image();
        assert_eq!(image, scene.rig.partition.image());
        assert_eq!((image.jobs[0].attempt, image.jobs[0].running_since), (1, None));
    }
}
