//! A partition as the engine holds it: behind its lock, with what is published of it beside.

use std::sync::Arc;

use hdrhistogram::Histogram;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::hint::WakeHint;
use super::jobs::JobCount;
use super::keys::{Heads, KeyHash, KeyIndex};
use crate::engine::log::{LogBuffer, LogProgress};
use crate::partition::{Handle, MonoTime, Partition, Wake};
use crate::store::Durability;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};

/// A partition and what is published of it. Aligned so that the locks of two do not share a cache line.
#[repr(align(128))]
pub(crate) struct Cell {
    owned: Mutex<Owned>,
    hint: WakeHint,
    /// Of the index from keys to jobs, to fetch it ahead.
    pub(crate) heads: Arc<Heads>,
    pub(super) jobs: JobCount,
    pub(crate) is_shut: AtomicBool,
    pub(crate) progress: LogProgress,
    /// Wakes the partition's committer.
    pub(crate) flush: Notify,
    /// Commits wait for records below these to be on the store's disk, and at its replicas.
    wanted: [AtomicU64; 2],
    /// Held while a snapshot is taken.
    pub(crate) snapshots: tokio::sync::Mutex<()>,
    last_snapshot: Mutex<LastSnapshot>,
}

/// What a partition's lock guards.
pub(crate) struct Owned {
    pub(crate) partition: Partition,
    pub(crate) keys: KeyIndex,
    pub(crate) log: LogBuffer,
    pub(crate) lateness_us: Histogram<u64>,
    /// From a record to the store's word for it.
    pub(crate) commit_us: Histogram<u64>,
    /// Whether another engine owns the partition.
    pub(super) is_lost: bool,
    /// How many jobs it holds room for: see [`jobs`](super::jobs).
    pub(crate) room: usize,
}

impl Owned {
    /// Whether another engine owns the partition, and the engine goes on with others.
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Jobs that are pending, as far as they are this engine's.
    pub(crate) fn pending(&self) -> usize {
        if self.is_lost { 0 } else { self.partition.live() - self.partition.running() }
    }

    /// Jobs that are pending or running. Of a partition that is lost only those that run: what is pending is another engine's.
    #[inline]
    pub(super) fn jobs(&self) -> usize {
        if self.is_lost { self.partition.running() } else { self.partition.live() }
    }

    /// The newest job of a key.
    pub(crate) fn find(&self, key: &str, hash: KeyHash) -> Option<Handle> {
        let slot = self.keys.find(hash, |slot| self.partition.is_of_key(slot, key))?;
        self.partition.handle_at(slot)
    }

    /// The slot of the job that a call is about, most probably. For fetching memory ahead.
    pub(crate) fn guess(&self, aim: Aim) -> Option<u32> {
        match aim {
            Aim::Key(hash) => self.keys.guess(hash),
            Aim::Slot(slot) => Some(slot),
        }
    }
}

/// What a call knows of the job that it is about, before it looks.
#[derive(Clone, Copy)]
pub(crate) enum Aim {
    Key(KeyHash),
    Slot(u32),
}

/// The log up to where the last snapshot covers it, and when that was.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LastSnapshot {
    pub(crate) covered: u64,
    pub(crate) at: MonoTime,
    /// Whether the log ends before the image does. The image is sound nevertheless, but the next one should come soon.
    pub(crate) is_cut_off: bool,
}

impl Cell {
    pub(crate) fn new(
        mut partition: Partition,
        keys: KeyIndex,
        log_end: u64,
        last_snapshot: LastSnapshot,
    ) -> Self {
        let mut log = LogBuffer::new(log_end);
        // What the restore itself has changed. A record is in the buffer whenever the lock is free.
        log.extend(partition.drain_records(), || last_snapshot.at);
        let (jobs, heads) = (partition.live(), Arc::clone(keys.heads()));
        Cell {
            owned: Mutex::new(Owned {
                partition,
                keys,
                log,
                lateness_us: new_histogram(),
                commit_us: new_histogram(),
                is_lost: false,
                room: jobs,
            }),
            hint: WakeHint::new(),
            heads,
            jobs: JobCount::new(jobs),
            is_shut: AtomicBool::new(false),
            progress: LogProgress::new(log_end),
            flush: Notify::new(),
            wanted: Default::default(),
            snapshots: tokio::sync::Mutex::default(),
            last_snapshot: Mutex::new(last_snapshot),
        }
    }

    /// When the partition next has something to do, as last published.
    pub(crate) fn wake(&self) -> Wake {
        self.hint.read()
    }

    /// Publishes that. Returns whether it has changed.
    #[inline]
    pub(crate) fn publish(&self, wake: Wake) -> bool {
        self.hint.publish(wake)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Owned> {
        self.owned.lock()
    }

    /// Reads under the lock, and hands that to whoever waits for it. A reader that comes again at once would otherwise keep it from
    /// the driver for half a millisecond, slice after slice: until the lock thinks of being fair by itself.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Partition) -> T) -> T {
        let owned = self.lock();
        let read = read(&owned.partition);
        MutexGuard::unlock_fair(owned);
        read
    }

    /// A commit waits for records below `end` to be as durable as `level`.
    pub(crate) fn want(&self, level: Durability, end: u64) {
        if self.note_wish(level, end) {
            self.flush.notify_one();
        }
    }

    /// As [`want`](Self::want), by the committer itself. Returns whether there is anything to ask for.
    pub(crate) fn note_wish(&self, level: Durability, end: u64) -> bool {
        let wish = self.wish(level);
        wish.inspect(|wanted| {
            wanted.fetch_max(end, SeqCst);
        });
        wish.is_some()
    }

    pub(crate) fn wanted(&self, level: Durability) -> u64 {
        self.wish(level).map_or(0, |wanted| wanted.load(SeqCst))
    }

    /// What is to be had without asking has no place.
    fn wish(&self, level: Durability) -> Option<&AtomicU64> {
        match level {
            Durability::Memory | Durability::Logged => None,
            Durability::Fsync => Some(&self.wanted[0]),
            Durability::Replicated => Some(&self.wanted[1]),
        }
    }

    /// Up to which record the last snapshot covers the log, and when it was taken.
    pub(crate) fn last_snapshot(&self) -> LastSnapshot {
        *self.last_snapshot.lock()
    }

    pub(crate) fn snapshotted(&self, covered: u64, at: MonoTime) {
        *self.last_snapshot.lock() = LastSnapshot { covered, at, is_cut_off: false };
    }
}

/// Two significant digits, from a microsecond to ten hours and, past that, as ten hours: about 20 KiB.
pub(crate) fn new_histogram() -> Histogram<u64> {
    let histogram = Histogram::new_with_bounds(1, HISTOGRAM_MAX_US, 2);
    histogram.expect("the bounds are constants within hdrhistogram's limits")
}

pub(crate) const HISTOGRAM_MAX_US: u64 = 36_000_000_000;
