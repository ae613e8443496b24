//! The seam between the library and the simulator in `sim/`. Not for anybody else, and not under semantic versioning.
//!
//! A simulator sets itself as the current one of the thread while it polls a task; the library then spawns, waits, reads
//! the time and connects through it. Nothing else changes: it is the shipped engine, store and scripts that run.

use std::cell::RefCell;
use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Builder, Engine, Probed};
pub use crate::partition::{Image, JobImage, Now, Record, Replay, Started};
use crate::partition::{PartitionId, QueueName};
use crate::store::codec::{Names, decode_batch, decode_chunk};

/// A future of the simulator's.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One process as it is simulated: its clocks, its tasks and its network.
pub trait Simulation: Debug + Send + Sync {
    /// What the process's clocks show.
    fn now(&self) -> Now;

    /// A name that no other engine of the simulation has.
    fn owner(&self) -> String;

    /// Spawns a task. Returns its number.
    fn spawn(&self, task: Boxed<()>) -> u64;

    /// Spawns a task that runs handlers: these may be blocked while the others go on. Returns its number.
    fn spawn_handler(&self, task: Boxed<()>) -> u64;

    /// Drops a task, unless it has ended.
    fn abort(&self, task: u64);

    /// Resolves when so much time has passed on the process's monotonic clock.
    fn sleep(&self, time: Duration) -> Boxed<()>;

    /// Connects to the one Redis that there is.
    fn connect(&self) -> Boxed<std::io::Result<Arc<dyn Line>>>;
}

/// A connection to the simulated Redis.
pub trait Line: Send + Sync {
    /// Sends so many commands, packed as the protocol has them, and resolves with as many answers.
    fn send(&self, packed: Vec<u8>, count: usize) -> Boxed<Result<Vec<redis::Value>, redis::RedisError>>;
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<dyn Simulation>>> = const { RefCell::new(None) };
}

/// The simulation that runs on this thread.
pub(crate) fn current() -> Option<Arc<dyn Simulation>> {
    CURRENT.with_borrow(Clone::clone)
}

/// Runs `work` as a part of a simulated process.
pub fn within<T>(simulation: &Arc<dyn Simulation>, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<Arc<dyn Simulation>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0.take());
        }
    }
    let _restore = Restore(CURRENT.replace(Some(Arc::clone(simulation))));
    work()
}

/// Has every start of a job told, at the moment at which it is decided.
pub fn on_start(builder: Builder, told: impl Fn(&QueueName, &Started) + Send + Sync + 'static) -> Builder {
    builder.probe(Box::new(move |probed| {
        if let Probed::Started(queue, started) = probed {
            told(queue, started);
        }
    }))
}

/// A partition as it stands.
#[derive(Debug)]
pub struct PartitionState {
    /// Its jobs.
    pub image: Image,
    /// The sequence after its last record.
    pub log_end: u64,
    /// The store has acknowledged every record before this one.
    pub durable: u64,
    /// Whether something is due that the driver has not moved.
    pub is_due: bool,
}

/// Looks at a partition of a running engine.
pub fn state(engine: &Engine, partition: PartitionId) -> PartitionState {
    engine.partition_state(partition)
}

/// What an engine that has come to rest should have done and has not, if there is any such thing. Its handlers are let off if
/// they cannot run.
pub fn left_undone(engine: &Engine, can_handlers_run: bool) -> Option<String> {
    engine.left_undone(can_handlers_run)
}

/// For how much longer an engine can prove all of its leases; `None` if it has come to its end.
pub fn lease_left(engine: &Engine) -> Option<Duration> {
    engine.lease_left()
}

/// The name of the script with this text, if it is one of the library's.
pub fn script_name(code: &str) -> Option<&'static str> {
    crate::store::script_name(code)
}

/// Reads what the store has written, for an oracle.
#[derive(Debug, Default)]
pub struct Reader(Names);

impl Reader {
    /// A batch of the log: the sequence of its first record, and its records.
    ///
    /// # Errors
    /// When these bytes are no batch.
    pub fn batch(&mut self, bytes: &[u8]) -> Result<(u64, Vec<Record>), String> {
        let mut records = Vec::new();
        let header = decode_batch(bytes, &mut self.0, &mut records);
        header.map(|header| (header.first_record, records)).map_err(|error| error.to_string())
    }

    /// Adds a chunk of a snapshot to an image.
    ///
    /// # Errors
    /// When these bytes are no chunk.
    pub fn chunk(&mut self, bytes: &[u8], image: &mut Image) -> Result<(), String> {
        decode_chunk(bytes, &mut self.0, image).map(drop).map_err(|error| error.to_string())
    }
}
