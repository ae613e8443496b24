//! What comes after an attempt that did not do what it had to: another one, or none.
//!
//! The policy is the job's own, or else its queue's. It is asked here, outside of the partition's lock; what it decides becomes a
//! fact in a record. So a replay needs no policy, and one that has changed meanwhile changes no history.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::attempt::{Attempt, report};
use super::handler::Seat;
use super::recurs::Recurring;
use crate::engine::queues::{FailedAttempt, Policy, Queue};
use crate::engine::state::{Failure, FailureKind, Owned, Shared};
use crate::job::{AttemptError, History, Retry, Verdict, draw};
use crate::partition::{
    Again, Cause, DeathReason, Due, End, Fault, Handle, JobId, JobView, Key, LookupOutcome, MonoTime, Now,
    Partition, Timestamp,
};
use crate::sync::atomic::Ordering::SeqCst;

/// What comes after an attempt.
pub(crate) enum Sequel {
    /// It was the last.
    Ends(End),
    /// The job waits for another.
    Again(Again),
    /// The job is dead.
    Dies(DeathReason, Fault),
    /// The job waits for its next occurrence.
    Recurs(Box<Recurring>),
}

/// What is known of a job while its attempt ends.
pub(crate) struct Known {
    pub(crate) id: JobId,
    pub(crate) key: Key,
    attempt: u16,
    failures: u16,
    retry: Option<Retry>,
    /// After when it is not tried.
    deadline: Option<Timestamp>,
    /// Whether it was cancelled while it ran.
    is_stopped: bool,
    now: Timestamp,
}

impl Shared {
    /// What is needed to decide what comes after an attempt at a running job.
    pub(crate) fn known(&self, handle: Handle) -> Option<Known> {
        let now = self.clock.now();
        self.running_at(handle, now).map(|view| Known {
            id: view.id,
            attempt: view.attempt,
            is_stopped: view.history.as_ref().is_some_and(|history| history.is_stopped),
            failures: view.history.as_ref().map_or(0, |history| history.failures),
            retry: view.options.retry().copied(),
            deadline: History::deadline(view.history.as_deref(), view.options.expires().map(|at| at.0)),
            now: now.wall,
            key: view.key,
        })
    }

    /// A job that is with its handler.
    pub(crate) fn running(&self, handle: Handle) -> Option<JobView> {
        self.running_at(handle, self.clock.now())
    }

    fn running_at(&self, handle: Handle, now: Now) -> Option<JobView> {
        match self.cell(handle.partition()).lock().partition.lookup(handle, now) {
            LookupOutcome::Running(view) => Some(view),
            _ => None,
        }
    }
}

impl Sequel {
    /// After `failure`, by the job's policy or its queue's.
    pub(crate) fn of(failure: &Failure, known: &Known, policy: &Policy) -> Sequel {
        match Sequel::by_policy(failure, known, policy) {
            Sequel::Again(_) | Sequel::Dies(..) if known.is_stopped => Sequel::Ends(End::Cancelled),
            sequel => sequel,
        }
    }

    fn by_policy(failure: &Failure, known: &Known, policy: &Policy) -> Sequel {
        let (cause, end) = match failure.kind {
            FailureKind::Again(due) => return Sequel::Again(Again { due, fault: None, is_counted: false }),
            FailureKind::Discarded => return Sequel::Ends(End::Discarded),
            FailureKind::Killed => {
                return Sequel::Dies(DeathReason::Killed, Fault::new(Cause::Failed, &failure.message));
            }
            FailureKind::Failed | FailureKind::RetryIn(_) => (Cause::Failed, End::Failed),
            FailureKind::Panicked => (Cause::Panicked, End::Panicked),
            FailureKind::TimedOut => (Cause::TimedOut, End::TimedOut),
        };
        let fault = Fault::new(cause, &failure.message);
        let verdict = match (known.retry, policy) {
            (Some(retry), _) => known.verdict(&retry, cause),
            (None, Policy { backoff: Some(backoff), .. }) => known.by_function(&**backoff, &fault),
            (None, Policy { retry: Some(retry), .. }) => known.verdict(retry, cause),
            (None, _) => match failure.kind {
                // It asks to be tried again, and nothing says how often.
                FailureKind::RetryIn(after) => Verdict::Again { after, is_counted: true },
                _ => return Sequel::Ends(end),
            },
        };
        match (verdict, &failure.kind) {
            (Verdict::Again { is_counted, .. }, FailureKind::RetryIn(after)) => {
                Sequel::Again(Again { due: Due::In(*after), fault: Some(fault), is_counted })
            }
            (Verdict::Again { after, is_counted }, _) => {
                Sequel::Again(Again { due: Due::In(after), fault: Some(fault), is_counted })
            }
            (Verdict::Dies(reason), _) => Sequel::Dies(reason, fault),
        }
    }
}

