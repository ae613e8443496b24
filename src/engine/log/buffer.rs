//! The records of a partition on their way to the store: a bounded buffer, cut into batches. Where records belong together, no cut goes
//! through them.

use std::collections::VecDeque;

use crate::partition::{MonoTime, Record};

/// The size at which a batch is closed. Redis takes it well, and twice as much would not be faster.
pub(crate) const BATCH_BYTES: usize = 64 * 1024;

/// Records that wait for the store, cut into batches as they come. Under the partition's lock.
#[derive(Debug)]
pub(crate) struct LogBuffer {
    /// The last one may grow; those before it are full.
    batches: VecDeque<Pending>,
    /// The sequence after the last record.
    end: u64,
    /// The store has every record below this.
    acknowledged: u64,
    /// The bytes of the records that the store does not have.
    bytes: usize,
    lost: u64,
    /// Batches that were taken, and that the store does not have yet.
    under_way: usize,
    /// How many records the last batch had that was full or taken: the next will have as many. A batch that grows from
    /// nothing costs each of its records 170 instructions more.
    records_expected: usize,
}

/// A batch before it is sent.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) first_record: u64,
    pub(crate) records: Vec<Record>,
    pub(crate) bytes: usize,
    /// When the first record came.
    pub(crate) since: MonoTime,
}

impl LogBuffer {
    pub(crate) fn new(log_end: u64) -> Self {
        LogBuffer {
            batches: VecDeque::new(),
            end: log_end,
            acknowledged: log_end,
            bytes: 0,
            lost: 0,
            under_way: 0,
            records_expected: 0,
        }
    }

    /// How many records the store does not have yet.
    pub(crate) fn outstanding(&self) -> u64 {
        self.end - self.acknowledged
    }

    /// About how many bytes they take.
    pub(crate) fn outstanding_bytes(&self) -> usize {
        self.bytes
    }

    /// About how many bytes of them the committer has not taken yet.
    #[cfg(feature = "_sim")]
    pub(crate) fn pending_bytes(&self) -> usize {
        self.batches.iter().map(|batch| batch.bytes).sum()
    }

    /// Whether there are records that the committer has not taken yet.
    #[cfg(feature = "_sim")]
    pub(crate) fn has_pending(&self) -> bool {
        !self.batches.is_empty()
    }

    /// Adds records. Returns whether there is something for the committer to do that there was not before: with nothing
    /// under way anything is, and else a full batch. Asks what time it is `now` only when a batch begins.
    pub(crate) fn extend(
        &mut self,
        records: impl Iterator<Item = Record>,
        mut now: impl FnMut() -> MonoTime,
    ) -> bool {
        let batches_before = self.batches.len();
        for record in records {
            let bytes = record.weight();
            if self.batches.back().is_none_or(|batch| batch.bytes + bytes > BATCH_BYTES) {
                if let Some(full) = self.batches.back() {
                    self.records_expected = full.records.len();
                }
                let (first_record, records) = (self.end, Vec::with_capacity(self.records_expected));
                self.batches.push_back(Pending { first_record, records, bytes: 0, since: now() });
            }
            if let Some(batch) = self.batches.back_mut() {
                batch.records.push(record);
                batch.bytes += bytes;
            }
            self.end += 1;
            self.bytes += bytes;
        }
        self.batches.len() > if self.under_way == 0 { batches_before } else { batches_before.max(1) }
    }

    /// Adds records of which the store is to have all or none: in one batch, which may grow past its size for them. In all else as
    /// [`extend`](Self::extend).
    pub(crate) fn extend_together(&mut self, records: Vec<Record>, now: impl FnOnce() -> MonoTime) -> bool {
        if records.is_empty() {
            return false;
        }
        let batches_before = self.batches.len();
        let bytes: usize = records.iter().map(Record::weight).sum();
        if self.batches.back().is_none_or(|batch| batch.bytes + bytes > BATCH_BYTES) {
            let (first_record, records) = (self.end, Vec::with_capacity(records.len()));
            self.batches.push_back(Pending { first_record, records, bytes: 0, since: now() });
        }
        self.end += records.len() as u64;
        self.bytes += bytes;
        if let Some(batch) = self.batches.back_mut() {
            batch.records.extend(records);
            batch.bytes += bytes;
        }
        self.batches.len() > if self.under_way == 0 { batches_before } else { batches_before.max(1) }
    }

    /// The sequence after the last record: the store has all once it has come this far.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Takes the first batch; one that may still grow only if `also_partial`.
    pub(crate) fn cut(&mut self, also_partial: bool) -> Option<Pending> {
        let cut = if self.batches.len() > 1 || also_partial { self.batches.pop_front() } else { None };
        if let Some(batch) = &cut {
            self.under_way += 1;
            self.records_expected = batch.records.len();
        }
        cut
    }

