//! Bringing a store in step again that went back in time: one that has less than it acknowledged.
//!
//! Memory has everything, so the partition is written anew, as a snapshot, under a new epoch: whatever the store has of
//! the old one, and whatever of it is still on its way there, counts for nothing from then on. Until the snapshot is
//! published nothing is taken away: if the process ends in the middle, a restore finds what the store had.
//!
//! What was acknowledged and lost is there again, provided that this process lives until the end of the repair; the
//! incident is reported either way.
//!
//! Where something lies in the way that is not the engine's it is left alone, and asked again until somebody has removed
//! it. Meanwhile jobs fire from memory, for as long as it takes: records need not be kept for a store that will get
//! everything.

use std::sync::Arc;
use std::time::Duration;

use super::snapshots;
use crate::engine::error::CallError;
use crate::engine::ownership::{Ownership, Speaker};
use crate::engine::state::{Shared, Taken};
use crate::partition::MonoTime;
use crate::rt;
use crate::store::{Durability, SnapshotBegin, StoreError, StoreErrorClass};

const PAUSE: Duration = Duration::from_millis(100);

/// Before it is looked again whether somebody has removed what lies in the way.
const PAUSE_BLOCKED: Duration = Duration::from_millis(500);

/// Writes the partition anew, as often as it takes. Ends at once when another owns it.
pub(crate) async fn run(shared: &Arc<Shared>, ownership: &Ownership, at: usize) {
    let progress = &shared.cells[at].progress;
    let durable = progress.durable();
    progress.rewrite();
    let why = ownership.why_behind(at).map_or_else(String::new, |why| format!(" ({why})"));
    ownership.health.incident(format!(
        "the store has lost records of partition {at} that it had acknowledged, up to {durable}, or what they need; \
         writing the whole partition again from memory{why}"
    ));
    let since = ownership.clock.mono();
    wait_for_the_living(ownership, at).await;
    let mut held_until = None;
    loop {
        let Err(error) = write_all(shared, ownership, at).await else {
            ownership.health.recovers(Speaker::Committer(at));
            ownership.health.recovers(Speaker::Snapshots(at));
            let lasted_ms = ownership.clock.mono().micros_since(since) / 1_000;
            // As loudly as the incident itself.
            tracing::error!(partition = at, lasted_ms, "the store has the whole partition again");
            break;
        };
        match error.class {
            StoreErrorClass::Fenced => {
                ownership.lose(at, &error);
                progress.end(CallError::disowned(error));
                break;
            }
            StoreErrorClass::Fatal => {
                ownership.health.fails(Speaker::Committer(at), &error);
                tracing::error!(partition = at, %error, "the store cannot be mended; calls are no longer durable");
                progress.end(CallError::NotDurable(error));
                // It stays behind: a shutdown must not say that the store has everything.
                shared.life.store_settles();
                return;
            }
            StoreErrorClass::Blocked => {
                ownership.health.fails(Speaker::Committer(at), &error);
                forget_pending(shared, at);
                rt::sleep(PAUSE_BLOCKED).await;
            }
            StoreErrorClass::Held if is_renewed(&mut held_until, &error, ownership.clock.now().mono) => {
                let lost = StoreError::fenced(format!("another engine has taken over meanwhile: {error}"));
                ownership.lose(at, &lost);
                progress.end(CallError::disowned(lost));
                break;
            }
            _ => {
                ownership.health.fails(Speaker::Committer(at), &error);
                rt::sleep(error.again_after.unwrap_or(PAUSE).min(Duration::from_secs(1))).await;
            }
        }
    }
    ownership.found_in_step(at);
    shared.life.store_settles();
}

/// Makes room in the log: what is pending is in memory, and the snapshot that ends this will show it.
fn forget_pending(shared: &Arc<Shared>, at: usize) {
    let end = {
        let mut owned = shared.cells[at].lock();
        owned.log.discard();
        owned.log.end()
    };
    shared.unblock_log(at, Some(Taken { end, batches: 0, bytes: 0, delay_us: 0 }));
}

/// An owner whose lease has run out may have been followed by another, and what the store has lost may be the word of
/// that one. Whoever owns the partition now claims it again within a term, so it gets the first turn.
async fn wait_for_the_living(ownership: &Ownership, at: usize) {
    if ownership.is_single_owner || !ownership.has_lease || ownership.is_proved(at) {
        return;
    }
    tracing::warn!(
        partition = at,
        "the lease had run out when the store lost its records: waiting for a term, in case there is another owner"
    );
    rt::sleep(ownership.claim.term).await;
}

/// Whether the lease that stands in the way is not what the store remembers of an owner that is dead: it should have ended
/// by now, and has been proved again.
fn is_renewed(held_until: &mut Option<MonoTime>, error: &StoreError, now: MonoTime) -> bool {
    let left_us = error.again_after.map_or(0, |left| u64::try_from(left.as_micros()).unwrap_or(u64::MAX));
    // A quarter more, for clocks that run apart.
    let until = *held_until.get_or_insert(now.saturating_add_micros(left_us.saturating_add(left_us / 4)));
    now > until
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
    if lease.log_end > begin.covered {
        // Records that are not of this engine: an owner before it goes on, as the store has forgotten who followed it.
        let message = format!(
            "the store has records up to {} of partition {at}, and this engine has made those up to {}: another writes them",
            lease.log_end, begin.covered
        );
        return Err(StoreError::fenced(message));
    }
    let Some(mut writer) = ownership.store.snapshot(&lease.grant, begin).await? else {
        return Err(StoreError::fatal(
            "the store has lost records, and takes no snapshot to have them again",
        ));
    };
    let complete = snapshots::write_slices(shared, at, &mut *writer).await?;
    let info = writer.publish(complete).await?;
    shared.unblock_log(at, Some(Taken { end: begin.covered, batches: 0, bytes: 0, delay_us: 0 }));
    cell.progress.advance(Durability::Logged, begin.covered);
    cell.snapshotted(begin.covered, shared.clock.now().mono);
    tracing::debug!(partition = at, jobs = info.jobs, bytes = info.bytes, "the partition is written anew");
    Ok(())
}
