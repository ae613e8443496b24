//! A simulated process: clocks of its own, and all that the library sees of the world.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use reveille::Timestamp;
use reveille::partition::MonoTime;
use reveille::sim::{Boxed, Line, Now, Simulation};

use crate::disk::{Disk, Seat};
use crate::network::Network;
use crate::world::World;

/// The wall clock when the world begins, in microseconds since the epoch.
pub(crate) const WALL_BEGIN_US: i64 = 1_800_000_000_000_000;

/// Where monotonic clocks begin: a start long ago, so that jobs that are overdue have an instant on them too.
const MONO_BEGIN_US: u64 = 3_600_000_000_000_000_000;

const MILLION: u64 = 1_000_000;

/// One life of a process, from its start to its end.
pub(crate) struct Process {
    /// Its number among those that share the store.
    pub slot: usize,
    /// The number of its life among all of them.
    pub life: u64,
    me: Weak<Process>,
    world: Arc<World>,
    network: Arc<Network>,
    /// The machine's disk, if that is where the store is.
    disk: Option<Arc<Disk>>,
    /// Its place at the disk.
    pub seat: Arc<Seat>,
    /// The rate of its clocks, in parts of a million: more than a million is fast.
    rate_ppm: u64,
    /// How far its wall clock is off, in microseconds. Steps change it.
    wall_off_us: Arc<AtomicI64>,
    is_frozen: AtomicBool,
    /// Whether its handlers' runtime polls nothing.
    is_blocked: AtomicBool,
    is_killed: AtomicBool,
    /// How many engines it has had.
    engines: AtomicU64,
}

impl Process {
    /// A process that has just begun.
    pub(crate) fn new(
        (slot, life): (usize, u64),
        world: &Arc<World>,
        network: &Arc<Network>,
        disk: Option<&Arc<Disk>>,
        rate_ppm: u64,
        wall_off_us: &Arc<AtomicI64>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Process {
            slot,
            life,
            me: Weak::clone(me),
            world: Arc::clone(world),
            network: Arc::clone(network),
            disk: disk.cloned(),
            seat: Arc::default(),
            rate_ppm,
            wall_off_us: Arc::clone(wall_off_us),
            is_frozen: AtomicBool::new(false),
            is_blocked: AtomicBool::new(false),
            is_killed: AtomicBool::new(false),
            engines: AtomicU64::new(0),
        })
    }

    /// Whether it is frozen.
    pub(crate) fn is_frozen(&self) -> bool {
        self.is_frozen.load(Relaxed)
    }

    /// Whether it has ended.
    pub(crate) fn is_killed(&self) -> bool {
        self.is_killed.load(Relaxed)
    }

    /// Freezes it.
    pub(crate) fn freeze(&self) {
        self.is_frozen.store(true, Relaxed);
    }

    /// Lets it go on.
    pub(crate) fn thaw(self: &Arc<Self>) {
        self.is_frozen.store(false, Relaxed);
        self.world.thaw(self);
    }

    /// Whether its handlers are blocked.
    pub(crate) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Relaxed)
    }

    /// Has its handlers stand still while the rest goes on: one of them blocks their runtime.
    pub(crate) fn block(&self) {
        self.is_blocked.store(true, Relaxed);
    }

    /// Lets its handlers go on.
    pub(crate) fn unblock(self: &Arc<Self>) {
        self.is_blocked.store(false, Relaxed);
        self.world.thaw(self);
    }

    /// Its end begins: nothing of it runs any more, but for the step that it is in.
    pub(crate) fn stop(&self) {
        self.is_killed.store(true, Relaxed);
        self.seat.end();
    }

    /// Kills it.
    pub(crate) fn kill(self: &Arc<Self>) {
        self.stop();
        self.world.kill(self);
        self.network.left(self);
    }

    /// Its world.
    pub(crate) fn world(&self) -> &Arc<World> {
        &self.world
    }

    /// Spawns a task of it.
    pub(crate) fn spawn_task(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.world.spawn(Some(Arc::clone(self)), Box::pin(task));
    }

    fn elapsed_us(&self, world_us: u64) -> u64 {
        (u128::from(world_us) * u128::from(self.rate_ppm) / u128::from(MILLION)) as u64
    }

    fn clocks(&self) -> Now {
        let elapsed = self.elapsed_us(self.world.now_us());
        let wall = WALL_BEGIN_US + elapsed as i64 + self.wall_off_us.load(Relaxed);
        Now { wall: Timestamp::from_micros(wall), mono: MonoTime::from_micros(MONO_BEGIN_US + elapsed) }
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} in life {}", self.slot, self.life)
    }
}

impl Simulation for Process {
    fn now(&self) -> Now {
        self.clocks()
    }

    fn owner(&self) -> String {
        format!("process {}, life {}, engine {}", self.slot, self.life, self.engines.fetch_add(1, Relaxed))
    }

    fn spawn(&self, task: Boxed<()>) -> u64 {
        match self.me.upgrade() {
            Some(me) => self.world.spawn(Some(me), task),
            None => 0,
        }
    }

    fn spawn_handler(&self, task: Boxed<()>) -> u64 {
        match self.me.upgrade() {
            Some(me) => self.world.spawn_handler(me, task),
            None => 0,
        }
    }

    fn abort(&self, task: u64) {
        self.world.abort(task);
    }

    fn sleep(&self, time: Duration) -> Boxed<()> {
        let us = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).min(1 << 50);
        // Not before the process's own clock shows it.
        let mono_us = self.elapsed_us(self.world.now_us()) + us;
        let world_us = u128::from(mono_us) * u128::from(MILLION) / u128::from(self.rate_ppm) + 1;
        Box::pin(self.world.until(world_us as u64))
    }

    fn blocking_turn(&self) -> Option<Boxed<()>> {
        let disk = self.disk.as_ref()?;
        Some(Box::pin(self.world.after(disk.turn_us())))
    }

    fn connect(&self) -> Boxed<std::io::Result<Arc<dyn Line>>> {
        let Some(me) = self.me.upgrade() else {
            return Box::pin(async { Err(std::io::ErrorKind::ConnectionRefused.into()) });
        };
        let network = Arc::clone(&self.network);
        Box::pin(async move { network.connect(me).await })
    }
}
