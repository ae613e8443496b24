//! Whatever a partition does while its image is read: the image and the records after it are read as what it has.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::contents::{Contents, replayed};
use crate::job::{
    Delivery, End, FiredView, Handle, JobFilter, JobOptions, JobSpec, JobView, Key, OnConflict, PartitionId,
    Payload, Priority, QueueName,
};
use crate::partition::{
    CatchUp, Config, Draft, Due, Image, MonoTime, Now, Partition, QueueId, Record, Replay, Timestamp,
};
use crate::store::{LivingOwner, Loaded, Owner, PartitionRead};

const ID: PartitionId = PartitionId(3);

fn config() -> Config {
    Config {
        tick_us: 1_000,
        horizon_us: u64::MAX / 4,
        payload_bytes_max: 64,
        fired_max: 1_000,
        fired_for_us: u64::MAX,
        dead_max: 10,
        dead_for_us: u64::MAX,
        engine: 1,
        is_logged: true,
    }
}

#[derive(Clone, Debug)]
enum Step {
    Schedule { key: u8, queue: u16, due_ms: i64, delay: bool, once: bool },
    Cancel(u8),
    Reschedule(u8, i64),
    Pass(u64),
    Start(u16),
    Finish(bool),
    Slice(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let key = 0u8..24;
    prop_oneof![
        5 => (key.clone(), 0u16..3, 0i64..30, any::<bool>(), any::<bool>())
            .prop_map(|(key, queue, due_ms, delay, once)| Step::Schedule { key, queue, due_ms, delay, once }),
        2 => key.clone().prop_map(Step::Cancel),
        2 => (key, 0i64..30).prop_map(|(key, due_ms)| Step::Reschedule(key, due_ms)),
        2 => (1u64..12).prop_map(Step::Pass),
        3 => (0u16..3).prop_map(Step::Start),
        3 => any::<bool>().prop_map(Step::Finish),
        3 => (1usize..12).prop_map(Step::Slice),
    ]
}

/// A partition, what it has logged, and an image of it that is being read.
struct Live {
    partition: Partition,
    now: Now,
    by_key: BTreeMap<u8, Handle>,
    running: Vec<Handle>,
    records: Vec<Record>,
    image: Image,
    covered: Option<usize>,
    complete: usize,
    next: Option<u32>,
}

impl Live {
    fn new() -> Self {
        let now =
            Now { wall: Timestamp::from_micros(1_000_000_000), mono: MonoTime::from_micros(3_600_000_000) };
        Live {
            partition: Partition::new(ID, config(), now),
            now,
            by_key: BTreeMap::new(),
            running: Vec::new(),
            records: Vec::new(),
            image: Image::default(),
            covered: None,
            complete: 0,
            next: Some(0),
        }
    }

    fn due(&self, ms: i64, is_delay: bool) -> Due {
        if is_delay {
            Due::In(Duration::from_millis(ms as u64))
        } else {
            Due::At(self.now.wall.saturating_add_micros(ms as u64 * 1_000))
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Schedule { key, queue, due_ms, delay, once } => {
                let delivery = if once { Delivery::AtMostOnce } else { Delivery::AtLeastOnce };
                let mut spec = JobSpec::new(
                    Key::new(format!("k{key}")).unwrap(),
                    QueueName::new(format!("q{queue}")).unwrap(),
                    Payload::from(vec![key; usize::from(queue)]),
                    self.due(due_ms, delay),
                );
                spec.options = JobOptions::default().with_priority(Priority(key)).with_delivery(delivery);
                // Other numbers than a reader will have.
                let draft = Draft { spec, queue: QueueId(7 - queue), on_conflict: OnConflict::Replace };
                let current = self.by_key.get(&key).copied();
                let outcome = self.partition.schedule(current, draft, self.now).unwrap();
                self.by_key.insert(key, outcome.handle());
            }
            Step::Cancel(key) => {
                if let Some(&handle) = self.by_key.get(&key) {
                    let _ = self.partition.cancel(handle, None);
                }
            }
            Step::Reschedule(key, due_ms) => {
                if let Some(&handle) = self.by_key.get(&key) {
                    let due = self.due(due_ms, key % 2 == 0);
                    let _ = self.partition.reschedule(handle, due, None, self.now).unwrap();
                }
            }
            Step::Pass(ms) => {
                self.now.wall = self.now.wall.saturating_add_micros(ms * 1_000);
                self.now.mono = self.now.mono.saturating_add_micros(ms * 1_000);
                assert!(self.partition.advance(self.now, usize::MAX));
            }
            Step::Start(queue) => {
                let started = self.partition.start(QueueId(7 - queue), self.now);
                self.running.extend(started.map(|started| started.handle));
            }
            Step::Finish(ok) => {
                if let Some(handle) = self.running.pop() {
                    let end = if ok { End::Done } else { End::Failed };
                    assert!(self.partition.finish(handle, end, self.now));
                }
            }
            Step::Slice(slots_max) => self.slice(slots_max),
        }
        self.records.extend(self.partition.drain_records());
    }

