//! The processes of a run: each starts an engine on the shared store, calls it, handles its jobs, and starts another when
//! that one has ended.

mod checks;
mod handlers;
mod machine;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use reveille::sim::{Simulation, Told, on_start};
use reveille::store::{DiskConfig, DiskStore, RedisConfig, RedisStore, Store, StoreErrorClass};
use reveille::{Clock, Engine, Job, QueueConfig, StartError};
use tokio::sync::{Notify, watch};

use crate::calls::Caller;
use crate::disk::{Machine, Mount, Watched};
use crate::ledger::Ledger;
use crate::network::Network;
use crate::plan::{Call, Fault, Queue, Setting};
use crate::process::Process;
use crate::shadow::Shadow;
use crate::world::World;
use handlers::Handlers;

/// Longer than any clock is set forward: no dead job is purged for its age.
const DEAD_FOR: Duration = Duration::from_secs(864_000);

/// Where a store on disk is.
const PATH: &str = "/var/lib/reveille";

/// The state of one of the processes.
struct Slot {
    process: Option<Arc<Process>>,
    engine: Option<(u64, Engine)>,
    /// Its engine's name in the store.
    owner: String,
    /// When its wall clock was last set.
    stepped_us: u64,
    wall_off_us: Arc<AtomicI64>,
    /// Asks its engine to shut down with this grace, and to start again after this time.
    shutdown: Arc<Mutex<Option<(u64, u64)>>>,
    told: Arc<Notify>,
}

/// A run.
pub(crate) struct App {
    /// Its setting.
    pub setting: Setting,
    /// Its world.
    pub world: Arc<World>,
    /// The network, and the server behind it.
    pub network: Arc<Network>,
    /// The machine of all processes, if the store is on its disk.
    pub machine: Option<Machine>,
    /// What the store should hold.
    pub shadow: Arc<Shadow>,
    /// What users were told.
    pub ledger: Arc<Ledger>,
    slots: Mutex<Vec<Slot>>,
    lives: AtomicU64,
    /// Whether faults have stopped.
    is_healed: watch::Sender<bool>,
    /// How many commits wait, by life.
    waiting: Mutex<BTreeMap<u64, usize>>,
    rests: AtomicU64,
    /// Until when a fault may affect leases.
    troubled_until_us: AtomicU64,
}

/// A commit that waits.
pub(crate) struct Waits<'a>(&'a App, u64);

impl Waits<'_> {
    /// It has an answer.
    pub(crate) fn ends(self) {
        if let Some(count) = self.0.waiting.lock().get_mut(&self.1) {
            // Those of a life that was over when the others were forgotten count for nothing.
            *count = count.saturating_sub(1);
        }
    }
}

impl App {
    /// A run in which nothing has begun.
    pub(crate) fn new(
        setting: Setting,
        world: &Arc<World>,
        network: &Arc<Network>,
        machine: Option<Machine>,
        shadow: &Arc<Shadow>,
        ledger: &Arc<Ledger>,
    ) -> Arc<Self> {
        let slot = || Slot {
            process: None,
            engine: None,
            owner: String::new(),
            stepped_us: 0,
            wall_off_us: Arc::default(),
            shutdown: Arc::default(),
            told: Arc::default(),
        };
        let slots = Mutex::new((0..setting.slots).map(|_| slot()).collect());
        Arc::new(App {
            setting,
            world: Arc::clone(world),
            network: Arc::clone(network),
            machine,
            shadow: Arc::clone(shadow),
            ledger: Arc::clone(ledger),
            slots,
            lives: AtomicU64::new(0),
            is_healed: watch::Sender::new(false),
            waiting: Mutex::default(),
            rests: AtomicU64::new(0),
            troubled_until_us: AtomicU64::new(0),
        })
    }

