//! How a plan comes from a seed.

use reveille::partition::OnConflict;
use reveille::{Durability, Priority};

use super::{
    Behave, By, Call, Fault, Item, Loss, Setting, StoreKind, Tagged, What, When, Whole, disk, turns,
};
use crate::server::{Fsync, Mode, Policy};

const MS: u64 = 1_000;
const SECOND: u64 = 1_000_000;

/// Draws a setting and a plan.
pub fn draw(seed: u64, store: StoreKind) -> (Setting, Vec<Item>) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut setting = draw_setting(seed, &mut rng);
    if store == StoreKind::Disk {
        disk::draw_setting(&mut setting);
    }
    turns::draw_setting(&mut setting);
    let mut plan = Vec::new();
    let calls = rng.u64(20..120);
    for _ in 0..calls {
        let at_us = rng.u64(500 * MS..setting.active_us);
        plan.push(Item {
            at_us,
            what: What::Call(rng.usize(..setting.slots), draw_call(&mut rng, &setting)),
        });
    }
    // Some runs have no faults, so that nothing is seen only under them.
    let faults = if rng.u8(..8) == 0 { 0 } else { rng.u64(1..14) };
    for _ in 0..faults {
        let at_us = rng.u64(SECOND..setting.active_us);
        let fault = match store {
            StoreKind::Redis => draw_fault(&mut rng, &setting),
            StoreKind::Disk => disk::draw_fault(&mut rng, &setting),
        };
        plan.push(Item { at_us, what: What::Fault(fault) });
    }
    draw_blocks(&setting, &mut plan);
    draw_retries(&setting, &mut plan);
    draw_recurring(&setting, &mut plan);
    draw_edits(&setting, &mut plan);
    draw_versions(&setting, &mut plan);
    draw_wholes(&setting, &mut plan);
    draw_tagged(&setting, &mut plan);
    draw_limited(&setting, &mut plan);
    match store {
        StoreKind::Redis => draw_losses(seed, &setting, faults > 0, &mut plan),
        StoreKind::Disk => disk::draw_levels(&setting, &mut plan),
    }
    turns::draw_calls(&setting, &mut plan);
    plan.sort_by_key(|item| item.at_us);
    (setting, plan)
}

/// Blocks handlers, in one run of three. From a random stream of its own, so that the rest of a seed's plan does not change.
fn draw_blocks(setting: &Setting, plan: &mut Vec<Item>) {
    let mut rng = fastrand::Rng::with_seed(setting.seed ^ 0xb10c_b10c_b10c_b10c);
    let blocks = if rng.u8(..3) == 0 { rng.usize(1..4) } else { 0 };
    for _ in 0..blocks {
        let at_us = rng.u64(SECOND..setting.active_us);
        let us = rng.u64(10 * MS..setting.lease_ms * MS * 3);
        plan.push(Item { at_us, what: What::Fault(Fault::Block(rng.usize(..setting.slots), us)) });
    }
}

/// Jobs that live more than once, and calls about them, in one run of two. From a random stream of its own too.
fn draw_retries(setting: &Setting, plan: &mut Vec<Item>) {
    let mut rng = fastrand::Rng::with_seed(setting.seed ^ 0x7e77_1e5a_6a1e);
    let calls = if rng.bool() { rng.u64(8..60) } else { 0 };
    for _ in 0..calls {
        let at_us = rng.u64(500 * MS..setting.active_us);
        let call = draw_retry(&mut rng);
        plan.push(Item { at_us, what: What::Call(rng.usize(..setting.slots), call) });
    }
}

fn draw_retry(rng: &mut fastrand::Rng) -> Call {
    let key = rng.u8(..9);
    let by = [By::Key, By::Key, By::Handle][rng.usize(..3)];
    match rng.u8(..10) {
        0..5 => Call::Schedule {
            key,
            is_inline: rng.u8(..5) == 0,
            when: When::In(rng.u64(..3 * SECOND)),
            on_conflict: [OnConflict::Reject, OnConflict::Replace, OnConflict::Keep][rng.usize(..3)],
            priority: Priority(rng.u8(99..102)),
            is_once: false,
            level: None,
            behave: match rng.u8(..8) {
                0..5 => Behave::Flaky(rng.u16(1..4), rng.u16(1..4), rng.u64(..2 * SECOND)),
                5 => Behave::Again(rng.u64(..2 * SECOND)),
                6 => Behave::Dead,
                _ => Behave::Discard,
            },
        },
        5..7 => Call::CancelRunning { key, by },
        7..9 => Call::Revive { key, when: When::In(rng.u64(..2 * SECOND)), by },
        _ => Call::Purge { key, by },
    }
}

