//! What the store should hold: every record it took, from the beginning, with nothing trimmed and no snapshot; and who may
//! write. Replaying this is slow and simple, and has to end in the same state as a restore.
//!
//! # Checks
//! - Every change of a partition comes from the holder of the last grant (promise 5).
//! - Records come each once and in order (promise 7).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use reveille::PartitionId;
use reveille::partition::{Config, ReplayError};
use reveille::sim::{Image, Now, Reader, Record, Replay};

use crate::run::Why;
use crate::world::World;

/// The owner that changed a partition, and the server's change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Append<'a> {
    /// The partition.
    pub partition: u16,
    /// The owner.
    pub owner: &'a str,
    /// Its epoch.
    pub epoch: u64,
    /// The number of the change.
    pub group: u64,
}

/// Called when the server has lost something, with the partition and the instant of the first lost change.
pub(crate) type LossTold = Box<dyn Fn(u16, &Event, Why) + Send + Sync>;

/// What became of a partition in the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// What was changed at this instant or later may be lost.
    Lost(u64),
    /// It was written anew, by this owner.
    Rewritten(String),
}

/// All partitions.
pub(crate) struct Shadow {
    world: Arc<World>,
    config: Config,
    parts: Mutex<Vec<Part>>,
    told: Mutex<Option<LossTold>>,
    losses: AtomicU64,
    any_loss: Mutex<Option<Box<dyn Fn() + Send + Sync>>>,
}

#[derive(Default)]
struct Part {
    /// From the beginning, and from each time that it was written anew. The last one counts.
    lineages: Vec<Lineage>,
    grants: Vec<Grant>,
    /// A key or a field of it was deleted.
    has_lost: bool,
}

struct Grant {
    group: u64,
    owner: String,
    epoch: u64,
}

#[derive(Default)]
struct Lineage {
    group: u64,
    base: Image,
    covered: u64,
    complete: u64,
    records: Vec<(u64, Record)>,
}

impl Part {
    /// With `:m` Redis has lost its epochs.
    fn forgets_epochs(&mut self, group: u64) {
        self.grants.push(Grant { group, owner: String::new(), epoch: 0 });
    }
}

impl Lineage {
    fn end(&self) -> u64 {
        self.covered + self.records.len() as u64
    }
}

impl Shadow {
    /// Empty, for partitions that are built with `config`.
    pub(crate) fn new(world: &Arc<World>, config: Config, partitions: u16) -> Arc<Self> {
        let part = || Part { lineages: vec![Lineage::default()], ..Part::default() };
        let parts = Mutex::new((0..partitions).map(|_| part()).collect());
        Arc::new(Shadow {
            world: Arc::clone(world),
            config,
            parts,
            told: Mutex::new(None),
            losses: AtomicU64::new(0),
            any_loss: Mutex::new(None),
        })
    }

    /// Has losses reported.
    pub(crate) fn tell(&self, told: LossTold) {
        *self.told.lock() = Some(told);
    }

    /// Has every loss reported, even if no record is lost.
    pub(crate) fn tell_of_any_loss(&self, told: Box<dyn Fn() + Send + Sync>) {
        *self.any_loss.lock() = Some(told);
    }

    /// A lease was given.
    pub(crate) fn acquired(
        &self,
        partition: u16,
        owner: &str,
        (after, epoch, tail): (u64, u64, u64),
        group: u64,
    ) {
        if epoch <= after {
            let detail = format!(
                "partition {partition}: epoch {epoch} is given where one after {after} was asked for"
            );
            self.world.broken("5 stale writer", detail);
        }
        // A partition that was lost bit by bit counts as empty once nothing of it is left.
        let is_lost = {
            let parts = self.parts.lock();
            parts.get(usize::from(partition)).is_some_and(|part| {
                part.has_lost && part.lineages.last().is_some_and(|lineage| lineage.end() > 0) && tail == 0
            })
        };
        if is_lost {
            self.given_up(partition, group);
        }
        let mut parts = self.parts.lock();
        let Some(part) = parts.get_mut(usize::from(partition)) else { return };
        if let Some(last) = part.grants.last().filter(|last| last.epoch >= epoch) {
            let detail = format!("partition {partition}: epoch {epoch} after epoch {}", last.epoch);
            self.world.broken("5 stale writer", detail);
        }
        part.grants.push(Grant { group, owner: owner.to_owned(), epoch });
    }

    /// A batch was added to the log.
    pub(crate) fn appended(&self, by: &Append<'_>, bytes: &[u8]) {
        self.wrote(by);
        match Reader::default().batch(bytes) {
            Ok((first, records)) => self.took(by, first, records),
            Err(error) => self.world.broken("codec", format!("a batch cannot be read: {error}")),
        }
    }

