//! What records and images have in common: ids, dues, deliveries, and the job itself.

use super::names::QueueNames;
use super::{CodecError, wire};
use crate::partition::{
    Delivery, JobId, JobOptions, JobSpec, Key, PartitionId, Payload, Priority, RecordedDue, TimeBase,
    Timestamp,
};

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
    pub(super) fn of(id: i64, spec: &'a JobSpec, queue: u32) -> Self {
        wire::Job {
            id,
            key: spec.key.as_str(),
            queue,
            payload: spec.payload.as_bytes(),
            due: spec.due.into(),
            priority: spec.options.priority().0,
            delivery: spec.options.delivery().into(),
        }
    }

    #[inline(always)]
    pub(super) fn read(self, ids: Ids, names: &QueueNames) -> Result<(JobId, JobSpec), CodecError> {
        let options =
            JobOptions::default().with_priority(Priority(self.priority)).with_delivery(self.delivery.into());
        let spec = JobSpec {
            key: read_key(self.key)?,
            queue: names.queue(self.queue)?,
            payload: Payload::from(self.payload),
            due: self.due.into(),
            options,
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

impl From<Delivery> for wire::Delivery {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::AtLeastOnce => wire::Delivery::AtLeastOnce,
            Delivery::AtMostOnce => wire::Delivery::AtMostOnce,
        }
    }
}

impl From<wire::Delivery> for Delivery {
    fn from(delivery: wire::Delivery) -> Self {
        match delivery {
            wire::Delivery::AtLeastOnce => Delivery::AtLeastOnce,
            wire::Delivery::AtMostOnce => Delivery::AtMostOnce,
        }
    }
}