    /// Starts a process, unless it runs.
    pub(crate) fn begin(self: &Arc<Self>, slot: usize) {
        if self.machine.as_ref().is_some_and(|machine| machine.disk.is_off()) {
            // All of them begin when power is back.
            return;
        }
        let mut slots = self.slots.lock();
        let its = &mut slots[slot];
        if its.process.is_some() {
            return;
        }
        let life = self.lives.fetch_add(1, Relaxed);
        let rate_ppm = self.setting.rates_ppm[slot];
        let disk = self.machine.as_ref().map(|machine| &machine.disk);
        let process =
            Process::new((slot, life), &self.world, &self.network, disk, rate_ppm, &its.wall_off_us);
        its.process = Some(Arc::clone(&process));
        drop(slots);
        self.world.note(|| format!("process {slot} begins"));
        process.spawn_task(live(Arc::clone(self), Arc::clone(&process)));
    }

    /// Kills a process, if it runs.
    pub(crate) fn kill(self: &Arc<Self>, slot: usize) {
        let (process, engine) = {
            let its = &mut self.slots.lock()[slot];
            (its.process.take(), its.engine.take())
        };
        let Some(process) = process else { return };
        self.world.note(|| format!("process {slot} is killed"));
        if let Some((life, _)) = &engine {
            self.ledger.over(*life);
            self.waiting.lock().remove(life);
        }
        process.kill();
        let simulation: Arc<dyn Simulation> = process;
        reveille::sim::within(&simulation, || drop(engine));
    }

    /// The process of a slot.
    pub(crate) fn process(&self, slot: usize) -> Option<Arc<Process>> {
        self.slots.lock()[slot].process.clone()
    }

    /// Has the engine of a process shut down.
    pub(crate) fn shut_down(&self, slot: usize, grace_us: u64, down_us: u64) {
        let its = &self.slots.lock()[slot];
        if its.engine.is_some() {
            *its.shutdown.lock() = Some((grace_us, down_us));
            its.told.notify_one();
        }
    }

    /// Moves the wall clock of a process by this much.
    pub(crate) fn set_wall(&self, slot: usize, us: i64) {
        let its = &mut self.slots.lock()[slot];
        its.wall_off_us.fetch_add(us, Relaxed);
        its.stepped_us = self.world.now_us();
        if let Some((life, _)) = &its.engine {
            self.ledger.stepped(*life);
        }
    }

    /// Makes a call in a process, if it has an engine.
    pub(crate) fn call(self: &Arc<Self>, slot: usize, call: Call) {
        let caller = {
            let its = &self.slots.lock()[slot];
            let (Some(process), Some((life, engine))) = (&its.process, &its.engine) else { return };
            let (process, engine) = (Arc::clone(process), engine.clone());
            Caller { app: Arc::clone(self), process, life: *life, engine }
        };
        let process = Arc::clone(&caller.process);
        process.spawn_task(caller.call(call));
    }

    /// Gives up the partition that an error names, if something of it was deleted.
    fn follow_advice(&self, error: &str) -> bool {
        let number = error.split("{rv:sim:").nth(1).and_then(|rest| rest.split('}').next());
        let Some(partition) = number.and_then(|number| number.parse().ok()) else { return false };
        self.network.server.give_up(partition, self.setting.partitions)
    }

    /// Faults stop here: everything is there, and runs.
    pub(crate) fn heal(self: &Arc<Self>) {
        self.world.note(|| "all is well from here on".to_owned());
        self.network.heal();
        self.network.server.heal();
        if let Some(machine) = &self.machine {
            machine.disk.heal();
        }
        self.is_healed.send_replace(true);
        for slot in 0..self.setting.slots {
            let off_us = self.slots.lock()[slot].wall_off_us.load(Relaxed);
            if off_us != 0 {
                self.set_wall(slot, -off_us);
            }
            if let Some(process) = self.process(slot) {
                process.seat.stay();
                process.thaw();
                process.unblock();
            }
            self.begin(slot);
        }
    }

