//! Checks of a server before it gets any data.
//!
//! | what | if not |
//! | --- | --- |
//! | a single master of Redis 6.2 or newer, not loading | refused with every connection, see `connect` |
//! | `maxmemory-policy noeviction` | refused where `maxmemory` is set: a whole log is evicted as one key. Otherwise a warning |
//! | nothing was evicted so far | a warning |
//! | the number of partitions is the one that was written | refused |
//! | the server can confirm that something is on the disk | `fsync` is refused |
//! | as many replicas as the configuration waits for | a warning: they may come |
//! | an append-only file or dumps | a warning: a restart of Redis then loses everything |
//!
//! # The highest level
//! Levels are a ladder: a store that gives one gives all below. So a server with replicas that cannot confirm its own disk
//! gives [`Durability::Logged`], unless the engine itself asks for [`Durability::Replicated`].

use redis::{Cmd, Value};

use super::Core;
use super::answer::{FORMAT, foreign, other_format, other_partitions};
use super::errors::Doing;
use super::facts::{Facts, Fsync};
use crate::partition::PartitionId;
use crate::store::{Durability, Needs, Opened, StoreError, StoreErrorClass};

/// What the first partition shows.
enum Looked {
    /// It is ours, or not there yet.
    Settled,
    /// It looks foreign.
    Foreign,
}

impl Core {
    pub(super) async fn open(&self, needs: &Needs) -> Result<Opened, StoreError> {
        let facts = self.control.fresh().await?.facts.clone();
        check_memory(&facts)?;
        self.namespace.has(needs.partitions);
        self.check_partitions(needs.partitions).await?;
        let durability_max = self.durability_max(&facts, needs.durability)?;
        warn(&facts);
        *self.seen.lock() = Seen { opened: Some(facts.clone()), evicted_keys: facts.evicted_keys };
        let (address, version) = (self.config.address(), facts.version);
        tracing::info!(address, %version, %durability_max, "opened the store in Redis");
        Ok(Opened { durability_max, has_lease: true })
    }

    async fn check_partitions(&self, asked: u16) -> Result<(), StoreError> {
        // Another engine may have created the key between the check of the fields and that of the key.
        match self.look_at_partitions(asked, true).await? {
            Looked::Settled => Ok(()),
            Looked::Foreign => self.look_at_partitions(asked, false).await.map(drop),
        }
    }

    async fn look_at_partitions(&self, asked: u16, is_first: bool) -> Result<Looked, StoreError> {
        let key = self.keys(PartitionId(0)).meta();
        let doing = Doing::with("reading", &key);
        let connection = self.control.connection().await?;
        let mut command = Cmd::new();
        command.arg("HMGET").arg(&key).arg("format").arg("partitions").arg("owner");
        let answer = self.control.send(&connection, &command, doing).await?;
        let answer = self.control.checked(&connection, answer, doing);
        let answer = answer
            .map_err(|error| if error.class == StoreErrorClass::Fatal { foreign(&key) } else { error })?;
        let fields: Vec<Option<String>> = redis::from_redis_value(answer).unwrap_or_default();
        match fields.as_slice() {
            [Some(format), found, _] if format == FORMAT => {
                match found.as_ref().map(|found| found.parse::<u16>()) {
                    Some(Ok(found)) if found != asked => Err(other_partitions(&found.to_string())),
                    // A living owner writes a lost field again. An engine that claims the partition finds out.
                    _ => Ok(Looked::Settled),
                }
            }
            [Some(format), ..] => Err(other_format(&key, format)),
            [None, _, Some(_)] => Ok(Looked::Settled),
            [None, ..] if !self.exists(&key).await? => Ok(Looked::Settled),
            [None, ..] if is_first => Ok(Looked::Foreign),
            _ => Err(foreign(&key)),
        }
    }