impl Known {
    /// Tells whoever wants to know of an attempt that failed.
    pub(crate) fn tell_failure(&self, queue: &Queue, failure: &Failure, sequel: &Sequel) {
        let Some(on_failure) = &queue.policy().on_failure else { return };
        let failed = FailedAttempt {
            id: self.id,
            key: self.key.clone(),
            queue: queue.name.clone(),
            attempt: self.attempt,
            cause: match failure.kind {
                FailureKind::Panicked => Cause::Panicked,
                FailureKind::TimedOut => Cause::TimedOut,
                _ => Cause::Failed,
            },
            error: failure.message.clone(),
            retry_at: match sequel {
                Sequel::Again(Again { due: Due::At(at), .. }) => Some(*at),
                Sequel::Again(Again { due: Due::In(after), .. }) => {
                    Some(self.now.saturating_add_micros(u64::try_from(after.as_micros()).unwrap_or(u64::MAX)))
                }
                _ => None,
            },
        };
        if catch_unwind(AssertUnwindSafe(|| on_failure(&failed))).is_err() {
            tracing::error!(key = self.key.as_str(), "what was to be told of a failed attempt panicked");
        }
    }

    fn verdict(&self, retry: &Retry, cause: Cause) -> Verdict {
        let chance = draw(self.id, self.attempt);
        Verdict::of(retry, cause, self.failures, chance, self.now, self.deadline)
    }

    /// By a function of the user's. If it panics the job is not tried again: it keeps its error, and can be revived.
    fn by_function(
        &self,
        backoff: &(dyn Fn(u16, &AttemptError) -> Option<Duration> + Send + Sync),
        fault: &Fault,
    ) -> Verdict {
        let error = AttemptError::new(self.attempt, self.now, fault);
        let failures = self.failures.saturating_add(1);
        let after = catch_unwind(AssertUnwindSafe(|| backoff(failures, &error))).unwrap_or_else(|_| {
            tracing::error!(
                key = self.key.as_str(),
                "a backoff function panicked: the job is not tried again"
            );
            None
        });
        match after {
            None => Verdict::Dies(DeathReason::Exhausted),
            Some(after) => {
                let after_us = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
                let again = self.now.saturating_add_micros(after_us);
                match self.deadline {
                    Some(deadline) if again > deadline => Verdict::Dies(DeathReason::Expired),
                    _ => Verdict::Again { after, is_counted: true },
                }
            }
        }
    }
}

/// Has a job wait for its next occurrence; or end, if it recurs no more.
fn recur(partition: &mut Partition, handle: Handle, recurring: Recurring, now: Now) -> bool {
    let Recurring { end, fault, next, otherwise } = recurring;
    if partition.recur(handle, end, fault, next, now) {
        return true;
    }
    match otherwise {
        // To be stopped, which these see to.
        Sequel::Dies(reason, fault) => partition.die(handle, reason, Some(fault), now),
        _ => partition.finish(handle, end, now),
    }
}

impl Shared {
    /// Ends an attempt as it `ended`: reports it, and has its job go on or end. Returns when that was.
    pub(crate) fn end_with(
        self: &Arc<Self>,
        seat: &Seat,
        attempt: &Attempt,
        ended: Result<(), Failure>,
    ) -> MonoTime {
        match report(seat, attempt, ended) {
            Ok(()) => self.finish(&seat.queue, attempt.handle, End::Done),
            Err(sequel) => self.conclude(seat, attempt.handle, *sequel),
        }
    }

    /// Has the job of an attempt go on, or end, as `sequel` says. Returns when that was.
    pub(crate) fn conclude(self: &Arc<Self>, seat: &Seat, handle: Handle, sequel: Sequel) -> MonoTime {
        let (queue, again) = match sequel {
            Sequel::Ends(end) => return self.finish(&seat.queue, handle, end),
            sequel => (&seat.queue, sequel),
        };
        let at = usize::from(handle.partition().0);
        let mut died = None;
        let ended = self.enter(at, None, |owned, now| {
            let is_concluded = match again {
                Sequel::Again(again) => owned.partition.retry(handle, again, now),
                Sequel::Dies(reason, fault) => owned.partition.die(handle, reason, Some(fault), now),
                Sequel::Ends(end) => owned.partition.finish(handle, end, now),
                Sequel::Recurs(recurring) => recur(&mut owned.partition, handle, *recurring, now),
            };
            debug_assert!(is_concluded, "a job that was started is running until it is finished");
            died = owned.partition.take_died();
            self.name_again(owned, handle);
            queue.share(at).running.fetch_sub(1, SeqCst);
            now.mono
        });
        if let Some(job) = died {
            queue.count_death();
            queue.tell_died(job);
        }
        self.give_permit_back(queue);
        self.ran_one();
        ended
    }

    /// Has the key of a job that is pending again name it, unless another job of the key is pending.
    fn name_again(&self, owned: &mut Owned, handle: Handle) {
        let Owned { partition, keys, .. } = owned;
        let Some(key) = partition.key(handle).filter(|_| partition.is_pending(handle)) else { return };
        let place = keys.place(self.hasher.hash(key), |slot| partition.is_of_key(slot, key));
        let named = place.slot().and_then(|slot| partition.handle_at(slot));
        if !named.is_some_and(|named| partition.is_pending(named)) {
            place.set(handle.slot());
        }
    }
}
