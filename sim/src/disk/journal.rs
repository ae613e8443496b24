//! What a store on the disk has promised, and whether it is there after a crash.
//!
//! # Checks
//! - After a process was killed, its records are there up to the last that the store has acknowledged, and nothing that was not sent.
//! - After power was lost, up to the last of which the store has said that it is synced; and so after a failed sync.
//!   What is gone is the end of the log: a state that existed.
//! - What was written anew takes the place of what was there, or not, and whole.

use std::sync::Arc;

use parking_lot::Mutex;
use reveille::sim::{Image, Record};
use reveille::store::{Batch, Grant, Loaded};

use crate::shadow::{Append, Shadow};
use crate::world::World;

/// All partitions of the store. The changes in the [`Shadow`] are numbered by the world's time.
pub(crate) struct Journal {
    world: Arc<World>,
    shadow: Arc<Shadow>,
    parts: Mutex<Vec<Part>>,
}

#[derive(Default)]
struct Part {
    /// Records that were sent, and not acknowledged yet: after those that the shadow knows.
    sent: Vec<Record>,
    /// The sequence after the last record that must outlive the machine's power.
    synced: u64,
    /// Whether what is not synced may be gone.
    is_doubted: bool,
    /// What may have taken the place of all.
    begun_anew: Vec<Begun>,
}

/// A partition as it was to be written anew.
struct Begun {
    by: Writer,
    covered: u64,
    complete: u64,
    base: Image,
}

/// Who writes.
#[derive(Clone, Debug)]
struct Writer {
    owner: String,
    epoch: u64,
}

impl Writer {
    fn of(grant: &Grant) -> Self {
        Writer { owner: grant.owner.as_str().to_owned(), epoch: grant.epoch }
    }
}

impl Journal {
    /// Of a store with nothing in it.
    pub(crate) fn new(world: &Arc<World>, shadow: &Arc<Shadow>, partitions: u16) -> Arc<Self> {
        let parts = Mutex::new((0..partitions).map(|_| Part::default()).collect());
        Arc::new(Journal { world: Arc::clone(world), shadow: Arc::clone(shadow), parts })
    }

    /// A process has the lease of a partition.
    pub(super) fn acquired(&self, grant: &Grant, epoch_after: u64, log_end: u64) {
        let (partition, owner) = (grant.partition.0, grant.owner.as_str());
        self.shadow.acquired(partition, owner, (epoch_after, grant.epoch, log_end), self.world.now_us());
    }

    /// Records are sent. Returns whether the sender may write.
    pub(super) fn sends(&self, batch: &Batch) {
        let (_, end) = self.shadow.head(batch.grant.partition.0);
        self.with(batch.grant.partition.0, |part| {
            let next = end + part.sent.len() as u64;
            // What is sent again is the same; what leaves a gap is refused.
            if let Some(known) = next.checked_sub(batch.first_record) {
                part.sent.extend(batch.records.iter().skip(known as usize).cloned());
            }
        });
    }

    /// Records are acknowledged. `is_owner` says whether who sent them was the owner then.
    pub(super) fn logged(&self, batch: &Batch, is_owner: bool) {
        self.check_owner(&batch.grant, is_owner, "a batch");
        self.take_sent(&batch.grant, batch.end());
        let (_, end) = self.shadow.head(batch.grant.partition.0);
        if end < batch.end() {
            let detail = format!("a batch up to {} was taken after {end}", batch.end());
            self.world.broken("7 each record once", detail);
        }
    }

    /// Moves what was sent to what is there, up to this record.
    fn take_sent(&self, grant: &Grant, until: u64) {
        let partition = grant.partition.0;
        let (_, end) = self.shadow.head(partition);
        let count = until.saturating_sub(end) as usize;
        let taken = self.with(partition, |part| {
            let count = count.min(part.sent.len());
            part.sent.drain(..count).collect::<Vec<_>>()
        });
        if !taken.is_empty() {
            let owner = grant.owner.as_str();
            let by = Append { partition, owner, epoch: grant.epoch, group: self.world.now_us() };
            self.shadow.took(&by, end, taken);
        }
    }

    /// The sequence after the last record that was acknowledged.
    pub(super) fn end(&self, grant: &Grant) -> u64 {
        self.shadow.head(grant.partition.0).1
    }

    /// Whether a grant is the last that was given.
    pub(super) fn is_owner(&self, grant: &Grant) -> bool {
        self.shadow.is_last_grant(grant.partition.0, grant.owner.as_str(), grant.epoch)
    }

    /// What was there before this record is synced, as the store says.
    pub(super) fn synced(&self, grant: &Grant, end: u64) {
        self.with(grant.partition.0, |part| part.synced = part.synced.max(end));
    }

    /// A partition is about to be written anew.
    pub(super) fn begins_anew(&self, grant: &Grant, (covered, complete): (u64, u64), base: Image) {
        let by = Writer::of(grant);
        self.with(grant.partition.0, |part| part.begun_anew.push(Begun { by, covered, complete, base }));
    }

