//! The processes of a run: each begins an engine on the shared store, calls it, handles its jobs, and begins another when
//! that has come to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use reveille::sim::{Image, JobImage, Simulation, left_undone, on_start, state};
use reveille::store::{RedisConfig, RedisStore, StoreErrorClass};
use reveille::{Clock, Engine, Job, JobId, PartitionId, QueueConfig, StartError, StoreState};
use tokio::sync::{Notify, watch};

use crate::calls::{Caller, Wish, behaviour};
use crate::ledger::{Ledger, nonce};
use crate::network::Network;
use crate::plan::{Behave, Call, Setting, When};
use crate::process::Process;
use crate::shadow::{Shadow, comparable, difference};
use crate::world::World;

/// A driver looks at its clocks this often, and a bit.
const LOOK_US: u64 = 150_000;

/// Where one of the processes is.
struct Slot {
    process: Option<Arc<Process>>,
    engine: Option<(u64, Engine)>,
    /// Who its engine is, as the store has it.
    owner: String,
    /// Jobs that were with a handler when the engine before it ended, and that no record says are pending again.
    cut_short: BTreeSet<JobId>,
    /// When its wall was last set.
    stepped_us: u64,
    wall_off_us: Arc<AtomicI64>,
    /// Asks its engine to shut down, with this grace, and to begin again after so long.
    shutdown: Arc<Mutex<Option<(u64, u64)>>>,
    told: Arc<Notify>,
}

/// A run.
pub(crate) struct App {
    /// How it is set up.
    pub setting: Setting,
    /// The world that it is in.
    pub world: Arc<World>,
    /// The network, and the server behind it.
    pub network: Arc<Network>,
    /// What the store should hold.
    pub shadow: Arc<Shadow>,
    /// What users were told.
    pub ledger: Arc<Ledger>,
    slots: Mutex<Vec<Slot>>,
    lives: AtomicU64,
    /// Whether nothing goes wrong any more.
    is_healed: watch::Sender<bool>,
    /// How many commits wait, by life.
    waiting: Mutex<BTreeMap<u64, usize>>,
    rests: AtomicU64,
}

impl Slot {
    /// An image without what no record says.
    fn masked(&self, mut image: Image) -> Image {
        let cut_short = |job: &&mut JobImage| self.cut_short.contains(&job.id);
        image.jobs.iter_mut().filter(cut_short).for_each(|job| job.running_since = None);
        image
    }
}

/// A commit that waits.
pub(crate) struct Waits<'a>(&'a App, u64);

impl Waits<'_> {
    /// It has an answer.
    pub(crate) fn ends(self) {
        if let Some(count) = self.0.waiting.lock().get_mut(&self.1) {
            *count -= 1;
        }
    }
}

