//! Chunks of a snapshot: jobs and fired jobs of one partition, as many as fit into one value of the store. What was said of queues
//! is among the jobs, and counts as such.

use super::CodecError;
use super::frame::{self, FrameKind, HEADER_BYTES};
use super::history::history_bytes;
use super::job::{Ids, read_key};
use super::names::{Names, Tables, option_bytes};
use super::wire::{self, Body};
use crate::partition::{Death, FiredImage, Image, JobImage, PartitionId, QueuePause, Timestamp, Version};

/// Which snapshot a chunk is of. The same in all of its chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SnapshotHeader {
    /// The partition, of the snapshot and of every job in it.
    pub partition: PartitionId,
    /// The epoch under which it was written.
    pub epoch: u64,
    /// Which of the partition's snapshots it is.
    pub generation: u64,
    /// The sequence of the first record that it may lack.
    pub covered: u64,
    /// The sequence of the partition's next job when the first job was read. Jobs of the snapshot may be later.
    pub next_sequence: u64,
}

/// Which chunk it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkHeader {
    /// The snapshot.
    pub snapshot: SnapshotHeader,
    /// Its place among the chunks of the snapshot.
    pub number: u32,
}

/// Fills chunks, one after the other. Whoever pushes looks at [`ChunkEncoder::len`] and finishes a chunk in time.
#[derive(Debug)]
pub struct ChunkEncoder {
    snapshot: SnapshotHeader,
    tables: Tables,
    /// Those of the job that was pushed last; kept for the next.
    errors: Vec<u8>,
    /// Before the jobs, and counted with them.
    pauses: Section,
    jobs: Section,
    fired: Section,
}

/// Values of one kind, encoded and counted: how many there are is written before them.
#[derive(Debug, Default)]
struct Section {
    count: u32,
    bytes: Vec<u8>,
}

impl ChunkEncoder {
    /// How many bytes a chunk has around its table and its jobs, at most.
    const AROUND_BYTES: usize = HEADER_BYTES + 8 * wire::NUMBER_BYTES_MAX;

    /// Begins with an empty chunk.
    pub fn new(snapshot: SnapshotHeader) -> Self {
        let [pauses, jobs, fired] = std::array::from_fn(|_| Section::default());
        ChunkEncoder { snapshot, tables: Tables::default(), errors: Vec::new(), pauses, jobs, fired }
    }

    /// How many bytes the chunk has by now, at most.
    pub fn len(&self) -> usize {
        let sections = [&self.pauses, &self.jobs, &self.fired];
        let values: usize = sections.iter().map(|section| section.bytes.len()).sum();
        Self::AROUND_BYTES + self.tables.bytes() + values
    }

    /// Whether nothing was pushed since the last chunk.
    pub fn is_empty(&self) -> bool {
        [&self.pauses, &self.jobs, &self.fired].iter().all(|section| section.count == 0)
    }

    /// Adds a job.
    ///
    /// # Errors
    /// When it is of another partition. The chunk is then as it was.
    pub fn push_job(&mut self, job: &JobImage) -> Result<(), CodecError> {
        let id = self.ids().write(job.id)?;
        let image = write_job(job, id, &mut self.tables, &mut self.errors)?;
        self.jobs.push(&image)
    }

    /// Adds what was said of a queue.
    ///
    /// # Errors
    /// When it cannot be encoded. The chunk is then as it was.
    pub fn push_pause(&mut self, pause: &QueuePause) -> Result<(), CodecError> {
        let QueuePause { queue, is_paused, at, version } = pause;
        let (queue, at, version) = (self.tables.queues.place(queue), at.as_micros(), version.0);
        self.pauses.push(&wire::QueueImage::Pause { queue, is_paused: *is_paused, at, version })
    }

    /// Adds a fired job.
    ///
    /// # Errors
    /// When it is of another partition. The chunk is then as it was.
    pub fn push_fired(&mut self, fired: &FiredImage) -> Result<(), CodecError> {
        let (fired_at, ended_at) = (fired.fired_at.as_micros(), fired.ended_at.as_micros());
        let (id, key) = (self.ids().write(fired.id)?, fired.key.as_str());
        self.fired.push(&wire::FiredImage { end: fired.end.into(), id, key, fired_at, ended_at })
    }

