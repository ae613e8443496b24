//! Transactions: calls that change all jobs of a group or none. The groups have keys of their own.

use std::time::Duration;

use reveille::partition::OnConflict;
use reveille::sim::state;
use reveille::{Key, PartitionId, Transaction, TransactionError, TransactionOutcome, Version};

use super::{Caller, is_refusal};
use crate::ledger::{Alike, Done, MEMBERS, group_payload, group_prefix, group_standing};
use crate::plan::Whole;

/// Later than any run ends, whatever becomes of its clocks.
const FAR: Duration = Duration::from_secs(300 * 86_400);

impl Caller {
    /// Changes a group, and compares how it stands then with what the ledger foretells.
    pub(super) async fn whole(self, group: u8, act: Whole) {
        let Some((keys, partition)) = self.group(group) else { return };
        let call = self.app.ledger.wholes(|wholes| wholes.begin());
        let Some(before) = self.stands(group, partition) else { return };
        let commit = self.transaction(act, &keys, call).commit();
        let outcome = match commit.outcome() {
            Ok(outcome) => outcome.clone(),
            Err(TransactionError::Call(error)) if is_refusal(error) => return,
            Err(error) => return self.broken("4 definite", format!("a transaction of {group}: {error}")),
        };
        let Some(after) = self.stands(group, partition) else { return };
        let applied = matches!(outcome, TransactionOutcome::Applied { .. });
        self.note(|| format!("group {group}, {act:?}, call {call}: {before:?}, then {after:?}: {applied}"));
        let next = before.map(|now| Alike { version: Version(now.version.0 + 1), ..now });
        let foretold = match act {
            Whole::Schedule => (Some(Alike { call, version: Version::FIRST }), true),
            Whole::Reschedule => (next, before.is_some()),
            Whole::Cancel => (None, before.is_some()),
            Whole::Spoiled => (before, false),
        };
        if (after, applied) != foretold {
            let detail =
                format!("{act:?} of group {group} said {outcome:?}; it was {before:?}, and is {after:?}");
            return self.broken("4 definite", detail);
        }
        let (level, life) = (self.app.setting.durability, self.life);
        let done = match applied {
            true => {
                let place = (group, partition.0);
                let at = self.app.ledger.wholes(|wholes| wholes.done(life, place, after, level));
                Done::Whole { at }
            }
            false => Done::Nothing,
        };
        self.waits(&group_prefix(group), &[done], level, commit).await;
    }

    fn transaction<'a>(&'a self, act: Whole, keys: &'a [Key], call: u64) -> Transaction<'a> {
        let job = |key: &Key| {
            let job = self.engine.schedule_raw("work", group_payload(call)).key(key);
            job.on_conflict(OnConflict::Replace).planned(FAR)
        };
        let begun = self.engine.transaction();
        match act {
            Whole::Schedule => keys.iter().fold(begun, |all, key| all.schedule(job(key))),
            Whole::Reschedule => keys.iter().fold(begun, |all, key| all.reschedule(key, FAR)),
            Whole::Cancel => keys.iter().fold(begun, |all, key| all.cancel(key)),
            // The last of them cannot be made.
            Whole::Spoiled => {
                let none = self.engine.key_beside(&keys[0], "nobody's");
                let all = keys.iter().fold(begun, |all, key| all.schedule(job(key)));
                none.map_or_else(|_| self.engine.transaction(), |none| all.cancel(none))
            }
        }
    }

    /// The keys of a group, which are in one partition.
    fn group(&self, group: u8) -> Option<(Vec<Key>, PartitionId)> {
        let prefix = group_prefix(group);
        let first = format!("{prefix}0");
        let keys = (0..MEMBERS).map(|member| self.engine.key_beside(&first, format!("{prefix}{member}")));
        let keys: Vec<Key> = keys.collect::<Result<_, _>>().ok()?;
        Some((keys, self.engine.partition_of(first).ok()?))
    }

    /// How a group stands here. `None` if its jobs are not alike, which is reported.
    fn stands(&self, group: u8, partition: PartitionId) -> Option<Option<Alike>> {
        match group_standing(&[state(&self.engine, partition).image], group) {
            Ok(alike) => Some(alike),
            Err(detail) => {
                self.broken("4 whole or not at all", detail);
                None
            }
        }
    }
}