    /// The store has these records, from the `first`th on.
    pub(crate) fn took(&self, by: &Append<'_>, first: u64, records: Vec<Record>) {
        let mut parts = self.parts.lock();
        let Some(lineage) =
            parts.get_mut(usize::from(by.partition)).and_then(|part| part.lineages.last_mut())
        else {
            return;
        };
        if first != lineage.end() {
            let (partition, end) = (by.partition, lineage.end());
            let detail = format!("partition {partition}: record {first} was taken where {end} comes next");
            self.world.broken("7 each record once", detail);
        }
        lineage.records.extend(records.into_iter().map(|record| (by.group, record)));
    }

    /// Something was changed: was it by the owner?
    pub(crate) fn wrote(&self, by: &Append<'_>) {
        let parts = self.parts.lock();
        let Some(part) = parts.get(usize::from(by.partition)) else { return };
        let last = part.grants.last();
        if !last.is_some_and(|last| last.owner == by.owner && last.epoch == by.epoch) {
            let detail = format!(
                "partition {} was changed under epoch {}, the last one given is {:?}",
                by.partition,
                by.epoch,
                last.map(|last| last.epoch)
            );
            self.world.broken("5 stale writer", detail);
        }
    }

    /// Whether this is the last lease that was given.
    pub(crate) fn is_last_grant(&self, partition: u16, owner: &str, epoch: u64) -> bool {
        let parts = self.parts.lock();
        let last = parts.get(usize::from(partition)).and_then(|part| part.grants.last());
        last.is_some_and(|last| last.owner == owner && last.epoch == epoch)
    }

    /// A partition was written anew: from `covered` to `complete` the image is fuzzy.
    pub(crate) fn rewritten(
        &self,
        by: &Append<'_>,
        (covered, complete, next_sequence): (u64, u64, u64),
        chunks: &[Arc<[u8]>],
    ) {
        let mut base = Image { next_sequence, ..Image::default() };
        let mut reader = Reader::default();
        for chunk in chunks {
            if let Err(error) = reader.chunk(chunk, &mut base) {
                self.world.broken("codec", format!("a chunk cannot be read: {error}"));
            }
        }
        base.next_sequence = base.next_sequence.max(next_sequence);
        self.wrote(by);
        self.begun_anew(by, (covered, complete), base);
    }

    /// A partition consists of this image from here on.
    pub(crate) fn begun_anew(&self, by: &Append<'_>, (covered, complete): (u64, u64), base: Image) {
        {
            let mut parts = self.parts.lock();
            let Some(part) = parts.get_mut(usize::from(by.partition)) else { return };
            part.lineages.push(Lineage { group: by.group, base, covered, complete, records: Vec::new() });
        }
        self.told(by.partition, &Event::Rewritten(by.owner.to_owned()), Why::Crash);
    }

    /// A key or a field was deleted, perhaps the lease.
    pub(crate) fn loses(&self, partition: u16, is_meta: bool, group: u64) {
        if let Some(part) = self.parts.lock().get_mut(usize::from(partition)) {
            part.has_lost = true;
            if is_meta {
                part.forgets_epochs(group);
            }
        }
        self.losses.fetch_add(1, Relaxed);
        self.leases_end();
    }

    /// Leases may have ended early.
    pub(crate) fn leases_end(&self) {
        if let Some(told) = &*self.any_loss.lock() {
            told();
        }
    }

    /// Whether a key or a field of a partition was deleted, or a crash has taken all of it.
    pub(crate) fn has_lost(&self, partition: u16) -> bool {
        let part = &self.parts.lock()[usize::from(partition)];
        part.has_lost || part.grants.is_empty()
    }

    /// A partition begins with nothing.
    pub(crate) fn given_up(&self, partition: u16, group: u64) {
        self.losses.fetch_add(1, Relaxed);
        self.leases_end();
        if let Some(part) = self.parts.lock().get_mut(usize::from(partition)) {
            // Added to the ones before: a crash may bring those back.
            part.lineages.push(Lineage { group, ..Lineage::default() });
            part.forgets_epochs(group);
        }
        self.told(partition, &Event::Lost(0), Why::GivenUp);
    }

