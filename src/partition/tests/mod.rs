//! Tests of the partition: against a model, by the numbers of the contract, and by the bugs that timers are known for.

mod bounds;
mod by_due;
mod clocks;
mod conflict;
mod fuzzy;
mod memory;
mod model;
mod options;
mod order;
mod overdue;
mod past;
mod promises;
mod ready;
mod recur;
mod replay;
mod scan;

use std::time::Duration;

use super::{
    Config, Draft, Due, End, Handle, JobOptions, JobSpec, Key, LookupOutcome, MonoTime, Now, OnConflict,
    Partition, PartitionId, Payload, Priority, QueueId, QueueName, Started, Timestamp,
};
use crate::job::JobState;

const ALL: usize = usize::MAX;
const MS: u64 = 1_000;
const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const YEAR: i64 = 365 * 24 * HOUR;

const MAIL: QueueId = QueueId(0);

/// The partition that the model uses.
const MODEL: PartitionId = PartitionId(3);

fn config() -> Config {
    Config {
        tick_us: MS,
        horizon_us: 10 * YEAR as u64,
        payload_bytes_max: 16,
        fired_max: 1_000,
        fired_for_us: HOUR as u64,
        dead_max: 10,
        dead_for_us: u64::MAX,
        engine: 0,
        is_logged: false,
    }
}

fn draft(key: &str, due: Due) -> Draft {
    draft_with(key, due, JobOptions::default())
}

fn draft_with(key: &str, due: Due, options: JobOptions) -> Draft {
    let (key, payload) = (Key::new(key).unwrap(), Payload::from("{}"));
    let spec = JobSpec { options, ..JobSpec::new(key, queue_name(MAIL), payload, due) };
    Draft { spec, queue: MAIL, on_conflict: OnConflict::Reject }
}

fn in_queue(queue: QueueId, mut draft: Draft) -> Draft {
    (draft.spec.queue, draft.queue) = (queue_name(queue), queue);
    draft
}

fn queue_name(id: QueueId) -> QueueName {
    QueueName::new(format!("queue-{}", id.0)).unwrap()
}

/// A partition and the two clocks. Due times are in milliseconds after the beginning, by the wall as it stood then.
struct Rig {
    partition: Partition,
    now: Now,
    began: Timestamp,
}

impl Rig {
    fn new() -> Rig {
        Rig::with(config())
    }

    fn with(config: Config) -> Rig {
        // Both at the beginning of a tick: delays of whole ticks end where a tick does.
        let began = Timestamp::from_micros(1_700_000_000 * SECOND);
        let now = Now { wall: began, mono: MonoTime::from_micros(3_600_000_000) };
        Rig { partition: Partition::new(PartitionId(0), config, now), now, began }
    }

    fn wall_ms(&self, ms: i64) -> Due {
        Due::At(Timestamp::from_micros(self.began.as_micros() + ms * 1_000))
    }

    /// Both clocks go on.
    fn pass_us(&mut self, us: u64) {
        self.now.wall = self.now.wall.saturating_add_micros(us);
        self.now.mono = self.now.mono.saturating_add_micros(us);
    }

    fn pass_ms(&mut self, ms: u64) {
        self.pass_us(ms * MS);
    }

    /// Somebody sets the wall clock.
    fn step_wall(&mut self, us: i64) {
        self.now.wall = Timestamp::from_micros(self.now.wall.as_micros() + us);
    }

    fn take(&mut self, draft: Draft) -> Handle {
        let outcome = self.partition.schedule(None, draft, self.now).expect("within the limits");
        assert!(outcome.is_taken());
        outcome.handle()
    }

    fn at(&mut self, key: &str, ms: i64) -> Handle {
        self.take(draft(key, self.wall_ms(ms)))
    }

    fn after(&mut self, key: &str, ms: u64) -> Handle {
        self.take(draft(key, Due::In(Duration::from_millis(ms))))
    }

    fn with_priority(&mut self, key: &str, ms: i64, priority: u8) -> Handle {
        let due = self.wall_ms(ms);
        self.take(draft_with(key, due, JobOptions::default().with_priority(Priority(priority))))
    }

    /// Works until nothing due is left, in slices of `budget`, and returns how many there were.
    fn settle_by(&mut self, budget: usize) -> usize {
        let mut slices = 1;
        while !self.partition.advance(self.now, budget) {
            slices += 1;
            assert!(slices < 50_000_000 / budget.min(1_000_000), "advance does not end");
        }
        self.partition.validate();
        slices
    }

    fn settle(&mut self) {
        self.settle_by(ALL);
    }

    fn start(&mut self) -> Option<Started> {
        self.partition.start(MAIL, self.now)
    }

    /// Starts and ends whatever is ready, and returns the keys.
    fn run_ready(&mut self) -> Vec<String> {
        let mut keys = Vec::new();
        while self.partition.ready(MAIL) > 0 {
            let Some(started) = self.start() else { continue };
            assert!(self.partition.finish(started.handle, End::Done, self.now));
            keys.push(started.key.to_string());
        }
        keys
    }

    /// What fires now.
    fn fire(&mut self) -> Vec<String> {
        self.settle();
        self.run_ready()
    }

    fn is_ready(&self, handle: Handle) -> bool {
        matches!(self.partition.lookup(handle, self.now), LookupOutcome::Scheduled(view) if view.state == JobState::Ready)
    }

    /// Sleeps to the next wake, again and again, and returns each key with the milliseconds since the beginning.
    fn drive(&mut self) -> Vec<(String, i64)> {
        let mut fired = Vec::new();
        while let Some(wake) = self.partition.next_wake().as_mono(self.now) {
            self.pass_us(wake.micros_since(self.now.mono));
            let ms = (self.now.wall.as_micros() - self.began.as_micros()) / 1_000;
            fired.extend(self.fire().into_iter().map(|key| (key, ms)));
        }
        fired
    }
}
