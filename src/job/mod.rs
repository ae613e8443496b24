//! What a job is: its names, its options, and what calls say of it. Plain values.
//!
//! The floor under the partition: nothing here knows where a job waits, what holds it in memory, or how it is written down.

mod edit;
mod filter;
mod handle;
mod history;
mod ident;
mod insist;
mod json;
mod options;
mod outcome;
mod pause;
mod payload;
mod recurrence;
mod spec;
mod text;
mod view;

pub use edit::Edit;
pub use filter::JobFilter;
pub use handle::Handle;
pub use history::{AttemptError, Cause, Death, DeathReason, ERRORS_MAX, Fault, History, MESSAGE_BYTES_MAX};
pub(crate) use history::{Verdict, draw};
pub use ident::{
    InvalidKey, InvalidQueueName, JobId, KEY_BYTES_MAX, Key, PartitionId, QUEUE_NAME_BYTES_MAX, QueueName,
    Version,
};
pub use insist::{NotCancelled, NotRescheduled, NotScheduled};
#[cfg(feature = "codec")]
pub(crate) use options::OptionKind;
#[cfg(test)]
pub use options::Trial;
pub use options::{
    Backoff, Debounce, Delivery, Expires, HEADER_NAME_BYTES_MAX, HEADER_VALUE_BYTES_MAX, HEADERS_MAX,
    Headers, InvalidHeader, InvalidOption, InvalidTag, Jitter, JobOptions, Paused, Priority, Retry,
    TAG_BYTES_MAX, TAGS_MAX, Tags, Timeout,
};
pub(crate) use options::{Common, Rare};
pub use outcome::{
    CancelOutcome, EditOutcome, End, JobView, LookupOutcome, OnConflict, PurgeOutcome, Refusal,
    RescheduleOutcome, ReviveOutcome, ScheduleOutcome,
};
pub use pause::{PauseJobOutcome, ResumeJobOutcome};
pub use payload::Payload;
pub use recurrence::{
    InvalidRecurrence, LateCause, Missed, Occurrence, Overlap, Passed, Preview, Progress, Reason, Recurrence,
    RecurrenceError, Step,
};
pub use spec::{JobSpec, RecordedDue};
pub use view::{FiredView, JobState, PROGRESS_BYTES_MAX, ProgressNote};
