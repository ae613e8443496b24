//! The names in frames: of queues and of options. A frame holds each once, and its jobs have the places of theirs.

use std::collections::{HashMap, HashSet};

use foldhash::fast::FixedState;

use super::CodecError;
use super::error::OptionName;
use super::wire::{self, Body};
use crate::job::{JobOptions, OptionKind, QueueName};

/// The names that frames have: one shared text for each queue, however many frames and jobs have it. Use one for a whole
/// load.
#[derive(Debug, Default)]
pub struct Names {
    known: HashSet<QueueName, FixedState>,
    /// The tables of the frame that is being read.
    queues: Vec<QueueName>,
    options: Vec<OptionKind>,
}

impl Names {
    /// Knows no name yet.
    pub fn new() -> Self {
        Names::default()
    }

    /// Reads a frame's tables, for [`Names::queue`] and [`Names::options`].
    pub(super) fn read_tables(&mut self, body: &mut Body<'_>) -> Result<(), CodecError> {
        self.queues.clear();
        let count: u32 = body.read()?;
        self.queues.reserve(body.room_for(count, wire::NAME_BYTES_MIN)?);
        for _ in 0..count {
            let name = self.share(body.read()?)?;
            self.queues.push(name);
        }
        self.options.clear();
        let count: u32 = body.read()?;
        self.options.reserve(body.room_for(count, wire::NAME_BYTES_MIN)?);
        for _ in 0..count {
            let name: &str = body.read()?;
            let kind = OptionKind::by_name(name);
            self.options.push(kind.ok_or_else(|| CodecError::NewerOption { name: OptionName::new(name) })?);
        }
        Ok(())
    }

    /// The queue at a place of its table.
    pub(super) fn queue(&self, place: u32) -> Result<QueueName, CodecError> {
        let name = usize::try_from(place).ok().and_then(|place| self.queues.get(place));
        name.cloned().ok_or(CodecError::invalid("a job has a queue that is not in the table"))
    }

    /// The options of a block.
    #[inline(always)]
    pub(super) fn options(&self, block: &[u8]) -> Result<JobOptions, CodecError> {
        if block.is_empty() { Ok(JobOptions::default()) } else { self.read_options(block) }
    }

    #[cold]
    fn read_options(&self, block: &[u8]) -> Result<JobOptions, CodecError> {
        let (mut body, mut options) = (Body::new(block), JobOptions::default());
        while !body.is_empty() {
            let wire::JobOption { option, value } = body.read()?;
            let kind = usize::try_from(option).ok().and_then(|place| self.options.get(place));
            let kind = *kind.ok_or(CodecError::invalid("a job has an option that is not in the table"))?;
            if options.has(kind) {
                return Err(CodecError::invalid("a job has an option twice"));
            }
            options.read(kind, value).ok_or(CodecError::InvalidOption { name: kind.name() })?;
        }
        Ok(options)
    }

    fn share(&mut self, text: &str) -> Result<QueueName, CodecError> {
        if let Some(name) = self.known.get(text) {
            return Ok(name.clone());
        }
        let name = QueueName::new(text)
            .map_err(|_| CodecError::invalid("the name of a queue is empty or too long"))?;
        self.known.insert(name.clone());
        Ok(name)
    }
}

/// The tables of a frame that is being written, each in the order in which its jobs need the names.
#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) queues: QueueTable,
    pub(super) options: OptionTable,
}

impl Tables {
    /// How many bytes they take at most.
    pub(super) fn bytes(&self) -> usize {
        self.queues.bytes() + self.options.bytes()
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        self.queues.write(out)?;
        self.options.write(out)
    }

    pub(super) fn clear(&mut self) {
        self.queues.clear();
        self.options.clear();
    }
}

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

    fn bytes(&self) -> usize {
        wire::NUMBER_BYTES_MAX + self.bytes
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        wire::write(out, &self.count())?;
        self.names.iter().try_for_each(|name| wire::write(out, &name.as_str()))
    }

    fn clear(&mut self) {
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

#[derive(Debug, Default)]
pub(super) struct OptionTable {
    kinds: Vec<OptionKind>,
    /// The block and the value that were last written, kept for the next.
    block: Vec<u8>,
    value: Vec<u8>,
}

impl OptionTable {
    /// Adds what a job's options need.
    #[inline(always)]
    pub(super) fn place(&mut self, options: &JobOptions) {
        if !options.are_plain() {
            for kind in options.kinds() {
                self.place_of(kind);
            }
        }
    }

    /// The block of a job's options. They are added to the table if they are not there.
    #[inline(always)]
    pub(super) fn block(&mut self, options: &JobOptions) -> Result<&[u8], CodecError> {
        if options.are_plain() { Ok(&[]) } else { self.write_block(options) }
    }

    #[cold]
    fn write_block(&mut self, options: &JobOptions) -> Result<&[u8], CodecError> {
        self.block.clear();
        for kind in options.kinds() {
            let option = self.place_of(kind);
            self.value.clear();
            options.write(kind, &mut |piece| self.value.extend_from_slice(piece));
            wire::write(&mut self.block, &wire::JobOption { option, value: &self.value })?;
        }
        Ok(&self.block)
    }

    /// Its place; it is added if it is not there. There are fewer options than a byte can count.
    fn place_of(&mut self, kind: OptionKind) -> u32 {
        let place = self.kinds.iter().position(|known| *known == kind).unwrap_or_else(|| {
            self.kinds.push(kind);
            self.kinds.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX)
    }

    fn bytes(&self) -> usize {
        1 + self.kinds.iter().map(|kind| wire::bytes_of(kind.name().len())).sum::<usize>()
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), CodecError> {
        wire::write(out, &u32::try_from(self.kinds.len()).unwrap_or(u32::MAX))?;
        self.kinds.iter().try_for_each(|kind| wire::write(out, &kind.name()))
    }

    fn clear(&mut self) {
        self.kinds.clear();
    }
}

/// How many bytes a job's options take, at most, and how many their names in the table, which a frame has once.
pub(super) fn option_bytes(options: &JobOptions) -> (usize, usize) {
    if options.are_plain() {
        return (1, 0);
    }
    let value = |kind| wire::OPTION_BYTES + wire::bytes_of(options.value_bytes(kind));
    let names = options.kinds().map(|kind| wire::bytes_of(kind.name().len())).sum();
    (wire::bytes_of(options.kinds().map(value).sum()), names)
}
