//! What this process knows about each partition in Redis: how far it was acknowledged, what is under way, how much is known
//! to be on Redis' disk, and what must be there.
//!
//! # A batch that leaves a gap
//! Either Redis has lost what it had acknowledged, or the batch has overtaken one before it, which was lost with its
//! connection or will be sent again. The first is an incident after which everything is written anew; the second is
//! harmless. It is the second if an earlier batch was under way when this one was sent, and Redis has everything that had
//! been acknowledged by then.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use parking_lot::Mutex;

use super::meta::Meta;
use crate::partition::PartitionId;
use crate::store::Grant;
use crate::store::assembly::Published;

/// By partition; never more than there are.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<PartitionId, Mark, FixedState>>);

#[derive(Clone, Debug, Default)]
struct Mark {
    /// The epoch of the grant for which this holds.
    epoch: u64,
    /// That of the owner before this one.
    followed: u64,
    /// Redis has acknowledged every record before this one.
    acknowledged: u64,
    /// First records of the batches under way.
    under_way: Vec<u64>,
    /// Acknowledgements that do not prove that it is on the disk.
    unproved: u64,
    /// How many of them a later proof has covered.
    proved: u64,
    /// Nothing past this record was ever sent: Redis cannot have it.
    sent: u64,
    /// The end of the log when the lease was given.
    base: u64,
    /// Batches that Redis has added to its log.
    appended: u64,
    kept: Kept,
    round: Round,
}

/// What `:m` says about the snapshot, as far as this process knows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) enum Kept {
    /// It does not know, or does not know how a change ended.
    #[default]
    Unknown,
    /// There is none.
    Nothing,
    /// This one, and where the log begins after it.
    Snapshot(Published, String),
}

/// What an owner knows of a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Owned {
    /// Up to which record it was acknowledged, and was sent.
    pub(super) acknowledged: u64,
    pub(super) sent: u64,
    /// The epoch of the owner before it.
    pub(super) followed: u64,
    pub(super) kept: Kept,
}

/// How far a check of the partition is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Round {
    /// The snapshot that it is about.
    pub(super) generation: u64,
    /// The next chunk to check, and how many bytes those before it have.
    pub(super) next_chunk: u64,
    pub(super) bytes: u64,
    /// Entries that were in the log, and how many had been appended by then.
    pub(super) log: Option<(u64, u64)>,
}

/// What to check next, and what has to be there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Expected {
    pub(super) kept: Kept,
    pub(super) base: u64,
    pub(super) round: Round,
    pub(super) appended: u64,
}

impl Kept {
    pub(super) fn of(meta: &Meta) -> Self {
        match (meta.snapshot, &meta.log_from) {
            (None, _) => Kept::Nothing,
            (Some(published), Some(log_from)) => Kept::Snapshot(published, log_from.clone()),
            (Some(_), None) => Kept::Unknown,
        }
    }

    /// Fields of `:m`, with the values that they have to have.
    pub(super) fn fields(&self) -> Vec<(&'static str, String)> {
        match self {
            Kept::Unknown => Vec::new(),
            Kept::Nothing => vec![("gen", String::new())],
            Kept::Snapshot(published, log_from) => {
                let mut fields: Vec<_> =
                    published.fields().map(|(field, number)| (field, number.to_string())).into();
                fields.push(("log_from", log_from.clone()));
                fields
            }
        }
    }

    /// The record after the last that the log need not have; `None` if that is unknown.
    pub(super) fn covered(&self) -> Option<u64> {
        match self {
            Kept::Unknown => None,
            Kept::Nothing => Some(0),
            Kept::Snapshot(published, _) => Some(published.covered),
        }
    }

    pub(super) fn published(&self) -> Option<&Published> {
        match self {
            Kept::Snapshot(published, _) => Some(published),
            _ => None,
        }
    }
}

/// A batch under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Sending<'a> {
    known: &'a Known,
    grant: &'a Grant,
    first_record: u64,
    /// When it was sent, Redis had acknowledged every record before this one.
    acknowledged: u64,
    is_behind_another: bool,
}

