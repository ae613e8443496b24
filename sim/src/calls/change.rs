//! Calls that edit a pending job, and bring back or remove a dead one.

use reveille::sim::Simulation;
use reveille::{
    Edit, EditError, EditOutcome, Priority, PurgeError, PurgeOutcome, ReviveError, ReviveOutcome, Version,
};

use super::{Caller, is_changed, is_late, is_once, is_refusal};
use crate::ledger::{Done, Fact, Pending, Stand};
use crate::plan::{By, When};

impl Caller {
    pub(super) async fn edit(self, key: &str, priority: Priority, by: By) {
        let (target, nonce, version) = self.named(key, by);
        let edit = Edit::priority(priority);
        let commit = match version {
            Some(version) => self.engine.edit_if(target, version, edit),
            None => self.engine.edit(target, edit),
        };
        let said = commit.outcome().copied().map_err(|error| error.to_string());
        self.note(|| format!("edit {key} {by:?} {priority:?}: {said:?}"));
        let outcome = match commit.outcome() {
            Ok(outcome) => *outcome,
            Err(EditError::Call(error)) if is_refusal(error) => return,
            Err(error) => return self.broken("4 definite", format!("edit of {key}: {error}")),
        };
        let (now, level) = (self.process.now(), self.app.setting.durability);
        let told = self.app.ledger.with(self.life, |life, jobs| {
            let stand = nonce.map_or(Stand::Gone, |nonce| life.stand(nonce));
            let is_foretold = match (stand, outcome) {
                (Stand::Pending(now), EditOutcome::Edited { version: next }) => {
                    version.is_none_or(|version| version == now.version) && next.0 == now.version.0 + 1
                }
                (Stand::Pending(now), EditOutcome::Changed { version: told }) => {
                    is_changed(version, now.version, told)
                }
                (stand, outcome) => is_late(stand, is_once(nonce, jobs), key, life, outcome.into()),
            };
            if !is_foretold {
                return Err(format!("edit of {key} said {outcome:?}, and the job was {stand:?}"));
            }
            let (EditOutcome::Edited { version }, Some(nonce), Stand::Pending(pending)) =
                (outcome, nonce, stand)
            else {
                return Ok(Done::Nothing);
            };
            // It has its place in the order from here on.
            let known = Some((now.wall.as_micros(), life.steps));
            life.moved(nonce, Pending { version, known, ..pending });
            jobs[nonce].moves.push((version, Fact::new(self.life, level)));
            Ok(Done::Moved { nonce, at: jobs[nonce].moves.len() - 1 })
        });
        let done = self.foretold(told);
        self.waits(key, &[done], level, commit).await;
    }

    pub(super) async fn revive(self, key: &str, when: When, by: By) {
        let due = self.due(when);
        let (target, nonce, version) = self.named(key, by);
        let commit = match version {
            Some(version) => self.engine.revive_if(target, version, due),
            None => self.engine.revive(target, due),
        };
        let said = commit.outcome().map(|outcome| matches!(outcome, ReviveOutcome::Revived { .. }));
        let said = said.map_err(|error| error.to_string());
        self.note(|| format!("revive {key} {by:?} {due:?}: {said:?}"));
        let outcome = match commit.outcome() {
            Ok(outcome) => *outcome,
            Err(ReviveError::Call(error)) if is_refusal(error) => return,
            Err(error) => return self.broken("4 definite", format!("revival of {key}: {error}")),
        };
        let (pending, level) = (self.pending(Version::FIRST, due), self.app.setting.durability);
        let told = self.app.ledger.with(self.life, |life, jobs| {
            let stand = nonce.map_or(Stand::Gone, |nonce| life.stand(nonce));
            let is_taken = matches!(life.of_key(key), Some((_, Stand::Pending(_))));
            let is_foretold = match (stand, outcome) {
                (Stand::Dead(now), ReviveOutcome::Revived { version: next }) => {
                    !is_taken && next.0 == now.0 + 1 && version.is_none_or(|version| version == now)
                }
                (Stand::Dead(now), ReviveOutcome::Changed { version: told }) => {
                    is_changed(version, now, told)
                }
                (Stand::Dead(_), ReviveOutcome::KeyTaken { .. }) => is_taken,
                (Stand::Dead(_), ReviveOutcome::NotFound) => life.purges(),
                (Stand::Dead(_), _) => false,
                (Stand::Pending(_), outcome) => outcome == ReviveOutcome::NotDead,
                (_, outcome) => matches!(outcome, ReviveOutcome::NotDead | ReviveOutcome::NotFound),
            };
            if !is_foretold {
                return Err(format!("revival of {key} said {outcome:?}, and the job was {stand:?}"));
            }
            let (ReviveOutcome::Revived { version }, Some(nonce)) = (outcome, nonce) else {
                return Ok(Done::Nothing);
            };
            life.pending(key, nonce, Pending { version, ..pending });
            jobs[nonce].was_revived = true;
            jobs[nonce].moves.push((version, Fact::new(self.life, level)));
            Ok(Done::Moved { nonce, at: jobs[nonce].moves.len() - 1 })
        });
        let done = self.foretold(told);
        self.waits(key, &[done], level, commit).await;
    }

    pub(super) async fn purge(self, key: &str, by: By) {
        let (target, nonce, version) = self.named(key, by);
        let commit = match version {
            Some(version) => self.engine.purge_if(target, version),
            None => self.engine.purge(target),
        };
        let said = commit.outcome().copied().map_err(|error| error.to_string());
        self.note(|| format!("purge {key} {by:?}: {said:?}"));
        let outcome = match commit.outcome() {
            Ok(outcome) => *outcome,
            Err(PurgeError::Call(error)) if is_refusal(error) => return,
            Err(error) => return self.broken("4 definite", format!("purge of {key}: {error}")),
        };
        let level = self.app.setting.durability;
        let told = self.app.ledger.with(self.life, |life, jobs| {
            let stand = nonce.map_or(Stand::Gone, |nonce| life.stand(nonce));
            let is_foretold = match (stand, outcome) {
                (Stand::Dead(now), PurgeOutcome::Purged) => version.is_none_or(|version| version == now),
                (Stand::Dead(now), PurgeOutcome::Changed { version: told }) => is_changed(version, now, told),
                (Stand::Dead(_), PurgeOutcome::NotFound) => life.purges(),
                (Stand::Dead(_), _) => false,
                (Stand::Pending(_), outcome) => outcome == PurgeOutcome::NotDead,
                (_, outcome) => matches!(outcome, PurgeOutcome::NotDead | PurgeOutcome::NotFound),
            };
            if !is_foretold {
                return Err(format!("purge of {key} said {outcome:?}, and the job was {stand:?}"));
            }
            let (PurgeOutcome::Purged, Some(nonce)) = (outcome, nonce) else { return Ok(Done::Nothing) };
            life.gone(nonce);
            jobs[nonce].taken_back.push(Fact::new(self.life, level));
            Ok(Done::TakenBack { nonce, at: jobs[nonce].taken_back.len() - 1 })
        });
        let done = self.foretold(told);
        self.waits(key, &[done], level, commit).await;
    }
}