    pub(super) async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        let doing = Doing::with("reading", key);
        let connection = self.control.connection().await?;
        let answer = self.control.send(&connection, Cmd::new().arg("EXISTS").arg(key), doing).await?;
        Ok(self.control.checked(&connection, answer, doing)? != Value::Int(0))
    }

    fn durability_max(&self, facts: &Facts, asked: Durability) -> Result<Durability, StoreError> {
        let wanted = u64::from(self.config.replicas_wanted());
        let fsync = facts.fsync();
        if let (Durability::Fsync, Fsync::Impossible(why)) = (asked, &fsync) {
            return Err(StoreError::fatal(format!("this server cannot give the durability `fsync`: {why}")));
        }
        if asked == Durability::Replicated {
            if facts.replicas < wanted {
                let found = facts.replicas;
                tracing::warn!(
                    found,
                    wanted,
                    "Redis has fewer replicas than are waited for; commits wait for them"
                );
            }
            return Ok(Durability::Replicated);
        }
        let has_replicas = self.config.replicas.is_some() || facts.replicas >= wanted;
        Ok(match fsync {
            Fsync::Impossible(_) => Durability::Logged,
            _ if has_replicas => Durability::Replicated,
            _ => Durability::Fsync,
        })
    }
}

fn check_memory(facts: &Facts) -> Result<(), StoreError> {
    let policy = &facts.maxmemory_policy;
    if !policy.is_empty() && policy != "noeviction" {
        if facts.maxmemory > 0 {
            return Err(StoreError::fatal(format!(
                "Redis has `maxmemory-policy {policy}`, under which it throws jobs away when it is full: \
                 set `maxmemory-policy noeviction`, or use a Redis of its own"
            )));
        }
        tracing::warn!(
            %policy,
            "Redis would throw jobs away if it had a maxmemory: set `maxmemory-policy noeviction`"
        );
    }
    Ok(())
}

/// What the server was like.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// When it was opened.
    opened: Option<Facts>,
    /// How many keys it had evicted when it was last asked.
    evicted_keys: u64,
}

impl Seen {
    /// Reasons not to rely on the server as it is now that did not exist when it was opened.
    pub(super) fn doubts(&mut self, now: Facts) -> Vec<String> {
        let mut doubts = Vec::new();
        if let Err(error) = check_memory(&now) {
            doubts.push(error.to_string());
        }
        // The count begins anew with every start of the server.
        let evicted = now.evicted_keys.saturating_sub(self.evicted_keys);
        self.evicted_keys = now.evicted_keys;
        if evicted > 0 {
            doubts.push(format!(
                "Redis throws keys away since it is full ({evicted} since it was last asked), and the jobs' may be among \
                 them: set `maxmemory-policy noeviction`, and raise `maxmemory`"
            ));
        }
        let opened = self.opened.get_or_insert_with(|| now.clone());
        if opened.has_aof && !now.has_aof {
            doubts.push(
                "the append-only file of Redis was switched off: its restart loses every job since its last dump; set \
                 `appendonly yes`"
                    .to_owned(),
            );
        }
        if let (true, Fsync::Impossible(why), true) = (opened.fsync_is_possible(), now.fsync(), now.has_aof) {
            doubts.push(format!("it cannot be known any more what is on the disk of Redis: {why}"));
        }
        doubts
    }
}

fn warn(facts: &Facts) {
    if facts.evicted_keys > 0 {
        let keys = facts.evicted_keys;
        tracing::warn!(keys, "Redis has evicted keys since it was started; jobs may have been among them");
    }
    if !facts.has_aof && facts.settings.save.as_deref() == Some("") {
        tracing::warn!(
            replicas = facts.replicas,
            "Redis has neither an append-only file nor dumps: its restart loses every job, on its replicas too; \
             set `appendonly yes`"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_evicts_is_refused_if_it_has_a_limit() {
        let facts = |maxmemory, policy: &str| Facts {
            maxmemory,
            maxmemory_policy: policy.to_owned(),
            ..Facts::default()
        };
        assert!(check_memory(&facts(100, "noeviction")).is_ok());
        assert!(check_memory(&facts(0, "allkeys-lru")).is_ok());
        assert!(check_memory(&facts(100, "")).is_ok());
        let refused = check_memory(&facts(100, "volatile-lru")).unwrap_err();
        assert!(refused.to_string().contains("noeviction"), "{refused}");
    }
}