    /// The chunk, as it is to be stored. The next one begins empty.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`]. What was pushed is gone then too.
    pub fn finish(&mut self, number: u32) -> Result<Vec<u8>, CodecError> {
        let chunk = self.assemble(number);
        self.tables.clear();
        self.pauses.clear();
        self.jobs.clear();
        self.fired.clear();
        chunk
    }

    fn assemble(&self, number: u32) -> Result<Vec<u8>, CodecError> {
        let head = wire::ChunkHead {
            partition: self.snapshot.partition.0,
            epoch: self.snapshot.epoch,
            generation: self.snapshot.generation,
            number,
            covered: self.snapshot.covered,
            next_sequence: self.snapshot.next_sequence,
            jobs: self.pauses.count.saturating_add(self.jobs.count),
            fired: self.fired.count,
        };
        let mut out = Vec::with_capacity(self.len());
        frame::begin(&mut out);
        wire::write(&mut out, &head)?;
        self.tables.write(&mut out)?;
        out.extend_from_slice(&self.pauses.bytes);
        out.extend_from_slice(&self.jobs.bytes);
        out.extend_from_slice(&self.fired.bytes);
        frame::seal(FrameKind::SnapshotChunk, &mut out)?;
        Ok(out)
    }

    fn ids(&self) -> Ids {
        Ids { partition: self.snapshot.partition, near: self.snapshot.next_sequence }
    }
}

impl Section {
    fn push(&mut self, value: &impl bincode::Encode) -> Result<(), CodecError> {
        let before = self.bytes.len();
        wire::write(&mut self.bytes, value).inspect_err(|_| self.bytes.truncate(before))?;
        // More than this can count are too large to be sealed.
        self.count = self.count.saturating_add(1);
        Ok(())
    }

    fn clear(&mut self) {
        self.count = 0;
        self.bytes.clear();
    }
}

/// How many bytes a job adds to a chunk, at most: with the names of its queue and its options, which the chunk
/// may have already.
pub fn job_bytes(job: &JobImage) -> usize {
    let texts = wire::bytes_of(job.spec.key.as_str().len()) + wire::bytes_of(job.spec.payload.len());
    let name = wire::bytes_of(job.spec.queue.as_str().len());
    let changes = wire::VERSION_BYTES_MAX + wire::ATTEMPT_BYTES_MAX + wire::NUMBER_BYTES_MAX;
    let (options, names) = option_bytes(&job.spec.options);
    let history = job.history.as_deref().map_or(0, history_bytes);
    wire::JOB_BYTES_MAX + changes + texts + name + options + names + history
}

/// How many bytes what was said of a queue adds to a chunk, at most: with the queue's name.
pub fn pause_bytes(pause: &QueuePause) -> usize {
    wire::PAUSE_BYTES_MAX + wire::bytes_of(pause.queue.as_str().len())
}

/// How many bytes a fired job adds to a chunk, at most.
pub fn fired_bytes(fired: &FiredImage) -> usize {
    wire::TAG_BYTES + 3 * wire::NUMBER_BYTES_MAX + wire::bytes_of(fired.key.as_str().len())
}

/// Reads a chunk and adds its jobs to `into`.
///
/// # Errors
/// When `bytes` are anything but one whole chunk that this program knows. `into` is then as it was.
pub fn decode_chunk(bytes: &[u8], names: &mut Names, into: &mut Image) -> Result<ChunkHeader, CodecError> {
    let (jobs, fired, pauses) = (into.jobs.len(), into.fired.len(), into.pauses.len());
    let header = read_chunk(bytes, names, into).inspect_err(|_| {
        into.jobs.truncate(jobs);
        into.fired.truncate(fired);
        into.pauses.truncate(pauses);
    })?;
    into.next_sequence = into.next_sequence.max(header.snapshot.next_sequence);
    Ok(header)
}

