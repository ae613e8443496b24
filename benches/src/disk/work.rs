//! What is written: the records and images of real partitions, 20-byte keys and 64-byte payloads, the same in every run.

use std::sync::Arc;

use reveille::partition::{
    Config, Draft, Due, Handle, Image, JobSpec, Key, MonoTime, Now, OnConflict, Partition, PartitionId,
    QueueId, QueueName, Record,
};
use reveille::store::codec::{BatchHeader, encode_batch, record_bytes};
use reveille::store::{Batch, Claim, Grant, Owner};
use reveille::{CancelOutcome, Payload, Timestamp};
use testkit::random::Random;

use super::Error;

pub(crate) const PARTITIONS: u16 = 8;

/// As an engine cuts them.
const BATCH_BYTES: usize = 64 * 1024;

/// Jobs in a slice of a snapshot, as an engine reads them.
const SLICE: usize = 256;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// A partition whose changes are recorded.
pub(crate) struct Work {
    id: PartitionId,
    partition: Partition,
    random: Random,
    now: Now,
    number: u64,
    /// Formed, and not yet in a batch.
    records: Vec<Record>,
}

/// The log of one partition, cut into batches.
#[derive(Clone)]
pub(crate) struct Stock {
    pub(crate) batches: Vec<Arc<Batch>>,
    /// What the batches have as frames.
    pub(crate) bytes: u64,
    pub(crate) records: u64,
}

impl Work {
    pub(crate) fn new(partition: u16) -> Self {
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
        let id = PartitionId(partition);
        let random = Random::seeded(u64::from(partition) + 1);
        let partition = Partition::new(id, config, now);
        Work { id, partition, random, now, number: 0, records: Vec::new() }
    }

    pub(crate) fn schedule(&mut self) -> Handle {
        let key = Key::new(format!("job:{:02}{:014}", self.id.0, self.number)).expect("a short key");
        self.number += 1;
        let queue = QueueName::new("expire_order").expect("a short name");
        let payload: Vec<u8> = (0..8).flat_map(|_| self.random.next().to_le_bytes()).collect();
        let delay_us = (DAY_MS + self.random.below(DAY_MS)) * 1_000;
        let due = Due::At(self.now.wall.saturating_add_micros(delay_us));
        let spec = JobSpec::new(key, queue, Payload::from(payload), due);
        let draft = Draft { spec, queue: QueueId(0), on_conflict: OnConflict::Reject };
        self.partition.schedule(None, draft, self.now).expect("within the limits").handle()
    }

    pub(crate) fn schedule_and_cancel(&mut self) {
        let handle = self.schedule();
        assert!(self.partition.cancel(handle, None) == CancelOutcome::Cancelled);
    }

    /// The next batch, if there is enough for a full one, or `is_last` and there is anything.
    pub(crate) fn cut(&mut self, grant: &Grant, first_record: u64, is_last: bool) -> Option<Batch> {
        self.records.extend(self.partition.drain_records());
        let (mut count, mut bytes) = (0, 0);
        for record in &self.records {
            bytes += record_bytes(record);
            if bytes > BATCH_BYTES {
                break;
            }
            count += 1;
        }
        let is_full = bytes > BATCH_BYTES;
        if count == 0 || !(is_full || is_last) {
            return None;
        }
        let rest = self.records.split_off(count);
        let records = std::mem::replace(&mut self.records, rest);
        Some(Batch::new(grant.clone(), first_record, records))
    }

    /// So many jobs, and the log that tells of them.
    pub(crate) fn fill(&mut self, jobs: u64) -> Result<Stock, Error> {
        let grant = nobodys(self.id.0);
        let mut stock = Stock { batches: Vec::new(), bytes: 0, records: 0 };
        let mut frame = Vec::new();
        for left in (0..jobs).rev() {
            self.schedule();
            if left % 4_096 > 0 && left > 0 {
                continue;
            }
            while let Some(batch) = self.cut(&grant, stock.records, left == 0) {
                let header = BatchHeader { partition: self.id, epoch: 1, first_record: batch.first_record };
                encode_batch(&header, &batch.records, &mut frame)?;
                stock.bytes += frame.len() as u64;
                stock.records = batch.end();
                stock.batches.push(Arc::new(batch));
            }
        }
        Ok(stock)
    }

    /// So many jobs more, of which no log tells.
    pub(crate) fn fill_silently(&mut self, jobs: u64) {
        for _ in 0..jobs {
            self.schedule();
            if self.number.is_multiple_of(1_024) {
                self.partition.drain_records().for_each(drop);
            }
        }
        self.partition.drain_records().for_each(drop);
    }

    /// The number of the next job.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.partition.scan(0, 1).image.next_sequence
    }

    /// The jobs, slice by slice.
    pub(crate) fn slices(&self) -> impl Iterator<Item = Image> + '_ {
        let mut from = Some(0);
        std::iter::from_fn(move || {
            let slice = self.partition.scan(from?, SLICE);
            from = slice.next;
            Some(slice.image)
        })
    }
}

impl Stock {
    /// A copy of some of its batches, to warm up with.
    pub(crate) fn beginning(&self) -> Stock {
        let batches: Vec<_> = self.batches.iter().take(16).map(|batch| Arc::new((**batch).clone())).collect();
        let records = batches.iter().map(|batch| batch.records.len() as u64).sum();
        Stock { batches, bytes: 0, records }
    }

    /// One of its records, by itself.
    pub(crate) fn one(&self) -> Batch {
        let first = &self.batches[0];
        Batch::new(first.grant.clone(), 0, first.records[..1].to_vec())
    }
}

pub(crate) fn claim() -> Claim {
    Claim::new(Owner::new("bench"), PARTITIONS, std::time::Duration::from_secs(10))
}

fn nobodys(partition: u16) -> Grant {
    Grant::new(PartitionId(partition), &claim(), 0)
}
