//! Bringing a store in step again that went back in time: one that has less than it acknowledged.
//!
//! Memory has everything, so the partition is written anew, as a snapshot, under a new epoch: whatever the store has of
//! the old one, and whatever of it is still on its way there, counts for nothing from then on. Until the snapshot is
//! published nothing is taken away: if the process ends in the middle, a restore finds what the store had.
//!
//! What was acknowledged and lost is there again, provided that this process lives until the end of the repair; the
//! incident is reported either way.

use std::sync::Arc;
use std::time::Duration;

use super::error::CallError;
use super::health::Speaker;
use super::ownership::Ownership;
use super::shared::Shared;
use super::snapshots;
use crate::rt;
use crate::store::{Durability, SnapshotBegin, StoreError, StoreErrorClass};

const PAUSE: Duration = Duration::from_millis(100);

/// Writes the partition anew, as often as it takes. Ends at once when another owns it.
pub(super) async fn run(shared: &Arc<Shared>, ownership: &Ownership, at: usize) {
    let progress = &shared.cells[at].progress;
    let durable = progress.durable();
    progress.rewrite();
    ownership.health.incident(format!(
        "the store has lost records of partition {at} that it had acknowledged, up to {durable}; \
         writing the whole partition again from memory"
    ));
    loop {
        let Err(error) = write_all(shared, ownership, at).await else {
            ownership.health.recovers(Speaker::Committer(at));
            ownership.health.recovers(Speaker::Snapshots(at));
            break;
        };
        match error.class {
            StoreErrorClass::Fenced => {
                ownership.lose(&error);
                progress.end(CallError::NotOwner(error));
                break;
            }
            StoreErrorClass::Fatal => {
                ownership.health.fails(Speaker::Committer(at), &error);
                tracing::error!(partition = at, %error, "the store cannot be mended; calls are no longer durable");
                progress.end(CallError::NotDurable(error));
                break;
            }
            _ => {
                ownership.health.fails(Speaker::Committer(at), &error);
                rt::sleep(error.again_after.unwrap_or(PAUSE).min(Duration::from_secs(1))).await;
            }
        }
    }
    ownership.is_in_step(at);
}

async fn write_all(shared: &Arc<Shared>, ownership: &Ownership, at: usize) -> Result<(), StoreError> {
    let cell = &shared.cells[at];
    let lease = ownership.acquire(at).await?;
    // A snapshot under way is not waited for: it writes under the old epoch, and finds that out. Whoever takes it may be
    // slow, or may have left it alone.
    let begin = {
        let mut owned = cell.lock();
        // What is pending need not be sent: the image shows it.
        owned.log.discard();
        SnapshotBegin {
            covered: owned.log.end(),
            next_sequence: owned.partition.next_sequence(),
            replaces_log: true,
        }
    };
    let Some(mut writer) = ownership.store.snapshot(&lease.grant, begin).await? else {
        return Err(StoreError::fatal(
            "the store has lost records, and takes no snapshot to have them again",
        ));
    };
    let complete = snapshots::write_slices(shared, at, &mut *writer).await?;
    let info = writer.publish(complete).await?;
    shared.unblock_log(at, Some((begin.covered, 0, 0)));
    cell.progress.advance(Durability::Logged, begin.covered);
    cell.snapshotted(begin.covered, shared.clock.now().mono);
    tracing::warn!(
        partition = at,
        jobs = info.jobs,
        bytes = info.bytes,
        "the store has the whole partition again"
    );
    Ok(())
}
