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
//! - The header is laid out the same in every format, so that damage can be told from a newer writer.
//! - A frame with a single byte changed, or cut short anywhere, is refused.
//!
//! # Layout
//! `docs/format.md` describes every byte: it is the only copy.

mod batch;
mod chunk;
mod error;
mod frame;
mod history;
mod job;
#[cfg(any(test, fuzzing))]
#[cfg_attr(not(fuzzing), allow(unreachable_pub))]
#[doc(hidden)]
pub mod model;
mod names;
mod occurrence;
#[cfg(test)]
mod tests;
mod wire;

pub use batch::{BatchHeader, decode_batch, encode_batch, record_bytes};
pub use chunk::{
    ChunkEncoder, ChunkHeader, SnapshotHeader, decode_chunk, fired_bytes, job_bytes, pause_bytes,
};
pub use error::{CodecError, OptionName};
pub use frame::FrameKind;
pub use names::Names;

/// The format that is written, and the only one that is read.
pub const FORMAT: u16 = 2;

/// How many bytes a frame best has: a little under a power of two, where Redis' allocator wastes least.
pub const FRAME_BYTES_IDEAL: usize = 65_500;

/// How many bytes a frame may have: the longest value that Redis takes, unless it is told otherwise.
pub const FRAME_BYTES_MAX: usize = 512 * 1024 * 1024;