impl App {
    /// A run in which nothing has begun.
    pub(crate) fn new(
        setting: Setting,
        world: &Arc<World>,
        network: &Arc<Network>,
        shadow: &Arc<Shadow>,
        ledger: &Arc<Ledger>,
    ) -> Arc<Self> {
        let slot = || Slot {
            process: None,
            engine: None,
            owner: String::new(),
            cut_short: BTreeSet::new(),
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
            shadow: Arc::clone(shadow),
            ledger: Arc::clone(ledger),
            slots,
            lives: AtomicU64::new(0),
            is_healed: watch::Sender::new(false),
            waiting: Mutex::default(),
            rests: AtomicU64::new(0),
        })
    }

    /// Begins a process, unless it is there.
    pub(crate) fn begin(self: &Arc<Self>, slot: usize) {
        let mut slots = self.slots.lock();
        let its = &mut slots[slot];
        if its.process.is_some() {
            return;
        }
        let life = self.lives.fetch_add(1, Relaxed);
        let rate_ppm = self.setting.rates_ppm[slot];
        let process = Process::new((slot, life), &self.world, &self.network, rate_ppm, &its.wall_off_us);
        its.process = Some(Arc::clone(&process));
        drop(slots);
        self.world.note(|| format!("process {slot} begins"));
        process.spawn_task(live(Arc::clone(self), Arc::clone(&process)));
    }

    /// Kills a process, if it is there.
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

    /// Sets the wall of a process, on by so much.
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

    /// Nothing goes wrong from here on: everything is there, and runs.
    pub(crate) fn heal(self: &Arc<Self>) {
        self.world.note(|| "all is well from here on".to_owned());
        self.network.heal();
        self.network.server.heal();
        self.is_healed.send_replace(true);
        for slot in 0..self.setting.slots {
            let off_us = self.slots.lock()[slot].wall_off_us.load(Relaxed);
            if off_us != 0 {
                self.set_wall(slot, -off_us);
            }
            if let Some(process) = self.process(slot) {
                process.thaw();
            }
            self.begin(slot);
        }
    }

    /// A commit of a life begins to wait.
    pub(crate) fn wait_begins(&self, life: u64) -> Waits<'_> {
        *self.waiting.lock().entry(life).or_default() += 1;
        Waits(self, life)
    }

    /// What nothing of an engine that can run should have left.
    pub(crate) fn at_rest(&self) {
        let rests = self.rests.fetch_add(1, Relaxed);
        for its in self.slots.lock().iter() {
            let (Some(process), Some((life, engine))) = (&its.process, &its.engine) else { continue };
            if process.is_frozen() {
                continue;
            }
            // A wall that was set is noticed at the next look, and wakes nobody.
            let is_noticed = self.world.now_us() > its.stepped_us + LOOK_US;
            if let Some(left) = left_undone(engine).filter(|_| is_noticed) {
                self.world.broken("8 late, never dropped", format!("life {life}: {left}"));
            }
            if rests.is_multiple_of(64) {
                self.compare(engine, its, *life, process);
            }
        }
    }

    /// Where the store has all of a partition, replaying it ends where the engine stands.
    fn compare(&self, engine: &Engine, its: &Slot, life: u64, process: &Process) {
        for partition in 0..self.setting.partitions {
            let state = state(engine, PartitionId(partition));
            let (head, end) = self.shadow.head(partition);
            if head != its.owner || state.log_end != end || state.durable != end {
                continue;
            }
            let replayed = match self.shadow.replay(partition, process.now()) {
                Ok(replay) => its.masked(comparable(replay.image())),
                Err(error) => return self.world.broken("7 replay = live", format!("life {life}: {error}")),
            };
            let live = its.masked(comparable(state.image));
            if replayed != live {
                let differs = difference(&replayed, &live);
                let detail = format!("life {life}, partition {partition}: {differs}");
                self.world.broken("7 replay = live", detail);
            }
        }
    }

    /// Whether everything that is due has been done, by an engine that is well; if not, what is missing.
    pub(crate) fn unsettled(&self) -> Option<String> {
        let slots = self.slots.lock();
        let Some((life, engine)) = slots.iter().find_map(|its| its.engine.as_ref()) else {
            return Some("nobody owns the jobs".to_owned());
        };
        let _ = engine.resume("work");
        let stats = engine.stats();
        let store = stats.store.as_ref();
        if store.is_none_or(|store| store.state != StoreState::Healthy) {
            return Some(format!("the store is not called healthy: {store:?}"));
        }
        if stats.ready > 0 || stats.running > 0 {
            return Some(format!("{} jobs are due, {} run", stats.ready, stats.running));
        }
        if let Some(waiting) = self.waiting.lock().get(life).filter(|waiting| **waiting > 0) {
            return Some(format!("{waiting} commits wait"));
        }
        for partition in 0..self.setting.partitions {
            let state = state(engine, PartitionId(partition));
            if state.is_due || state.durable != state.log_end {
                return Some(format!(
                    "partition {partition} is not done: {} of {}",
                    state.durable, state.log_end
                ));
            }
        }
        None
    }

    /// The end: what was promised has been kept.
    pub(crate) fn settle(&self) {
        let slots = self.slots.lock();
        for its in slots.iter() {
            let (Some(process), Some((life, engine))) = (&its.process, &its.engine) else { continue };
            self.compare(engine, its, *life, process);
            let images: Vec<_> = self.images(engine);
            // What is pending is still to come, by the clock that it follows.
            let wall_us = process.now().wall.as_micros();
            let late = images.iter().flat_map(|image| &image.jobs).find(|job| {
                job.due.base == reveille::partition::TimeBase::Wall
                    && job.due.wall.as_micros() + 1_000_000 < wall_us
            });
            if let Some(late) = late {
                self.world
                    .broken("8 late, never dropped", format!("life {life}: it is still pending: {late:?}"));
            }
            self.ledger.settle(&images);
            return;
        }
    }

    fn images(&self, engine: &Engine) -> Vec<Image> {
        let partitions = 0..self.setting.partitions;
        partitions.map(|partition| state(engine, PartitionId(partition)).image).collect()
    }

    /// An engine has begun: it stands where replaying what the store has from the beginning ends.
    fn restored(&self, life: u64, process: &Arc<Process>, engine: &Engine, losses: u64, begun_us: u64) {
        let now = process.now();
        let (mut owner, mut cut_short) = (String::new(), BTreeSet::new());
        for partition in 0..self.setting.partitions {
            let state = state(engine, PartitionId(partition));
            let (head, end) = self.shadow.head(partition);
            owner = head;
            if let Ok(replay) = self.shadow.replay(partition, now) {
                let running = replay.image().jobs.into_iter().filter(|job| job.running_since.is_some());
                cut_short.extend(running.map(|job| job.id));
            }
            if end != state.durable || losses != self.shadow.losses() {
                continue;
            }
            let expected = match self.shadow.replay(partition, now) {
                Ok(replay) => replay.finish(false, &Default::default(), now).partition.image(),
                Err(error) => return self.world.broken("7 replay = live", format!("life {life}: {error}")),
            };
            let (expected, found) = (comparable(expected), comparable(state.image));
            let fired = |image: &Image| {
                let mut ids: Vec<_> = image.fired.iter().map(|fired| fired.id).collect();
                ids.sort_unstable();
                ids
            };
            if expected.jobs != found.jobs || fired(&expected) != fired(&found) {
                let differs = difference(&expected, &found);
                let detail = format!("life {life}, partition {partition} as restored: {differs}");
                self.world.broken("7 replay = live", detail);
            }
        }
        // Delays were turned into instants somewhere on the way, by a wall that was set meanwhile.
        let is_told_exactly = self.slots.lock()[process.slot].stepped_us < begun_us;
        self.ledger.restored(life, &owner, now, is_told_exactly, &self.images(engine));
        let its = &mut self.slots.lock()[process.slot];
        its.owner = owner;
        its.cut_short = cut_short;
        its.engine = Some((life, engine.clone()));
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
            Err(error) => {
                app.world.note(|| format!("life {life}: it has not begun: {error}"));
                let is_fatal = match &error {
                    StartError::Store(error) => error.class == StoreErrorClass::Fatal,
                    StartError::NoSuchDurability { .. } => false,
                    StartError::Held(_) => false,
                    _ => true,
                };
                if is_fatal {
                    app.world.broken("2 nothing is lost", format!("life {life}: it cannot begin: {error}"));
                }
                process.sleep(Duration::from_millis(300)).await;
            }
        }
    }
}

