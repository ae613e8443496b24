//! Getting what was written onto the disk: one sync speaks for all who wait.
//!
//! Whoever comes while one is under way waits for it, and looks whether the next one, which somebody before has asked for, has
//! done for this one too.
//!
//! A sync that failed is never asked for again. Since Linux 4.13 the system tells of a failed write-back once, and calls the
//! lost pages clean from then on (`https://lwn.net/Articles/752063/`). What was not known to be on the disk is given up, its
//! partitions are [`Behind`](crate::store::StoreErrorClass::Behind), and their engine writes them anew into other files.

use std::sync::Arc;

use super::Core;
use super::errors::failed;
use super::log::Syncing;
use crate::rt::Runtime;
use crate::store::{Durability, Grant, StoreError};

impl Core {
    pub(super) async fn sync(self: &Arc<Self>, grant: &Grant, level: Durability) -> Result<(), StoreError> {
        if level > Durability::Fsync {
            return Err(StoreError::fatal(format!("a store on disk cannot give the durability {level}")));
        }
        if level <= Durability::Logged {
            return Ok(());
        }
        loop {
            if self.is_synced(grant)? {
                return Ok(());
            }
            let _turn = self.syncing.lock().await;
            // Others who were answered by the same sync write their next batches now: one sync does for all of them.
            tokio::task::yield_now().await;
            if self.is_synced(grant)? {
                return Ok(());
            }
            if let Err(error) = self.sync_written().await {
                // What this partition has written may have been on the disk before.
                return if self.is_synced(grant)? { Ok(()) } else { Err(error) };
            }
        }
    }

    /// Whether all that a partition has written is on the disk.
    fn is_synced(&self, grant: &Grant) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        let held = self.held(&mut state, grant)?;
        held.partition.relied_on(grant.partition)?;
        Ok(held.partition.last_lsn < held.log.synced_lsn)
    }

    /// Syncs all that was written by anybody. Whoever calls this has the turn.
    pub(super) async fn sync_written(self: &Arc<Self>) -> Result<(), StoreError> {
        let Some(syncing) = self.state.lock().as_ref().and_then(|open| open.log.to_sync()) else {
            return Ok(());
        };
        let ended = || StoreError::retry("the runtime ended in the middle of a sync");
        let runtime = Runtime::current().ok_or_else(ended)?;
        let core = Arc::clone(self);
        // Not given up with whoever waits for it: its outcome is told once.
        runtime.run_blocking(move || core.sync_now(&syncing)).await.ok_or_else(ended)?
    }

    fn sync_now(&self, syncing: &Syncing) -> Result<(), StoreError> {
        let synced = syncing.files.iter().try_for_each(|(_, file, _)| file.sync());
        let mut state = self.state.lock();
        let Some(open) = state.as_mut() else { return Ok(()) };
        match synced {
            Ok(()) => {
                open.log.is_synced(syncing);
                Ok(())
            }
            Err(error) => {
                let error = failed("syncing the log in", self.config.path(), &error);
                open.give_up(&error.to_string());
                Err(error)
            }
        }
    }
}
