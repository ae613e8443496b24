//! The seam between the library and the simulator in `sim/`. For no other use, and not under semantic versioning.
//!
//! `seam` below is where the library lets a simulation in. This module is what a simulation reads from above.

use std::time::Duration;

pub use crate::engine::PartitionState;
use crate::engine::{Builder, Engine, Probed};
use crate::partition::{Handle, JobView, PartitionId, QueueName};
pub use crate::partition::{Image, JobImage, Now, Record, Replay, Started};
pub use crate::seam::{Boxed, Line, Simulation, within};
use crate::store::codec::{Names, decode_batch, decode_chunk};
pub use crate::store::{File, Files};

/// What becomes of a job without a call.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// It starts: said when that is decided.
    Started(&'a QueueName, &'a Started),
    /// An attempt at it has ended. It counts as running until what comes after is written down.
    Ended(Handle),
    /// It was too late to start, and is dead. Nothing may be asked of the engine meanwhile.
    Expired(&'a JobView),
}

/// Has `told` called at every start of a job, at the end of each attempt, and at every death instead of a start.
pub fn on_start(builder: Builder, told: impl Fn(Told<'_>) + Send + Sync + 'static) -> Builder {
    builder.probe(Box::new(move |probed| match probed {
        Probed::Started(queue, started) => told(Told::Started(queue, started)),
        Probed::Expired(view) => told(Told::Expired(view)),
        Probed::Ended(handle, _) => told(Told::Ended(handle)),
        Probed::Begins(..) => {}
    }))
}

/// Looks at a partition of a running engine.
pub fn state(engine: &Engine, partition: PartitionId) -> PartitionState {
    engine.partition_state(partition)
}

/// What an engine at rest has left undone, if anything. Its handlers are excused if they cannot run.
pub fn left_undone(engine: &Engine, can_handlers_run: bool) -> Option<String> {
    engine.left_undone(can_handlers_run)
}

/// Whether a queue could start a job now, if it were its turn and there were a handler for it.
pub fn could_start(engine: &Engine, queue: &str) -> bool {
    engine.could_start(queue)
}

/// How much longer an engine can prove all of its leases; `None` if it has ended.
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
    /// When the bytes are not a batch.
    pub fn batch(&mut self, bytes: &[u8]) -> Result<(u64, Vec<Record>), String> {
        let mut records = Vec::new();
        let header = decode_batch(bytes, &mut self.0, &mut records);
        header.map(|header| (header.first_record, records)).map_err(|error| error.to_string())
    }

    /// Adds a chunk of a snapshot to an image.
    ///
    /// # Errors
    /// When the bytes are not a chunk.
    pub fn chunk(&mut self, bytes: &[u8], image: &mut Image) -> Result<(), String> {
        decode_chunk(bytes, &mut self.0, image).map(drop).map_err(|error| error.to_string())
    }
}
