//! What records and images have in common: ids, dues, ends, and the job itself.

use super::names::{Names, Tables};
use super::{CodecError, wire};
use crate::job::{End, JobId, JobSpec, Key, PartitionId, Payload, RecordedDue};
use crate::time::{TimeBase, Timestamp};

/// How a frame writes ids: as distances from a sequence that is near most of them. The partition is in its header.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ids {
    pub(super) partition: PartitionId,
    pub(super) near: u64,
}

impl Ids {
    /// A sequence has 48 bits.
    pub(super) const SEQUENCES: u64 = 1 << 48;

    pub(super) fn write(self, id: JobId) -> Result<i64, CodecError> {
        if id.partition() != self.partition {
            return Err(CodecError::invalid("a job is of another partition than its frame"));
        }
        // `near` is any number, so it may wrap; reading wraps it back.
        Ok(id.sequence().wrapping_sub(self.near).cast_signed())
    }

    pub(super) fn read(self, distance: i64) -> Result<JobId, CodecError> {
        let sequence = self.near.wrapping_add(distance.cast_unsigned());
        if sequence >= Self::SEQUENCES {
            return Err(CodecError::invalid("a job has a number that no partition gets to"));
        }
        Ok(JobId::new(self.partition, sequence))
    }
}

impl<'a> wire::Job<'a> {
    #[inline(always)]
    pub(super) fn of(id: i64, spec: &'a JobSpec, tables: &'a mut Tables) -> Result<Self, CodecError> {
        Ok(wire::Job {
            id,
            key: spec.key.as_str(),
            queue: tables.queues.place(&spec.queue),
            payload: spec.payload.as_bytes(),
            due: spec.due.into(),
            options: wire::Block(tables.options.block(&spec.options)?),
        })
    }

    #[inline(always)]
    pub(super) fn read(self, ids: Ids, names: &Names) -> Result<(JobId, JobSpec), CodecError> {
        let spec = JobSpec {
            key: read_key(self.key)?,
            queue: names.queue(self.queue)?,
            payload: Payload::from(self.payload),
            due: self.due.into(),
            options: names.options(self.options.0)?,
        };
        Ok((ids.read(self.id)?, spec))
    }
}

pub(super) fn read_key(text: &str) -> Result<Key, CodecError> {
    Key::new(text).map_err(|_| CodecError::invalid("a key is empty or too long"))
}

impl From<RecordedDue> for wire::Due {
    fn from(due: RecordedDue) -> Self {
        match due.base {
            TimeBase::Wall => wire::Due::Wall { at: due.wall.as_micros() },
            TimeBase::Mono => wire::Due::Mono { at: due.wall.as_micros() },
        }
    }
}

impl From<wire::Due> for RecordedDue {
    fn from(due: wire::Due) -> Self {
        let (base, at) = match due {
            wire::Due::Wall { at } => (TimeBase::Wall, at),
            wire::Due::Mono { at } => (TimeBase::Mono, at),
        };
        RecordedDue { base, wall: Timestamp::from_micros(at) }
    }
}

impl From<End> for wire::End {
    fn from(end: End) -> Self {
        match end {
            End::Done => wire::End::Done,
            End::Failed => wire::End::Failed,
            End::Panicked => wire::End::Panicked,
            End::Interrupted => wire::End::Interrupted,
            End::TimedOut => wire::End::TimedOut,
            End::Discarded => wire::End::Discarded,
            End::Cancelled => wire::End::Cancelled,
        }
    }
}

impl From<wire::End> for End {
    fn from(end: wire::End) -> Self {
        match end {
            wire::End::Done => End::Done,
            wire::End::Failed => End::Failed,
            wire::End::Panicked => End::Panicked,
            wire::End::Interrupted => End::Interrupted,
            wire::End::TimedOut => End::TimedOut,
            wire::End::Discarded => End::Discarded,
            wire::End::Cancelled => End::Cancelled,
        }
    }
}
