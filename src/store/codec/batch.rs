//! Batches of the log: records of one partition, in the order in which they came to be.

use super::CodecError;
use super::frame::{self, FrameKind};
use super::history::fault_bytes;
use super::job::Ids;
use super::names::{Names, Tables, option_bytes};
use super::wire::{self, Body};
use crate::job::Tags;
use crate::partition::{
    Edit, JobId, PartitionId, Payload, Predecessor, Priority, QueuePause, Record, ScheduledRecord, Timestamp,
    Version,
};

/// Whose records a batch holds, and where in the log they are. How many there are follows from the records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchHeader {
    /// The partition, of the batch and of every job in it.
    pub partition: PartitionId,
    /// The epoch under which they were written.
    pub epoch: u64,
    /// The sequence of the first record.
    pub first_record: u64,
}

const NO_TAGS: CodecError = CodecError::invalid("an edit has tags that cannot be some");

/// Writes a batch into `out`, in place of what is there.
///
/// # Errors
/// [`CodecError::TooLarge`], and when a record is of another partition. What is in `out` is then of no use.
pub fn encode_batch(header: &BatchHeader, records: &[Record], out: &mut Vec<u8>) -> Result<(), CodecError> {
    let mut tables = Tables::default();
    for record in records {
        if let Record::Scheduled(job) = record {
            tables.queues.place(&job.spec.queue);
            tables.options.place(&job.spec.options);
        }
        if let Record::Edited { edit: Edit { queue: Some(queue), .. }, .. } = record {
            tables.queues.place(queue);
        }
        if let Record::PauseSet(pause) = record {
            tables.queues.place(&pause.queue);
        }
    }
    let near = records.iter().find_map(Record::id).map_or(0, JobId::sequence);
    let ids = Ids { partition: header.partition, near };
    let head = wire::BatchHead {
        partition: header.partition.0,
        epoch: header.epoch,
        first_record: header.first_record,
        near,
        // More than this can count are too large to be sealed.
        records: u32::try_from(records.len()).unwrap_or(u32::MAX),
    };
    frame::begin(out);
    wire::write(out, &head)?;
    tables.write(out)?;
    for record in records {
        match record {
            // By itself, as most are this, or short.
            Record::Scheduled(ScheduledRecord { id, spec, before: Predecessor::None }) => {
                let job = wire::Job::of(ids.write(*id)?, spec, &mut tables)?;
                wire::write(out, &wire::Taken(job))?;
            }
            record => write_other(record, ids, &mut tables, out)?,
        }
    }
    frame::seal(FrameKind::LogBatch, out)
}

