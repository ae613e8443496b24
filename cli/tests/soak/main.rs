//! A soak: an engine that lives for long, and engines that die, under a mixed load on real Redis servers, with random faults.
//!
//! ```text
//!  storm                                                    calm
//!  load ──> engine ──> proxy ──> Redis   faults on each     the same load, no fault: it goes on within a bound, is on time,
//!  programs that are killed, stopped, relieved ──> Redis    and holds as much memory and as many descriptors as before
//! ```
//!
//! A ledger outside of the engine is told of every call, answer and start, and says at once what does not fit the contract
//! (`ledger`; that of the programs is the one of the kill tests). After each storm Redis is read by another process and
//! compared with it (`mirror`), and what the process holds is looked at (`resources`). At the end another engine is
//! restored, has everything that is pending, and fires it.
//!
//! `REVEILLE_SOAK_MINUTES` says for how long (without it half a minute), `REVEILLE_SEED` repeats a run's choices; what
//! they meet depends on the machine. `scripts/soak` runs it.
#![cfg(target_os = "linux")]

mod children;
mod faults;
mod handlers;
mod heap;
mod ledger;
mod load;
mod mirror;
mod report;
mod resources;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use reveille::Engine;
use reveille::store::{RedisConfig, RedisStore};
use tokio::runtime::Runtime;

use children::Children;
use faults::Storm;
use handlers::{LOG_RECORDS_MAX, NAMESPACE, Seen, begin_chains, builder};
use ledger::{Ledger, now};
use load::Load;
use report::{Recovery, Report};
use resources::{Compared, Sample};
use testkit::proxy::Proxy;
use testkit::redis::RedisServer;

/// Nothing that was answered to is lost when such a Redis is killed.
const ALWAYS: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// After a storm: until what became due meanwhile has started.
const ON_TIME_US: u64 = 15_000_000;

/// After a storm: until the engine says that its store is well. A snapshot that failed is tried again after some seconds, and
/// speaks until then.
const HEALTHY_US: u64 = 40_000_000;

/// How late a job may be in a calm, on a machine that has other things to do.
const CALM_LATE: Duration = Duration::from_secs(5);

const GRACE: Duration = Duration::from_secs(30);

const LOOK_EVERY: Duration = Duration::from_millis(100);

