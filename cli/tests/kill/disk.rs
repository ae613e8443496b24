//! The program killed in the middle of its work, with its jobs on local disk: with nobody else there, or with a standby that takes
//! over.

use std::time::Duration;

use testkit::program::Run;
use testkit::program::feed::{Feed, random};

use super::times;

/// Promises 1, 2, 3 and 6. What is acknowledged was written to a file, and nothing more.
#[test]
fn promise_2_nothing_acknowledged_is_lost_on_disk_when_the_program_is_killed() {
    kill_again_and_again("disk-kill", "logged");
}

/// The same, with every acknowledgement synced: batches wait for each other in another way.
#[test]
fn promise_2_nothing_synced_is_lost_on_disk_when_the_program_is_killed() {
    kill_again_and_again("disk-sync-kill", "fsync");
}

fn kill_again_and_again(what: &str, durability: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut random = random(what);
    let store = format!("file:{}", folder.path().display());
    let args = ["--store", &store, "--namespace", "kill", "--durability", durability];
    let mut feed = Feed::start(&args, &mut random);
    for kill in 0..times("REVEILLE_KILLS", 12) {
        // Every third time somebody waits for the end already.
        let standby = (random.u32(0..3) == 0).then(|| {
            // Of two that start at once either may be the owner.
            while !feed.has_jobs() {
                feed.work(Duration::from_millis(10), &mut random);
            }
            let standby = Run::start(&args);
            standby.says("waiting for another process to end");
            standby
        });
        feed.work_and_kill(Duration::from_micros(random.u64(30_000..600_000)), &mut random);
        feed.check(&format!("kill {kill}"));
        match standby {
            Some(standby) => drop(feed.go_on_with(standby)),
            None => feed.begin(&args),
        }
    }
    let ledger = feed.finish();
    println!(
        "{} acknowledged, {} fired, {} of them again after a kill",
        ledger.acknowledged, ledger.fired, ledger.fired_again
    );
    assert!(ledger.acknowledged > 300 && ledger.fired > 200, "{ledger:?}");
}