/// Returns after how long to begin again.
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
    let config = RedisConfig::new("redis://127.0.0.1:6379/0").and_then(|config| config.namespace("sim"));
    let config = config.unwrap_or_else(|error| unreachable!("a constant: {error}"));
    let handlers = Handlers { app: Arc::clone(app), process: Arc::clone(process), life };
    let (inline, told) = (handlers.clone(), handlers.clone());
    let simulation: Arc<dyn Simulation> = Arc::clone(process) as _;
    let builder = Engine::builder()
        .queue(QueueConfig::new("work").concurrency(setting.concurrency), move |job: Job| {
            let handlers = handlers.clone();
            async move { handlers.handle(job).await }
        })
        .inline_queue("inline", move |job: &Job| inline.handle_inline(job))
        .clock(Clock::Simulated(simulation))
        .store(Arc::new(RedisStore::new(config)))
        .partitions(setting.partitions)
        .tick(Duration::from_micros(setting.tick_us))
        .durability(setting.durability)
        .lease(Duration::from_millis(setting.lease_ms))
        .single_owner(false)
        .snapshot_every(Duration::from_secs(8), setting.snapshot_records)
        .log_records_max(setting.log_records_max)
        .commit_deadline(Duration::from_millis(setting.commit_deadline_ms))
        .catch_up_per_second(setting.catch_up_per_second)
        .remember_fired(setting.fired_max, Duration::from_secs(3600));
    on_start(builder, move |queue, started| {
        told.app
            .world
            .note(|| format!("life {life}: start {} {} of {}", started.id, started.key, queue.as_str()));
        told.app.ledger.started(life, queue.as_str(), started, told.process.now());
    })
}

/// What the handlers of a life have.
#[derive(Clone)]
struct Handlers {
    app: Arc<App>,
    process: Arc<Process>,
    life: u64,
}

impl Handlers {
    async fn handle(&self, job: Job) -> Result<(), String> {
        let Some(nonce) = nonce(job.payload().as_bytes()) else { return Ok(()) };
        self.app.ledger.began(self.life, nonce);
        let behave = behaviour(job.payload().as_bytes());
        match behave {
            Behave::Slow(us) => self.process.sleep(Duration::from_micros(us)).await,
            Behave::Hang => {
                let mut healed = self.app.is_healed.subscribe();
                let _ = healed.wait_for(|is_healed| *is_healed).await;
            }
            Behave::Repeat(us) => self.repeat(&job, us),
            Behave::Quick | Behave::Fail | Behave::Panic => {}
        }
        self.app.ledger.ended(self.life, nonce);
        self.app.world.note(|| format!("life {}: end of {nonce}", self.life));
        match behave {
            Behave::Fail => Err("it was told to".to_owned()),
            Behave::Panic => panic!("it was told to"),
            _ => Ok(()),
        }
    }

    fn handle_inline(&self, job: &Job) -> Result<(), String> {
        let Some(nonce) = nonce(job.payload().as_bytes()) else { return Ok(()) };
        self.app.ledger.began(self.life, nonce);
        let behave = behaviour(job.payload().as_bytes());
        if let Behave::Repeat(us) = behave {
            self.repeat(job, us);
        }
        self.app.ledger.ended(self.life, nonce);
        match behave {
            Behave::Fail => Err("it was told to".to_owned()),
            Behave::Panic => panic!("it was told to"),
            _ => Ok(()),
        }
    }

    fn repeat(&self, job: &Job, us: u64) {
        let caller = Caller {
            app: Arc::clone(&self.app),
            process: Arc::clone(&self.process),
            life: self.life,
            engine: job.engine(),
        };
        let wish = Wish {
            key: job.key().as_str().to_owned(),
            is_inline: job.queue() == "inline",
            when: When::In(us),
            on_conflict: reveille::OnConflict::Keep,
            priority: job.priority(),
            is_once: false,
            level: None,
            behave: Behave::Quick,
        };
        self.process.spawn_task(caller.schedule(wish));
    }
}