    /// A fault. Handlers that stand still affect nothing else.
    pub(crate) fn trouble(&self, fault: &Fault) {
        let lasts_us = match *fault {
            Fault::Block(..) => return,
            // Until the fault is over.
            Fault::Slow(_) => u64::MAX,
            Fault::Kill(_, us)
            | Fault::Freeze(_, us)
            | Fault::Deaf(_, us)
            | Fault::Pause(us)
            | Fault::Crash(us, _)
            | Fault::FailOver(us)
            | Fault::ServerBack(us)
            | Fault::Mode(_, us)
            | Fault::KillAt(_, _, us)
            | Fault::Power(us)
            | Fault::PowerAt(_, us)
            | Fault::Disk(_, us)
            | Fault::ServerAhead(_, us) => us,
            Fault::Shutdown(_, grace_us, down_us) => grace_us + down_us,
            Fault::Cut(_, arrives_us) => arrives_us.unwrap_or(0),
            Fault::Wall(..) | Fault::Flush | Fault::ForgetScripts | Fault::Lose(..) => 0,
        };
        // A server needs a while to come up, and a standby to get its lease.
        let after_us = 10_000_000 + 4_000 * self.setting.lease_ms;
        let until_us = self.world.now_us().saturating_add(lasts_us).saturating_add(after_us);
        self.troubled_until_us.fetch_max(until_us, Relaxed);
    }

    /// Whether no fault could have cost a lease for a while.
    pub(crate) fn is_untroubled(&self) -> bool {
        self.world.now_us() > self.troubled_until_us.load(Relaxed)
    }

    /// A commit of a life begins to wait.
    pub(crate) fn wait_begins(&self, life: u64) -> Waits<'_> {
        *self.waiting.lock().entry(life).or_default() += 1;
        Waits(self, life)
    }
}

/// A process, from its beginning.
async fn live(app: Arc<App>, process: Arc<Process>) {
    loop {
        let life = app.lives.fetch_add(1, Relaxed);
        let (losses, begun_us) = (app.shadow.losses(), app.world.now_us());
        match builder(&app, &process, life).start().await {
            Ok(engine) => {
                app.world.note(|| format!("life {life}: it has begun, in process {}", process.slot));
                app.restored(life, &process, &engine, losses, begun_us);
                let down_us = until_its_end(&app, &process, life, engine).await;
                process.sleep(Duration::from_micros(down_us)).await;
            }
            Err(_) if process.is_killed() => return,
            Err(error) => {
                app.world.note(|| format!("life {life}: it has not begun: {error}"));
                let is_fatal = match &error {
                    StartError::Store(error) => error.class == StoreErrorClass::Fatal,
                    StartError::NoSuchDurability { .. } => false,
                    StartError::Held(_) => false,
                    _ => true,
                };
                // An operator follows the error's advice if something was deleted.
                let is_advised =
                    ["redis-cli", "remove the key"].iter().any(|word| error.to_string().contains(word));
                let given_up = is_advised && app.follow_advice(&error.to_string());
                if is_fatal && !given_up {
                    app.world.broken("2 nothing is lost", format!("life {life}: it cannot begin: {error}"));
                }
                process.sleep(Duration::from_millis(300)).await;
            }
        }
    }
}

/// Returns after how long to start again.
async fn until_its_end(app: &Arc<App>, process: &Arc<Process>, life: u64, engine: Engine) -> u64 {
    let (told, asked) = {
        let its = &app.slots.lock()[process.slot];
        (Arc::clone(&its.told), Arc::clone(&its.shutdown))
    };
    let lost = tokio::select! {
        biased;
        error = engine.lost() => Some(error),
        () = told.notified() => None,
    };
    app.slots.lock()[process.slot].engine = None;
    let down_us = match lost {
        Some(error) => {
            app.world.note(|| format!("life {life}: it is no longer the owner: {error}"));
            if app.is_untroubled() {
                app.world.broken("5 one owner", format!("life {life}: it was the owner and well: {error}"));
            }
            app.ledger.over(life);
            300_000
        }
        None => {
            let (grace_us, down_us) = asked.lock().take().unwrap_or((0, 0));
            let report = engine.shutdown(Duration::from_micros(grace_us)).await;
            app.world.note(|| format!("life {life}: it was shut down: {report:?}"));
            if report.is_flushed {
                app.ledger.flushed(life, app.setting.durability.max(reveille::Durability::Logged));
            }
            app.ledger.over(life);
            down_us
        }
    };
    app.waiting.lock().remove(&life);
    down_us
}

