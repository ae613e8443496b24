//! Reading `:m`.

use std::time::Duration;

use redis::Value;

use super::answer::{FORMAT, back, claimed, fenced, foreign, other_format};
use super::errors::Doing;
use super::keys::Keys;
use super::link::Link;
use crate::store::assembly::Published;
use crate::store::{Grant, StoreError, StoreErrorClass};

/// What `:m` says about a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Meta {
    pub(super) partitions: u16,
    pub(super) owner: String,
    pub(super) epoch: u64,
    /// Milliseconds, by Redis' clock. 0: it was given back.
    pub(super) lease_until_ms: u64,
    /// How long a proof of it lasts; `None` if that is missing.
    term_ms: Option<u64>,
    /// The sequence after the last record in the log.
    pub(super) log_end: u64,
    pub(super) snapshot: Option<Published>,
    /// The first entry of the log that counts. Those before it wait to be removed.
    pub(super) log_from: Option<String>,
    /// Chunks that wait to be removed, and those of a snapshot that is being written.
    pub(super) chunks_beside: u64,
    /// When this was read, by Redis' clock.
    pub(super) now_ms: u64,
}

const FIELDS: &[&str] = &[
    "format",
    "partitions",
    "owner",
    "epoch",
    "lease_until",
    "term_ms",
    "tail",
    "gen",
    "chunks",
    "covered",
    "complete",
    "next_sequence",
    "jobs",
    "fired",
    "bytes",
    "snapshot_at",
    "log_from",
    "open",
    "open_chunks",
    "old",
    "old_end",
];

/// The fields that are there, and the key that they are of.
struct Found<'a> {
    keys: &'a Keys,
    key: &'a str,
    values: Vec<Option<String>>,
}

impl Meta {
    /// Reads `:m`; `None` if there is none.
    pub(super) async fn read(link: &Link, keys: &Keys) -> Result<Option<Meta>, StoreError> {
        // Fields and key are looked at one after the other: a key that has just come to be, or gone, looks foreign.
        match Meta::read_once(link, keys, true).await? {
            Some(read) => Ok(read),
            None => Meta::read_once(link, keys, false).await.map(Option::flatten),
        }
    }

    /// The same; `None` if the key is foreign, and this was only the first look.
    async fn read_once(link: &Link, keys: &Keys, is_first: bool) -> Result<Option<Option<Meta>>, StoreError> {
        let key = keys.meta();
        let doing = Doing::with("reading", &key);
        let connection = link.connection().await?;
        let mut commands = redis::Pipeline::new();
        commands.cmd("HMGET").arg(&key).arg(FIELDS).cmd("EXISTS").arg(&key).cmd("TIME");
        let answers = link.send_all(&connection, &commands, doing).await?;
        let Ok([fields, exists, time]) = <[Value; 3]>::try_from(answers) else {
            return Err(StoreError::retry(format!("{doing}: an answer is missing")));
        };
        let fields = link.checked(&connection, fields, doing);
        let fields = fields
            .map_err(|error| if error.class == StoreErrorClass::Fatal { foreign(&key) } else { error })?;
        let exists = link.checked(&connection, exists, doing)? != Value::Int(0);
        let time = link.checked(&connection, time, doing)?;
        if !exists {
            return Ok(Some(None));
        }
        let values = redis::from_redis_value(fields).map_err(|_| foreign(&key))?;
        let found = Found { keys, key: &key, values };
        if is_first && found.text("format").is_none() {
            return Ok(None);
        }
        Meta::parse(&found, milliseconds(time)).map(|meta| Some(Some(meta)))
    }

