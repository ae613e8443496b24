//! The simulated disk of the machine on which all processes of a run are: its files, what becomes of them when power is lost,
//! and its faults. It may do whatever the contract of [`Files`] allows, and so more than any real one does.
//!
//! # Rules
//! - What a process has written is there after it was killed, if no sync of it has failed. See [`content`] and [`names`] for
//!   what is there after power was lost.
//! - A write that fails may have written any part that comes before the rest. So may one in whose middle its process ends.
//! - A process may end between any two operations: see [`Seat`]. From then on none of its operations does anything.

mod content;
mod journal;
mod mount;
mod names;
#[cfg(test)]
mod tests;
mod watched;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use parking_lot::Mutex;

use crate::world::World;
use content::Content;
pub(crate) use journal::Journal;
pub(crate) use mount::Mount;
use names::{Entry, Names, Number};
pub(crate) use watched::Watched;

/// The machine on which all processes are, with the store on its disk.
pub(crate) struct Machine {
    /// Its disk.
    pub disk: Arc<Disk>,
    /// What the store on it has promised.
    pub journal: Arc<Journal>,
}

/// Called when something has ended, or failed.
type Told = Box<dyn Fn() + Send + Sync>;

/// What can be wrong with a disk for a while.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Trouble {
    /// There is no room.
    Full,
    /// Writes fail.
    Writes,
    /// Syncs fail, of files and of directories.
    Syncs,
    /// Names cannot be made, changed or removed.
    Names,
    /// Everything takes long.
    Slow,
}

/// Told which file could not be synced.
type SyncFailed = dyn Fn(&str) + Send + Sync;

/// The disk.
pub(crate) struct Disk {
    world: Option<Arc<World>>,
    state: Mutex<State>,
    /// Called when a sync of the file of this name has failed.
    sync_failed: Mutex<Option<Box<SyncFailed>>>,
    /// Called when power fails in the middle of an operation.
    power_failed: Mutex<Option<Told>>,
}

struct State {
    rng: fastrand::Rng,
    names: Names,
    files: BTreeMap<Number, Content>,
    /// When they were last written, in the world's time.
    written_us: BTreeMap<Number, u64>,
    locks: BTreeMap<Number, u64>,
    next_lock: u64,
    troubles: BTreeMap<Trouble, u64>,
    /// Whether it has no power.
    is_off: bool,
    /// After how many operations power fails.
    power_left: Option<u64>,
}

/// What a process has of the machine: it may end at any operation on the disk.
#[derive(Default)]
pub(crate) struct Seat {
    is_ended: AtomicBool,
    /// After how many operations the process ends, and who is told.
    left: Mutex<Option<(u64, Told)>>,
}

impl Seat {
    /// The process has ended.
    pub(crate) fn end(&self) {
        self.is_ended.store(true, Relaxed);
    }

    /// The process ends instead of its operation after so many. `told` is called in the middle of it.
    pub(crate) fn end_after(&self, operations: u64, told: Told) {
        *self.left.lock() = Some((operations, told));
    }

    /// The process does not end by itself.
    pub(crate) fn stay(&self) {
        *self.left.lock() = None;
    }

    /// Counts an operation. Returns whether the process ends instead of it.
    fn ends(&self) -> bool {
        let mut left = self.left.lock();
        match &mut *left {
            Some((0, _)) => {
                self.end();
                if let Some((_, told)) = left.take() {
                    told();
                }
                true
            }
            Some((operations, _)) => {
                *operations -= 1;
                false
            }
            None => false,
        }
    }
}

impl Disk {
    /// An empty disk, with faults of its own from `seed`.
    pub(crate) fn new(world: Option<&Arc<World>>, seed: u64) -> Arc<Self> {
        Arc::new(Disk {
            world: world.cloned(),
            state: Mutex::new(State {
                rng: fastrand::Rng::with_seed(seed ^ 0xd15c),
                names: Names::new(),
                files: BTreeMap::new(),
                written_us: BTreeMap::new(),
                locks: BTreeMap::new(),
                next_lock: 0,
                troubles: BTreeMap::new(),
                is_off: false,
                power_left: None,
            }),
            sync_failed: Mutex::new(None),
            power_failed: Mutex::new(None),
        })
    }