/// How many bytes a record adds to a batch, at most. The names of its queue and of its options are not in it: a batch has
/// each name once.
pub fn record_bytes(record: &Record) -> usize {
    const OF_ID: usize = wire::TAG_BYTES + wire::NUMBER_BYTES_MAX;
    match record {
        Record::Scheduled(job) => {
            let replaced = if job.before == Predecessor::None { 0 } else { wire::NUMBER_BYTES_MAX };
            let texts = wire::bytes_of(job.spec.key.as_str().len()) + wire::bytes_of(job.spec.payload.len());
            wire::JOB_BYTES_MAX + replaced + texts + option_bytes(&job.spec.options).0
        }
        Record::Rescheduled { .. } => OF_ID + wire::VERSION_BYTES_MAX + wire::DUE_BYTES_MAX,
        Record::Edited { edit, .. } => {
            let payload = edit.payload.as_ref().map_or(0, |payload| wire::bytes_of(payload.len()));
            let tags = edit.tags.as_ref().map_or(0, |tags| wire::bytes_of(tags.bytes()));
            OF_ID + wire::VERSION_BYTES_MAX + 4 + payload + 1 + wire::QUEUE_BYTES_MAX + tags
        }
        Record::Cancelled { .. } => OF_ID,
        Record::Paused { .. } => OF_ID + wire::NUMBER_BYTES_MAX + wire::VERSION_BYTES_MAX,
        Record::Resumed { .. } => OF_ID + wire::VERSION_BYTES_MAX,
        Record::Started { .. } | Record::Interrupted { .. } => {
            OF_ID + wire::NUMBER_BYTES_MAX + wire::ATTEMPT_BYTES_MAX
        }
        Record::StartedAs { .. } => {
            OF_ID + wire::NUMBER_BYTES_MAX + wire::ATTEMPT_BYTES_MAX + wire::VERSION_BYTES_MAX
        }
        Record::Recurred { fault, .. } => {
            let run = wire::NUMBER_BYTES_MAX + wire::VERSION_BYTES_MAX + wire::TAG_BYTES;
            OF_ID + run + fault_bytes(fault.as_ref()) + wire::OCCURRENCE_BYTES_MAX + wire::PASSED_BYTES_MAX
        }
        Record::PassedOver { .. } => {
            OF_ID + wire::VERSION_BYTES_MAX + wire::OCCURRENCE_BYTES_MAX + wire::PASSED_BYTES_MAX
        }
        Record::Finished { .. } => OF_ID + wire::NUMBER_BYTES_MAX + wire::TAG_BYTES,
        Record::Skipped { .. } => OF_ID + wire::NUMBER_BYTES_MAX,
        Record::Retried { fault, .. } => {
            let changes = wire::NUMBER_BYTES_MAX + wire::ATTEMPT_BYTES_MAX + wire::VERSION_BYTES_MAX;
            OF_ID + changes + wire::DUE_BYTES_MAX + 1 + fault_bytes(fault.as_ref())
        }
        Record::Died { fault, .. } => {
            let changes = wire::NUMBER_BYTES_MAX + wire::VERSION_BYTES_MAX + wire::TAG_BYTES;
            OF_ID + changes + fault_bytes(fault.as_ref())
        }
        Record::Revived { .. } => OF_ID + wire::VERSION_BYTES_MAX + wire::DUE_BYTES_MAX,
        Record::Purged { .. } | Record::Stopped { .. } => OF_ID,
        Record::PauseSet(_) => wire::PAUSE_BYTES_MAX,
    }
}

/// Reads a batch and adds its records to `into`.
///
/// # Errors
/// When `bytes` are anything but one whole batch that this program knows. `into` is then as it was.
pub fn decode_batch(
    bytes: &[u8],
    names: &mut Names,
    into: &mut Vec<Record>,
) -> Result<BatchHeader, CodecError> {
    let before = into.len();
    read_batch(bytes, names, into).inspect_err(|_| into.truncate(before))
}

fn read_batch(bytes: &[u8], names: &mut Names, into: &mut Vec<Record>) -> Result<BatchHeader, CodecError> {
    let mut body = Body::new(frame::open(FrameKind::LogBatch, bytes)?);
    let head: wire::BatchHead = body.read()?;
    if head.first_record.checked_add(head.records.into()).is_none() {
        return Err(CodecError::invalid("its records go on after the last that can be counted"));
    }
    let partition = PartitionId(head.partition);
    let ids = Ids { partition, near: head.near };
    names.read_tables(&mut body)?;
    into.reserve(body.room_for(head.records, wire::RECORD_BYTES_MIN)?);
    for _ in 0..head.records {
        if body.next_byte() == Some(wire::Taken::TAG) {
            let wire::Taken(job) = body.read()?;
            let (id, spec) = job.read(ids, names)?;
            into.push(Record::Scheduled(ScheduledRecord { id, spec, before: Predecessor::None }));
        } else {
            into.push(read_other(&mut body, ids, names)?);
        }
    }
    body.end()?;
    Ok(BatchHeader { partition, epoch: head.epoch, first_record: head.first_record })
}

#[inline(never)]
fn write_other(record: &Record, ids: Ids, tables: &mut Tables, out: &mut Vec<u8>) -> Result<(), CodecError> {
    wire::write(out, &write_record(record, ids, tables)?)
}

#[inline(never)]
fn read_other(body: &mut Body<'_>, ids: Ids, names: &Names) -> Result<Record, CodecError> {
    read_record(body.read()?, ids, names)
}

