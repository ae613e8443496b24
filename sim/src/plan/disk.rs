//! What is drawn for a store on disk, and what goes wrong with it.

use reveille::Durability;

use super::{Call, Fault, Item, Setting, StoreKind, What};
use crate::disk::Trouble;

const MS: u64 = 1_000;
const SECOND: u64 = 1_000_000;

/// Puts the store on the disk.
pub(super) fn draw_setting(setting: &mut Setting) {
    let mut rng = fastrand::Rng::with_seed(setting.seed ^ 0xd15c_5e77);
    let levels =
        [Durability::Memory, Durability::Logged, Durability::Logged, Durability::Fsync, Durability::Fsync];
    setting.store = StoreKind::Disk;
    setting.durability = levels[rng.usize(..5)];
    setting.segment_bytes = [2_048, 8_192, 65_536, 1 << 20][rng.usize(..4)];
}

/// Some calls are acknowledged later than the engine does. From a random stream of its own.
pub(super) fn draw_levels(setting: &Setting, plan: &mut [Item]) {
    let mut rng = fastrand::Rng::with_seed(setting.seed ^ 0xd15c_1e7e);
    for item in plan {
        if let What::Call(_, Call::Schedule { level, .. }) = &mut item.what {
            let drawn = [None, None, Some(Durability::Logged), Some(Durability::Fsync)][rng.usize(..4)];
            *level = drawn.map(|drawn| drawn.max(setting.durability));
        }
    }
}

/// Draws a fault of the machine, or of one of its processes.
pub(super) fn draw_fault(rng: &mut fastrand::Rng, setting: &Setting) -> Fault {
    let slot = rng.usize(..setting.slots);
    let down_us = rng.u64(MS..2 * SECOND);
    let operations = if rng.bool() { rng.u64(..20) } else { rng.u64(..200) };
    match rng.u8(..24) {
        0..3 => Fault::Kill(slot, down_us),
        3..6 => Fault::KillAt(slot, operations, down_us),
        6 => Fault::Shutdown(slot, rng.u64(..2 * SECOND), down_us),
        7 => Fault::Freeze(slot, rng.u64(MS..setting.lease_ms * MS * 2)),
        8 => {
            let us = [50_000, 1_000_000, 3_600_000_000][rng.usize(..3)];
            Fault::Wall(slot, rng.u64(..2 * us) as i64 - us as i64)
        }
        9..12 => Fault::Power(down_us),
        12..16 => Fault::PowerAt(operations, down_us),
        _ => {
            let troubles = [
                Trouble::Full,
                Trouble::Full,
                Trouble::Writes,
                Trouble::Syncs,
                Trouble::Syncs,
                Trouble::Syncs,
                Trouble::Names,
                Trouble::Slow,
            ];
            Fault::Disk(troubles[rng.usize(..8)], rng.u64(10 * MS..3 * SECOND))
        }
    }
}
