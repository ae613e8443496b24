//! The codec for the project's own benchmarks, which count what it takes. No part of the interface.

use super::{BatchHeader, QueueNames, decode_batch, encode_batch};
use crate::partition::{PartitionId, Record};

/// Writes records of `partition` as a batch into `out`, in place of what is there. Returns whether that was possible.
pub fn encode(partition: PartitionId, records: &[Record], out: &mut Vec<u8>) -> bool {
    let header = BatchHeader { partition, epoch: 1_700_000_000_000, first_record: 1_000_000 };
    encode_batch(&header, records, out).is_ok()
}

/// Reads a batch, and adds its records to `into`. Returns whether it is one.
pub fn decode(bytes: &[u8], into: &mut Vec<Record>) -> bool {
    decode_batch(bytes, &mut QueueNames::new(), into).is_ok()
}
