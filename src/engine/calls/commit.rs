//! The answer to a call: what it did, at once, and later that it will last.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::engine::error::{CallError, Change};
use crate::engine::log::Ticket;
use crate::engine::state::Shared;
use crate::partition::PartitionId;
use crate::rt::Boxed;
use crate::store::Durability;

/// What a call did, and a future that resolves when it will last.
///
/// The call has taken effect in memory by the time it returns this: [`outcome`](Self::outcome) says what it did.
/// `.await` returns the same outcome once the change is as durable as the call asked. If it cannot become so, `.await` returns
/// the error, whose `change()` says what became of the change: see [`Change`].
///
/// ```
/// # use reveille::{Engine, Job, ScheduleOutcome};
/// # use std::time::Duration;
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let engine = Engine::builder().queue("q", |_: Job| async {}).start().await?;
/// let commit = engine.schedule_raw("q", "hello").key("greeting").after(Duration::from_secs(60));
/// assert!(matches!(commit.outcome(), Ok(ScheduleOutcome::Scheduled { .. }))); // at once
/// let outcome = commit.await?; // once it is durable
/// # let _ = outcome; Ok(()) }
/// ```
#[must_use = "await it to know that the change will last and whether it was made, or look at its `outcome()`"]
pub struct Commit<T, E> {
    /// Taken when it has been given out.
    outcome: Option<Result<T, E>>,
    durable: Durable,
}

/// How far the waiting has come.
enum Durable {
    /// There is nothing to wait for.
    Is,
    /// It was not polled yet. Callers who only look at the outcome never poll it.
    Will(Wait),
    /// Boxed: a call that is not awaited, or does not have to wait, has nothing to do with it.
    Waits(Box<Waiting>),
}

/// What a commit waits for: that the records of a partition below `end` are as durable as `level`, and those of `more`
/// partitions, if it is about many jobs, with the ends of theirs.
pub(crate) struct Wait {
    shared: Arc<Shared>,
    end: u64,
    more: Option<Box<[(PartitionId, u64)]>>,
    partition: PartitionId,
    level: Durability,
}

/// A place in the row of waiting commits. Dropping it leaves the row.
struct Waiting {
    shared: Arc<Shared>,
    partition: PartitionId,
    ticket: Ticket,
    /// The records were old when the commit was polled first: the time that it may take counts from then.
    deadline: Option<Boxed>,
    level: Durability,
    /// What is still to be waited for then, the next one last.
    more: Vec<(PartitionId, u64)>,
}

impl Wait {
    /// For the records of one partition.
    pub(crate) fn new(shared: Arc<Shared>, partition: PartitionId, end: u64, level: Durability) -> Self {
        Wait { shared, end, more: None, partition, level }
    }

    /// For those of more partitions as well.
    pub(crate) fn and(self, more: Box<[(PartitionId, u64)]>) -> Self {
        Wait { more: Some(more), ..self }
    }

    /// Says what is wanted, and begins to wait for it.
    fn begin(self) -> Result<Waiting, CallError> {
        let Wait { shared, end, more, partition, level } = self;
        let max = shared.durability_max();
        if level > max {
            return Err(CallError::NoSuchDurability { asked: level, max, change: Change::InForce });
        }
        let mut more = more.map_or_else(Vec::new, <[_]>::into_vec);
        // All are asked for before the first is waited for.
        for &(partition, end) in &more {
            shared.cell(partition).want(level, end);
        }
        more.reverse();
        Ok(Waiting::new(shared, level, partition, end, more))
    }
}

