//! Tolerant replay: the records that came to be while a fuzzy image was read, over that image.
//!
//! The image shows each job as it stood when the scan came by, which may be after any of these records. A record that it
//! shows the effect of must do nothing; one that it does not show must do what it did. At the end of these records the
//! state is the live one. For a job and a record about it, let the scan come by
//!
//! | record | before it | after it | what tells them apart |
//! | --- | --- | --- | --- |
//! | Scheduled | not there: is added | there, or gone again: stays, or is added until the record of its end | the id |
//! | … that replaces | old there: goes | old not there | the old id |
//! | … that detaches | old there: recurs no more | old there, and recurs no more; or gone | it does nothing twice |
//! | Rescheduled | there, older: moves | there, as new or newer; or gone | the version |
//! | Cancelled, Skipped | there: goes | gone | the id |
//! | StartedAs | older, or begun less often: starts | newer, or begun as often or more, or a tombstone, or gone | the version, and the attempt |
//! | Started | begun less often: starts | begun as often or more, or a tombstone, or gone | the attempt |
//! | Interrupted | running, in that attempt: pending again | pending, or begun more often, or a tombstone, or gone | the attempt |
//! | Retried, Recurred, PassedOver, Died, Revived | there, older: changes | there, as new or newer; or gone | the version |
//! | Purged | dead: goes | gone | the id |
//! | Stopped | running: is marked | running: is marked again, or a tombstone, or gone | it does nothing twice |
//! | Finished | running: ends | a tombstone, or gone | the id |
//!
//! and the first slice show what was said of a queue: PauseSet is told by its version.
//!
//! - *Gone again* before the scan came by, a job leaves no trace in the image. Its records bring it back if its
//!   Scheduled is among them, and take it away again; if not, they find nothing, and do nothing.
//! - A replaced job and the one in its place can both be in the image, if the scan met the old one before it was
//!   replaced and the new one after. Until the record that tells of it there are two jobs of one key.
//! - A job that is behind the scan when it comes is not met, in whatever slot: its Scheduled adds it.
//! - The memory of fired jobs: a tombstone that was met may have been forgotten since, one that was forgotten before it
//!   was met is not there, and some of those there ended only later in these records. The last are told by their instant:
//!   they wait ahead until the record of their end is reached ([`FiredMemory`](crate::partition::fired::FiredMemory)). So
//!   the bounds are applied to what had ended by then; and since what is forgotten is always the oldest, what lacks in
//!   front only delays it: at the last of these records the memory is the live one.
//!
//!   But for one case: an end forgets a few jobs at most, and if a great many have grown too old at once, the live
//!   partition may still be at it. What lacks here it need not forget, so it gets further: it never remembers what the
//!   live one has forgotten, and all that is not too old is there.
//! - The log may end before the last of these records, if what it said was lost. The state is then none that ever was,
//!   but [`Replay::finish`] makes it a sound one. Records that come to be after that go on after the log, and are read as
//!   if they belonged to these. A job that runs in the image was cut short: that is the first of them which is about it.

use super::{Replay, ReplayError};
use crate::partition::apply::Before;
use crate::partition::job::State;
use crate::partition::{JobId, Now, Predecessor, Record, ScheduledRecord};
use crate::slab::Index;

impl Replay<'_> {
    /// Applies the next of the records that came to be while the image was read, from the first record that it may lack
    /// to the last that it may show.
    ///
    /// # Errors
    /// When it cannot follow the state, whenever the image was read. The state is then not to be used.
    pub fn apply_fuzzy(&mut self, record: Record, now: Now) -> Result<(), ReplayError> {
        let Some(id) = self.of_own_job(&record)? else { return Ok(()) };
        match record {
            Record::Scheduled(scheduled) => self.schedule_unless_known(scheduled, now)?,
            record => self.change_unless_changed(id, record, now)?,
        }
        self.partition.forgotten.clear();
        Ok(())
    }

    fn schedule_unless_known(&mut self, scheduled: ScheduledRecord, now: Now) -> Result<(), ReplayError> {
        let id = scheduled.id;
        // By the records, not by the table: that knows of later jobs already.
        if id.sequence() < self.next_taken {
            return Err(ReplayError::KnownJob(id));
        }
        self.next_taken = id.sequence() + 1;
        if let Predecessor::Replaced(old) = scheduled.before
            && let Some(&index) = self.by_id.get(&old)
        {
            let replaced = Record::Cancelled { id: old };
            self.check_life(old, &replaced, index)?;
            self.change(old, replaced, index, now)?;
        }
        if let Predecessor::Detached(old) = scheduled.before
            && let Some(&index) = self.by_id.get(&old)
        {
            self.partition.detach(index);
        }
        if self.by_id.contains_key(&id) || self.fired_ahead.contains(&id) {
            return Ok(());
        }
        self.take(scheduled, Before::None, now)
    }

    fn change_unless_changed(&mut self, id: JobId, record: Record, now: Now) -> Result<(), ReplayError> {
        if let Some(&index) = self.by_id.get(&id) {
            if !self.is_shown(&record, index) {
                self.check_life(id, &record, index)?;
                self.change(id, record, index, now)?;
            }
            return Ok(());
        }
        if id.sequence() >= self.next_taken && !self.fired_ahead.contains(&id) {
            // Neither the image nor a record has told of it.
            return Err(ReplayError::UnknownJob(id));
        }
        if let Record::Finished { at, .. } = record {
            // A tombstone by now, or forgotten; either way others were forgotten for it.
            self.partition.fired.reach(at);
            self.partition.forget_until(at);
        }
        Ok(())
    }

    /// Whether the job at `index` shows already what `record` says of it.
    fn is_shown(&self, record: &Record, index: Index) -> bool {
        let Some(job) = self.partition.jobs.get(index) else { return true };
        match (record, job.state()) {
            (
                Record::Rescheduled { version, .. }
                | Record::Edited { version, .. }
                | Record::Paused { version, .. }
                | Record::Resumed { version, .. }
                | Record::Retried { version, .. }
                | Record::Recurred { version, .. }
                | Record::PassedOver { version, .. }
                | Record::Died { version, .. }
                | Record::Revived { version, .. },
                _,
            ) => !version.is_after(job.version()),
            (Record::Stopped { .. }, state) => !matches!(state, State::Running(_)),
            (Record::Started { attempt, .. }, _) => *attempt <= job.attempt(),
            (Record::StartedAs { attempt, version, .. }, _) => {
                !version.is_after(job.version()) && (*version != job.version() || *attempt <= job.attempt())
            }
            (Record::Interrupted { attempt, .. }, State::Running(_)) => *attempt < job.attempt(),
            (Record::Interrupted { .. }, _) => true,
            _ => false,
        }
    }
}