    fn slice(&mut self, slots_max: usize) {
        let Some(from) = self.next else { return };
        if self.covered.is_none() {
            self.covered = Some(self.records.len());
            self.image.next_sequence = self.partition.next_sequence();
        }
        let slice = self.partition.scan(from, slots_max);
        self.image.add(slice.image);
        (self.next, self.complete) = (slice.next, self.records.len());
    }

    /// What a store has of it: the image, and the records since it was begun.
    fn loaded(&mut self) -> Loaded {
        while self.next.is_some() {
            self.slice(usize::MAX);
        }
        let covered = self.covered.unwrap_or(0);
        Loaded {
            image: self.image.clone(),
            covered: covered as u64,
            complete: self.complete as u64,
            records: self.records[covered..].to_vec(),
        }
    }
}

fn read(loaded: Loaded, now: Now) -> Contents {
    let owner = LivingOwner::new(Owner::new("me"), 1, None);
    replayed(ID, PartitionRead::new(loaded, owner), now).unwrap()
}

/// All but what a process knows by itself.
fn comparable(jobs: impl IntoIterator<Item = JobView>) -> Vec<String> {
    let text = |job: JobView| {
        let since = job.running_since();
        let mut json = serde_json::to_value(&job).unwrap();
        // Whether a queue has got to a job that is due is no part of the state that replay promises.
        json["state"] = since.is_some().into();
        format!("{json} {:?}", job.payload.as_bytes())
    };
    let mut all: Vec<String> = jobs.into_iter().map(text).collect();
    all.sort();
    all
}

fn in_order(fired: impl IntoIterator<Item = FiredView>) -> Vec<FiredView> {
    let mut all: Vec<_> = fired.into_iter().collect();
    all.sort_by_key(|job| job.id);
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_is_what_is_there(steps in prop::collection::vec(step(), 0..150)) {
        let mut live = Live::new();
        steps.into_iter().for_each(|step| live.take(step));
        let loaded = live.loaded();
        let all = JobFilter::default();

        let contents = read(loaded.clone(), live.now);
        let alive = live.partition.image().jobs.len();
        let views = live.by_key.values().chain(&live.running).copied().collect::<std::collections::HashSet<_>>();
        let views = views.into_iter().filter_map(|handle| match live.partition.lookup(handle, live.now) {
            crate::job::LookupOutcome::Scheduled(job) | crate::job::LookupOutcome::Running(job) => Some(job),
            _ => None,
        });
        let expected = comparable(views);
        prop_assert_eq!(expected.len(), alive, "the test knows all of them");
        prop_assert_eq!(comparable(contents.jobs(&all)), expected);
        let fired = live.partition.image().fired.into_iter();
        let fired: Vec<_> = fired.map(|of| (of.id, of.key, of.fired_at, of.ended_at, of.end)).collect();
        let found = in_order(contents.fired(&all));
        let mut found: Vec<_> = found.into_iter().map(|of| (of.id, of.key, of.fired_at, of.ended_at, of.end)).collect();
        found.sort_by_key(|of| of.3);
        prop_assert_eq!(found, fired);
        prop_assert_eq!(contents.log().log_end, live.records.len() as u64);

        // A restart goes on with the same.
        let mut replay = Replay::new(ID, config(), live.now);
        loaded.replay(&mut replay, live.now).unwrap();
        let restored = replay.finish(false, &CatchUp::default(), live.now).partition;
        let handles: Vec<_> = restored.image().jobs.into_iter().map(|job| (job.id, job.version)).collect();
        let mut left: Vec<_> = contents.after_restart().jobs(&all).map(|job| (job.id, job.version)).collect();
        left.sort();
        prop_assert_eq!(left, handles);
    }
}