#[inline(always)]
fn write_record<'a>(
    record: &'a Record,
    ids: Ids,
    tables: &'a mut Tables,
) -> Result<wire::Record<'a>, CodecError> {
    let id = record.id().map_or(Ok(0), |id| ids.write(id))?;
    Ok(match record {
        Record::PauseSet(QueuePause { queue, is_paused, at, version }) => wire::Record::PauseSet {
            queue: tables.queues.place(queue),
            is_paused: *is_paused,
            at: at.as_micros(),
            version: version.0,
        },
        Record::Scheduled(scheduled) => {
            let job = wire::Job::of(id, &scheduled.spec, tables)?;
            match scheduled.before {
                Predecessor::None => wire::Record::Scheduled { job },
                Predecessor::Replaced(id) => wire::Record::Replacing { job, replaced: ids.write(id)? },
                Predecessor::Detached(id) => wire::Record::Detaching { job, detached: ids.write(id)? },
            }
        }
        Record::Rescheduled { version, due, .. } => {
            wire::Record::Rescheduled { id, version: version.0, due: (*due).into() }
        }
        Record::Edited { version, edit, .. } => write_edit(id, version.0, edit, tables),
        Record::Cancelled { .. } => wire::Record::Cancelled { id },
        Record::Started { at, attempt: 1, .. } => wire::Record::Started { id, at: at.as_micros() },
        &Record::Started { at, attempt, .. } => {
            wire::Record::StartedAgain { id, at: at.as_micros(), attempt }
        }
        &Record::StartedAs { at, attempt, version, .. } => {
            wire::Record::StartedAs { id, at: at.as_micros(), attempt, version: version.0 }
        }
        &Record::Recurred { at, version, end, ref fault, ref occurrence, ref passed, .. } => {
            wire::Record::Recurred {
                id,
                at: at.as_micros(),
                version: version.0,
                end: end.into(),
                fault: fault.as_ref().into(),
                next: occurrence.into(),
                passed: passed.as_ref().into(),
            }
        }
        &Record::PassedOver { version, ref occurrence, ref passed, .. } => wire::Record::PassedOver {
            id,
            version: version.0,
            next: occurrence.into(),
            passed: Some(passed).into(),
        },
        &Record::Interrupted { at, attempt, .. } => {
            wire::Record::Interrupted { id, at: at.as_micros(), attempt }
        }
        &Record::Finished { at, end, .. } => {
            wire::Record::Finished { id, at: at.as_micros(), end: end.into() }
        }
        Record::Skipped { at, .. } => wire::Record::Skipped { id, at: at.as_micros() },
        &Record::Retried { at, attempt, version, due, ref fault, is_counted, .. } => wire::Record::Retried {
            id,
            at: at.as_micros(),
            attempt,
            version: version.0,
            due: due.into(),
            is_counted,
            fault: fault.as_ref().into(),
        },
        &Record::Died { at, version, reason, ref fault, .. } => wire::Record::Died {
            id,
            at: at.as_micros(),
            version: version.0,
            reason: reason.into(),
            fault: fault.as_ref().into(),
        },
        Record::Revived { version, due, .. } => {
            wire::Record::Revived { id, version: version.0, due: (*due).into() }
        }
        Record::Purged { .. } => wire::Record::Purged { id },
        Record::Stopped { .. } => wire::Record::Stopped { id },
        Record::Paused { at, version, .. } => {
            wire::Record::Paused { id, at: at.as_micros(), version: version.0 }
        }
        Record::Resumed { version, .. } => wire::Record::Resumed { id, version: version.0 },
    })
}

#[inline(always)]
fn write_edit<'a>(id: i64, version: u32, edit: &'a Edit, tables: &mut Tables) -> wire::Record<'a> {
    let payload = edit.payload.as_ref().map(Payload::as_bytes);
    let priority = edit.priority.map(|priority| priority.0);
    let queue = edit.queue.as_ref().map(|queue| tables.queues.place(queue));
    match &edit.tags {
        None => wire::Record::Edited { id, version, payload, priority, queue },
        Some(tags) => {
            let tags = tags.to_bytes().into();
            wire::Record::EditedTags { id, version, payload, priority, queue, tags }
        }
    }
}

fn read_edit(
    payload: Option<&[u8]>,
    priority: Option<u8>,
    queue: Option<u32>,
    names: &Names,
) -> Result<Edit, CodecError> {
    let queue = queue.map(|queue| names.queue(queue)).transpose()?;
    let (payload, priority) = (payload.map(Payload::from), priority.map(Priority));
    Ok(Edit { payload, priority, queue, tags: None })
}

