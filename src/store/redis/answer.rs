//! The answers of our scripts: a word, and what belongs to it.
//!
//! | word | with | means | class |
//! | --- | --- | --- | --- |
//! | `OK` | by script | it is done | |
//! | `DUP` | tail | the batch is there already | |
//! | `GAP` | tail | records before these are missing | by [`Known`](super::known::Known) |
//! | `OVERLAP` | tail | a part of the batch is there already | `Fatal` |
//! | `HELD` | owner, ms left | another's lease lasts | `Held` |
//! | `FENCED` | owner, epoch | the partition is another's | `Fenced` |
//! | `CLAIMED` | epoch | it is the caller's own, under a later epoch that it was not told of | `Behind` |
//! | `BACK` | epoch | Redis knows only an older epoch than this one | `Behind` |
//! | `GONE` | key | a key that has to be there is not | `Behind` |
//! | `DAMAGED` | key, field | a field of `:m` is gone, or is not what Reveille wrote there | `Behind` |
//! | `ORPHAN` | key | a log without its `:m` | `Behind` |
//! | `NONE` | key | nobody has owned the partition, or all of it was lost | by `lease` |
//! | `FOREIGN` | key | a key holds something that is not ours | `Blocked`, `Fatal` at a start |
//! | `FORMAT` | key, format | written by another version | `Blocked`, `Fatal` at a start |
//! | `PARTITIONS` | count | written with another number of partitions | `Fatal` |
//! | `LEFT` | generation, chunks | chunks of an earlier snapshot have to go first | |
//! | `CLOSED` | generation | another snapshot has been begun | `Retry` |
//! | `CHUNKS` | count | Redis has not all chunks of the snapshot | `Retry` |
//! | `AHEAD`, `EARLY` | sequence | a snapshot that does not fit the log | `Fatal` |

use std::fmt::Display;
use std::time::Duration;

use redis::Value;

use super::keys::Keys;
use crate::store::{StoreError, StoreErrorClass};

/// The format of what is written, in `:m`. `fence.lua` has it too.
pub(super) const FORMAT: &str = "reveille/2";

/// Its number.
const FORMAT_NUMBER: u64 = 2;

/// A script's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Answer(Vec<String>);

