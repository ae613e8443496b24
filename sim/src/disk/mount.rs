//! The disk as one process has it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reveille::sim::{File, Files};

use super::content::PAGE;
use super::names::Number;
use super::{Disk, Seat, State, Trouble, broken};

/// The file system, for a process.
#[derive(Clone)]
pub(crate) struct Mount {
    disk: Arc<Disk>,
    seat: Arc<Seat>,
}

/// An open file of a process.
struct Open {
    mount: Mount,
    number: Number,
    to_write: bool,
    /// The number of its lock, if it has one.
    lock: Option<u64>,
}

impl Mount {
    /// The file system of `disk`, for a process.
    pub(crate) fn new(disk: &Arc<Disk>, seat: &Arc<Seat>) -> Self {
        Mount { disk: Arc::clone(disk), seat: Arc::clone(seat) }
    }

    /// An operation that either happens or not.
    fn work<T>(
        &self,
        what: impl FnOnce() -> String,
        work: impl FnOnce(&mut State, u64) -> io::Result<T>,
    ) -> io::Result<T> {
        let done = match self.disk.begin(&self.seat)? {
            true => Err(io::Error::other("the process has ended")),
            false => self.look(work),
        };
        self.disk.note(|| told(what(), &done));
        done
    }

    /// One that changes nothing: it is all the same whether the process ends before or after it.
    fn look<T>(&self, work: impl FnOnce(&mut State, u64) -> io::Result<T>) -> io::Result<T> {
        if self.seat.is_ended.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(io::Error::other("the process has ended"));
        }
        let now_us = self.disk.now_us();
        let mut state = self.disk.state.lock();
        if state.is_off {
            return Err(io::Error::other("the process has ended"));
        }
        work(&mut state, now_us)
    }

    /// One that changes a name.
    fn change_names<T>(
        &self,
        what: impl FnOnce() -> String,
        work: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        self.work(what, |state, now_us| match state.strikes(Trouble::Names, now_us) {
            true => Err(if state.rng.bool() { broken() } else { io::ErrorKind::StorageFull.into() }),
            false => work(state),
        })
    }

    fn open_file(&self, number: Number, to_write: bool) -> Box<dyn File> {
        Box::new(Open { mount: self.clone(), number, to_write, lock: None })
    }
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the simulated file system")
    }
}

impl Files for Mount {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.change_names(
            || format!("create directory {}", name(path)),
            |state| state.names.create_dirs(path),
        )
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.look(|state, _| {
            let mut names = state.names.list(dir)?;
            state.rng.shuffle(&mut names);
            Ok(names)
        })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let number = self.change_names(
            || format!("create {}", name(path)),
            |state| match state.names.file(path) {
                Ok(number) => {
                    state.content(number).truncate(0);
                    Ok(number)
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => state.names.create(path),
                Err(error) => Err(error),
            },
        )?;
        self.disk.note(|| format!("{} is {number}", name(path)));
        let now_us = self.disk.now_us();
        self.disk.state.lock().written_us.insert(number, now_us);
        Ok(self.open_file(number, true))
    }

    fn open(&self, path: &Path, to_write: bool) -> io::Result<Box<dyn File>> {
        let number = self.look(|state, _| state.names.file(path))?;
        self.disk.state.lock().evict(number);
        Ok(self.open_file(number, to_write))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change_names(
            || format!("rename {} to {}", name(from), name(to)),
            |state| state.names.rename(from, to),
        )
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change_names(|| format!("remove {}", name(path)), |state| state.names.remove(path))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.work(
            || format!("sync directory {}", name(dir)),
            |state, now_us| match state.strikes(Trouble::Syncs, now_us) {
                true => Err(broken()),
                false => state.names.sync(dir),
            },
        )
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.work(
            || format!("lock {}", name(path)),
            |state, _| {
                let number = match state.names.file(path) {
                    Ok(number) => number,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => state.names.create(path)?,
                    Err(error) => return Err(error),
                };
                if state.locks.contains_key(&number) {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                state.next_lock += 1;
                state.locks.insert(number, state.next_lock);
                Ok(
                    Box::new(Open {
                        mount: self.clone(),
                        number,
                        to_write: true,
                        lock: Some(state.next_lock),
                    }) as _,
                )
            },
        )
    }
}

/// What an operation did, for the trace.
fn told<T>(what: String, done: &io::Result<T>) -> String {
    match done {
        Ok(_) => what,
        Err(error) => format!("{what}: {error}"),
    }
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy()
}

impl State {
    /// Now and then the system needs its memory for something else.
    fn evict(&mut self, number: Number) {
        if self.rng.u8(..4) == 0 {
            let State { files, rng, .. } = self;
            files.entry(number).or_default().evict(rng);
        }
    }

