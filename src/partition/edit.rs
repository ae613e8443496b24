//! Changes of a pending job that leave it where it is: its payload, its priority, its queue, its tags.

use super::change::Standing;
use super::job::State;
use super::{Edit, EditOutcome, Handle, NowSource, Partition, QueueId, Record, Refusal, Version};
use crate::slab::Index;

impl Partition {
    /// Changes a pending job, if it still is of the version that `expected` names. `queue` is the number of the edit's queue.
    ///
    /// # Errors
    /// When the payload is over the limit. Nothing is changed then.
    pub fn edit(
        &mut self,
        handle: Handle,
        edit: Edit,
        queue: Option<QueueId>,
        expected: Option<Version>,
        now: impl NowSource,
    ) -> Result<EditOutcome, Refusal> {
        if let Some(payload) = &edit.payload
            && payload.len() > self.config.payload_bytes_max
        {
            let (bytes, max) = (payload.len(), self.config.payload_bytes_max);
            return Err(Refusal::PayloadTooLarge { bytes, max });
        }
        let Some(job) = self.job(handle) else { return Ok(EditOutcome::NotFound) };
        Ok(match Standing::of(job, expected) {
            Standing::Running => EditOutcome::Running,
            Standing::Fired(at) => EditOutcome::AlreadyFired { at },
            Standing::Dead(at) => EditOutcome::Dead { at },
            Standing::Changed(version) => EditOutcome::Changed { version },
            Standing::Pending => {
                let (id, version) = (job.id(), job.version().next());
                if !self.change_parts(handle.index, version, &edit, queue, now) {
                    return Err(Refusal::NoSlot);
                }
                self.note(|| Record::Edited { id, version, edit });
                EditOutcome::Edited { version }
            }
        })
    }

    /// The change of [`Record::Edited`]. `false` if there is no room for its payload: nothing was changed.
    pub(super) fn change_parts(
        &mut self,
        index: Index,
        version: Version,
        edit: &Edit,
        queue: Option<QueueId>,
        now: impl NowSource,
    ) -> bool {
        if let Some(payload) = &edit.payload {
            let Some(mut job) = self.jobs.get_mut(index) else { return false };
            if !job.set_payload(payload.as_bytes()) {
                return false;
            }
        }
        // An entry of a tick that is being collected is void once its job has another version.
        let is_collected = self.jobs.get(index).is_some_and(|job| job.state() == State::Collected);
        let moves = edit.priority.is_some() || queue.is_some() || is_collected;
        if moves {
            self.unplace(index);
        }
        if let (Some(queue), Some(name)) = (queue, &edit.queue) {
            self.know_queue(queue, name);
        }
        let Some(mut job) = self.jobs.get_mut(index) else { return false };
        job.set_version(version);
        if let Some(queue) = queue {
            job.set_queue(queue);
        }
        if let Some(tags) = &edit.tags {
            job.set_tags(tags);
        }
        if let Some(priority) = edit.priority {
            let old = job.priority();
            job.set_priority(priority);
            self.priorities.remove(old);
            self.priorities.add(priority);
        }
        if moves {
            self.place_again(index, now);
        }
        self.counts.edited += 1;
        true
    }
}
