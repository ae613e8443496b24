//! Engines that die: the program as a child, with a Redis of their own, killed and stopped in the middle of its work, relieved
//! by a standby. A round has jobs of its own, all of which are accounted for at its end.

use std::time::Duration;

use rustix::process::Signal;

use crate::faults::Tally;
use crate::ledger::now;
use testkit::program::feed::{Feed, now_us};
use testkit::program::{Run, micros, text};
use testkit::redis::RedisServer;

/// How long the next process may take to find that the lease has ended, and to restore.
const TAKEOVER_PATIENCE_US: u64 = 60_000_000;

pub(crate) struct Children<'a> {
    pub(crate) server: &'a mut RedisServer,
    pub(crate) random: fastrand::Rng,
    pub(crate) tally: &'a mut Tally,
    /// What was done in this round, in order.
    pub(crate) did: Vec<&'static str>,
}

/// What became of the jobs of a round.
#[derive(Clone, Copy, Default)]
pub(crate) struct Round {
    pub(crate) acknowledged: u64,
    pub(crate) fired: u64,
    pub(crate) fired_again: u64,
}

impl Children<'_> {
    /// Kills until this instant of the monotonic clock, once at least; then has everything fire that must.
    pub(crate) fn round(mut self, number: usize, until_us: u64) -> Round {
        // A lease must not end because the machine is busy, least of all beside a standby. Alone a process waits for it.
        let has_standby = self.random.bool();
        let (store, namespace) = (self.server.url(), format!("round-{number}"));
        let lease = if has_standby { "3s" } else { "1s" };
        let args = ["--store", &store, "--namespace", &namespace, "--durability", "fsync", "--lease", lease];
        let mut feed = Feed::start(&args, &mut self.random);
        let mut kill = 0;
        while kill == 0 || now().mono.as_micros() < until_us {
            self.until_it_has_jobs(&mut feed);
            match (has_standby, self.random.u32(..4)) {
                (true, 0) => self.relieve(&mut feed, &args),
                (true, 1) => self.stop(&mut feed, &args),
                (_, 2) => self.kill_redis(&mut feed, &args),
                _ => self.kill(&mut feed, &args, has_standby),
            }
            feed.check(&format!("round {number}, kill {kill}"));
            kill += 1;
        }
        let ledger = feed.finish();
        Round { acknowledged: ledger.acknowledged, fired: ledger.fired, fired_again: ledger.fired_again }
    }

    fn kill(&mut self, feed: &mut Feed, args: &[&str], has_standby: bool) {
        self.counts("program killed");
        let standby = has_standby.then(|| Run::start(args));
        feed.work_and_kill(self.moment(), &mut self.random);
        feed.go_on_with(standby.unwrap_or_else(|| Run::start(args)));
    }

    fn kill_redis(&mut self, feed: &mut Feed, args: &[&str]) {
        self.counts("Redis of programs killed");
        let (wait, down) = (self.moment(), self.moment() / 4);
        feed.work_while(&mut self.random, wait, || self.server.kill());
        let are_both = self.random.u32(..3) == 0;
        if are_both {
            feed.work_and_kill(down, &mut self.random);
        } else {
            feed.work(down, &mut self.random);
        }
        self.server.restart();
        if are_both {
            feed.begin(args);
        }
    }

    /// A clean end: the standby has the jobs at once.
    fn relieve(&mut self, feed: &mut Feed, args: &[&str]) {
        self.counts("program relieved");
        let standby = Run::start(args);
        feed.work(self.moment(), &mut self.random);
        let ended = feed.relieve(standby);
        assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    }

    /// Stopped for longer than its lease: when it goes on it fires nothing more, says why and ends.
    fn stop(&mut self, feed: &mut Feed, args: &[&str]) {
        self.counts("program stopped");
        let standby = Run::start(args);
        feed.work_and_stop(self.moment(), &mut self.random);
        let stopped_at_us = now_us();
        let stopped = feed.go_on_with(standby);
        self.until_it_has_jobs(feed);
        stopped.signal(Signal::CONT);
        let ended = stopped.ended();
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains("owner"), "{}", ended.stderr);
        for event in ended.events.iter().filter(|event| text(event, "event") == "fired") {
            assert!(micros(event, "fired_at") <= stopped_at_us, "{event} was fired by an owner that is none");
        }
    }

    /// Works until the process that is asked has the jobs: only then is another one a standby, and is in time.
    fn until_it_has_jobs(&mut self, feed: &mut Feed) {
        let give_up_us = now().mono.as_micros() + TAKEOVER_PATIENCE_US;
        while !feed.has_jobs() {
            let is_in_time = now().mono.as_micros() < give_up_us;
            assert!(is_in_time, "nobody takes over, after {:?}: {}", self.did, feed.said());
            feed.work(Duration::from_millis(20), &mut self.random);
        }
    }

    fn counts(&mut self, name: &'static str) {
        self.did.push(name);
        *self.tally.entry(name).or_default() += 1;
    }

    fn moment(&mut self) -> Duration {
        Duration::from_micros(self.random.u64(30_000..900_000))
    }
}
