//! Calls that change a pending job and leave its due alone.

use std::sync::Arc;

use super::commit::Commit;
use super::target::Target;
use crate::engine::error::EditError;
use crate::engine::state::{Engine, Shared};
use crate::job::Edit;
use crate::partition::{EditOutcome, Version};

impl Shared {
    pub(super) fn edit(
        self: &Arc<Self>,
        target: &Target<'_>,
        edit: Edit,
        expected: Option<Version>,
        is_handler: bool,
    ) -> Commit<EditOutcome, EditError> {
        let queue = match &edit.queue {
            None => None,
            Some(name) => match self.queues.by_name(name.as_str()).filter(|queue| queue.is_claimed()) {
                Some(queue) => Some(queue.id),
                None => {
                    return Commit::now(Err(EditError::UnknownQueue { name: name.as_str().to_owned() }));
                }
            },
        };
        let place = match self.open_place(target, is_handler) {
            Ok(place) => place,
            Err(error) => return Commit::now(Err(error)),
        };
        let result = self.enter_lazily(place.partition, |owned, clock| {
            let outcome = match place.find(owned) {
                Some(handle) => owned.partition.edit(handle, edit, queue, expected, clock)?,
                None => EditOutcome::NotFound,
            };
            Ok((outcome, owned.log_end()))
        });
        match result {
            Ok((outcome, log_end)) => self.commit(place.partition, outcome, self.durability(), log_end),
            Err(refusal) => Commit::now(Err(EditError::Refused(refusal))),
        }
    }
}

impl Engine {
    /// Changes the payload, the priority or the queue of a pending job, and leaves it due as it was. O(1).
    ///
    /// ```
    /// # use reveille::{Edit, EditOutcome, Engine, Job, LookupOutcome};
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("sales", |_: Job| async {}).start().await?;
    /// let sale = engine.schedule_raw("sales", "500 seats").key("concert:42");
    /// sale.after(Duration::from_secs(60)).await?.scheduled()?;
    /// let outcome = engine.edit("concert:42", Edit::payload("450 seats")).await?;
    /// assert!(matches!(outcome, EditOutcome::Edited { .. }));
    /// # let LookupOutcome::Scheduled(job) = engine.lookup("concert:42") else { panic!() };
    /// # assert_eq!(job.payload.as_bytes(), b"450 seats");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`EditError`]; its [`change`](EditError::change) says whether the job was changed nevertheless.
    pub fn edit<'a>(&self, target: impl Into<Target<'a>>, edit: Edit) -> Commit<EditOutcome, EditError> {
        self.shared.edit(&target.into(), edit, None, self.is_handler())
    }

    /// Like [`edit`](Self::edit), but only if the job still has the version that the caller knows: to change what was looked up,
    /// by a function of what it was.
    ///
    /// # Errors
    /// As [`edit`](Self::edit).
    pub fn edit_if<'a>(
        &self,
        target: impl Into<Target<'a>>,
        version: Version,
        edit: Edit,
    ) -> Commit<EditOutcome, EditError> {
        self.shared.edit(&target.into(), edit, Some(version), self.is_handler())
    }
}