    fn parse(found: &Found<'_>, now_ms: u64) -> Result<Meta, StoreError> {
        match found.text("format") {
            Some(FORMAT) => {}
            Some(format) => return Err(other_format(found.key, format)),
            None => return Err(foreign(found.key)),
        }
        let generation = found.text("gen").filter(|generation| !generation.is_empty());
        let is_set = |field| found.text(field).is_some_and(|text| !text.is_empty());
        let beside = |field, count| if is_set(field) { found.number(count) } else { Ok(0) };
        Ok(Meta {
            partitions: found.number("partitions")?.try_into().map_err(|_| found.damaged("partitions"))?,
            owner: found.text("owner").ok_or_else(|| found.damaged("owner"))?.to_owned(),
            epoch: found.number("epoch")?,
            // The next proof writes it again, and reading the jobs does not need it.
            lease_until_ms: found.number("lease_until").unwrap_or(0),
            term_ms: found.text("term_ms").and_then(|text| text.parse().ok()),
            log_end: found.number("tail")?,
            snapshot: generation.map(|_| Published::parse(found)).transpose()?,
            log_from: found.text("log_from").map(str::to_owned),
            chunks_beside: beside("open", "open_chunks")? + beside("old", "old_end")?,
            now_ms,
        })
    }

    /// Where the log begins that is to be replayed.
    pub(super) fn covered(&self) -> u64 {
        self.snapshot.map_or(0, |snapshot| snapshot.covered)
    }

    /// How long the owner's lease still lasts; `None` if it has ended. Never more than its term: the clock may have been ahead
    /// when it was proved.
    pub(super) fn lease_left(&self) -> Option<Duration> {
        let left = self.lease_until_ms.checked_sub(self.now_ms).filter(|&left| left > 0);
        left.map(|left| Duration::from_millis(left.min(self.term_ms.unwrap_or(u64::MAX))))
    }

    /// Whether the partition belongs to the holder of `grant`.
    pub(super) fn check(&self, grant: &Grant) -> Result<(), StoreError> {
        let partition = grant.partition.0;
        if self.epoch < grant.epoch {
            return Err(back(partition, self.epoch));
        }
        if self.owner != grant.owner.as_str() {
            return Err(fenced(partition, &self.owner, self.epoch));
        }
        if self.epoch > grant.epoch {
            return Err(claimed(partition, self.epoch));
        }
        Ok(())
    }
}

impl Published {
    fn parse(found: &Found<'_>) -> Result<Self, StoreError> {
        Ok(Published {
            generation: found.number("gen")?,
            chunks: found.number("chunks")?,
            covered: found.number("covered")?,
            complete: found.number("complete")?,
            next_sequence: found.number("next_sequence")?,
            jobs: found.number("jobs")?,
            fired: found.number("fired")?,
            bytes: found.number("bytes")?,
            at_ms: found.number("snapshot_at")?,
        })
    }
}

impl Published {
    /// By the names of their fields.
    pub(super) fn fields(&self) -> [(&'static str, u64); 9] {
        [
            ("gen", self.generation),
            ("chunks", self.chunks),
            ("covered", self.covered),
            ("complete", self.complete),
            ("next_sequence", self.next_sequence),
            ("jobs", self.jobs),
            ("fired", self.fired),
            ("bytes", self.bytes),
            ("snapshot_at", self.at_ms),
        ]
    }
}

impl Found<'_> {
    fn text(&self, field: &str) -> Option<&str> {
        let at = FIELDS.iter().position(|known| *known == field)?;
        self.values.get(at)?.as_deref()
    }

    fn number(&self, field: &str) -> Result<u64, StoreError> {
        self.text(field).and_then(|text| text.parse().ok()).ok_or_else(|| self.damaged(field))
    }

    fn damaged(&self, field: &str) -> StoreError {
        StoreError::fatal(format!(
            "the field `{field}` of `{}` is not what Reveille writes there; nothing was changed. {}",
            self.key,
            self.keys.ways_out()
        ))
    }
}

/// An answer to TIME.
pub(super) fn milliseconds(time: Value) -> u64 {
    let (seconds, micros): (u64, u64) = redis::from_redis_value(time).unwrap_or_default();
    seconds * 1_000 + micros / 1_000
}
