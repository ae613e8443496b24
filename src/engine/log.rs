//! The records of a partition on their way to the store: a bounded buffer, and how far the store has come.

use tokio::sync::watch;

use super::error::CallError;
use crate::partition::Record;

/// Records that wait for the store. Under the partition's lock.
#[derive(Debug)]
pub(super) struct LogBuffer {
    pending: Vec<Record>,
    /// The sequence of the first pending record.
    first: u64,
}

impl LogBuffer {
    pub(super) fn new(next_record: u64) -> Self {
        LogBuffer { pending: Vec::new(), first: next_record }
    }

    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }

    pub(super) fn extend(&mut self, records: impl Iterator<Item = Record>) {
        self.pending.extend(records);
    }

    /// The sequence after the last record: the store has all once it has come this far.
    pub(super) fn end(&self) -> u64 {
        self.first + self.pending.len() as u64
    }

    /// Drops what is pending.
    pub(super) fn discard(&mut self) {
        self.pending = Vec::new();
    }

    /// Takes what is pending: the sequence of the first record, and the records.
    pub(super) fn take(&mut self) -> (u64, Vec<Record>) {
        let (first, records) = (self.first, std::mem::take(&mut self.pending));
        self.first += records.len() as u64;
        (first, records)
    }
}

/// How far the store has come with a partition's log; commits wait on it.
#[derive(Debug)]
pub(super) struct LogProgress(watch::Sender<Progress>);

#[derive(Clone, Debug)]
struct Progress {
    /// The store has every record below this sequence.
    durable: u64,
    /// Set when it will take no more.
    ended: Option<CallError>,
}

impl LogProgress {
    pub(super) fn new(next_record: u64) -> Self {
        LogProgress(watch::Sender::new(Progress { durable: next_record, ended: None }))
    }

    pub(super) fn durable(&self) -> u64 {
        self.0.borrow().durable
    }

    pub(super) fn advance(&self, durable: u64) {
        self.0.send_modify(|progress| progress.durable = durable);
    }

    /// The store will take no more: what waits for it, and what will, gets `error`.
    pub(super) fn end(&self, error: CallError) {
        self.0.send_modify(|progress| {
            progress.ended.get_or_insert(error);
        });
    }

    pub(super) fn is_ended(&self) -> bool {
        self.0.borrow().ended.is_some()
    }

    /// Resolves once the store has every record below `end`.
    pub(super) async fn reached(&self, end: u64) -> Result<(), CallError> {
        let mut progress = self.0.subscribe();
        let at = progress.wait_for(|progress| progress.durable >= end || progress.ended.is_some()).await;
        match at {
            Ok(progress) if progress.durable >= end => Ok(()),
            Ok(progress) => Err(progress.ended.clone().unwrap_or(CallError::Interrupted)),
            Err(_closed) => Err(CallError::Interrupted),
        }
    }
}
