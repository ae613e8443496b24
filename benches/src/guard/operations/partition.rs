//! The state machine, with a logged partition: records are formed, and taken out of it now and then.

use std::hint::black_box;

use reveille::partition::{
    Config, Draft, Due, End, Handle, JobSpec, Key, MonoTime, Now, OnConflict, Partition, PartitionId,
    QueueId, QueueName, Record,
};
use reveille::{CancelOutcome, Payload, RescheduleOutcome, Timestamp};

use super::{PENDING, TIMES, delay_ms, key_text, measure, picked};
use testkit::random::Random;

pub(super) fn run() {
    let mut random = Random::seeded(2);
    let mut it = Subject::filled(&mut random);

    let mut drafts: Vec<_> = (0..TIMES).map(|n| it.draft(PENDING + n, delay_ms(&mut random))).collect();
    let mut new = Vec::with_capacity(TIMES);
    measure("partition: schedule", TIMES, || {
        for draft in drafts.drain(..) {
            new.push(it.schedule(draft));
        }
    });
    it.forget_records();

    let moved = picked(&mut random, PENDING);
    let dues: Vec<_> = (0..TIMES).map(|_| it.due(delay_ms(&mut random))).collect();
    measure("partition: reschedule", TIMES, || {
        for (&number, &due) in moved.iter().zip(&dues) {
            let outcome = it.partition.reschedule(it.handles[number], due, None, it.now);
            assert!(matches!(outcome, Ok(RescheduleOutcome::Rescheduled { .. })));
        }
    });
    it.forget_records();
    measure("partition: cancel", TIMES, || {
        for &handle in &new {
            assert!(it.partition.cancel(handle, None) == CancelOutcome::Cancelled);
        }
    });
    it.forget_records();

    it.pass_ms(super::DAY_MS);
    measure("partition: become due, with all cascades before", PENDING, || {
        while !it.partition.advance(it.now, 2_048) {}
    });
    measure("partition: start and finish", TIMES, || {
        for _ in 0..TIMES {
            let Some(job) = it.partition.start(QUEUE, it.now) else { panic!("all are ready") };
            assert!(it.partition.finish(job.handle, End::Done, it.now));
            black_box(&job);
        }
    });
}

const QUEUE: QueueId = QueueId(0);

pub(super) const PARTITION: PartitionId = PartitionId(0);

pub(super) struct Subject {
    partition: Partition,
    handles: Vec<Handle>,
    now: Now,
}

impl Subject {
    pub(super) fn empty() -> Self {
        let config = Config {
            tick_us: 1_000,
            horizon_us: 10 * 365 * 24 * 3_600_000_000,
            payload_bytes_max: 65_536,
            fired_max: 100_000,
            fired_for_us: 3_600_000_000,
            dead_max: 10,
            dead_for_us: u64::MAX,
            engine: 0,
            is_logged: true,
        };
        let wall = Timestamp::from_micros(1_700_000_000_000_000);
        let now = Now { wall, mono: MonoTime::from_micros(3_600_000_000) };
        let partition = Partition::new(PARTITION, config, now);
        Subject { partition, handles: Vec::new(), now }
    }

    fn filled(random: &mut Random) -> Self {
        let mut it = Subject::empty();
        for number in 0..PENDING {
            let draft = it.draft(number, delay_ms(random));
            let handle = it.schedule(draft);
            it.handles.push(handle);
        }
        it.forget_records();
        it
    }

    fn due(&self, delay_ms: u64) -> Due {
        Due::At(self.now.wall.saturating_add_micros(delay_ms * 1_000))
    }

    pub(super) fn draft(&self, number: usize, delay_ms: u64) -> Draft {
        let key = Key::new(key_text(number)).expect("a short key");
        let name = QueueName::new("expire_order").expect("a short name");
        let spec = JobSpec::new(key, name, Payload::from(vec![number as u8; 64]), self.due(delay_ms));
        Draft { spec, queue: QUEUE, on_conflict: OnConflict::Reject }
    }

    pub(super) fn schedule(&mut self, draft: Draft) -> Handle {
        let outcome = self.partition.schedule(None, draft, self.now).expect("within the limits");
        assert!(outcome.is_taken());
        outcome.handle()
    }

    /// Those formed since they were last asked for.
    pub(super) fn records(&mut self) -> Vec<Record> {
        self.partition.drain_records().collect()
    }

    fn forget_records(&mut self) {
        drop(self.records());
    }

    fn pass_ms(&mut self, ms: u64) {
        self.now.wall = self.now.wall.saturating_add_micros(ms * 1_000);
        self.now.mono = self.now.mono.saturating_add_micros(ms * 1_000);
    }
}
