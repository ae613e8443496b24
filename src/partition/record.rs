//! What happens to a partition, as facts. A call forms a record and applies it; replay applies the same records
//! through the same code, so that live and restored state cannot drift.
//!
//! Every transition has a record, those included that a restart decides: replay has no rule of its own.
//!
//! A record is about a job, but for those of a queue. It names a job by its id, not by its key: a cancel or an acknowledgement is a few bytes in the log.

use super::{
    DeathReason, Edit, End, Fault, JobId, JobSpec, Occurrence, Passed, QueuePause, RecordedDue, Timestamp,
    Version,
};

/// One change of a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Record {
    /// A job was taken.
    Scheduled(ScheduledRecord),
    /// A job's due was moved.
    Rescheduled {
        /// The job.
        id: JobId,
        /// Its version after the change.
        version: Version,
        /// Its due after the change.
        due: RecordedDue,
    },
    /// A pending job was changed, and is due as before.
    Edited {
        /// The job.
        id: JobId,
        /// Its version after the change.
        version: Version,
        /// What was changed.
        edit: Edit,
    },
    /// A job was paused: it does not start until it is resumed.
    Paused {
        /// The job: pending, or a recurring one with its handler, which goes on.
        id: JobId,
        /// When.
        at: Timestamp,
        /// Its version after the change.
        version: Version,
    },
    /// A paused job was resumed, and is due as it was.
    Resumed {
        /// The job.
        id: JobId,
        /// Its version after the change.
        version: Version,
    },
    /// A job was taken back; it never fires.
    Cancelled {
        /// The job.
        id: JobId,
    },
    /// A job was handed to its handler.
    Started {
        /// The job.
        id: JobId,
        /// When.
        at: Timestamp,
        /// How often its handler has begun, this time included.
        attempt: u16,
    },
    /// A recurring job was handed to its handler. Its attempts are counted anew for each occurrence: the version says which.
    StartedAs {
        /// The job.
        id: JobId,
        /// When.
        at: Timestamp,
        /// How often the handler has begun for this occurrence, this time included.
        attempt: u16,
        /// The job's version.
        version: Version,
    },
    /// A restart found the job with its handler, and the process that ran it is gone: the job is pending again, due as before.
    Interrupted {
        /// The job.
        id: JobId,
        /// When it was found.
        at: Timestamp,
        /// Which attempt was cut short.
        attempt: u16,
    },
    /// The job has ended.
    Finished {
        /// The job.
        id: JobId,
        /// When: later than the end before it even where the wall clock stood still or was set back, so that ends have
        /// one order, and fired jobs one in which they are forgotten.
        at: Timestamp,
        /// How.
        end: End,
    },
    /// An attempt failed, or asked for another: the job is pending again.
    Retried {
        /// The job.
        id: JobId,
        /// When the attempt ended.
        at: Timestamp,
        /// Which attempt it was.
        attempt: u16,
        /// Its version after the change.
        version: Version,
        /// Its due after the change.
        due: RecordedDue,
        /// What went wrong; `None` if nothing did, and the handler only asked for more time.
        fault: Option<Fault>,
        /// Whether it counts as a failure.
        is_counted: bool,
    },
    /// The run of a recurring job has ended: it is pending again, for a later occurrence.
    Recurred {
        /// The job.
        id: JobId,
        /// When the run ended.
        at: Timestamp,
        /// Its version after the change.
        version: Version,
        /// How the run ended.
        end: End,
        /// What went wrong, if something did.
        fault: Option<Fault>,
        /// Its due after the change.
        due: RecordedDue,
        /// The occurrence that it waits for.
        occurrence: Occurrence,
        /// The occurrences between the two, if they were passed over.
        passed: Option<Passed>,
    },
    /// Occurrences of a recurring job, which is pending or runs, were passed over: it is about a later one.
    PassedOver {
        /// The job.
        id: JobId,
        /// Its version after the change.
        version: Version,
        /// Its due after the change.
        due: RecordedDue,
        /// The occurrence that it is about.
        occurrence: Occurrence,
        /// Those before it.
        passed: Passed,
    },
    /// The job is not tried again, and kept among the dead.
    Died {
        /// The job.
        id: JobId,
        /// When.
        at: Timestamp,
        /// Its version after the change.
        version: Version,
        /// Why.
        reason: DeathReason,
        /// What went wrong in its last attempt, if it died of that.
        fault: Option<Fault>,
    },
    /// A dead job is pending again.
    Revived {
        /// The job.
        id: JobId,
        /// Its version after the change.
        version: Version,
        /// Its due after the change.
        due: RecordedDue,
    },
    /// A dead job is gone.
    Purged {
        /// The job.
        id: JobId,
    },
    /// Nothing comes after the attempt that runs: no other attempt, no other occurrence.
    Stopped {
        /// The job.
        id: JobId,
    },
    /// A restart found the job more overdue than its queue allows; it never fires.
    Skipped {
        /// The job.
        id: JobId,
        /// When.
        at: Timestamp,
    },
    /// A queue was paused, or goes on.
    PauseSet(QueuePause),
}

/// A job as it was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScheduledRecord {
    /// Its number.
    pub id: JobId,
    /// What it is.
    pub spec: JobSpec,
    /// The job of the same key that it took the place of. One record, so that no crash lies between.
    pub before: Predecessor,
}

/// The job whose place a new one takes. One value, so that a record is no larger for what few have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Predecessor {
    /// There was none.
    #[default]
    None,
    /// It was pending, and goes.
    Replaced(JobId),
    /// It is a recurring job that runs. It goes on, and recurs no more: this one recurs in its place.
    Detached(JobId),
}

/// Of a record, about: ids, times and lengths.
const FIXED: usize = 40;

/// About how many bytes the record takes by which a job is taken.
pub(crate) fn schedule_weight<D>(spec: &JobSpec<D>) -> usize {
    FIXED + spec.key.as_str().len() + spec.payload.len() + spec.options.weight()
}

impl Record {
    /// The job that the record is about; `None` if it is about a queue.
    pub fn id(&self) -> Option<JobId> {
        Some(match self {
            Record::PauseSet(_) => return None,
            Record::Scheduled(job) => job.id,
            Record::Rescheduled { id, .. }
            | Record::Edited { id, .. }
            | Record::Paused { id, .. }
            | Record::Resumed { id, .. }
            | Record::Cancelled { id }
            | Record::Started { id, .. }
            | Record::StartedAs { id, .. }
            | Record::Recurred { id, .. }
            | Record::PassedOver { id, .. }
            | Record::Interrupted { id, .. }
            | Record::Finished { id, .. }
            | Record::Retried { id, .. }
            | Record::Died { id, .. }
            | Record::Revived { id, .. }
            | Record::Purged { id }
            | Record::Stopped { id }
            | Record::Skipped { id, .. } => *id,
        })
    }

    /// About how many bytes it takes in a log, rounded up.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Record::Scheduled(ScheduledRecord { spec, .. }) => schedule_weight(spec),
            Record::Recurred { fault, .. } => {
                2 * FIXED + fault.as_ref().map_or(0, |fault| fault.message.len())
            }
            Record::PassedOver { .. } => 2 * FIXED,
            Record::PauseSet(pause) => FIXED + pause.queue.as_str().len(),
            Record::Edited { edit, .. } => FIXED + edit.weight(),
            Record::Retried { fault, .. } | Record::Died { fault, .. } => {
                FIXED + fault.as_ref().map_or(0, |fault| fault.message.len())
            }
            _ => FIXED / 2,
        }
    }
}
