//! What a call is about, and where that is.

use std::borrow::Cow;

use super::shared::Shared;
use crate::partition::{Handle, InvalidKey, Key};

/// What a call is about: a job by its key, or by its handle, which is faster.
#[derive(Clone, Debug)]
pub struct Target<'a>(Named<'a>);

#[derive(Clone, Debug)]
enum Named<'a> {
    Key(Cow<'a, str>),
    Handle(Handle),
}

impl From<Handle> for Target<'_> {
    fn from(handle: Handle) -> Self {
        Target(Named::Handle(handle))
    }
}

impl<'a> From<&'a Key> for Target<'a> {
    fn from(key: &'a Key) -> Self {
        key.as_str().into()
    }
}

impl<'a> From<&'a str> for Target<'a> {
    fn from(key: &'a str) -> Self {
        Target(Named::Key(Cow::Borrowed(key)))
    }
}

impl<'a> From<&'a String> for Target<'a> {
    fn from(key: &'a String) -> Self {
        key.as_str().into()
    }
}

impl From<String> for Target<'_> {
    fn from(key: String) -> Self {
        Target(Named::Key(Cow::Owned(key)))
    }
}

/// Where a call has to go.
pub(super) struct Place {
    pub(super) partition: usize,
    /// What the handle map says of the key.
    pub(super) handle: Option<Handle>,
}

impl Shared {
    pub(super) fn partition_of(&self, key: &str) -> usize {
        // Fixed for ever, in every process: what is stored of a key is stored under its partition.
        let hash = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
        ((u128::from(hash) * self.cells.len() as u128) >> 64) as usize
    }

    /// Where `target` is, as far as can be told without entering a partition.
    pub(super) fn place(&self, target: &Target<'_>) -> Result<Place, InvalidKey> {
        match &target.0 {
            // A handle of another engine may name a partition that this one does not have.
            Named::Handle(handle) => {
                let partition = usize::from(handle.partition().0).min(self.cells.len() - 1);
                Ok(Place { partition, handle: Some(*handle) })
            }
            Named::Key(key) => {
                Key::check(key)?;
                Ok(Place { partition: self.partition_of(key), handle: self.keys.find(key) })
            }
        }
    }

    /// Looks a key up again, under its partition's lock, where the answer is exact: between the first look and the lock
    /// the key may have got another job.
    pub(super) fn newer(&self, target: &Target<'_>, seen: Option<Handle>) -> Option<Handle> {
        let Named::Key(key) = &target.0 else { return None };
        self.keys.find(key).filter(|handle| Some(*handle) != seen)
    }
}
