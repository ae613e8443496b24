//! The partition against a model: plain bytes are read as a sequence of calls and clock moves, made on a partition
//! and on an [`Oracle`] that knows the contract and nothing of wheels, batches or lists.
//!
//! For tests and fuzzing only, so that what one finds the other can replay. Any bytes are a valid sequence; after the
//! last of them, time goes on until every job has fired.
//!
//! When a job that is due becomes ready is the budget's affair; the model checks what it may and must be: nothing
//! early, nothing lost once `advance` says so, nothing twice, and the order of what was pulled while the clock stood.
//!
//! In between, snapshots are read in slices, and the process ends and begins anew from what was written down.

mod attempts;
mod catch_up;
mod drive;
mod input;
mod oracle;
mod pause;
mod snapshot;
mod world;

use input::Bytes;
use world::World;

#[cfg(test)]
pub(super) use snapshot::History;

/// Makes the calls that `bytes` stand for. Panics where the partition departs from the model.
pub fn run(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let mut world = World::new(&mut bytes, false);
    while let Some(op) = bytes.next() {
        world.step(op, &mut bytes);
        world.check();
    }
    world.finish();
}

/// What was written down of a run, with the live partition as it was after every record. There is no restart in it: what
/// runs is with its handler still.
#[cfg(test)]
pub(super) fn history(bytes: &[u8]) -> History {
    let mut bytes = Bytes(bytes);
    let mut world = World::new(&mut bytes, true);
    while let Some(op) = bytes.next() {
        world.step(op, &mut bytes);
    }
    world.into_history()
}