fn builder(app: &Arc<App>, process: &Arc<Process>, life: u64) -> reveille::Builder {
    let setting = &app.setting;
    let handlers = Handlers { app: Arc::clone(app), process: Arc::clone(process), life };
    let (inline, told) = (handlers.clone(), handlers.clone());
    let simulation: Arc<dyn Simulation> = Arc::clone(process) as _;
    let builder = Engine::builder()
        .inline_queue(queue_config(setting, Queue::Inline), move |job: &Job| inline.handle_inline(job))
        .clock(Clock::Simulated(simulation))
        .store(store(app, process))
        .partitions(setting.partitions)
        .tick(Duration::from_micros(setting.tick_us))
        .durability(setting.durability)
        .lease(Duration::from_millis(setting.lease_ms))
        .single_owner(false)
        .snapshot_every(Duration::from_secs(8), setting.snapshot_records)
        .log_records_max(setting.log_records_max)
        .commit_deadline(Duration::from_millis(setting.commit_deadline_ms))
        .catch_up_per_second(setting.catch_up_per_second)
        .remember_fired(setting.fired_max, Duration::from_secs(3600))
        .keep_dead(setting.dead_max, DEAD_FOR);
    let builder = match setting.pool {
        Some(pool) => builder.pool(pool.handlers),
        None => builder,
    };
    let by_workers = Queue::ALL.into_iter().filter(|queue| queue.is_by_workers());
    let builder = by_workers.fold(builder, |builder, queue| {
        let handlers = handlers.clone();
        builder.queue(queue_config(setting, queue), move |job: Job| {
            let handlers = handlers.clone();
            async move { handlers.handle(job).await }
        })
    });
    on_start(builder, move |what| {
        let now = told.process.now();
        match what {
            Told::Started(queue, started) => {
                let (id, key) = (started.id, &started.key);
                told.app.world.note(|| format!("life {life}: start {id} {key} of {}", queue.as_str()));
                told.app.ledger.started(life, queue.as_str(), started, now);
                told.app.takes_turn(life, told.process.slot, queue.as_str(), (started.handle, now));
            }
            Told::Ended(handle) => {
                let _ = told.app.ledger.with(life, |life, _| life.limits.ended(handle));
            }
            Told::Expired(job) => {
                told.app.world.note(|| format!("life {life}: {} {} has expired", job.id, job.key));
                told.app.ledger.expired(life, job, now);
            }
        }
    })
}

/// The store, as a process has it.
fn store(app: &App, process: &Process) -> Arc<dyn Store> {
    let Some(Machine { disk, journal }) = &app.machine else {
        let config = RedisConfig::new("redis://127.0.0.1:6379/0").and_then(|config| config.namespace("sim"));
        let config = config.unwrap_or_else(|error| unreachable!("a constant: {error}"));
        return Arc::new(RedisStore::new(config));
    };
    let config = DiskConfig::new(PATH).namespace("sim");
    let config = config.unwrap_or_else(|error| unreachable!("a constant: {error}"));
    let config =
        config.segment_bytes(app.setting.segment_bytes).files(Arc::new(Mount::new(disk, &process.seat)));
    Arc::new(Watched::new(Arc::new(DiskStore::new(config)), journal, disk))
}

fn queue_config(setting: &Setting, queue: Queue) -> QueueConfig {
    let config = QueueConfig::new(queue.name());
    let config = match setting.paces.iter().find(|(its, _)| *its == queue) {
        Some((_, pace)) => config.rate(pace.to_rate()),
        None => config,
    };
    if !queue.is_by_workers() {
        return config;
    }
    let config = config.concurrency(setting.concurrency);
    match setting.pool.map(|pool| pool.order.place(queue)) {
        Some((precedence, weight)) => config.precedence(precedence).weight(weight),
        None => config,
    }
}
