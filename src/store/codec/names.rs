//! The names of queues: a frame holds each once, and a whole load shares one text for each.

use std::collections::{HashMap, HashSet};

use foldhash::fast::FixedState;

use super::CodecError;
use super::wire::{self, Body};
use crate::partition::QueueName;

/// Gives every queue of the frames that are read its name: one shared text for each name, however many frames and jobs
/// have it. Use one for a whole load.
#[derive(Debug, Default)]
pub(crate) struct QueueNames {
    known: HashSet<QueueName, FixedState>,
    /// The table of the frame that is being read.
    table: Vec<QueueName>,
}

impl QueueNames {
    /// Knows no name yet.
    pub(crate) fn new() -> Self {
        QueueNames::default()
    }

    /// Reads a frame's table, for [`QueueNames::queue`].
    pub(super) fn read_table(&mut self, body: &mut Body<'_>) -> Result<(), CodecError> {
        self.table.clear();
        let count: u32 = body.read()?;
        self.table.reserve(body.room_for(count, wire::NAME_BYTES_MIN)?);
        for _ in 0..count {
            let name = self.share(body.read()?)?;
            self.table.push(name);
        }
        Ok(())
    }

    /// The queue at a place of the table.
    pub(super) fn queue(&self, place: u32) -> Result<QueueName, CodecError> {
        let name = usize::try_from(place).ok().and_then(|place| self.table.get(place));
        name.cloned().ok_or(CodecError::invalid("a job has a queue that is not in the table"))
    }

    fn share(&mut self, text: &str) -> Result<QueueName, CodecError> {
        if let Some(name) = self.known.get(text) {
            return Ok(name.clone());
        }
        let name =
            QueueName::new(text).ok_or(CodecError::invalid("the name of a queue is empty or too long"))?;
        self.known.insert(name.clone());
        Ok(name)
    }
}

/// The table of a frame that is being written, in the order in which its jobs need the names.
#[derive(Debug, Default)]
pub(super) struct QueueTable {
    names: Vec<QueueName>,
    places: HashMap<QueueName, u32, FixedState>,
    /// Where the last one was found; neighbours often share their queue.
    last: u32,
    bytes: usize,
}

impl QueueTable {
    /// The place of a name, which is added if it is not there.
    pub(super) fn place(&mut self, name: &QueueName) -> u32 {
        let last = usize::try_from(self.last).ok().and_then(|last| self.names.get(last));
        if last != Some(name) {
            self.last = self.places.get(name).copied().unwrap_or_else(|| self.add(name));
        }
        self.last
    }

    /// How many bytes it takes at most.
    pub(super) fn bytes(&self) -> usize {
        wire::NUMBER_BYTES_MAX + self.bytes
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        wire::write(out, &self.count())?;
        self.names.iter().try_for_each(|name| wire::write(out, &name.as_str()))
    }

    pub(super) fn clear(&mut self) {
        self.names.clear();
        self.places.clear();
        self.bytes = 0;
    }

    fn add(&mut self, name: &QueueName) -> u32 {
        let place = self.count();
        self.names.push(name.clone());
        self.places.insert(name.clone(), place);
        self.bytes += wire::bytes_of(name.as_str().len());
        place
    }

    /// More names than this can count make a frame too large to be sealed.
    fn count(&self) -> u32 {
        u32::try_from(self.names.len()).unwrap_or(u32::MAX)
    }
}
