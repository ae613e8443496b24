//! Nothing acknowledged is lost: real processes, a real Redis, and SIGKILL at random moments.
//!
//! The program runs jobs from its standard input, which are scheduled, moved and cancelled while they come due. It is
//! killed, or its Redis is, again and again; at the end everything that was acknowledged has fired when it should, and
//! nothing else. Recurring jobs and jobs that are tried again are killed as often, in tests of their own. `REVEILLE_KILLS` and `REVEILLE_REDIS_KILLS` say how often (`scripts/soak` sets 200 and 50),
//! `REVEILLE_SEED` repeats a run's choices.
#![cfg(unix)]

mod disk;
mod fencing;
mod pauses;
mod recurring;
mod retries;

use std::time::Duration;

use testkit::program::feed::{Feed, random};
use testkit::redis::RedisServer;

fn times(variable: &str, default: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Promises 1, 2, 3 and 6, with the program killed.
#[test]
fn promise_2_nothing_acknowledged_is_lost_when_the_program_is_killed() {
    let server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "everysec"]);
    let mut random = random("kill");
    let store = server.url();
    let args = ["--store", &store, "--namespace", "kill", "--durability", "logged", "--lease", "150ms"];
    let mut feed = Feed::start(&args, &mut random);
    for kill in 0..times("REVEILLE_KILLS", 12) {
        feed.work_and_kill(Duration::from_micros(random.u64(30_000..600_000)), &mut random);
        feed.check(&format!("kill {kill}"));
        feed.begin(&args);
    }
    let ledger = feed.finish();
    println!(
        "{} acknowledged, {} fired, {} of them again after a kill",
        ledger.acknowledged, ledger.fired, ledger.fired_again
    );
    assert!(ledger.acknowledged > 500 && ledger.fired > 300, "{ledger:?}");
}

/// The same with Redis killed: with `appendfsync always` it loses nothing that it has answered to.
#[test]
fn promise_2_nothing_acknowledged_is_lost_when_redis_is_killed() {
    let mut server = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]);
    let mut random = random("redis-kill");
    let store = server.url();
    let args = ["--store", &store, "--namespace", "kill", "--durability", "fsync", "--lease", "5s"];
    let mut feed = Feed::start(&args, &mut random);
    let kills = times("REVEILLE_REDIS_KILLS", 5);
    for kill in 0..kills {
        let wait = Duration::from_micros(random.u64(30_000..600_000));
        feed.work_while(&mut random, wait, || server.kill());
        let wait = Duration::from_micros(random.u64(0..150_000));
        // Now and then both go.
        let is_both = random.u32(0..4) == 0 || kill + 1 == kills;
        if is_both {
            feed.work_and_kill(wait, &mut random);
        } else {
            feed.work(wait, &mut random);
        }
        server.restart();
        feed.check(&format!("kill {kill} of Redis"));
        if is_both {
            feed.begin(&args);
        }
    }
    let ledger = feed.finish();
    println!(
        "{} acknowledged, {} fired, {} of them again after a kill",
        ledger.acknowledged, ledger.fired, ledger.fired_again
    );
    assert!(ledger.acknowledged > 100 && ledger.fired > 50, "{ledger:?}");
}