impl Waiting {
    fn new(
        shared: Arc<Shared>,
        level: Durability,
        partition: PartitionId,
        end: u64,
        more: Vec<(PartitionId, u64)>,
    ) -> Self {
        let cell = shared.cell(partition);
        cell.want(level, end);
        let is_old = cell.progress.is_expired(end);
        let io = shared.ownership.as_ref().filter(|_| is_old).map(|ownership| &ownership.io);
        let deadline = io.map(|io| io.sleep(shared.settings.commit_deadline));
        Waiting { partition, ticket: Ticket::new(end, level), deadline, level, more, shared }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        loop {
            let progress = &self.shared.cell(self.partition).progress;
            let reached = progress.poll_reached(&mut self.ticket, self.deadline.is_some(), context);
            if reached.is_pending()
                && let Some(deadline) = &mut self.deadline
                && deadline.as_mut().poll(context).is_ready()
            {
                return Poll::Ready(Err(CallError::Unconfirmed));
            }
            let Poll::Ready(Ok(())) = reached else { return reached };
            let Some((partition, end)) = self.more.pop() else { return reached };
            let more = std::mem::take(&mut self.more);
            *self = Waiting::new(Arc::clone(&self.shared), self.level, partition, end, more);
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.cell(self.partition).progress.leave(&mut self.ticket);
    }
}

impl<T, E> Commit<T, E> {
    /// A commit that waits for nothing.
    pub(crate) fn now(outcome: Result<T, E>) -> Self {
        Commit { outcome: Some(outcome), durable: Durable::Is }
    }

    /// A commit that waits.
    pub(crate) fn after(outcome: T, wait: Wait) -> Self {
        Commit { outcome: Some(Ok(outcome)), durable: Durable::Will(wait) }
    }

    /// Waits for this durability instead of the engine's. Has no effect without a store, or after the first poll. If the store
    /// cannot give it, `.await` returns [`CallError::NoSuchDurability`], and the change is in force nevertheless. To refuse the
    /// change in that case, use [`Schedule::durability`](crate::Schedule::durability).
    pub fn durability(mut self, level: Durability) -> Self {
        if let Durable::Will(wait) = &mut self.durable {
            wait.level = level;
        }
        self
    }

    /// The same wait, for an answer that says the same in other words.
    pub(super) fn map<U, F>(self, outcome: impl FnOnce(Result<T, E>) -> Result<U, F>) -> Commit<U, F> {
        Commit { outcome: self.outcome.map(outcome), durable: self.durable }
    }

    /// What the call did in memory, or why it did nothing.
    ///
    /// # Errors
    /// When the call was refused: nothing was changed.
    ///
    /// # Panics
    /// When the commit has been polled to its end.
    pub fn outcome(&self) -> Result<&T, &E> {
        self.outcome.as_ref().expect("the outcome is asked for before the commit has ended").as_ref()
    }

    /// What the call did in memory, without waiting for it to last.
    ///
    /// # Errors
    /// When the call was refused: nothing was changed.
    ///
    /// # Panics
    /// When the commit has been polled to its end.
    pub fn into_outcome(self) -> Result<T, E> {
        self.outcome.expect("the outcome is asked for before the commit has ended")
    }
}

impl<T: Unpin, E: From<CallError> + Unpin> Future for Commit<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Durable::Will(_) = self.durable
            && let Durable::Will(wait) = std::mem::replace(&mut self.durable, Durable::Is)
        {
            match wait.begin() {
                Ok(waiting) => self.durable = Durable::Waits(Box::new(waiting)),
                Err(error) => self.outcome = Some(Err(error.into())),
            }
        }
        if let Durable::Waits(wait) = &mut self.durable {
            let Poll::Ready(durable) = wait.poll(context) else { return Poll::Pending };
            self.durable = Durable::Is;
            if let Err(error) = durable {
                self.outcome = Some(Err(error.into()));
            }
        }
        Poll::Ready(self.outcome.take().expect("a commit is not polled after its end"))
    }
}

impl<T: fmt::Debug, E: fmt::Debug> fmt::Debug for Commit<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_durable = matches!(self.durable, Durable::Is);
        f.debug_struct("Commit").field("outcome", &self.outcome).field("is_durable", &is_durable).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::error::{CancelError, RescheduleError, ScheduleError};
    use crate::partition::{CancelOutcome, RescheduleOutcome, ScheduleOutcome};

    /// It is moved to whoever called, with every call.
    #[test]
    fn a_commit_is_small() {
        assert!(size_of::<Durable>() <= 40, "{}", size_of::<Durable>());
        let outcomes = [
            size_of::<Commit<ScheduleOutcome, ScheduleError>>(),
            size_of::<Commit<RescheduleOutcome, RescheduleError>>(),
            size_of::<Commit<CancelOutcome, CancelError>>(),
        ];
        assert!(outcomes.iter().all(|&bytes| bytes <= 128), "{outcomes:?}");
    }
}