/// Recurring jobs, in one run of three. From a random stream of its own too.
fn draw_recurring(setting: &Setting, plan: &mut Vec<Item>) {
    let mut rng = fastrand::Rng::with_seed(setting.seed ^ 0x4ec0_4ec0_4ec0);
    let calls = if rng.u8(..3) == 0 { rng.u64(4..30) } else { 0 };
    for _ in 0..calls {
        let at_us = rng.u64(500 * MS..setting.active_us);
        let key = rng.u8(..4);
        let call = match rng.u8(..16) {
            0 => Call::EndRecurring { key },
            1 | 2 => Call::Recur { key, rule: 1 },
            12 | 13 => Call::PauseRecurring { key },
            14 => Call::ResumeRecurring { key },
            _ => Call::Recur { key, rule: 0 },
        };
        plan.push(Item { at_us, what: What::Call(rng.usize(..setting.slots), call) });
    }
}

/// Jobs that are edited, in one run of three. From a random stream of its own too.
fn draw_edits(setting: &Setting, plan: &mut Vec<Item>) {
    let mut rng = fastrand::Rng::with_seed(setting.seed ^ 0xed17_ed17);
    let calls = if rng.u8(..3) == 0 { rng.u64(1..20) } else { 0 };
    for _ in 0..calls {
        let at_us = rng.u64(500 * MS..setting.active_us);
        let by = [By::Key, By::Key, By::Handle, By::Version, By::OldVersion][rng.usize(..5)];
        let call = Call::Edit { key: rng.u8(..9), priority: Priority(rng.u8(99..102)), by };
        plan.push(Item { at_us, what: What::Call(rng.usize(..setting.slots), call) });
    }
}

/// Calls that name the version of what runs, or is dead, in one run of three. From a random stream of its own too.
fn draw_versions(setting: &Setting, plan: &mut Vec<Item>) {
    let mut rng = fastrand::Rng::with_seed(setting.seed ^ 0x1f_0f_0e_12);
    let calls = if rng.u8(..3) == 0 { rng.u64(1..12) } else { 0 };
    for _ in 0..calls {
        let at_us = rng.u64(500 * MS..setting.active_us);
        let (key, by) = (rng.u8(..9), [By::Version, By::OldVersion][rng.usize(..2)]);
        let call = match rng.u8(..4) {
            0 | 1 => Call::CancelRunning { key, by },
            2 => Call::Revive { key, when: When::In(rng.u64(..2 * SECOND)), by },
            _ => Call::Purge { key, by },
        };
        plan.push(Item { at_us, what: What::Call(rng.usize(..setting.slots), call) });
    }
}

/// Transactions, in one run of three. From a random stream of its own too.
fn draw_wholes(setting: &Setting, plan: &mut Vec<Item>) {
    let mut rng = fastrand::Rng::with_seed(setting.seed ^ 0x0a11_0000_0a11);
    let calls = if rng.u8(..3) == 0 { rng.u64(4..40) } else { 0 };
    for _ in 0..calls {
        let at_us = rng.u64(500 * MS..setting.active_us);
        let act = match rng.u8(..8) {
            0 => Whole::Cancel,
            1 => Whole::Spoiled,
            2..4 => Whole::Reschedule,
            _ => Whole::Schedule,
        };
        let call = Call::Whole { group: rng.u8(..2), act };
        plan.push(Item { at_us, what: What::Call(rng.usize(..setting.slots), call) });
    }
}

/// Jobs that expire, and whose interruptions count, in one run of three. From a random stream of its own too.
fn draw_limited(setting: &Setting, plan: &mut Vec<Item>) {
    let mut rng = fastrand::Rng::with_seed(setting.seed ^ 0x11a1_7ed0);
    let calls = if rng.u8(..3) == 0 { rng.u64(2..30) } else { 0 };
    for _ in 0..calls {
        let at_us = rng.u64(500 * MS..setting.active_us);
        let call = Call::Limited {
            key: rng.u8(..9),
            when: When::In(rng.u64(..3 * SECOND)),
            // Some have expired before they are due.
            expires_us: rng.u64(500 * MS..8 * SECOND),
            is_counted: rng.bool(),
            behave: match rng.u8(..4) {
                0 => Behave::Quick,
                1 => Behave::Hang,
                _ => Behave::Flaky(rng.u16(1..4), rng.u16(1..4), rng.u64(..2 * SECOND)),
            },
        };
        plan.push(Item { at_us, what: What::Call(rng.usize(..setting.slots), call) });
    }
}