    /// The store has every record below `end`: `batches` batches of `bytes` bytes are no longer under way.
    pub(crate) fn acknowledge(&mut self, end: u64, batches: usize, bytes: usize) {
        self.acknowledged = self.acknowledged.max(end);
        self.under_way = self.under_way.saturating_sub(batches);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Counts records that no committer will take, so that a commit that waits for them does not take earlier ones for them.
    pub(crate) fn lose(&mut self, records: usize) {
        self.end += records as u64;
        self.lost += records as u64;
    }

    /// How many records no committer will take.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    /// Drops pending records: no committer will take them, or a snapshot covers them.
    pub(crate) fn discard(&mut self) {
        let dropped: usize = self.batches.iter().map(|batch| batch.bytes).sum();
        self.batches = VecDeque::new();
        self.bytes -= dropped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::{JobId, PartitionId};

    fn record() -> Record {
        Record::Cancelled { id: JobId::new(PartitionId(0), 1) }
    }

    /// As many records as fill a batch, and one more.
    fn full() -> impl Iterator<Item = Record> {
        std::iter::repeat_n(record(), BATCH_BYTES / record().weight() + 1)
    }

    fn log(buffer: &mut LogBuffer, records: impl Iterator<Item = Record>) -> bool {
        buffer.extend(records, MonoTime::default)
    }

    #[test]
    fn a_batch_has_room_for_as_many_records_as_the_full_one_before_it() {
        let mut buffer = LogBuffer::new(0);
        log(&mut buffer, std::iter::once(record()));
        assert!(buffer.cut(true).is_some_and(|batch| batch.records.len() == 1), "a small one is taken");
        // The next is full, and one is begun behind it, before the committer takes another.
        log(&mut buffer, full());
        let first = buffer.cut(false).expect("a full batch");
        let second = buffer.cut(true).expect("the batch after it");
        assert!(second.records.capacity() >= first.records.len() && first.records.len() > 100, "{first:?}");
    }

    #[test]
    fn what_belongs_together_goes_in_one_batch_wherever_others_end() {
        let together = || std::iter::repeat_n(record(), 100).collect::<Vec<_>>();
        let full = BATCH_BYTES / record().weight();
        for before in [0, 1, full - 101, full - 100, full - 99, full - 1, full, full + 1] {
            let mut buffer = LogBuffer::new(0);
            log(&mut buffer, std::iter::repeat_n(record(), before));
            buffer.extend_together(together(), MonoTime::default);
            log(&mut buffer, std::iter::repeat_n(record(), full));
            assert_eq!(buffer.end(), (before + 100 + full) as u64);
            let (first, end) = (before as u64, (before + 100) as u64);
            let (mut next, mut has) = (0, false);
            while let Some(batch) = buffer.cut(true) {
                assert_eq!(batch.first_record, next, "without a gap");
                next += batch.records.len() as u64;
                has |= batch.first_record <= first && end <= next;
                buffer.acknowledge(next, 1, batch.bytes);
            }
            assert!(has, "{before} before it");
            assert_eq!((next, buffer.outstanding_bytes()), (buffer.end(), 0));
        }
        // Past the size of a batch too; and nothing is no batch.
        let mut buffer = LogBuffer::new(0);
        assert!(!buffer.extend_together(Vec::new(), MonoTime::default) && buffer.cut(true).is_none());
        assert!(buffer.extend_together(full_and_more(), MonoTime::default));
        assert!(log(&mut buffer, std::iter::once(record())), "the next begins another, so this one is full");
        assert!(buffer.cut(false).is_some_and(|batch| batch.records.len() == full_and_more().len()));
    }

    fn full_and_more() -> Vec<Record> {
        full().chain(full()).collect()
    }

    #[test]
    fn the_committer_is_told_when_there_is_more_for_it_to_do_and_only_then() {
        let mut buffer = LogBuffer::new(7);
        assert!(!log(&mut buffer, std::iter::empty()));
        assert!(log(&mut buffer, std::iter::once(record())), "nothing is under way");
        assert!(!log(&mut buffer, std::iter::once(record())), "it was told already");
        let first = buffer.cut(true).expect("a batch");
        assert_eq!((first.first_record, first.records.len()), (7, 2));
        assert!(!log(&mut buffer, std::iter::once(record())), "it gathers behind the one under way");
        assert!(log(&mut buffer, full()), "a full batch goes though another is under way");
        assert!(!log(&mut buffer, std::iter::once(record())));
        assert!(buffer.cut(false).is_some() && buffer.cut(false).is_none());
        buffer.acknowledge(9, 2, first.bytes);
        assert!(buffer.cut(true).is_some());
        assert!(!log(&mut buffer, std::iter::once(record())));
        buffer.discard();
        buffer.acknowledge(buffer.end(), 1, 0);
        assert!(log(&mut buffer, std::iter::once(record())), "nothing is under way again");
    }
}
