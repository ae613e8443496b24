//! How an engine ended: what it leaves behind, whether a store keeps it, and what the log says.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::engine::state::Shared;
use crate::store::Durability;

/// A program that reports an engine's end in its own words can filter these lines out by this target.
const TARGET: &str = "reveille::end";

/// How a shutdown went.
///
/// ```
/// # use std::time::Duration;
/// # use reveille::{Engine, Job};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let engine = Engine::builder().queue("mails", |_: Job| async {}).start().await?;
/// engine.schedule_raw("mails", "").key("later").after(Duration::from_secs(3600)).await?;
///
/// let report = engine.shutdown(Duration::from_secs(10)).await;
/// assert!(!report.is_clean(), "there is no store");
/// assert_eq!((report.pending, report.pending_lost), (1, 1));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[non_exhaustive]
pub struct ShutdownReport {
    /// Handlers that had not ended when the grace period was over. They go on until the runtime stops. In the store they have
    /// begun and not ended: after a restart, a job delivered at least once runs again.
    pub still_running: usize,
    /// Jobs that were pending at the end: the sum of `pending_durable`, `pending_lost` and
    /// [`pending_unconfirmed`](Self::pending_unconfirmed).
    pub pending: usize,
    /// Of these, the jobs that the next engine on the store fires: the store has every change of their partitions.
    pub pending_durable: usize,
    /// Of these, the jobs that end with this engine, because there is no store.
    pub pending_lost: usize,
    /// Changes that the store has not confirmed. A restart may not know of them: a scheduled job may be missing, and a job that
    /// was cancelled or has fired may fire.
    pub changes_unconfirmed: u64,
    /// Whether the engine had a store.
    pub has_store: bool,
    /// Whether the store has every change that the engine made, at the durability at which the engine acknowledges calls. A
    /// handler that still runs does not matter. `false` without a store, with a store that had lost what it had confirmed and
    /// was not repaired, and when another engine has taken over, because then it is unknown.
    pub is_flushed: bool,
    /// Partitions of which the store has lost something it had confirmed, and which were not written again. A restart may be
    /// refused, or miss their jobs.
    pub partitions_behind: usize,
    /// Whether another engine has taken over the jobs and fires them now.
    pub is_taken_over: bool,
}

impl ShutdownReport {
    /// Whether nothing is left undone and nothing is lost: every handler has ended, and every pending job and every other change
    /// is in the store. Without a store: every handler has ended, and no job is pending.
    pub fn is_clean(&self) -> bool {
        self.still_running == 0 && self.pending_lost == 0 && (self.is_flushed || !self.has_store)
    }

    /// Pending jobs for which it is unknown whether the store has their last state.
    pub fn pending_unconfirmed(&self) -> usize {
        self.pending - self.pending_durable - self.pending_lost
    }
}

impl Shared {
    /// What the engine leaves behind if it ends now.
    pub(crate) fn report(&self) -> ShutdownReport {
        let has_store = self.ownership.is_some();
        let mut report = ShutdownReport {
            still_running: self.life.running(),
            pending: 0,
            pending_durable: 0,
            pending_lost: 0,
            changes_unconfirmed: 0,
            has_store,
            is_flushed: has_store,
            partitions_behind: 0,
            is_taken_over: self.is_taken_over(),
        };
        for (at, cell) in self.cells.iter().enumerate() {
            let pending = { cell.lock().pending() };
            report.pending += pending;
            report.changes_unconfirmed += self.unconfirmed(at);
            report.partitions_behind += usize::from(self.is_behind(at));
            if !has_store {
                report.pending_lost += pending;
            } else if self.is_kept(at) {
                report.pending_durable += pending;
            } else {
                report.is_flushed = false;
            }
        }
        report
    }

    /// Whether the store has every change of a partition, at the durability at which the engine acknowledges calls. The only
    /// place that decides it.
    pub(crate) fn is_kept(&self, at: usize) -> bool {
        let Some(ownership) = &self.ownership else { return false };
        // A store that has lost what it confirmed is behind until it is mended. If it cannot be, its log has been refused.
        let is_mended = !ownership.is_behind(at) && !self.cells[at].progress.is_refused();
        is_mended && !ownership.is_lost(at) && self.unconfirmed(at) == 0
    }

    /// How many changes of a partition the store has not confirmed.
    fn unconfirmed(&self, at: usize) -> u64 {
        if self.ownership.is_none() {
            return 0;
        }
        let end = self.cells[at].lock().log.end();
        end.saturating_sub(self.cells[at].progress.at(self.durability().max(Durability::Logged)))
    }

    fn is_taken_over(&self) -> bool {
        self.ownership.as_ref().is_some_and(|ownership| ownership.are_all_lost())
    }

    /// Logs how a shutdown with this grace period went.
    pub(crate) fn tell_end(&self, report: &ShutdownReport, grace: Duration) {
        let &ShutdownReport { still_running, pending, pending_durable, pending_lost, .. } = report;
        let &ShutdownReport { changes_unconfirmed, has_store, is_flushed, is_taken_over, .. } = report;
        let partitions_behind = report.partitions_behind;
        // The fields are the same whatever the level, and a level is part of what is compiled.
        macro_rules! tell {
            ($level:ident, $($field:ident = $value:expr,)* $message:literal) => {
                tracing::$level!(
                    target: TARGET,
                    $($field = $value,)*
                    still_running,
                    pending,
                    pending_durable,
                    pending_lost,
                    changes_unconfirmed,
                    has_store,
                    is_flushed,
                    partitions_behind,
                    is_taken_over,
                    $message
                )
            };
        }
        if still_running > 0 {
            let queues = self.busy_queues();
            let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            tell!(
                warn,
                queues = queues.as_str(),
                grace_ms = grace_ms,
                "the grace period is over and handlers still run; they are left behind"
            );
        } else if is_taken_over {
            tell!(info, "the engine has stopped; its jobs are another engine's");
        } else if pending_lost > 0 {
            tell!(warn, "the engine has stopped; the jobs that were pending are lost, as there is no store");
        } else if report.is_clean() {
            tell!(info, "the engine has stopped");
        } else if partitions_behind > 0 {
            tell!(
                warn,
                "the engine has stopped; the store has lost what it had confirmed, and was not given it again"
            );
        } else {
            tell!(warn, "the engine has stopped; the store has not confirmed every change");
        }
    }

    /// The queues whose handlers run, by name.
    fn busy_queues(&self) -> String {
        let busy = self.queues.iter().filter(|queue| queue.running() > 0);
        busy.map(|queue| queue.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Logs what becomes of the jobs of an engine that is dropped without a shutdown. Called from a drop: it may be on any
    /// thread, also one that panics, and must not panic whatever the subscriber does.
    pub(crate) fn tell_drop(&self) {
        let _ = catch_unwind(AssertUnwindSafe(|| {
            self.publish_meters();
            if self.is_taken_over() {
                return;
            }
            let running = self.life.running();
            let pending = self.jobs().saturating_sub(running);
            match (pending + running, &self.ownership) {
                (0, _) => {}
                (_, None) => tracing::warn!(
                    target: TARGET,
                    pending,
                    running,
                    "the engine was dropped with jobs pending or running: without a store they are lost; `Engine::shutdown` waits for \
                     handlers"
                ),
                (_, Some(_)) => tracing::info!(
                    target: TARGET,
                    pending,
                    running,
                    "the engine was dropped: its jobs stay in the store, and changes of the last moments may be missing; \
                     `Engine::shutdown` waits for handlers and for the store"
                ),
            }
        }));
    }
}
