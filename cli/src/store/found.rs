//! What a store holds, before anything is done with it.

use std::time::Duration;

use reveille::store::{PartitionReport, ReadStore, ReplicaReport};

use super::Named;
use super::any::AnyStore;

/// What a namespace holds.
#[derive(Debug)]
pub(crate) struct Found {
    /// How many partitions it was made with, if it was made.
    pub(crate) partitions: Option<u16>,
    /// The partitions that were ever owned.
    pub(crate) reports: Vec<PartitionReport>,
    /// The server's link to its master, if it is a replica.
    pub(crate) replica: Option<ReplicaReport>,
}

impl Found {
    /// The present owner of the jobs, if any, and how long its lease lasts at least.
    pub(crate) fn living_owner(&self) -> Option<String> {
        let owners = self.reports.iter().map(|report| &report.owner);
        let (owner, left) =
            owners.filter_map(|owner| Some((&owner.owner, owner.lease_left?))).max_by_key(|owned| owned.1)?;
        let left = match left {
            // Until it ends.
            Duration::MAX => String::new(),
            left => format!(" (its lease lasts for another {} ms)", left.as_millis()),
        };
        Some(format!("process {owner} owns the jobs{left}"))
    }
}

/// How current a replica's data is.
pub(crate) fn about(replica: &ReplicaReport) -> String {
    let ReplicaReport { master, is_link_up, heard_before, down_for, .. } = replica;
    let seconds = |time: &Option<Duration>| time.map(|time| format!(" {} s", time.as_secs()));
    let link = match (is_link_up, seconds(heard_before), seconds(down_for)) {
        (true, Some(before), _) => format!("it has heard from it{before} ago"),
        (true, None, _) => "it is connected to it".to_owned(),
        (false, _, Some(time)) => format!("it has not been connected to it for{time}"),
        (false, _, None) => "it is not connected to it".to_owned(),
    };
    format!("this Redis is a replica of {master}: {link}. What the master has done since is not shown")
}

impl Named {
    /// How a user sees which namespaces there are.
    pub(crate) fn how_to_list(&self) -> String {
        match &self.store {
            AnyStore::Disk(store) => {
                let above = store.path().parent().unwrap_or(store.path());
                format!("Those that there are, are the directories in {}", above.display())
            }
            AnyStore::Redis(_) => "`redis-cli --scan --pattern '{rv:*:0}:m'` lists those that there are, as \
                                   {rv:NAME:0}:m"
                .to_owned(),
        }
    }

    /// Reads the state of the namespace. Takes no lease and changes nothing.
    pub(crate) async fn look(&self) -> Result<Found, String> {
        let replica = self.ask(|store| async move { store.replica().await }).await?;
        let partitions = self.partitions().await?;
        let reports = match partitions {
            Some(_) => self.ask(|store| async move { store.inspect().await }).await?,
            None => Vec::new(),
        };
        Ok(Found { partitions, reports, replica })
    }

    /// How many partitions the namespace was made with, if it was made.
    pub(crate) async fn partitions(&self) -> Result<Option<u16>, String> {
        self.ask(|store| async move { store.partitions().await }).await
    }
}
