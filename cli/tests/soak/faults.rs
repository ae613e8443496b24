//! What is done to the long-lived engine and its Redis during a storm, on a thread of its own. When a storm is over all of it
//! has been undone.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use reveille::Engine;
use tokio::task::JoinHandle;

use crate::handlers::{LEASE, QUEUES, Seen};
use crate::ledger::now;
use testkit::proxy::{Fault, Proxy};
use testkit::redis::RedisServer;

/// How long a snapshot by hand may take, with all that is done to Redis meanwhile.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(60);

/// How often each was done.
pub(crate) type Tally = BTreeMap<&'static str, u64>;

/// Where the faults go.
pub(crate) struct Storm<'a> {
    pub(crate) server: &'a mut RedisServer,
    pub(crate) proxy: &'a Proxy,
    pub(crate) engine: &'a Engine,
    pub(crate) seen: &'a Seen,
    pub(crate) runtime: &'a tokio::runtime::Handle,
    pub(crate) random: fastrand::Rng,
    pub(crate) tally: &'a mut Tally,
}

impl Storm<'_> {
    /// Faults, one after another with rests between, until this instant of the monotonic clock.
    pub(crate) fn rage(mut self, until_us: u64) {
        let mut snapshots = Vec::new();
        while now().mono.as_micros() < until_us {
            self.fault(&mut snapshots);
            self.rest();
        }
        for snapshot in snapshots {
            self.ends(snapshot);
        }
    }

    fn fault(&mut self, snapshots: &mut Vec<JoinHandle<bool>>) {
        match self.random.u32(..24) {
            0..2 => {
                let delay = Fault::Delay(Duration::from_millis(self.random.u64(1..80)));
                self.line("delay", delay);
            }
            2..4 => self.line("replies cut", Fault::CutReplies),
            4..6 => self.line("requests cut", Fault::CutRequests),
            6..8 => self.line("black hole", Fault::BlackHole),
            8..10 => self.line("refusal", Fault::Refuse),
            10 => self.tell("SCRIPT FLUSH", &["SCRIPT", "FLUSH"]),
            11..13 => self.tell("CLIENT KILL", &["CLIENT", "KILL", "TYPE", "normal"]),
            13 => self.out_of_memory(),
            14..16 => self.stand_still(),
            16..18 => self.kill(),
            18 => self.tell("FLUSHALL", &["FLUSHALL"]),
            19..22 => self.pause(),
            _ => {
                self.counts("snapshot by hand");
                let engine = self.engine.clone();
                snapshots.push(self.runtime.spawn(async move { engine.snapshot().await.is_ok() }));
            }
        }
    }

    fn line(&mut self, name: &'static str, fault: Fault) {
        self.counts(name);
        self.proxy.set(fault);
        self.last();
        self.proxy.set(Fault::None);
    }

    fn out_of_memory(&mut self) {
        self.tell("out of memory", &["CONFIG", "SET", "maxmemory", "1"]);
        self.last();
        command(self.server, &["CONFIG", "SET", "maxmemory", "0"]);
    }

    fn stand_still(&mut self) {
        self.counts("Redis stopped");
        self.server.stop();
        self.last();
        self.server.go_on();
    }

    fn kill(&mut self) {
        self.counts("Redis killed");
        self.server.kill();
        let down = Duration::from_millis(self.random.u64(..800));
        sleep(down);
        self.server.restart();
    }

    fn pause(&mut self) {
        self.counts("queue paused");
        let queue = QUEUES[self.random.usize(..QUEUES.len())];
        self.engine.pause(queue).into_outcome().expect("the queue is there");
        self.seen.ledger.pauses(queue, Some(now().wall));
        self.last();
        self.seen.ledger.pauses(queue, None);
        self.engine.resume(queue).into_outcome().expect("the queue is there");
    }

    fn tell(&mut self, name: &'static str, words: &[&str]) {
        self.counts(name);
        command(self.server, words);
    }

    fn counts(&mut self, name: &'static str) {
        *self.tally.entry(name).or_default() += 1;
    }

    /// While a fault lasts: mostly a moment, now and then longer than the lease.
    fn last(&mut self) {
        let time_ms = match self.random.u32(..8) {
            0 => self.random.u64(..1_500) + LEASE.as_millis() as u64,
            1..4 => self.random.u64(..800),
            _ => self.random.u64(..120),
        };
        sleep(Duration::from_millis(time_ms));
    }

    fn rest(&mut self) {
        // None now and then: what is only just mended breaks again.
        let time_ms = if self.random.u32(..4) == 0 { 0 } else { self.random.u64(..400) };
        sleep(Duration::from_millis(time_ms));
    }

    fn ends(&mut self, snapshot: JoinHandle<bool>) {
        match self.runtime.block_on(async { tokio::time::timeout(SNAPSHOT_PATIENCE, snapshot).await }) {
            Ok(taken) => {
                if taken.expect("a snapshot does not panic") {
                    self.counts("of these taken");
                }
            }
            Err(_) => self.seen.ledger.breaks("a snapshot does not end".to_owned()),
        }
    }
}

/// Runs a command past the proxy. One that was just started may still load its data.
pub(crate) fn command(server: &RedisServer, words: &[&str]) -> redis::Value {
    for _ in 0..200 {
        let answer = redis::Client::open(server.url())
            .and_then(|client| client.get_connection_with_timeout(Duration::from_secs(5)))
            .and_then(|mut connection| redis::cmd(words[0]).arg(&words[1..]).query(&mut connection));
        match answer {
            Ok(value) => return value,
            Err(_) => sleep(Duration::from_millis(25)),
        }
    }
    panic!("Redis does not take {words:?}: {}", server.log());
}
