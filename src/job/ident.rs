//! Names and numbers: key, queue, partition, id, version. Parsed once, then trusted.

use std::fmt;

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// The caller's own name for a job, unique in a namespace: 1 to 512 bytes of UTF-8.
///
/// One of up to 23 bytes lies where the job is and takes no memory beside it; clones of a longer one share the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub(super) SmolStr);

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 512;

impl Key {
    /// Takes `text` as a key.
    ///
    /// # Errors
    /// When it is empty or longer than [`KEY_BYTES_MAX`] bytes.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidKey> {
        let text = text.as_ref();
        Self::check(text)?;
        Ok(Key(SmolStr::new(text)))
    }

    /// Whether `text` could be a key. Allocates nothing.
    pub(crate) fn check(text: &str) -> Result<(), InvalidKey> {
        match text.len() {
            0 => Err(InvalidKey::Empty),
            bytes if bytes > KEY_BYTES_MAX => Err(InvalidKey::TooLong { bytes }),
            _ => Ok(()),
        }
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The key of a job that was taken with it.
    #[inline]
    pub(crate) fn known(text: &str) -> Self {
        debug_assert!(Self::check(text).is_ok());
        Key(SmolStr::new(text))
    }
}

/// Why a text cannot be a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKey {
    /// The key has no bytes.
    #[error("the key is empty; a key has 1 to {KEY_BYTES_MAX} bytes")]
    Empty,
    /// The key is longer than [`KEY_BYTES_MAX`].
    #[error("the key has {bytes} bytes; a key has 1 to {KEY_BYTES_MAX} (hash a longer one)")]
    TooLong {
        /// How many bytes it has.
        bytes: usize,
    },
}

/// The name of a queue. Cloning shares the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueName(pub(super) SmolStr);

/// The longest queue name, in bytes.
pub const QUEUE_NAME_BYTES_MAX: usize = 128;

impl QueueName {
    /// Takes `text` as the name of a queue.
    ///
    /// # Errors
    /// When it is empty or longer than [`QUEUE_NAME_BYTES_MAX`] bytes.
    pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidQueueName> {
        let text = text.as_ref();
        match text.len() {
            1..=QUEUE_NAME_BYTES_MAX => Ok(QueueName(SmolStr::new(text))),
            bytes => Err(InvalidQueueName { bytes }),
        }
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// A text cannot be the name of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the name of a queue has {bytes} bytes; a name has 1 to {QUEUE_NAME_BYTES_MAX}")]
#[non_exhaustive]
pub struct InvalidQueueName {
    /// How many bytes it has.
    pub bytes: usize,
}

/// A partition, counted from zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct PartitionId(pub u16);

/// A job's own number: its partition above, the order in which that partition took it below. Never used twice.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(u64);

impl JobId {
    /// Before all others.
    pub(crate) const LEAST: JobId = JobId(0);

    const SEQUENCE_BITS: u32 = 48;

    /// Half of what fits: a partition that takes a million jobs a second gets there in four years, and is refused at the
    /// next start, with as much to go.
    pub(crate) const SEQUENCE_MAX: u64 = 1 << (Self::SEQUENCE_BITS - 1);

    /// The id of the job that `partition` took as its `sequence`th.
    pub(crate) fn new(partition: PartitionId, sequence: u64) -> Self {
        debug_assert!(sequence >> Self::SEQUENCE_BITS == 0, "a partition takes fewer than 2^48 jobs");
        JobId(u64::from(partition.0) << Self::SEQUENCE_BITS | sequence)
    }

    /// The id as one number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The id of this number, whether or not a job has it.
    pub(crate) const fn from_u64(id: u64) -> Self {
        JobId(id)
    }

    /// The partition that owns the job.
    pub const fn partition(self) -> PartitionId {
        PartitionId((self.0 >> Self::SEQUENCE_BITS) as u16)
    }

    /// The job's place in the order in which its partition took jobs.
    pub const fn sequence(self) -> u64 {
        self.0 & ((1 << Self::SEQUENCE_BITS) - 1)
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", self.partition().0, self.sequence()))
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Counts a job's changes, from 1. What was decided on an older version can be refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u32);

impl Version {
    /// The version of a job that has not been changed.
    pub const FIRST: Version = Version(1);

    pub(crate) fn next(self) -> Self {
        Version(self.0.wrapping_add(1))
    }

    /// Whether it comes after `other`, as [`next`](Self::next) counts.
    pub(crate) fn is_after(self, other: Self) -> bool {
        (1..=u32::MAX / 2).contains(&self.0.wrapping_sub(other.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_1_to_512_bytes() {
        assert_eq!(Key::new(""), Err(InvalidKey::Empty));
        assert!(Key::new("k").is_ok());
        assert!(Key::new("k".repeat(512)).is_ok());
        assert_eq!(Key::new("k".repeat(513)), Err(InvalidKey::TooLong { bytes: 513 }));
        // Bytes count, not characters.
        assert_eq!(Key::new("é".repeat(257)), Err(InvalidKey::TooLong { bytes: 514 }));
    }

    #[test]
    fn a_job_id_keeps_its_parts() {
        let id = JobId::new(PartitionId(u16::MAX), (1 << 48) - 1);
        assert_eq!((id.partition(), id.sequence()), (PartitionId(u16::MAX), (1 << 48) - 1));
        assert_eq!(JobId::new(PartitionId(3), 7).to_string(), "3-7");
    }

    #[test]
    fn a_version_comes_after_those_it_counts() {
        assert!(Version(2).is_after(Version(1)) && Version(7).is_after(Version(1)));
        assert!(!Version(1).is_after(Version(1)) && !Version(1).is_after(Version(2)));
        assert!(Version(u32::MAX).next().is_after(Version(u32::MAX)));
        assert!(!Version(u32::MAX).is_after(Version(u32::MAX).next()));
    }
}
