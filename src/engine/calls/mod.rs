//! What a user asks of an engine.

mod auto_key;
mod batch;
mod by_due;
mod chunks;
mod commit;
mod control;
mod count;
mod dead;
mod edit;
mod ending;
mod list;
mod many;
mod merge;
mod one;
mod outcomes;
mod pause;
mod queue_pause;
mod schedule;
mod tagged;
mod target;
mod transaction;

pub use chunks::{Chunk, ChunkError, Chunks};
pub use commit::Commit;
pub use count::JobCount;
pub use dead::{Purged, Revived};
pub use list::{InvalidCursor, JobPage, ListCursor, ListError};
pub use merge::Merge;
pub use outcomes::{NotAllCancelled, NotAllRescheduled, NotAllScheduled, Outcomes};
pub use schedule::{Planned, Schedule};
pub use tagged::{Tagged, TaggedJob};
pub use target::Target;
pub use transaction::{
    ChangeOutcome, NotApplied, TRANSACTION_BYTES_MAX, TRANSACTION_CHANGES_MAX, Transaction,
    TransactionOutcome,
};