    /// The server has lost every change after number `keeps`, the first of which was made at `first_us`.
    pub(crate) fn lost(&self, keeps: u64, first_us: u64, why: Why) {
        self.losses.fetch_add(1, Relaxed);
        if let Some(told) = &*self.any_loss.lock() {
            told();
        }
        let mut losers = Vec::new();
        for (partition, part) in (0u16..).zip(self.parts.lock().iter_mut()) {
            let before =
                (part.lineages.len(), part.lineages.last().map_or(0, |lineage| lineage.records.len()));
            part.lineages.retain(|lineage| lineage.group <= keeps);
            part.grants.retain(|grant| grant.group <= keeps);
            if keeps == 0 {
                part.lineages = vec![Lineage::default()];
                // An owner may end between the partitions that it writes again.
                part.has_lost = true;
            }
            if let Some(lineage) = part.lineages.last_mut() {
                lineage.records.retain(|(group, _)| *group <= keeps);
            }
            let after =
                (part.lineages.len(), part.lineages.last().map_or(0, |lineage| lineage.records.len()));
            if before != after || keeps == 0 {
                losers.push(partition);
            }
        }
        losers.into_iter().for_each(|partition| self.told(partition, &Event::Lost(first_us), why));
    }

    /// A partition ends before this record. Returns the number of the change that brought the first of those that are gone.
    pub(crate) fn cut(&self, partition: u16, end: u64) -> Option<u64> {
        let mut parts = self.parts.lock();
        let lineage = parts.get_mut(usize::from(partition))?.lineages.last_mut()?;
        let keeps = usize::try_from(end.checked_sub(lineage.covered)?).ok()?;
        let first = lineage.records.get(keeps)?.0;
        lineage.records.truncate(keeps);
        Some(first)
    }

    /// The records of a partition from this one on, with the changes that brought them.
    pub(crate) fn records(&self, partition: u16, from: u64) -> Vec<(u64, Record)> {
        let parts = self.parts.lock();
        let Some(lineage) = parts.get(usize::from(partition)).and_then(|part| part.lineages.last()) else {
            return Vec::new();
        };
        let known = usize::try_from(from.saturating_sub(lineage.covered)).unwrap_or(usize::MAX);
        lineage.records.get(known..).unwrap_or_default().to_vec()
    }

    /// Tells that what was changed since then may be lost, though what was synced is not.
    pub(crate) fn doubt(&self, partition: u16, since_us: u64) {
        self.told(partition, &Event::Lost(since_us), Why::Crash);
    }

    fn told(&self, partition: u16, event: &Event, why: Why) {
        if let Some(told) = &*self.told.lock() {
            told(partition, event, why);
        }
    }

    /// How often the server has lost something.
    pub(crate) fn losses(&self) -> u64 {
        self.losses.load(Relaxed)
    }

    /// The owner of a partition in the store, and the sequence after its last record.
    pub(crate) fn head(&self, partition: u16) -> (String, u64) {
        let parts = self.parts.lock();
        let part = &parts[usize::from(partition)];
        let owner = part.grants.last().map_or_else(String::new, |grant| grant.owner.clone());
        (owner, part.lineages.last().map_or(0, Lineage::end))
    }

    /// The partition, replayed from the beginning, up to the end or to record `until`.
    ///
    /// # Errors
    /// When the records do not follow each other.
    pub(crate) fn replay(&self, partition: u16, now: Now) -> Result<Replay<'static>, ReplayError> {
        let parts = self.parts.lock();
        let mut replay = Replay::new(PartitionId(partition), self.config.clone(), now);
        let Some(lineage) = parts[usize::from(partition)].lineages.last() else { return Ok(replay) };
        replay.load(lineage.base.clone(), now)?;
        for (sequence, (_, record)) in (lineage.covered..).zip(&lineage.records) {
            let record = record.clone();
            if sequence < lineage.complete {
                replay.apply_fuzzy(record, now)?;
            } else {
                replay.apply(record, now)?;
            }
        }
        Ok(replay)
    }
}

/// Where two images differ: the first thing that is in one and not in the other.
pub(crate) fn difference(replayed: &Image, live: &Image) -> String {
    let mut told = Vec::new();
    for job in replayed.jobs.iter().filter(|job| !live.jobs.contains(job)) {
        told.push(format!("written {job:?}"));
    }
    for job in live.jobs.iter().filter(|job| !replayed.jobs.contains(job)) {
        told.push(format!("live {job:?}"));
    }
    for fired in replayed.fired.iter().filter(|fired| !live.fired.contains(fired)) {
        told.push(format!("written {fired:?}"));
    }
    for fired in live.fired.iter().filter(|fired| !replayed.fired.contains(fired)) {
        told.push(format!("live {fired:?}"));
    }
    if replayed.pauses != live.pauses {
        told.push(format!("pauses written {:?} live {:?}", replayed.pauses, live.pauses));
    }
    if replayed.next_sequence != live.next_sequence {
        told.push(format!("next sequence written {} live {}", replayed.next_sequence, live.next_sequence));
    }
    told.join("; ")
}
