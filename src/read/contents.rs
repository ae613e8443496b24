//! What a partition holds, replayed.

use super::{PartitionRead, ReadError, Replay};
use crate::job::{FiredView, JobFilter, JobState, JobView, PartitionId};
use crate::partition::{Config, Now, Partition, QueuePause, ViewSlice, Wanted};
use crate::store::LivingOwner;

/// Jobs that are made views of at a time.
const SLICE: usize = 256;

/// Settings of a partition that only stands there: it takes whatever was taken once.
const CONFIG: Config = Config {
    tick_us: 1_000,
    horizon_us: u64::MAX,
    payload_bytes_max: usize::MAX,
    // Which of them their owner still remembers, its settings say, which are not in the store.
    fired_max: usize::MAX,
    fired_for_us: u64::MAX,
    dead_max: usize::MAX,
    dead_for_us: u64::MAX,
    engine: 0,
    is_logged: false,
};

/// What a partition holds, as the store had it at one moment. It owns all of it; the store is not asked again.
#[derive(Debug)]
pub struct Contents {
    partition: Partition,
    now: Now,
    owner: LivingOwner,
    log: LogFigures,
}

/// How long the log is that a restart would have to replay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct LogFigures {
    /// Jobs in the snapshot that a restart begins with, those that have fired not counted.
    pub snapshot_jobs: u64,
    /// Records after it.
    pub records: u64,
    /// The sequence of the record that comes next: how many there have ever been.
    pub log_end: u64,
}

/// Replays what was read.
pub(super) fn replayed(id: PartitionId, read: PartitionRead, now: Now) -> Result<Contents, ReadError> {
    let PartitionRead { loaded, owner } = read;
    let log = LogFigures {
        snapshot_jobs: loaded.image.jobs.len() as u64,
        records: loaded.records.len() as u64,
        log_end: loaded.log_end(),
    };
    let mut replay = Replay::new(id, CONFIG, now);
    let replayed = loaded.replay(&mut replay, now);
    replayed.map_err(|error| ReadError::Misfit { partition: id, error })?;
    Ok(Contents { partition: replay.into_read_only(now), now, owner, log })
}

impl Contents {
    /// Which partition it is.
    pub fn partition(&self) -> PartitionId {
        self.partition.id()
    }

    /// Who owned it when it was read, or had owned it last.
    pub fn owner(&self) -> &LivingOwner {
        &self.owner
    }

    /// What a restart would have to read.
    pub fn log(&self) -> LogFigures {
        self.log
    }

    /// The jobs that match, in no order. One that was scheduled after a delay is due when its owner last said so.
    ///
    /// A job that is with a handler by the store's word may be with one at this moment, or was when its process ended: see
    /// [`after_restart`](Self::after_restart).
    pub fn jobs(&self, filter: &JobFilter) -> impl Iterator<Item = JobView> + use<'_> {
        self.slices(filter.clone()).flat_map(|slice| slice.jobs)
    }

    /// The fired jobs that the store knows of, in no order. Their owner may remember fewer: how many, and for how long, is
    /// its setting.
    pub fn fired(&self, filter: &JobFilter) -> impl Iterator<Item = FiredView> + use<'_> {
        let filter = filter.clone().states([JobState::Fired]);
        self.slices(filter).flat_map(|slice| slice.fired)
    }

    /// What calls have said of queues, as far as this partition keeps it: that they are paused, or go on.
    pub fn pauses(&self) -> impl Iterator<Item = &QueuePause> {
        self.partition.pauses()
    }

    /// Does to these contents, and not to the store, what a restart would do to jobs that are with a handler by the store's
    /// word: those delivered at least once are pending again, those delivered at most once have failed.
    #[must_use]
    pub fn after_restart(mut self) -> Self {
        self.partition.end_cut_short(&|_| None, &mut Vec::new(), self.now);
        self
    }

    pub(super) fn state(&self) -> (&Partition, Now) {
        (&self.partition, self.now)
    }

    fn slices(&self, filter: JobFilter) -> impl Iterator<Item = ViewSlice> + use<'_> {
        let mut next = Some(0);
        std::iter::from_fn(move || {
            let wanted = Wanted::of(&filter, |name| self.partition.queue_number(name))?;
            let slice = self.partition.list(next?, SLICE, SLICE, &wanted, self.now);
            next = slice.next;
            Some(slice)
        })
    }
}