/// What a proof has to cover, as it stood before the proof was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unproved {
    pub(super) acknowledged: u64,
    unproved: u64,
    /// Whether it is known to be on Redis' disk already.
    pub(super) is_on_disk: bool,
}

impl Known {
    /// A lease was given to an owner that has come after the epoch `followed`, or claims again if that is `None`: what was known
    /// under an earlier one no longer counts, but for that epoch, and the snapshot, which the next one replaces.
    pub(super) fn leased(&self, grant: &Grant, log_end: u64, followed: Option<u64>) {
        let mut marks = self.0.lock();
        let Mark { kept, followed: before, .. } = marks.remove(&grant.partition).unwrap_or_default();
        let mark = Mark {
            epoch: grant.epoch,
            followed: followed.unwrap_or(before),
            base: log_end,
            acknowledged: log_end,
            sent: log_end,
            unproved: 1,
            kept,
            ..Mark::default()
        };
        marks.insert(grant.partition, mark);
    }

    /// What an owner that claims a partition again knows about it.
    pub(super) fn owned(&self, partition: PartitionId) -> Owned {
        let marks = self.0.lock();
        let Some(Mark { acknowledged, sent, followed, kept, .. }) = marks.get(&partition) else {
            return Owned { acknowledged: 0, sent: u64::MAX, followed: u64::MAX, kept: Kept::Unknown };
        };
        Owned { acknowledged: *acknowledged, sent: *sent, followed: *followed, kept: kept.clone() }
    }

    /// What `:m` says about the snapshot from now on.
    pub(super) fn keeps(&self, grant: &Grant, kept: Kept) {
        self.with(grant, |mark| mark.kept = kept);
    }

    pub(super) fn kept(&self, grant: &Grant) -> Kept {
        self.with(grant, |mark| mark.kept.clone())
    }

    /// What a check of the partition should find.
    pub(super) fn expected(&self, grant: &Grant) -> Expected {
        self.with(grant, |mark| {
            let generation = mark.kept.published().map_or(0, |published| published.generation);
            if mark.round.generation != generation {
                mark.round = Round { generation, ..Round::default() };
            }
            let Mark { kept, base, round, appended, .. } = mark.clone();
            Expected { kept, base, round, appended }
        })
    }

    /// The check has found what it should.
    pub(super) fn found(&self, grant: &Grant, expected: &Expected, entries: u64, round: Round) {
        self.with(grant, |mark| {
            if mark.kept == expected.kept && mark.round == expected.round {
                // A batch under way may be among the entries.
                let appended = mark.appended + mark.under_way.len() as u64;
                mark.round = Round { log: Some((entries, appended)), ..round };
            }
        });
    }

    /// Records up to this one may be there from now on.
    pub(super) fn sends(&self, grant: &Grant, end: u64) {
        self.with(grant, |mark| mark.sent = mark.sent.max(end));
    }

    /// Whether Redis can have records up to this one.
    pub(super) fn can_have(&self, grant: &Grant, log_end: u64) -> bool {
        self.with(grant, |mark| log_end <= mark.sent)
    }

    /// Redis has acknowledged every record before this one.
    pub(super) fn acknowledged(&self, grant: &Grant) -> u64 {
        self.with(grant, |mark| mark.acknowledged)
    }

    pub(super) fn send<'a>(&'a self, grant: &'a Grant, first_record: u64) -> Sending<'a> {
        let (acknowledged, is_behind_another) = self.with(grant, |mark| {
            let is_behind_another = mark.under_way.iter().any(|&other| other < first_record);
            mark.under_way.push(first_record);
            (mark.acknowledged, is_behind_another)
        });
        Sending { known: self, grant, first_record, acknowledged, is_behind_another }
    }

    /// Redis has acknowledged records, with or without a proof that they are on its disk.
    pub(super) fn acknowledge(&self, grant: &Grant, end: u64, is_proved: bool) {
        self.with(grant, |mark| {
            mark.acknowledged = mark.acknowledged.max(end);
            mark.sent = mark.sent.max(end);
            mark.unproved += u64::from(!is_proved);
        });
    }

    /// Redis has added a batch to its log.
    pub(super) fn appends(&self, grant: &Grant) {
        self.with(grant, |mark| mark.appended += 1);
    }