fn read_chunk(bytes: &[u8], names: &mut Names, into: &mut Image) -> Result<ChunkHeader, CodecError> {
    let mut body = Body::new(frame::open(FrameKind::SnapshotChunk, bytes)?);
    let head: wire::ChunkHead = body.read()?;
    if head.next_sequence >= Ids::SEQUENCES {
        return Err(CodecError::invalid("its next job has a number that no partition gets to"));
    }
    let partition = PartitionId(head.partition);
    let ids = Ids { partition, near: head.next_sequence };
    names.read_tables(&mut body)?;
    body.room_for(head.jobs, wire::QUEUE_IMAGE_BYTES_MIN)?;
    let mut left = head.jobs;
    while left > 0 && body.next_byte() == Some(wire::QueueImage::TAG) {
        into.pauses.push(read_pause(body.read()?, names)?);
        left -= 1;
    }
    into.jobs.reserve(body.room_for(left, wire::JOB_IMAGE_BYTES_MIN)?);
    for _ in 0..left {
        let image: wire::JobImage<'_> = body.read()?;
        into.jobs.push(read_job(image, ids, names)?);
    }
    into.fired.reserve(body.room_for(head.fired, wire::FIRED_IMAGE_BYTES_MIN)?);
    for _ in 0..head.fired {
        let image: wire::FiredImage<'_> = body.read()?;
        into.fired.push(read_fired(image, ids)?);
    }
    body.end()?;
    let snapshot = SnapshotHeader {
        partition,
        epoch: head.epoch,
        generation: head.generation,
        covered: head.covered,
        next_sequence: head.next_sequence,
    };
    Ok(ChunkHeader { snapshot, number: head.number })
}

fn read_pause(image: wire::QueueImage, names: &Names) -> Result<QueuePause, CodecError> {
    let wire::QueueImage::Pause { queue, is_paused, at, version } = image;
    let (at, version) = (Timestamp::from_micros(at), Version(version));
    Ok(QueuePause { queue: names.queue(queue)?, is_paused, at, version })
}

fn write_job<'a>(
    job: &'a JobImage,
    id: i64,
    tables: &'a mut Tables,
    errors: &'a mut Vec<u8>,
) -> Result<wire::JobImage<'a>, CodecError> {
    let (version, attempt, since) = (job.version.0, job.attempt, job.running_since.map(Timestamp::as_micros));
    let Some(history) = job.history.as_deref() else {
        let job = wire::Job::of(id, &job.spec, tables)?;
        return Ok(match since {
            None => wire::JobImage::Pending { job, version, attempt },
            Some(since) => wire::JobImage::Running { job, version, attempt, since },
        });
    };
    let job = wire::Job::of(id, &job.spec, tables)?;
    let (death, history) = (history.death, wire::History::of(history, errors)?);
    Ok(match (death, since) {
        (Some(Death { at, reason, .. }), _) => {
            wire::JobImage::Dead { job, version, attempt, at: at.as_micros(), reason: reason.into(), history }
        }
        (None, None) => wire::JobImage::PendingAgain { job, version, attempt, history },
        (None, Some(since)) => wire::JobImage::RunningAgain { job, version, attempt, since, history },
    })
}

#[inline(always)]
fn read_job(image: wire::JobImage<'_>, ids: Ids, names: &Names) -> Result<JobImage, CodecError> {
    let (job, version, attempt, since, history) = match image {
        wire::JobImage::Pending { job, version, attempt } => (job, version, attempt, None, None),
        wire::JobImage::Running { job, version, attempt, since } => {
            (job, version, attempt, Some(since), None)
        }
        wire::JobImage::PendingAgain { job, version, attempt, history } => {
            (job, version, attempt, None, Some(history.read(None)?))
        }
        wire::JobImage::RunningAgain { job, version, attempt, since, history } => {
            (job, version, attempt, Some(since), Some(history.read(None)?))
        }
        wire::JobImage::Dead { job, version, attempt, at, reason, history } => {
            let death = Death::new(Timestamp::from_micros(at), reason.into());
            (job, version, attempt, None, Some(history.read(Some(death))?))
        }
    };
    let (id, spec) = job.read(ids, names)?;
    let (version, running_since) = (Version(version), since.map(Timestamp::from_micros));
    Ok(JobImage { id, spec, version, attempt, running_since, history })
}

fn read_fired(image: wire::FiredImage<'_>, ids: Ids) -> Result<FiredImage, CodecError> {
    let wire::FiredImage { end, id, key, fired_at, ended_at } = image;
    Ok(FiredImage {
        id: ids.read(id)?,
        key: read_key(key)?,
        fired_at: Timestamp::from_micros(fired_at),
        ended_at: Timestamp::from_micros(ended_at),
        end: end.into(),
    })
}
