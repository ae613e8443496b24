//! The records of a partition on their way to the store: a bounded buffer, and how far the store has come.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::watch;

use super::error::CallError;
use crate::partition::{MonoTime, Record};
use crate::rt;
use crate::store::Durability;

/// A batch is closed at so many bytes: what Redis takes well, and twice as much would not make it faster.
pub(super) const BATCH_BYTES: usize = 64 * 1024;

/// Records that wait for the store, cut into batches as they come. Under the partition's lock.
#[derive(Debug)]
pub(super) struct LogBuffer {
    /// The last one may grow; those before it are full.
    batches: VecDeque<Pending>,
    /// The sequence after the last record.
    end: u64,
    /// The store has every record below this.
    acknowledged: u64,
    /// What the records that it does not have take.
    bytes: usize,
    lost: u64,
}

/// A batch before it is sent.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) first_record: u64,
    pub(super) records: Vec<Record>,
    pub(super) bytes: usize,
    /// When the first record came.
    pub(super) since: MonoTime,
}

impl LogBuffer {
    pub(super) fn new(next_record: u64) -> Self {
        LogBuffer { batches: VecDeque::new(), end: next_record, acknowledged: next_record, bytes: 0, lost: 0 }
    }

    /// How many records the store does not have yet.
    pub(super) fn outstanding(&self) -> u64 {
        self.end - self.acknowledged
    }

    /// About how many bytes they take.
    pub(super) fn outstanding_bytes(&self) -> usize {
        self.bytes
    }

    /// About how many bytes of them nobody has taken yet.
    #[cfg(feature = "sim")]
    pub(super) fn pending_bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.bytes).sum()
    }

    /// Whether there are records that nobody has taken yet.
    pub(super) fn has_pending(&self) -> bool {
        !self.batches.is_empty()
    }

    pub(super) fn extend(&mut self, records: impl Iterator<Item = Record>, now: MonoTime) {
        for record in records {
            let bytes = record.weight();
            if self.batches.back().is_none_or(|batch| batch.bytes + bytes > BATCH_BYTES) {
                let (first_record, records) = (self.end, Vec::new());
                self.batches.push_back(Pending { first_record, records, bytes: 0, since: now });
            }
            if let Some(batch) = self.batches.back_mut() {
                batch.records.push(record);
                batch.bytes += bytes;
            }
            self.end += 1;
            self.bytes += bytes;
        }
    }

    /// The sequence after the last record: the store has all once it has come this far.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Takes the first batch; one that may still grow only if `also_partial`.
    pub(super) fn cut(&mut self, also_partial: bool) -> Option<Pending> {
        if self.batches.len() > 1 || also_partial { self.batches.pop_front() } else { None }
    }

    /// The store has every record below `end`.
    pub(super) fn acknowledge(&mut self, end: u64, bytes: usize) {
        self.acknowledged = self.acknowledged.max(end);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Counts records that nobody will take: whoever waits for them must not take the store's word for those before.
    pub(super) fn lose(&mut self, records: usize) {
        self.end += records as u64;
        self.lost += records as u64;
    }

    /// How many records nobody will take.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Drops what is pending: nobody will take it, or a snapshot covers it.
    pub(super) fn discard(&mut self) {
        let dropped: usize = self.batches.iter().map(|batch| batch.bytes).sum();
        self.batches = VecDeque::new();
        self.bytes -= dropped;
    }
}

/// How far the store has come with a partition's log; commits wait on it.
#[derive(Debug)]
pub(super) struct LogProgress(watch::Sender<Progress>);

#[derive(Clone, Debug)]
struct Progress {
    /// The store has every record below this sequence.
    durable: u64,
    /// Every record below this is on the store's disk.
    synced: u64,
    /// Every record below this is with the store's replicas.
    replicated: u64,
    /// Records below this have waited for longer than calls are to wait.
    expired: u64,
    /// How often the log was begun anew, with a snapshot of everything.
    rewrites: u64,
    /// Set when it will take no more.
    ended: Option<CallError>,
}

