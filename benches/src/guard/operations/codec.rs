//! What a store writes: a batch of the log, encoded and decoded.

use std::hint::black_box;

use reveille::partition::Record;
use reveille::store::codec::{BatchHeader, Names, decode_batch, encode_batch};

use super::partition::{PARTITION, Subject};
use super::{delay_ms, measure};
use testkit::random::Random;

/// Records in a batch: some 64 KiB.
const RECORDS: usize = 500;
const BATCHES: usize = 20;

pub(super) fn run() {
    let mut random = Random::seeded(4);
    let records = scheduled(&mut random);
    let mut bytes = Vec::with_capacity(128 * 1024);
    let header = BatchHeader { partition: PARTITION, epoch: 1_700_000_000_000, first_record: 1_000_000 };
    measure("codec: encode a schedule, in a batch", RECORDS * BATCHES, || {
        for _ in 0..BATCHES {
            assert!(encode_batch(&header, &records, &mut bytes).is_ok());
        }
    });
    let mut again = Vec::with_capacity(RECORDS);
    measure("codec: decode a schedule, in a batch", RECORDS * BATCHES, || {
        for _ in 0..BATCHES {
            again.clear();
            assert!(decode_batch(&bytes, &mut Names::new(), &mut again).is_ok());
        }
    });
    assert!(black_box(&again).len() == records.len());
}

/// Records as a partition forms them.
fn scheduled(random: &mut Random) -> Vec<Record> {
    let mut it = Subject::empty();
    for number in 0..RECORDS {
        let draft = it.draft(number, delay_ms(random));
        it.schedule(draft);
    }
    it.records()
}