    /// What a proof that is asked for now has to cover.
    pub(super) fn unproved(&self, grant: &Grant) -> Unproved {
        self.with(grant, |mark| Unproved {
            acknowledged: mark.acknowledged,
            unproved: mark.unproved,
            is_on_disk: mark.proved >= mark.unproved,
        })
    }

    /// Everything that `covered` stood for is on Redis' disk.
    pub(super) fn prove(&self, grant: &Grant, covered: Unproved) {
        self.with(grant, |mark| mark.proved = mark.proved.max(covered.unproved));
    }

    fn with<T>(&self, grant: &Grant, act: impl FnOnce(&mut Mark) -> T) -> T {
        let mut marks = self.0.lock();
        let mark = marks.entry(grant.partition).or_default();
        match mark.epoch.cmp(&grant.epoch) {
            std::cmp::Ordering::Equal => act(mark),
            // A grant that this process did not ask for itself.
            std::cmp::Ordering::Less => {
                *mark = Mark { sent: u64::MAX, ..Mark::of(grant) };
                act(mark)
            }
            // A grant that has ended. It changes nothing.
            std::cmp::Ordering::Greater => act(&mut Mark { sent: u64::MAX, ..Mark::of(grant) }),
        }
    }
}

impl Mark {
    fn of(grant: &Grant) -> Self {
        Mark { epoch: grant.epoch, unproved: 1, ..Mark::default() }
    }
}

impl Sending<'_> {
    /// Whether Redis has lost something, if it refused the batch since its log ends at `log_end`.
    pub(super) fn is_lost(&self, log_end: u64) -> bool {
        log_end < self.acknowledged || !self.is_behind_another
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.known.with(self.grant, |mark| {
            if let Some(at) = mark.under_way.iter().position(|&first| first == self.first_record) {
                mark.under_way.swap_remove(at);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::Owner;

    fn grant(epoch: u64) -> Grant {
        Grant { partition: PartitionId(0), owner: Owner::new("me"), epoch, term: Duration::from_secs(1) }
    }

    #[test]
    fn a_gap_is_a_loss_unless_an_earlier_batch_is_under_way() {
        let (known, grant) = (Known::default(), grant(1));
        known.leased(&grant, 10, Some(0));
        assert!(known.send(&grant, 20).is_lost(10));
        let first = known.send(&grant, 10);
        let second = known.send(&grant, 20);
        // What came before got lost on the way, or will come.
        assert!(!second.is_lost(10));
        // Redis has less than it had acknowledged when the batch was sent.
        assert!(second.is_lost(9));
        // What was acknowledged later is not held against it.
        known.acknowledge(&grant, 20, true);
        assert!(!second.is_lost(10));
        drop((first, second));
        assert!(known.0.lock()[&PartitionId(0)].under_way.is_empty());
        assert!(known.send(&grant, 30).is_lost(20));
    }

    #[test]
    fn a_new_lease_begins_anew() {
        let known = Known::default();
        known.leased(&grant(1), 10, Some(0));
        let (old, new) = (grant(1), grant(2));
        let sending = known.send(&old, 10);
        known.leased(&new, 5, None);
        known.acknowledge(&old, 20, true);
        assert_eq!((known.acknowledged(&old), known.acknowledged(&new)), (0, 5));
        drop(sending);
        assert_eq!(known.acknowledged(&new), 5);
    }

    #[test]
    fn a_proof_covers_what_was_acknowledged_before_it_was_asked_for() {
        let (known, grant) = (Known::default(), grant(1));
        known.leased(&grant, 0, Some(0));
        let loaded = known.unproved(&grant);
        assert!(!loaded.is_on_disk);
        known.prove(&grant, loaded);
        assert!(known.unproved(&grant).is_on_disk);
        known.acknowledge(&grant, 10, true);
        assert!(known.unproved(&grant).is_on_disk);
        known.acknowledge(&grant, 20, false);
        let asked = known.unproved(&grant);
        assert_eq!((asked.acknowledged, asked.is_on_disk), (20, false));
        known.acknowledge(&grant, 30, false);
        known.prove(&grant, asked);
        assert!(!known.unproved(&grant).is_on_disk);
    }
}
