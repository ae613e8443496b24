//! What a store keeps, as bytes: batches of the log and chunks of a snapshot, each in a frame of its own.
//!
//! For who writes a [`Store`](super::Store): [`encode_batch`] and [`decode_batch`] for its log, [`ChunkEncoder`] and
//! [`decode_chunk`] for its snapshots. A store is free to keep records and images in another way.
//!
//! # Rules
//! - These bytes are in users' Redis, and the programs that read them are older and newer than the one that wrote them.
//!   What a frame of a format means never changes. A new kind of record, job or end gets a new tag, a new option of a job a new
//!   name; a program that does not know it refuses it, and says what it is. Anything else that moves a byte is a new
//!   [`FORMAT`].
//! - The codec knows no option. It asks the options of a job for what a plain job has not, and writes that by name.
//! - Bytes are judged, not trusted: whatever they are, a decoder neither panics nor allocates by a number that they
//!   claim. Capacity is bounded by the bytes that are left, and so is every text and payload.
//! - A decoder adds all that a frame holds, or nothing.
//! - Only this module knows `bincode`. It encodes mirror types (`wire`), so that a change of the partition's own types
//!   does not silently change what is written.
//!
//! # Invariants
//! - What was encoded decodes to the same.
//! - The header is laid out as below in every format, so that damage can be told from a newer writer.
//! - A frame with a single byte changed, or cut short anywhere, is refused.
//!
//! # Layout
//! Numbers in the header are little endian. In the body `n` is a number as `bincode` writes it: 0 to 250 is one byte;
//! 251, 252 or 253 is followed by two, four or eight, little endian. `z` is a signed number, as an `n` by zigzag. `text`
//! and `bytes` are an `n` for the length and then so many bytes. Instants are `z`, in microseconds since the Unix epoch.
//!
//! | frame, at | bytes | holds |
//! | --- | --- | --- |
//! | 0 | 4 | `RVLB` for a batch of the log, `RVSC` for a chunk of a snapshot |
//! | 4 | 2 | format: 2 |
//! | 6 | 2 | flags: 0 |
//! | 8 | 4 | length of the body |
//! | 12 | 4 | CRC-32 (IEEE) of bytes 0 to 11 and the body |
//! | 16 | | body |
//!
//! The body, one after the other:
//! - of a batch: partition `n`, epoch `n`, first record `n`, near `n`, how many records `n`; queues; options; records.
//! - of a chunk: partition `n`, epoch `n`, generation `n`, number of the chunk `n`, covered `n`, next sequence `n`, how
//!   many jobs `n`, how many fired `n`; queues; options; jobs; fired.
//!
//! | part | tag, one byte | holds |
//! | --- | --- | --- |
//! | queues | | how many `n` · the name of each `text`. A job has the place of its queue in this table |
//! | options | | how many `n` · the name of each `text`: of those that its jobs have |
//! | id | | `z`: the job's sequence less `near` of a batch, or `next sequence` of a chunk |
//! | job | | id · key `text` · queue `n` · payload `bytes` · due · option block `bytes` |
//! | option block | | one option after the other, till its end: place in the table of options `n` · value `bytes`. Empty for a plain job |
//! | value of `priority` | | one byte |
//! | value of `delivery` | 2 at most once | |
//! | due | 1 wall, 2 mono | instant |
//! | end | 1 done, 2 failed, 3 panicked, 4 interrupted | |
//! | record | 1 scheduled | job |
//! | | 2 scheduled in place of another | job · id of the other |
//! | | 3 rescheduled | id · version `n` · due |
//! | | 4 cancelled | id |
//! | | 5 started for the first time | id · instant |
//! | | 6 started again | id · instant · attempt `n` |
//! | | 7 interrupted | id · instant · attempt `n` |
//! | | 8 finished | id · instant · end |
//! | | 9 skipped | id · instant |
//! | job of a chunk | 1 pending | job · version `n` · attempt `n` |
//! | | 2 running | job · version `n` · attempt `n` · instant it began |
//! | fired of a chunk | | end · id · key `text` · instant it began · instant it ended |
//!
//! `near` is the sequence of the first record's job; a reader takes any. Ids are distances because most jobs that a
//! batch is about are young: a cancel of one is 2 to 4 bytes, however many jobs the partition has ever taken.

mod batch;
mod chunk;
mod error;
mod frame;
mod job;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(unreachable_pub))]
#[doc(hidden)]
pub mod model;
mod names;
#[cfg(test)]
mod tests;
mod wire;

pub use batch::{BatchHeader, decode_batch, encode_batch, record_bytes};
pub use chunk::{ChunkEncoder, ChunkHeader, SnapshotHeader, decode_chunk, fired_bytes, job_bytes};
pub use error::{CodecError, OptionName};
pub use frame::FrameKind;
pub use names::Names;

/// The format that is written, and the only one that is read.
pub const FORMAT: u16 = 2;

/// How many bytes a frame best has: a little under a power of two, where Redis' allocator wastes least.
pub const FRAME_BYTES_IDEAL: usize = 65_500;

/// How many bytes a frame may have: the longest value that Redis takes, unless it is told otherwise.
pub const FRAME_BYTES_MAX: usize = 512 * 1024 * 1024;