    /// How much is written of what cannot be written whole.
    fn written(&mut self, bytes: usize) -> usize {
        match self.rng.u8(..4) {
            0 => 0,
            1 => self.rng.usize(..=bytes / PAGE) * PAGE,
            _ => self.rng.usize(..=bytes),
        }
    }
}

impl Open {
    fn offset(offset: u64) -> io::Result<usize> {
        usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
    }
}

impl File for Open {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let offset = Self::offset(offset)?;
        if !self.to_write {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let ends = self.mount.disk.begin(&self.mount.seat)?;
        let now_us = self.mount.disk.now_us();
        let mut state = self.mount.disk.state.lock();
        let grows = offset + bytes.len() > state.content(self.number).len();
        let error = if ends {
            Some(io::Error::other("the process has ended"))
        } else if grows && state.has(Trouble::Full, now_us) {
            Some(io::ErrorKind::StorageFull.into())
        } else {
            state.strikes(Trouble::Writes, now_us).then(broken)
        };
        let count = if error.is_some() { state.written(bytes.len()) } else { bytes.len() };
        state.content(self.number).write(&bytes[..count], offset);
        state.written_us.insert(self.number, now_us);
        let done = error.map_or(Ok(()), Err);
        drop(state);
        let what = || format!("write {count} of {} bytes to {} at {offset}", bytes.len(), self.number);
        self.mount.disk.note(|| told(what(), &done));
        done
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let offset = Self::offset(offset)?;
        self.mount.look(|state, _| {
            state.evict(self.number);
            Ok(state.content(self.number).read(into, offset))
        })
    }

    fn bytes(&self) -> io::Result<u64> {
        self.mount.look(|state, _| Ok(state.content(self.number).len() as u64))
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let bytes = Self::offset(bytes)?;
        if !self.to_write {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let what = || format!("truncate {} to {bytes}", self.number);
        self.mount.work(what, |state, now_us| {
            if state.strikes(Trouble::Writes, now_us) {
                return Err(broken());
            }
            state.content(self.number).truncate(bytes);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let what = || format!("sync {}", self.number);
        let (failed, name) = self.mount.work(what, |state, now_us| {
            let fails = state.strikes(Trouble::Syncs, now_us) && !state.content(self.number).is_synced();
            if !fails {
                state.content(self.number).sync();
                return Ok((None, None));
            }
            let State { files, rng, .. } = state;
            files.entry(self.number).or_default().fail_sync(rng);
            let error = if rng.u8(..4) == 0 { io::ErrorKind::StorageFull.into() } else { broken() };
            Ok((Some(error), state.names.name_of(self.number)))
        })?;
        let Some(error) = failed else { return Ok(()) };
        self.mount.disk.note(|| format!("the sync of {} has failed", self.number));
        if let (Some(told), Some(name)) = (&*self.mount.disk.sync_failed.lock(), name) {
            told(&name);
        }
        Err(error)
    }

    fn age(&self) -> io::Result<Duration> {
        self.mount.look(|state, now_us| {
            let written_us = state.written_us.get(&self.number).copied().unwrap_or(now_us);
            Ok(Duration::from_micros(now_us.saturating_sub(written_us)))
        })
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        self.mount.look(|state, _| match state.names.file(path) {
            Ok(number) => Ok(number == self.number),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        })
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.lock.is_some() {
            let mut state = self.mount.disk.state.lock();
            if state.locks.get(&self.number).copied() == self.lock {
                state.locks.remove(&self.number);
            }
        }
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "simulated file {}", self.number)
    }
}