    /// A snapshot is in force. If it `is_anew`, it is the last that was to be.
    pub(super) fn published(&self, grant: &Grant, covered: u64, is_anew: bool, is_owner: bool) {
        self.check_owner(grant, is_owner, "a snapshot");
        let partition = grant.partition.0;
        let begun = self.with(partition, |part| {
            part.synced = part.synced.max(covered);
            if !is_anew {
                return None;
            }
            (part.is_doubted, part.synced) = (false, covered);
            part.sent.clear();
            let begun = part.begun_anew.pop();
            part.begun_anew.clear();
            begun
        });
        if let Some(begun) = begun {
            self.adopt(partition, begun);
        }
    }

    fn adopt(&self, partition: u16, begun: Begun) {
        let Begun { by, covered, complete, base } = begun;
        let by = Append { partition, owner: &by.owner, epoch: by.epoch, group: self.world.now_us() };
        self.shadow.begun_anew(&by, (covered, complete), base);
    }

    /// A partition is loaded: has it all that it must have?
    pub(super) fn loaded(&self, grant: &Grant, loaded: &Loaded) {
        let partition = grant.partition.0;
        let last = self.with(partition, |part| {
            let is_it = |begun: &Begun| (begun.covered, begun.complete) == (loaded.covered, loaded.complete);
            let at = part.begun_anew.iter().rposition(is_it)?;
            part.sent.clear();
            part.synced = loaded.covered;
            Some(part.begun_anew.swap_remove(at))
        });
        if let Some(begun) = last {
            self.adopt(partition, begun);
        }
        let (_, end) = self.shadow.head(partition);
        let (owed, sent) = self.with(partition, |part| {
            let owed = if part.is_doubted { part.synced } else { end };
            (owed, part.sent.len() as u64)
        });
        let found = loaded.log_end();
        if found < owed {
            let detail = format!(
                "partition {partition} ends before record {found}, and has to have those before {owed}"
            );
            self.world.broken("2 nothing is lost", detail);
        }
        if found > end + sent {
            let detail = format!(
                "partition {partition} has records up to {found}, and those up to {} were sent",
                end + sent
            );
            self.world.broken("7 each record once", detail);
        }
        self.take_sent(grant, found);
        self.compare(partition, loaded);
        if let Some(since_us) = self.shadow.cut(partition, found) {
            self.world.note(|| format!("disk: partition {partition} has lost the records {found} to {end}"));
            self.shadow.doubt(partition, since_us);
        }
        self.with(partition, |part| {
            part.sent.clear();
            part.begun_anew.clear();
            (part.is_doubted, part.synced) = (false, part.synced.min(found));
        });
    }

    /// The records that are loaded are those that were sent.
    fn compare(&self, partition: u16, loaded: &Loaded) {
        let known = self.shadow.records(partition, loaded.covered);
        let first = self.shadow.head(partition).1 - known.len() as u64;
        for (sequence, record) in (loaded.covered..).zip(&loaded.records) {
            let Some(at) = sequence.checked_sub(first) else { continue };
            if let Some((_, sent)) = known.get(at as usize).filter(|(_, sent)| sent != record) {
                let detail =
                    format!("partition {partition}: record {sequence} was {sent:?}, and is {record:?}");
                self.world.broken("7 replay = live", detail);
            }
        }
    }

    /// Power was lost.
    pub(crate) fn power_lost(&self) {
        self.parts.lock().iter_mut().for_each(|part| part.is_doubted = true);
    }

    /// A sync of the log has failed: what was not synced before may be gone, unless it is written anew.
    pub(crate) fn sync_failed(&self) {
        let partitions = self.parts.lock().len() as u16;
        for partition in 0..partitions {
            let synced = self.with(partition, |part| part.synced);
            if let Some((since_us, _)) = self.shadow.records(partition, synced).first() {
                self.with(partition, |part| part.is_doubted = true);
                self.shadow.doubt(partition, *since_us);
            }
        }
    }

    /// Whether the store may say that it lacks something of a partition.
    pub(super) fn is_doubted(&self, partition: u16) -> bool {
        self.with(partition, |part| part.is_doubted || !part.begun_anew.is_empty())
    }

    /// Something is wrong.
    pub(super) fn broken(&self, promise: &'static str, detail: String) {
        self.world.broken(promise, detail);
    }

    fn check_owner(&self, grant: &Grant, is_owner: bool, what: &str) {
        if !is_owner {
            let detail =
                format!("partition {}: {what} was taken under epoch {}", grant.partition.0, grant.epoch);
            self.world.broken("5 stale writer", detail);
        }
    }

    fn with<T>(&self, partition: u16, act: impl FnOnce(&mut Part) -> T) -> T {
        act(&mut self.parts.lock()[usize::from(partition)])
    }
}