/// Jobs with tags, and calls about all that have one, in one run of three. From a random stream of its own too.
fn draw_tagged(setting: &Setting, plan: &mut Vec<Item>) {
    let mut rng = fastrand::Rng::with_seed(setting.seed ^ 0x7a65_7a65_7a65);
    let calls = if rng.u8(..3) == 0 { rng.u64(8..50) } else { 0 };
    for _ in 0..calls {
        let at_us = rng.u64(500 * MS..setting.active_us);
        let tag = rng.u8(..3);
        let call = match rng.u8(..12) {
            0 => Tagged::Cancel { tag, by_engine: rng.bool() },
            1 => Tagged::Reschedule { tag, when: draw_when(&mut rng) },
            _ => Tagged::Schedule {
                key: rng.u8(..9),
                tag,
                when: draw_when(&mut rng),
                on_conflict: [OnConflict::Reject, OnConflict::Replace, OnConflict::Keep][rng.usize(..3)],
                behave: match rng.u8(..4) {
                    0 => Behave::Flaky(rng.u16(1..4), rng.u16(1..4), rng.u64(..2 * SECOND)),
                    1 => Behave::Slow(rng.u64(..2 * SECOND)),
                    _ => Behave::Quick,
                },
            },
        };
        plan.push(Item { at_us, what: What::Call(rng.usize(..setting.slots), Call::Tagged(call)) });
    }
}

/// Loses data of the server, and sets its clock with leases standing. From a random stream of its own too.
fn draw_losses(seed: u64, setting: &Setting, has_faults: bool, plan: &mut Vec<Item>) {
    const FIELDS: [&str; 14] = [
        "format",
        "partitions",
        "owner",
        "epoch",
        "lease_until",
        "term_ms",
        "tail",
        "base",
        "gen",
        "chunks",
        "covered",
        "log_from",
        "open",
        "last_gen",
    ];
    let mut rng = fastrand::Rng::with_seed(seed ^ 0x10_55e5);
    let losses = if has_faults && rng.u8(..3) == 0 { rng.u64(1..4) } else { 0 };
    for _ in 0..losses {
        let at_us = rng.u64(2 * SECOND..setting.active_us);
        let loss = match rng.u8(..10) {
            0..3 => Loss::Meta,
            3..5 => Loss::Log,
            5..7 => Loss::Chunk(rng.u64(..3)),
            _ => Loss::Field(FIELDS[rng.usize(..FIELDS.len())]),
        };
        plan.push(Item { at_us, what: What::Fault(Fault::Lose(rng.u16(..setting.partitions), loss)) });
    }
    if has_faults && rng.u8(..4) == 0 {
        let at_us = rng.u64(SECOND..setting.active_us);
        let ahead = Fault::ServerAhead(rng.u64(..200 * SECOND), rng.u64(10 * MS..6 * SECOND));
        plan.push(Item { at_us, what: What::Fault(ahead) });
    }
}

fn draw_setting(seed: u64, rng: &mut fastrand::Rng) -> Setting {
    let fsync = [Fsync::Always, Fsync::EverySecond, Fsync::EverySecond, Fsync::Never][rng.usize(..4)];
    let has_waitaof = rng.bool();
    let replica_lag_us = rng.bool().then(|| rng.u64(MS..2 * SECOND));
    let mut levels = vec![Durability::Logged, Durability::Logged, Durability::Memory];
    if fsync == Fsync::Always || (has_waitaof && fsync != Fsync::Never) {
        levels.extend([Durability::Fsync; 2]);
    }
    if replica_lag_us.is_some() {
        levels.push(Durability::Replicated);
    }
    let slots = [1, 2, 2, 3][rng.usize(..4)];
    Setting {
        seed,
        store: StoreKind::Redis,
        segment_bytes: 0,
        partitions: rng.u16(1..=2),
        slots,
        lease_ms: [800, 2_000, 5_000][rng.usize(..3)],
        tick_us: [1_000, 1_000, 10_000, 100][rng.usize(..4)],
        durability: levels[rng.usize(..levels.len())],
        policy: Policy { fsync, has_waitaof, replica_lag_us },
        snapshot_records: [4, 15, 60, 100_000][rng.usize(..4)],
        log_records_max: [6, 100_000, 100_000][rng.usize(..3)],
        commit_deadline_ms: [1_000, 4_000, 30_000][rng.usize(..3)],
        catch_up_per_second: [0, 5, 100_000][rng.usize(..3)],
        fired_max: [2, 20, 100_000][rng.usize(..3)],
        dead_max: [1, 10_000][usize::from(!seed.is_multiple_of(3))],
        concurrency: [1, 2, 16][rng.usize(..3)],
        pool: None,
        paces: Vec::new(),
        delay_us: [100, 600, 5_000][rng.usize(..3)],
        rates_ppm: (0..slots).map(|_| rng.u64(980_000..=1_020_000)).collect(),
        active_us: rng.u64(6 * SECOND..25 * SECOND),
    }
}

