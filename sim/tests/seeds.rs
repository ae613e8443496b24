//! A short run of the simulator, its determinism, and every seed that has found something.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use reveille_sim::{Outcome, StoreKind, draw, listen_to_panics, run, shrink};

fn outcome(seed: u64, store: StoreKind) -> Outcome {
    let (setting, plan) = draw(seed, store);
    run(&setting, &plan, false)
}

fn assert_kept(seed: u64, store: StoreKind, outcome: &Outcome) {
    if let Some(violation) = &outcome.violation {
        panic!(
            "seed {seed}: {violation:?}; cargo run --release -p reveille-sim -- seed {seed} --store {store}"
        );
    }
}

/// On two threads: each has worlds of its own.
fn all(seeds: impl IntoIterator<Item = u64>, check: impl Fn(u64) + Sync) {
    let seeds: Vec<u64> = seeds.into_iter().collect();
    let next = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(&seed) = seeds.get(next.fetch_add(1, Relaxed) as usize) {
                    check(seed);
                }
            });
        }
    });
}

#[test]
fn a_thousand_seeds_keep_every_promise() {
    many_keep_every_promise(1_000_000..1_001_000, StoreKind::Redis);
}

#[test]
fn a_thousand_seeds_on_disk_keep_every_promise() {
    many_keep_every_promise(1_000_000..1_001_000, StoreKind::Disk);
}

fn many_keep_every_promise(seeds: std::ops::Range<u64>, store: StoreKind) {
    listen_to_panics();
    let (jobs, starts) = (AtomicU64::new(0), AtomicU64::new(0));
    all(seeds, |seed| {
        let outcome = outcome(seed, store);
        assert_kept(seed, store, &outcome);
        jobs.fetch_add(outcome.jobs as u64, Relaxed);
        starts.fetch_add(outcome.starts as u64, Relaxed);
    });
    // A simulator in which nothing happens would find nothing.
    assert!(jobs.load(Relaxed) > 10_000 && starts.load(Relaxed) > 5_000, "{jobs:?} jobs, {starts:?} starts");
}

#[test]
fn a_seed_gives_the_same_log_to_the_byte() {
    listen_to_panics();
    let seeds = [3, 96, 172, 905, 3_248].map(|seed| (seed, StoreKind::Redis));
    for (seed, store) in seeds.into_iter().chain([7, 8, 9].map(|seed| (seed, StoreKind::Disk))) {
        let (setting, plan) = draw(seed, store);
        let (one, other) = (run(&setting, &plan, true), run(&setting, &plan, true));
        assert!(one.lines.len() > 20, "seed {seed} has {} lines", one.lines.len());
        assert_eq!(one.lines, other.lines, "seed {seed}");
        assert_eq!(one.digest, other.digest, "seed {seed}");
    }
}

#[test]
fn seeds_differ() {
    listen_to_panics();
    let digests: BTreeSet<u64> = (0..20).map(|seed| outcome(seed, StoreKind::of(seed)).digest).collect();
    assert_eq!(digests.len(), 20);
}

/// Each has broken a promise once: by a bug of the library, or of the simulator.
#[test]
fn seeds_that_have_found_something() {
    listen_to_panics();
    let seeds = [
        // Two engines that begin at one moment: one found the other's key half looked at, and called it foreign.
        905, 894, 911,
        // An owner whose lease had run out claimed again after FLUSHALL, before the living one did.
        96,    // An owner that claims again and finds another with a lower epoch waited for ever.
        1_624, // A shutdown called flushed what the store had lost.
        3_248,
        // A lease past its term was waited for without end, where the format was lost too.
        12_946,
        // An owner that finds records of another took the store for broken, and went on firing.
        12_814, // A snapshot that a repair had made needless was reported as failing for ever.
        64, 11_083, 11_967, 12_587,
        // An owner with an epoch of a clock that was ahead wrote over what another, with a lower one, had acknowledged.
        16_822, // What the simulator judged wrongly.
        150, 172, 777, 859, 860, 917, 1_540, 3_015, 10_991, 21_727, 28_659, 34_601, 40_200, 67_636, 69_230,
        1_310, 3_809, 8_436, 11_061, 39_722, 202_809,
    ];
    all(seeds, |seed| assert_kept(seed, StoreKind::Redis, &outcome(seed, StoreKind::Redis)));
}

/// The same, with the store on disk.
#[test]
fn seeds_that_have_found_something_on_disk() {
    listen_to_panics();
    let seeds = [
        // The directory's own name was not synced: all of the store was gone with the power.
        8,
        // A segment given up after a failed sync came back with the power, and nothing told that its end was not trusted.
        884, // The head of a segment was lost, and nobody knew where it had begun.
        1_236,
        // A segment lost its length exactly at the end of a batch, and the next one was joined to it.
        44, 241,
        258, // What a failed sync had dropped was read back while the store was put in order, and called damage.
        2_349, 36, 50,
        // What it had dropped was trusted by the next process, below the mark of a later segment.
        3_810, 3_362, 2_468,
        // What came behind a hole, in the same part that a failed sync had left, was taken for good.
        13_796, // Two failed syncs took the heads of two segments: nobody knew where the first had begun.
        15_746, // A dead job was purged for its age by a clock that was set: the oracle did not know.
        1_136,
    ];
    all(seeds, |seed| assert_kept(seed, StoreKind::Disk, &outcome(seed, StoreKind::Disk)));
}

#[test]
fn what_keeps_its_promises_has_no_shortest_history() {
    listen_to_panics();
    let (setting, plan) = draw(1, StoreKind::Redis);
    assert!(shrink(&setting, &plan).is_none());
}

/// The patches that plant bugs apply to the sources as they are: see the command `planted`.
#[test]
fn the_planted_bugs_can_be_planted() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let patches = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/planted")).unwrap();
    let patches: Vec<_> = patches.map(|patch| patch.unwrap().path()).collect();
    assert!(patches.len() >= 8, "{patches:?}");
    for patch in patches {
        let mut git = std::process::Command::new("git");
        let check = git.current_dir(root).args(["apply", "--check"]).arg(&patch).status();
        assert!(check.is_ok_and(|status| status.success()), "{patch:?} no longer applies");
    }
}