impl Progress {
    fn at(&self, level: Durability) -> u64 {
        match level {
            Durability::Memory => u64::MAX,
            Durability::Logged => self.durable,
            Durability::Fsync => self.synced,
            Durability::Replicated => self.replicated,
        }
    }
}

impl LogProgress {
    pub(super) fn new(next_record: u64) -> Self {
        let progress = Progress {
            durable: next_record,
            // What was loaded is in the store. Whether it is more than that nobody has asked yet.
            synced: 0,
            replicated: 0,
            expired: 0,
            rewrites: 0,
            ended: None,
        };
        LogProgress(watch::channel(progress).0)
    }

    pub(super) fn durable(&self) -> u64 {
        self.0.borrow().durable
    }

    pub(super) fn at(&self, level: Durability) -> u64 {
        self.0.borrow().at(level)
    }

    pub(super) fn advance(&self, level: Durability, end: u64) {
        self.0.send_modify(|progress| {
            let at = match level {
                Durability::Memory => return,
                Durability::Logged => &mut progress.durable,
                Durability::Fsync => &mut progress.synced,
                Durability::Replicated => &mut progress.replicated,
            };
            *at = end.max(*at);
        });
    }

    /// What waits for records below `end` has waited for too long.
    pub(super) fn expire(&self, end: u64) {
        self.0.send_if_modified(|progress| {
            let is_later = end > progress.expired;
            progress.expired = progress.expired.max(end);
            is_later
        });
    }

    /// The store will take no more: what waits for it, and what will, gets `error`.
    pub(super) fn end(&self, error: CallError) {
        self.0.send_modify(|progress| {
            progress.ended.get_or_insert(error);
        });
    }

    /// The log is about to be begun anew.
    pub(super) fn rewrite(&self) {
        self.0.send_modify(|progress| progress.rewrites += 1);
    }

    pub(super) fn rewrites(&self) -> u64 {
        self.0.borrow().rewrites
    }

    /// Resolves once the store has every record below `end`; `false` if the log was begun anew meanwhile, or ended.
    pub(super) async fn reached_unless_rewritten(&self, end: u64, rewrites: u64) -> bool {
        let mut progress = self.0.subscribe();
        let is_over = |at: &Progress| at.durable >= end || at.ended.is_some() || at.rewrites != rewrites;
        progress.wait_for(is_over).await.is_ok_and(|at| at.durable >= end && at.rewrites == rewrites)
    }

    pub(super) fn is_ended(&self) -> bool {
        self.0.borrow().ended.is_some()
    }

    pub(super) async fn ended(&self) {
        // It cannot be closed: the sender is right here.
        let _ = self.0.subscribe().wait_for(|progress| progress.ended.is_some()).await;
    }

    /// Resolves once every record below `end` is as durable as `level`, or has waited for longer than a call is to wait.
    pub(super) async fn reached(
        &self,
        end: u64,
        level: Durability,
        deadline: Duration,
    ) -> Result<(), CallError> {
        if self.0.borrow().expired < end {
            return self.reached_or(end, level, |at| at.expired >= end).await;
        }
        // The records are old, and nobody may have asked for this level until now: the time counts from here.
        let reached = rt::timeout(deadline, self.reached_at_last(end, level)).await;
        reached.unwrap_or(Err(CallError::Unconfirmed))
    }

    /// Resolves once every record below `end` is as durable as `level`, however long that takes.
    pub(super) async fn reached_at_last(&self, end: u64, level: Durability) -> Result<(), CallError> {
        self.reached_or(end, level, |_| false).await
    }

    async fn reached_or(
        &self,
        end: u64,
        level: Durability,
        is_enough: impl Fn(&Progress) -> bool,
    ) -> Result<(), CallError> {
        let mut progress = self.0.subscribe();
        let is_over = |at: &Progress| at.at(level) >= end || at.ended.is_some() || is_enough(at);
        let Ok(at) = progress.wait_for(is_over).await else { return Err(CallError::Interrupted) };
        if at.at(level) >= end {
            return Ok(());
        }
        Err(at.ended.clone().unwrap_or(CallError::Unconfirmed))
    }
}
