//! Removing what no restore reads, a little at a time: Redis frees a string on its only thread, so removing a large
//! snapshot in one step would hold up all its clients.

use super::Core;
use super::errors::Doing;
use super::keys::Keys;
use super::scripts::{BEGIN, Call, SWEEP, TRIM, run};
use crate::store::{Grant, StoreError};

/// Chunks removed in one step: about 4 MB.
const CHUNKS_STEP: u64 = 64;

/// Entries of the log removed in one step.
const ENTRIES_STEP: u64 = 1_000;

/// How many snapshots may have left something: two at most, unless another engine sweeps too.
const LEFT_MAX: u32 = 16;

/// The purpose of a sweep.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sweep {
    /// A new generation is wanted. An open one is given up.
    ToBegin,
    /// This generation is no longer wanted.
    ToGiveUp(u64),
}

impl Core {
    /// Removes the chunks that earlier snapshots left, then opens a generation if one is wanted, and returns it.
    pub(super) async fn sweep(&self, grant: &Grant, keys: &Keys, sweep: Sweep) -> Result<u64, StoreError> {
        let given_up = match sweep {
            Sweep::ToBegin => String::new(),
            Sweep::ToGiveUp(generation) => generation.to_string(),
        };
        let meta = keys.meta();
        let doing = Doing::with("beginning a snapshot of", &meta);
        for _ in 0..LEFT_MAX {
            let call = Call::by(&BEGIN, vec![keys.meta()], grant).text(&given_up);
            let (answer, _) = run(&self.control, &call, doing).await?;
            match answer.word() {
                "OK" => return Ok(answer.number(1)),
                "LEFT" => self.remove(grant, keys, answer.number(1), answer.number(2)).await?,
                _ => return Err(answer.refusal(keys)),
            }
        }
        Err(StoreError::retry(format!("old snapshots of partition {} cannot be removed", keys.partition().0)))
    }

    /// Removes the chunks of a generation, from the last to the first.
    async fn remove(
        &self,
        grant: &Grant,
        keys: &Keys,
        generation: u64,
        chunks: u64,
    ) -> Result<(), StoreError> {
        let meta = keys.meta();
        let doing = Doing::with("removing an old snapshot of", &meta);
        let mut left = chunks;
        loop {
            let rest = left.saturating_sub(CHUNKS_STEP);
            let mut names = vec![keys.meta()];
            names.extend((rest..left).rev().map(|number| keys.chunk(generation, number)));
            let call = Call::by(&SWEEP, names, grant).number(generation).number(rest);
            let (answer, _) = run(&self.control, &call, doing).await?;
            match answer.word() {
                "OK" if rest > 0 => left = rest,
                // Another engine sweeps too: the next look shows what is left.
                "OK" | "CLOSED" => return Ok(()),
                _ => return Err(answer.refusal(keys)),
            }
        }
    }

    /// Removes the entries of the log that the snapshot covers.
    pub(super) async fn trim(&self, grant: &Grant, keys: &Keys) -> Result<(), StoreError> {
        let log = keys.log();
        let doing = Doing::with("trimming", &log);
        let mut is_end = false;
        loop {
            let call =
                Call::by(&TRIM, vec![keys.meta(), keys.log()], grant).number(ENTRIES_STEP).flag(is_end);
            let (answer, _) = run(&self.control, &call, doing).await?;
            match (answer.word(), answer.number(1)) {
                ("OK", _) if is_end => return Ok(()),
                ("OK", removed) => is_end = removed == 0,
                _ => return Err(answer.refusal(keys)),
            }
        }
    }
}
