//! Who owns the store: one process, which holds the lock of a file, and in it one engine for each partition.
//!
//! # Rules
//! - The lock comes first: nothing is read that could be changed by another, and nothing is written, before it is held.
//! - An epoch is on the disk before it is granted. All partitions share a row of epochs, the eras; a claim raises the era unless
//!   the partition has not been granted in it.
//! - The lock falls with the process, however that ends. So no lease has a term, and no process can be deprived of it.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Core;
use super::errors::{failed, no_directory, no_lock};
use super::files::File;
use super::meta::Meta;
use super::names::LOCK;
use super::recover;
use super::state::{Open, Partition};
use crate::partition::PartitionId;
use crate::store::{Claim, Grant, Lease, Needs, Opened, Owner, StoreError, StoreErrorClass};
use crate::store::{Durability, host};

/// When to look again for a lock that another process holds.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The name of an owner is much shorter.
const OWNER_BYTES_MAX: usize = 4_096;

impl Core {
    pub(super) fn open(&self, needs: &Needs) -> Result<Opened, StoreError> {
        let dir = self.config.path();
        match self.config.files.list(dir) {
            Ok(_) => {
                if let Some(meta) = Meta::read(&*self.config.files, dir)? {
                    check_partitions(&meta, needs.partitions)?;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("opening", dir, &error)),
        }
        if needs.durability > Durability::Fsync {
            return Err(StoreError::fatal(format!(
                "a store on disk cannot give the durability {}: it has no replicas; ask for `fsync`, or use a store that has them",
                needs.durability
            )));
        }
        Ok(Opened::new(Durability::Fsync))
    }

    pub(super) fn claim(&self, partition: PartitionId, claim: &Claim) -> Result<Lease, StoreError> {
        let _only = self.claims.lock();
        self.own(claim)?;
        let mut state = self.state.lock();
        let Some(open) = state.as_mut() else {
            return Err(StoreError::retry("the store was closed meanwhile"));
        };
        check_partitions(&open.meta, claim.partitions)?;
        open.partitions.entry(partition.0).or_default().yields_to(claim)?;
        let mut meta = open.meta.clone();
        let epoch_now = open.partitions.get(&partition.0).map_or(0, |partition| partition.epoch);
        let is_new =
            meta.owner == claim.owner.as_str() && epoch_now < meta.era && claim.epoch_after < meta.era;
        if !is_new {
            meta.era = meta.era.max(claim.epoch_after) + 1;
            claim.owner.as_str().clone_into(&mut meta.owner);
            // Nobody else changes it: claims wait for each other.
            drop(state);
            meta.write(&*self.config.files, self.config.path())?;
            state = self.state.lock();
        }
        let Some(open) = state.as_mut() else {
            return Err(StoreError::retry("the store was closed meanwhile"));
        };
        let era = meta.era;
        open.meta = meta;
        let granted = open.partitions.entry(partition.0).or_default();
        granted.is_held = true;
        granted.owner = Some(claim.owner.clone());
        granted.epoch = era;
        Ok(Lease::new(Grant::new(partition, claim, era), granted.log_end))
    }

    /// Sees to it that this process owns the store.
    fn own(&self, claim: &Claim) -> Result<(), StoreError> {
        let path = self.config.path().join(LOCK);
        let is_open = self.state.lock().is_some();
        if is_open {
            let is_at = self.state.lock().as_ref().is_some_and(|open| open.lock.is_at(&path).unwrap_or(true));
            return if is_at { Ok(()) } else { self.begin_anew(claim) };
        }
        let lock = self.lock(claim)?;
        let open = recover::open(&self.config, lock, claim)?;
        *self.state.lock() = Some(open);
        Ok(())
    }

    /// The directory, or what was in it, was removed: what is in memory is written to a new one.
    fn begin_anew(&self, claim: &Claim) -> Result<(), StoreError> {
        let lock = self.lock(claim).map_err(|error| match error.class {
            StoreErrorClass::Held => {
                StoreError::fenced(format!("the store was removed, and another has begun there: {error}"))
            }
            _ => error,
        })?;
        let gone = self.gone()?;
        if let Some(open) = self.state.lock().as_mut() {
            open.lock = lock;
            open.lose(&gone);
        }
        Ok(())
    }

    fn lock(&self, claim: &Claim) -> Result<Box<dyn File>, StoreError> {
        let (files, dir) = (&self.config.files, self.config.path());
        files.create_dir(dir).map_err(|error| no_directory(dir, &error))?;
        let path = dir.join(LOCK);
        let lock = match files.lock(&path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(self.is_held(claim)),
            lock => lock.map_err(|error| no_lock(&path, &error))?,
        };
        self.keep_directory()?;
        write_holder(&*lock, claim.owner.as_str());
        Ok(lock)
    }

    /// The directory's own name outlives the machine's power, and so do those above it: any of them may have been made just now, or
    /// by a process that ended before this.
    fn keep_directory(&self) -> Result<(), StoreError> {
        for above in self.config.path().ancestors().skip(1) {
            let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
            match self.config.files.sync_dir(above) {
                // Not ours, so it was there before.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
                synced => synced.map_err(|error| failed("syncing", above, &error))?,
            }
        }
        Ok(())
    }

    fn is_held(&self, claim: &Claim) -> StoreError {
        let (dir, holder) = (self.config.path().display(), self.holder());
        let by = holder.map_or_else(String::new, |holder| format!(" ({holder})"));
        let force =
            if claim.by_force { "; a store on disk cannot be taken from a process that runs" } else { "" };
        StoreError::held(
            format!(
                "another process, or another store of this one, has the store at {dir}{by}{force}: stop it first"
            ),
            LOOK_AGAIN,
        )
    }

    /// Who says of itself that it holds the lock.
    pub(super) fn holder(&self) -> Option<String> {
        let file = self.config.files.open(&self.config.path().join(LOCK), false).ok()?;
        let mut name = vec![0; OWNER_BYTES_MAX];
        let read = file.read_at(&mut name, 0).ok()?;
        name.truncate(read);
        String::from_utf8(name).ok().map(|name| name.trim_end().to_owned()).filter(|name| !name.is_empty())
    }

    /// Who owns the store, if a process does.
    pub(super) fn living_holder(&self) -> Option<String> {
        self.holder().filter(|holder| !host::is_dead(holder))
    }

    /// Gives leases back, and the store with the last of them.
    pub(super) fn give_back(self: &Arc<Self>, grants: &[Grant]) -> Result<(), StoreError> {
        let _only = self.claims.lock();
        let mut state = self.state.lock();
        let Some(open) = state.as_mut() else { return Ok(()) };
        for grant in grants {
            // Another owner's lease stays as it is.
            if let Ok(held) = open.held(grant) {
                held.partition.is_held = false;
            }
        }
        if open.partitions.values().any(|partition| partition.is_held) {
            return Ok(());
        }
        let closed = state.take();
        drop(state);
        closed.map_or(Ok(()), |open| self.close(open))
    }

    /// After an orderly end everything is on the disk, and said to be.
    fn close(&self, open: Open) -> Result<(), StoreError> {
        let is_trusted = !open.has_doubts() && !open.log.has_given_up();
        let Open { lock, mut meta, log, .. } = open;
        let written =
            log.to_sync().map_or(Ok(()), |left| left.files.iter().try_for_each(|(_, file, _)| file.sync()));
        let synced = written.map_err(|error| failed("syncing", self.config.path(), &error)).and_then(|()| {
            if !is_trusted {
                return Ok(());
            }
            (meta.synced, meta.last) = (log.next_lsn, log.last);
            meta.write(&*self.config.files, self.config.path())
        });
        write_holder(&*lock, "");
        synced
    }
}

impl Partition {
    /// Whether a claim can have it.
    fn yields_to(&self, claim: &Claim) -> Result<(), StoreError> {
        let other = self.owner.as_ref().filter(|owner| **owner != claim.owner);
        if claim.epoch_after > 0 && other.is_some() && self.epoch > claim.epoch_after {
            return Err(StoreError::fenced("another engine has taken the store over"));
        }
        let has = |owner: &&Owner| self.is_held && !claim.by_force && !owner.has_left();
        match other.filter(has) {
            None => Ok(()),
            Some(owner) => Err(StoreError::held(
                format!(
                    "another engine of this process has the store ({owner}): shut it down or drop it first"
                ),
                LOOK_AGAIN,
            )),
        }
    }
}

/// For people, and whoever waits: what counts is the lock.
fn write_holder(lock: &dyn File, owner: &str) {
    let written = lock.truncate(0).and_then(|()| lock.write_at(owner.as_bytes(), 0));
    if let Err(error) = written {
        tracing::debug!(%error, "the holder of the store could not be named in its lock");
    }
}

fn check_partitions(meta: &Meta, asked: u16) -> Result<(), StoreError> {
    let was = meta.partitions;
    if was == asked {
        return Ok(());
    }
    Err(StoreError::fatal(format!(
        "the store was written with {was} partitions and the engine has {asked}; build the engine with {was}"
    )))
}
