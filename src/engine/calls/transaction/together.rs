//! Which partition a key is in, and keys that are in one.

use crate::engine::state::Engine;
use crate::partition::{InvalidKey, Key, PartitionId};

impl Engine {
    /// The partition that the jobs of a key are in. It follows from the key and the number of partitions
    /// ([`Builder::partitions`](crate::Builder::partitions)), which a namespace keeps for ever. O(length of the key).
    ///
    /// # Errors
    /// When no job can have such a key.
    pub fn partition_of(&self, key: impl AsRef<str>) -> Result<PartitionId, InvalidKey> {
        let key = key.as_ref();
        Key::check(key)?;
        Ok(PartitionId(self.shared.partition_of(key) as u16))
    }

    /// A key that is in the partition of the key `beside`, so that a [transaction](Self::transaction) can change the jobs of both: `name`, if
    /// it happens to be, or `name` with `~` and the smallest number that brings it there. Always the same for the same two texts and
    /// number of partitions, so it need not be kept: call this again. O(partitions).
    ///
    /// After a move to a namespace with another number of partitions the jobs have the keys that they had, and these need not be in one
    /// partition any more.
    ///
    /// ```
    /// # use reveille::{Engine, Job};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let engine = Engine::builder().queue("orders", |_: Job| async {}).start().await?;
    /// let reminder = engine.key_beside("order:7", "remind:7")?;
    /// assert_eq!(engine.partition_of(&reminder)?, engine.partition_of("order:7")?);
    /// assert_eq!(engine.key_beside("order:7", "remind:7")?, reminder);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When no job can have such a key: `name` may need some bytes less than a key has.
    pub fn key_beside(&self, beside: impl AsRef<str>, name: impl AsRef<str>) -> Result<Key, InvalidKey> {
        let (wanted, name) = (self.partition_of(beside)?, name.as_ref());
        let mut key = Key::new(name)?;
        let mut number: u64 = 1;
        // Each has a chance of one in as many as there are partitions.
        while PartitionId(self.shared.partition_of(key.as_str()) as u16) != wanted {
            key = Key::new(format!("{name}~{number}"))?;
            number += 1;
        }
        Ok(key)
    }
}