fn read_record(record: wire::Record<'_>, ids: Ids, names: &Names) -> Result<Record, CodecError> {
    let at = Timestamp::from_micros;
    Ok(match record {
        wire::Record::Scheduled { job } => {
            let (id, spec) = job.read(ids, names)?;
            Record::Scheduled(ScheduledRecord { id, spec, before: Predecessor::None })
        }
        wire::Record::Replacing { job, replaced } => {
            let (id, spec) = job.read(ids, names)?;
            let before = Predecessor::Replaced(ids.read(replaced)?);
            Record::Scheduled(ScheduledRecord { id, spec, before })
        }
        wire::Record::Detaching { job, detached } => {
            let (id, spec) = job.read(ids, names)?;
            let before = Predecessor::Detached(ids.read(detached)?);
            Record::Scheduled(ScheduledRecord { id, spec, before })
        }
        wire::Record::StartedAs { id, at: us, attempt, version } => {
            Record::StartedAs { id: ids.read(id)?, at: at(us), attempt, version: Version(version) }
        }
        wire::Record::Recurred { id, at: us, version, end, fault, next, passed } => {
            let (occurrence, due) = next.read();
            Record::Recurred {
                id: ids.read(id)?,
                at: at(us),
                version: Version(version),
                end: end.into(),
                fault: fault.read()?,
                due,
                occurrence,
                passed: passed.read()?,
            }
        }
        wire::Record::PassedOver { id, version, next, passed } => {
            let (occurrence, due) = next.read();
            let passed = passed.read()?.ok_or(CodecError::invalid("no occurrence was passed over"))?;
            Record::PassedOver { id: ids.read(id)?, version: Version(version), due, occurrence, passed }
        }
        wire::Record::Rescheduled { id, version, due } => {
            Record::Rescheduled { id: ids.read(id)?, version: Version(version), due: due.into() }
        }
        wire::Record::Edited { id, version, payload, priority, queue } => {
            let edit = read_edit(payload, priority, queue, names)?;
            Record::Edited { id: ids.read(id)?, version: Version(version), edit }
        }
        wire::Record::EditedTags { id, version, payload, priority, queue, tags } => {
            let edit = read_edit(payload, priority, queue, names)?;
            let tags = Tags::from_bytes(&tags).ok_or(NO_TAGS)?;
            Record::Edited { id: ids.read(id)?, version: Version(version), edit: edit.and_tags(tags) }
        }
        wire::Record::Cancelled { id } => Record::Cancelled { id: ids.read(id)? },
        wire::Record::Started { id, at: us } => Record::Started { id: ids.read(id)?, at: at(us), attempt: 1 },
        wire::Record::StartedAgain { id, at: us, attempt } => {
            Record::Started { id: ids.read(id)?, at: at(us), attempt }
        }
        wire::Record::Interrupted { id, at: us, attempt } => {
            Record::Interrupted { id: ids.read(id)?, at: at(us), attempt }
        }
        wire::Record::Finished { id, at: us, end } => {
            Record::Finished { id: ids.read(id)?, at: at(us), end: end.into() }
        }
        wire::Record::Skipped { id, at: us } => Record::Skipped { id: ids.read(id)?, at: at(us) },
        wire::Record::Retried { id, at: us, attempt, version, due, is_counted, fault } => Record::Retried {
            id: ids.read(id)?,
            at: at(us),
            attempt,
            version: Version(version),
            due: due.into(),
            fault: fault.read()?,
            is_counted,
        },
        wire::Record::Died { id, at: us, version, reason, fault } => Record::Died {
            id: ids.read(id)?,
            at: at(us),
            version: Version(version),
            reason: reason.into(),
            fault: fault.read()?,
        },
        wire::Record::Revived { id, version, due } => {
            Record::Revived { id: ids.read(id)?, version: Version(version), due: due.into() }
        }
        wire::Record::Purged { id } => Record::Purged { id: ids.read(id)? },
        wire::Record::Stopped { id } => Record::Stopped { id: ids.read(id)? },
        wire::Record::Paused { id, at: us, version } => {
            Record::Paused { id: ids.read(id)?, at: at(us), version: Version(version) }
        }
        wire::Record::Resumed { id, version } => {
            Record::Resumed { id: ids.read(id)?, version: Version(version) }
        }
        wire::Record::PauseSet { queue, is_paused, at: us, version } => Record::PauseSet(QueuePause {
            queue: names.queue(queue)?,
            is_paused,
            at: at(us),
            version: Version(version),
        }),
    })
}