impl Answer {
    pub(super) fn new(value: Value) -> Self {
        let Value::Array(parts) = value else { return Answer(Vec::new()) };
        let text = |part| match part {
            Value::BulkString(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Value::SimpleString(text) => text,
            Value::Int(number) => number.to_string(),
            _ => String::new(),
        };
        Answer(parts.into_iter().map(text).collect())
    }

    /// An answer as a script would give it.
    pub(super) fn words(words: &[&str]) -> Self {
        Answer(words.iter().map(|word| (*word).to_owned()).collect())
    }

    pub(super) fn word(&self) -> &str {
        self.part(0)
    }

    pub(super) fn part(&self, at: usize) -> &str {
        self.0.get(at).map_or("", String::as_str)
    }

    /// A part as a number; 0 if it is not one.
    pub(super) fn number(&self, at: usize) -> u64 {
        self.part(at).parse().unwrap_or(0)
    }

    /// The answer as an error.
    pub(super) fn refusal(&self, keys: &Keys) -> StoreError {
        let partition = keys.partition().0;
        let (first, second) = (self.part(1), self.part(2));
        match self.word() {
            "HELD" => StoreError::held(
                format!(
                    "partition {partition} belongs to {first}, whose lease ends in {second} ms at the latest unless it \
                     is proved again"
                ),
                Duration::from_millis(self.number(2)),
            ),
            "FENCED" => fenced(partition, first, second),
            "BACK" => back(partition, first),
            "CLAIMED" => claimed(partition, first),
            "GONE" => behind(format!(
                "Redis has lost partition {partition}: `{first}` is gone (was it flushed, or restarted without its data?)"
            )),
            "DAMAGED" => damaged(keys, second),
            "FOREIGN" => blocked(foreign(first)),
            "ORPHAN" => behind(format!(
                "`{}`, which says what partition {partition} is, is gone, while `{first}` is there; nothing was \
                 changed. {}",
                keys.meta(),
                keys.ways_out()
            )),
            "FORMAT" if self.part(3) == "ours" => blocked(StoreError::fatal(format!(
                "somebody has set the field `format` of `{first}` to {second:?}, where this engine wrote {FORMAT}: put \
                 it back (HSET {first} format {FORMAT}); nothing was changed"
            ))),
            "FORMAT" => blocked(other_format(first, second)),
            "PARTITIONS" => other_partitions(first),
            _ => self.other_refusal(keys),
        }
    }

    fn other_refusal(&self, keys: &Keys) -> StoreError {
        let (partition, first) = (keys.partition().0, self.part(1));
        match self.word() {
            "OVERLAP" => StoreError::fatal(format!(
                "a batch of partition {partition} was cut otherwise than when it was sent before: \
                 Redis has a part of it (up to record {first})"
            )),
            "CLOSED" => {
                StoreError::retry(format!("another snapshot of partition {partition} has been begun"))
            }
            "CHUNKS" => StoreError::retry(format!(
                "Redis has {first} chunks of the snapshot of partition {partition}, which is not all of them"
            )),
            "AHEAD" => StoreError::fatal(format!(
                "the log of partition {partition} has records up to {first}, which the snapshot that is to replace it lacks"
            )),
            "EARLY" => StoreError::fatal(format!(
                "the snapshot of partition {partition} begins before record {first}, and the log before that goes"
            )),
            word => StoreError::new(
                StoreErrorClass::Refused,
                format!("a script on `{keys}` answered with `{word}`, which is not known here"),
            ),
        }
    }
}

/// Redis has less than it acknowledged.
pub(super) fn behind(message: String) -> StoreError {
    StoreError::new(StoreErrorClass::Behind, message)
}

/// Something foreign lies in the way. The engine waits until it has been removed.
fn blocked(error: StoreError) -> StoreError {
    StoreError::new(StoreErrorClass::Blocked, error.to_string())
}

/// A field of `:m` has been lost.
pub(super) fn damaged(keys: &Keys, field: &str) -> StoreError {
    behind(format!(
        "the field `{field}` of `{}` is gone, or is not what Reveille wrote there; nothing was changed. {}",
        keys.meta(),
        keys.ways_out()
    ))
}

/// Redis knows only an epoch that has ended.
pub(super) fn back(partition: u16, epoch: impl Display) -> StoreError {
    behind(format!("Redis went back in time: of partition {partition} it knows epoch {epoch}, which is over"))
}

/// The partition is the caller's own, under an epoch that it does not know.
pub(super) fn claimed(partition: u16, epoch: impl Display) -> StoreError {
    behind(format!(
        "partition {partition} is this engine's under a later epoch ({epoch}), whose claim was not answered: it has to \
         be claimed again"
    ))
}

/// The partition belongs to another owner.
pub(super) fn fenced(partition: u16, owner: &str, epoch: impl Display) -> StoreError {
    StoreError::fenced(format!(
        "partition {partition} belongs to {owner} by now (epoch {epoch}); this engine no longer owns it"
    ))
}

/// A key holds something foreign.
pub(super) fn foreign(key: &str) -> StoreError {
    StoreError::fatal(format!(
        "the key `{key}` holds something that Reveille has not written there: give Reveille a namespace of its own, \
         or remove the key (RENAME or DEL); nothing was changed"
    ))
}

/// The format in `:m` is not the one that is written here.
pub(super) fn other_format(key: &str, found: &str) -> StoreError {
    match found.strip_prefix("reveille/").map(str::parse::<u64>) {
        Some(Ok(number)) if number < FORMAT_NUMBER => StoreError::fatal(format!(
            "`{key}` was written by an earlier version of Reveille (format {found}; this one knows {FORMAT}): go on with the \
             version that wrote it, or export the jobs with that and import them with this one; nothing was changed"
        )),
        Some(Ok(_)) => StoreError::fatal(format!(
            "`{key}` was written by another version of Reveille (format {found}; this one knows {FORMAT}): \
             update this program; nothing was changed"
        )),
        _ => foreign(key),
    }
}

/// The store has another number of partitions.
pub(super) fn other_partitions(found: &str) -> StoreError {
    StoreError::fatal(format!(
        "what is in Redis was written with {found} partitions, and a key belongs to one partition for ever: \
         build the engine with {found}, or use another namespace"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::PartitionId;
    use crate::store::redis::keys::Namespace;

    #[test]
    fn every_refusal_has_its_class() {
        use StoreErrorClass::{Behind, Blocked, Fatal, Fenced, Held, Refused, Retry};
        let keys = Namespace::new("ns".into()).keys(PartitionId(3));
        for (parts, class) in [
            (vec!["HELD", "bob", "1500"], Held),
            (vec!["FENCED", "bob", "7"], Fenced),
            (vec!["CLAIMED", "7"], Behind),
            (vec!["BACK", "7"], Behind),
            (vec!["GONE", "{rv:ns:3}:m"], Behind),
            (vec!["DAMAGED", "{rv:ns:3}:m", "tail"], Behind),
            (vec!["FOREIGN", "{rv:ns:3}:m"], Blocked),
            (vec!["ORPHAN", "{rv:ns:3}:l"], Behind),
            (vec!["FORMAT", "{rv:ns:3}:m", "reveille/3"], Blocked),
            (vec!["PARTITIONS", "4"], Fatal),
            (vec!["OVERLAP", "7"], Fatal),
            (vec!["CLOSED", "7"], Retry),
            (vec!["CHUNKS", "7"], Retry),
            (vec!["AHEAD", "7"], Fatal),
            (vec!["EARLY", "7"], Fatal),
            (vec!["WHAT"], Refused),
            (vec![], Refused),
        ] {
            let answer = Answer::words(&parts);
            let error = answer.refusal(&keys);
            assert_eq!(error.class, class, "{parts:?}");
            assert!(
                parts.get(1).is_none_or(|part| class == Retry || error.to_string().contains(part)),
                "{error}"
            );
        }
        let held = Answer(vec!["HELD".into(), "bob".into(), "1500".into()]).refusal(&keys);
        assert_eq!(held.again_after, Some(Duration::from_millis(1_500)));
    }

    #[test]
    fn the_scripts_know_the_format() {
        assert!(include_str!("lua/fence.lua").contains(&format!("'{FORMAT}'")));
    }
}
