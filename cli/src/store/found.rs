//! What there is in a store, before anything is done with it.

use std::future::Future;
use std::time::Duration;

use reveille::store::{PartitionReport, RedisStore, StoreError, StoreErrorClass};

use super::Named;
use super::start::cannot_use;

/// For how long a store that does not answer is asked again.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

/// What a namespace holds.
#[derive(Debug)]
pub(crate) struct Found {
    /// How many partitions it was made with, if it was made.
    pub(crate) partitions: Option<u16>,
    /// Those that somebody has owned.
    pub(crate) reports: Vec<PartitionReport>,
}

impl Found {
    /// Who owns the jobs now, if somebody does, and for how long at least.
    pub(crate) fn living_owner(&self) -> Option<String> {
        let owners = self.reports.iter().map(|report| &report.owner);
        let (owner, left) =
            owners.filter_map(|owner| Some((&owner.owner, owner.lease_left?))).max_by_key(|owned| owned.1)?;
        Some(format!("process {owner} owns the jobs (its lease lasts for another {} ms)", left.as_millis()))
    }
}

impl Named {
    /// Looks at the namespace. Takes no lease and changes nothing.
    pub(crate) async fn look(&self) -> Result<Found, String> {
        let partitions = self.partitions().await?;
        let reports = match partitions {
            Some(_) => self.ask(|store| async move { store.inspect().await }).await?,
            None => Vec::new(),
        };
        Ok(Found { partitions, reports })
    }

    /// How many partitions the namespace was made with, if it was made.
    pub(crate) async fn partitions(&self) -> Result<Option<u16>, String> {
        self.ask(|store| async move { store.partitions().await }).await
    }

    /// Asks again for a while if there is no answer.
    pub(super) async fn ask<T, F>(&self, question: impl Fn(RedisStore) -> F) -> Result<T, String>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut last = None;
        let asking = async {
            loop {
                match question(self.store.clone()).await {
                    Err(error) if error.class == StoreErrorClass::Retry => last = Some(error),
                    answer => return answer,
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        let answer = tokio::time::timeout(PATIENCE, asking).await;
        let too_late = || Err(last.unwrap_or_else(|| StoreError::retry("Redis did not answer in time")));
        answer.unwrap_or_else(|_elapsed| too_late()).map_err(|error| cannot_use(&error))
    }
}