    /// Has failed syncs reported, by the name of the file.
    pub(crate) fn tell_of_syncs(&self, told: impl Fn(&str) + Send + Sync + 'static) {
        *self.sync_failed.lock() = Some(Box::new(told));
    }

    /// Has `told` called when power fails after so many operations, of whichever process. From then on none does anything.
    pub(crate) fn fail_after(&self, operations: u64, told: Told) {
        *self.power_failed.lock() = Some(told);
        self.state.lock().power_left = Some(operations);
    }

    /// Something is wrong with it for so long.
    pub(crate) fn trouble(&self, trouble: Trouble, us: u64) {
        let until_us = self.now_us() + us;
        self.state.lock().troubles.insert(trouble, until_us);
    }

    /// Whether something is wrong with it, or was less than this ago.
    pub(crate) fn is_troubled(&self, ago_us: u64) -> bool {
        let since_us = self.now_us().saturating_sub(ago_us);
        self.state.lock().troubles.values().any(|&until_us| until_us > since_us)
    }

    /// It works from here on.
    pub(crate) fn heal(&self) {
        let now_us = self.now_us();
        let mut state = self.state.lock();
        state.troubles.values_mut().for_each(|until_us| *until_us = now_us.min(*until_us));
        state.power_left = None;
    }

    /// Whether it has no power.
    pub(crate) fn is_off(&self) -> bool {
        self.state.lock().is_off
    }

    /// Power is lost, and back. All processes must have ended.
    pub(crate) fn lose_power(&self) {
        let mut state = self.state.lock();
        let State { rng, names, files, locks, is_off, power_left, .. } = &mut *state;
        names.lose_power(rng);
        files.retain(|number, _| names.has(*number));
        // In the order of their numbers: a seed gives the same each time.
        files.values_mut().for_each(|content| content.lose_power(rng));
        locks.clear();
        (*is_off, *power_left) = (false, None);
    }

    /// How long it takes until a thread for blocking work has a turn, or is heard of, in microseconds.
    pub(crate) fn turn_us(&self) -> u64 {
        let mut state = self.state.lock();
        let most = if state.has(Trouble::Slow, self.now_us()) { 400_000 } else { 400 };
        state.rng.u64(..=most)
    }

    /// The names in a directory, and how long the files are.
    pub(crate) fn listing(&self, path: &str) -> String {
        let state = self.state.lock();
        let path = std::path::Path::new(path);
        let names = state.names.list(path).unwrap_or_default();
        let lengths = names.iter().map(|name| match state.names.find(&path.join(name)) {
            Ok(Entry::File(number)) => {
                format!("{name}: {}", state.files.get(&number).map_or(0, Content::len))
            }
            _ => format!("{name}/"),
        });
        lengths.collect::<Vec<_>>().join(", ")
    }

    fn note(&self, line: impl FnOnce() -> String) {
        if let Some(world) = &self.world {
            world.note(|| format!("disk: {}", line()));
        }
    }

    fn now_us(&self) -> u64 {
        self.world.as_ref().map_or(0, |world| world.now_us())
    }

    /// An operation of a process. Returns whether it ends in the middle of this one, or fails if it has ended before.
    fn begin(&self, seat: &Seat) -> io::Result<bool> {
        let has_ended = || io::Error::other("the process has ended");
        if seat.is_ended.load(Relaxed) || self.state.lock().is_off {
            return Err(has_ended());
        }
        if seat.ends() {
            return Ok(true);
        }
        let fails = {
            let mut state = self.state.lock();
            match &mut state.power_left {
                Some(0) => {
                    (state.is_off, state.power_left) = (true, None);
                    true
                }
                Some(left) => {
                    *left -= 1;
                    false
                }
                None => false,
            }
        };
        if fails && let Some(told) = &*self.power_failed.lock() {
            told();
        }
        Ok(fails)
    }
}

impl State {
    fn has(&self, trouble: Trouble, now_us: u64) -> bool {
        self.troubles.get(&trouble).is_some_and(|&until_us| now_us < until_us)
    }

    /// Whether an operation fails that this trouble affects.
    fn strikes(&mut self, trouble: Trouble, now_us: u64) -> bool {
        self.has(trouble, now_us) && self.rng.bool()
    }

    fn content(&mut self, number: Number) -> &mut Content {
        self.files.entry(number).or_default()
    }
}

/// What a disk says that is broken.
fn broken() -> io::Error {
    io::Error::other("Input/output error")
}