fn draw_when(rng: &mut fastrand::Rng) -> When {
    match rng.u8(..10) {
        0 => When::In(0),
        1 => When::At(-(rng.u64(..3 * SECOND) as i64)),
        2..5 => When::In(rng.u64(..6 * SECOND)),
        5..8 => When::Round(rng.u64(..5 * SECOND)),
        8 => When::At(rng.u64(..8 * SECOND) as i64),
        _ => When::In(rng.u64(3_600 * SECOND..7_200 * SECOND)),
    }
}

fn draw_call(rng: &mut fastrand::Rng, setting: &Setting) -> Call {
    let key = rng.u8(..9);
    let by = || [By::Key, By::Key, By::Handle, By::Version, By::OldVersion];
    match rng.u8(..100) {
        0..52 => Call::Schedule {
            key,
            is_inline: rng.u8(..5) == 0,
            when: draw_when(rng),
            on_conflict: [OnConflict::Reject, OnConflict::Replace, OnConflict::Keep][rng.usize(..3)],
            priority: Priority(rng.u8(99..102)),
            is_once: rng.u8(..4) == 0,
            level: (rng.u8(..6) == 0).then(|| {
                if setting.durability == Durability::Fsync { Durability::Fsync } else { Durability::Logged }
            }),
            behave: match rng.u8(..12) {
                0..6 => Behave::Quick,
                6..8 => Behave::Slow(rng.u64(..3 * SECOND)),
                8 => Behave::Fail,
                9 => Behave::Panic,
                10 => Behave::Hang,
                _ => Behave::Repeat(rng.u64(..2 * SECOND)),
            },
        },
        52..70 => Call::Reschedule { key, when: draw_when(rng), by: by()[rng.usize(..5)] },
        70..87 => Call::Cancel { key, by: by()[rng.usize(..5)] },
        87..92 => Call::Lookup { key },
        92..94 => Call::Pause,
        94..97 => Call::Resume,
        _ => Call::Snapshot,
    }
}

fn draw_fault(rng: &mut fastrand::Rng, setting: &Setting) -> Fault {
    let slot = rng.usize(..setting.slots);
    let lease_us = setting.lease_ms * MS;
    match rng.u8(..30) {
        0..5 => Fault::Kill(slot, rng.u64(MS..3 * SECOND)),
        5..7 => Fault::Shutdown(slot, rng.u64(..2 * SECOND), rng.u64(MS..2 * SECOND)),
        7..10 => Fault::Freeze(slot, rng.u64(MS..lease_us * 2)),
        10..13 => {
            let us = [50_000, 1_000_000, 3_600_000_000][rng.usize(..3)];
            Fault::Wall(slot, rng.u64(..2 * us) as i64 - us as i64)
        }
        13 => Fault::ServerBack(rng.u64(..5 * SECOND)),
        14..18 => {
            let slot = rng.bool().then_some(slot);
            Fault::Cut(slot, rng.bool().then(|| rng.u64(..3 * SECOND)))
        }
        18..20 => Fault::Deaf(slot, rng.u64(10 * MS..lease_us * 2)),
        20 => Fault::Slow(rng.u64(..300 * MS)),
        21 => Fault::Pause(rng.u64(MS..2 * SECOND)),
        22..24 => Fault::Crash(rng.u64(10 * MS..2 * SECOND), rng.bool()),
        24 if setting.policy.replica_lag_us.is_some() => Fault::FailOver(rng.u64(10 * MS..2 * SECOND)),
        24..28 => {
            let modes = [
                Mode::Oom,
                Mode::Misconf,
                Mode::NoReplicas,
                Mode::ReadOnly,
                Mode::Loading,
                Mode::Busy,
                Mode::MasterDown,
                Mode::TryAgain,
            ];
            Fault::Mode(modes[rng.usize(..8)], rng.u64(10 * MS..2 * SECOND))
        }
        28 => Fault::ForgetScripts,
        _ => Fault::Flush,
    }
}