#[test]
fn soak() {
    let seed = std::env::var("REVEILLE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("soak: REVEILLE_SEED={seed}");
    let minutes =
        std::env::var("REVEILLE_SOAK_MINUTES").ok().map(|text| text.parse().expect("a number of minutes"));
    let run = thread::spawn(move || Soak::start(seed, Pace::of(minutes)).run());
    // A panic has told what it is about.
    let broken = run.join().unwrap_or_else(|_| vec!["it panicked".to_owned()]);
    assert!(broken.is_empty(), "repeat it with REVEILLE_SEED={seed}: {broken:#?}");
}

/// How long all of it takes, and each part.
struct Pace {
    total_us: u64,
    storm_us: u64,
    calm: Duration,
    storms_min: usize,
}

impl Pace {
    fn of(minutes: Option<f64>) -> Self {
        let total_s = minutes.map_or(18.0, |minutes| minutes * 60.0);
        let storm_s = (total_s / 20.0).clamp(3.0, 20.0);
        Pace {
            total_us: (total_s * 1e6) as u64,
            storm_us: (storm_s * 1e6) as u64,
            calm: Duration::from_secs_f64(storm_s / 3.0),
            storms_min: if minutes.is_some() { 8 } else { 3 },
        }
    }
}

struct Soak {
    pace: Pace,
    random: fastrand::Rng,
    runtime: Runtime,
    server: RedisServer,
    proxy: Proxy,
    /// The programs have one of their own: what is flushed while no engine lives is gone.
    other_server: RedisServer,
    seen: Seen,
    engine: Engine,
    load: Load,
    report: Report,
}

impl Soak {
    fn start(seed: u64, pace: Pace) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let server = RedisServer::start(&ALWAYS);
        let proxy = Proxy::start(server.port());
        let seen = Seen { ledger: Arc::new(Ledger::default()), is_winding_down: Arc::default() };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (engine, load) = runtime.block_on(async {
            let engine = builder(&seen, store(&proxy.url()), false).start().await.unwrap();
            begin_chains(&engine, &seen).await;
            let load = Load::start(&engine, &seen, &mut random);
            (engine, load)
        });
        let (other_server, report) = (RedisServer::start(&ALWAYS), Report::begin(seed));
        Soak { pace, random, runtime, server, proxy, other_server, seen, engine, load, report }
    }

    /// Returns what was broken.
    fn run(mut self) -> Vec<String> {
        let began = now().mono;
        loop {
            let is_enough = self.report.samples.len() >= self.pace.storms_min
                && now().mono.micros_since(began) >= self.pace.total_us;
            if is_enough || !self.report.broken.is_empty() {
                break;
            }
            self.storm();
            self.calm();
            self.look();
            self.report.broken.append(&mut self.seen.ledger.broken());
        }
        self.report.minutes = now().mono.micros_since(began) as f64 / 60e6;
        if self.report.broken.is_empty() {
            let compared = Compared::of(&self.report.samples);
            self.report.broken.extend(compared.grown());
            self.report.compared = Some(compared);
        }
        self.end()
    }

    fn storm(&mut self) {
        let flushes = self.report.faults.get("FLUSHALL").copied();
        let incidents = self.incidents();
        let until_us = now().mono.as_micros() + self.pace.storm_us;
        let number = self.report.samples.len();
        let storm = Storm {
            server: &mut self.server,
            proxy: &self.proxy,
            engine: &self.engine,
            seen: &self.seen,
            runtime: self.runtime.handle(),
            random: self.random.fork(),
            tally: &mut self.report.faults,
        };
        let children = Children {
            server: &mut self.other_server,
            random: self.random.fork(),
            tally: &mut self.report.kills,
            did: Vec::new(),
        };
        let (round, recovery) = thread::scope(|scope| {
            let round = scope.spawn(|| children.round(number, until_us));
            storm.rage(until_us);
            let recovery = recover(&self.engine, &self.seen.ledger);
            (round.join().expect("the programs keep their promises"), recovery)
        });
        self.report.adds(round, recovery);
        if self.report.faults.get("FLUSHALL").copied() == flushes && self.incidents() > incidents {
            let last = self.engine.stats().store.unwrap().last_incident;
            self.seen
                .ledger
                .breaks(format!("nothing was flushed, and Redis is said to have lost something: {last:?}"));
        }
    }

    fn incidents(&self) -> u64 {
        self.engine.stats().store.unwrap().incidents
    }

    /// The same load without faults: nothing is late, every call is taken, every commit confirmed.
    fn calm(&mut self) {
        self.seen.ledger.calm(true);
        let until_us = now().mono.as_micros() + self.pace.calm.as_micros() as u64;
        while now().mono.as_micros() < until_us {
            let overdue = self.seen.ledger.overdue(CALM_LATE);
            if !overdue.is_empty() {
                self.seen.ledger.breaks(format!("{} jobs are lost: {:?}", overdue.len(), overdue.first()));
                break;
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// What Redis and this process hold, with no call under way.
    fn look(&mut self) {
        self.runtime.block_on(self.load.hold());
        let began = now().mono;
        while self.engine.stats().log_pending > 0 && now().mono.micros_since(began) < HEALTHY_US {
            thread::sleep(Duration::from_millis(1));
        }
        self.report.compared_jobs += mirror::compare(&self.server.url(), &self.seen.ledger);
        self.report.samples.push(Sample::take(&self.server));
        self.seen.ledger.calm(false);
        self.load.go_on();
    }

    /// Ends the engine, restores another, and has it fire what is left.
    fn end(mut self) -> Vec<String> {
        let Soak { runtime, engine, load, seen, server, .. } = self;
        let ledger = Arc::clone(&seen.ledger);
        runtime.block_on(async {
            load.end().await;
            seen.is_winding_down.store(true, std::sync::atomic::Ordering::SeqCst);
            let ended = engine.shutdown(GRACE).await;
            if !ended.is_flushed || ended.still_running > 0 {
                ledger.breaks(format!("the engine does not end well: {ended:?}"));
            }
            drop(engine);
            ledger.is_restored();
            let restored = builder(&seen, store(&server.url()), true).start().await.unwrap();
            self.report.restored_jobs = mirror::compare_restored(&restored, &ledger);
            mirror::cancel_far(&restored, &ledger).await;
            for queue in restored.stats().queues {
                restored.resume(&queue.name).into_outcome().unwrap();
            }
            let idle = tokio::time::timeout(GRACE, restored.idle()).await;
            let left = ledger.pending();
            if idle.is_err() || !left.is_empty() {
                ledger.breaks(format!(
                    "the end is not reached: {:?}, {} jobs are left, such as {:?}",
                    restored.stats(),
                    left.len(),
                    left.first()
                ));
            }
            self.report.lost = left.len();
            restored.shutdown(GRACE).await;
        });
        self.report.broken.append(&mut ledger.broken());
        println!("{}", self.report.table(&ledger));
        self.report.broken
    }
}

/// The faults are over: jobs go on, and all is well, within bounds. Returns after how many microseconds each was so.
fn recover(engine: &Engine, ledger: &Ledger) -> Recovery {
    let (began, mut recovery) = (now().mono, Recovery::default());
    loop {
        let (overdue, stats) = (ledger.overdue(Duration::from_secs(1)), engine.stats());
        let waited_us = now().mono.micros_since(began);
        if !overdue.is_empty() {
            recovery.on_time_us = waited_us;
        }
        if !stats.is_store_healthy || stats.log_pending > LOG_RECORDS_MAX as u64 / 2 {
            recovery.healthy_us = waited_us;
        }
        let is_late = recovery.on_time_us > ON_TIME_US || recovery.healthy_us > HEALTHY_US;
        if is_late {
            let first = overdue.first();
            ledger.breaks(format!("no recovery: {} overdue, such as {first:?}; {stats:?}", overdue.len()));
        }
        if is_late || recovery.on_time_us.max(recovery.healthy_us) < waited_us {
            return recovery;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Without much patience, so that what stands still is found out soon.
fn store(url: &str) -> RedisStore {
    let config = RedisConfig::new(url).unwrap().namespace(NAMESPACE).unwrap();
    let patience = Duration::from_millis(500);
    RedisStore::new(config.response_timeout(patience).connect_timeout(patience))
}
