//! Which job a call is about, and where it is.

use std::borrow::Cow;
use std::sync::Arc;

use crate::engine::state::{Aim, KeyHash, Owned, Shared};
use crate::partition::{Handle, InvalidKey, JobView, Key};

/// The job that a call is about: by its key, or by its handle, which is faster.
#[derive(Clone, Debug)]
pub struct Target<'a>(Named<'a>);

#[derive(Clone, Debug)]
enum Named<'a> {
    Key(Cow<'a, str>),
    /// A validated key.
    Valid(Key),
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

impl<'a> From<Cow<'a, str>> for Target<'a> {
    fn from(key: Cow<'a, str>) -> Self {
        Target(Named::Key(key))
    }
}

impl From<Box<str>> for Target<'_> {
    fn from(key: Box<str>) -> Self {
        String::from(key).into()
    }
}

impl<'a> From<&'a Arc<str>> for Target<'a> {
    fn from(key: &'a Arc<str>) -> Self {
        (&**key).into()
    }
}

impl<'a> From<&&'a str> for Target<'a> {
    fn from(key: &&'a str) -> Self {
        (*key).into()
    }
}

impl From<Key> for Target<'_> {
    fn from(key: Key) -> Self {
        Target(Named::Valid(key))
    }
}

/// A job that was looked up: that very job, even if its key names another one now.
impl From<&JobView> for Target<'_> {
    fn from(job: &JobView) -> Self {
        job.handle.into()
    }
}

impl From<&Handle> for Target<'_> {
    fn from(handle: &Handle) -> Self {
        (*handle).into()
    }
}

/// Where a call has to go.
pub(crate) struct Destination<'a> {
    pub(crate) partition: usize,
    job: Placed<'a>,
}

enum Placed<'a> {
    Key(&'a str, KeyHash),
    Handle(Handle),
}

impl<'a> Destination<'a> {
    /// The job of a key, which is in that partition.
    pub(crate) fn of_key(partition: usize, key: &'a str, hash: KeyHash) -> Self {
        Destination { partition, job: Placed::Key(key, hash) }
    }

    /// The job that is meant; for a key, the newest one.
    pub(crate) fn find(&self, owned: &Owned) -> Option<Handle> {
        match self.job {
            Placed::Key(key, hash) => owned.find(key, hash),
            Placed::Handle(handle) => Some(handle),
        }
    }

    /// Has the processor fetch what a call will look at first, while it takes the lock.
    #[inline(always)]
    pub(crate) fn warm(&self, shared: &Shared) {
        if let Placed::Key(_, hash) = self.job {
            shared.cells[self.partition].heads.warm(hash);
        }
    }

    /// The key by which the job is meant, if it is.
    #[inline]
    pub(crate) fn key(&self) -> Option<(&str, KeyHash)> {
        match self.job {
            Placed::Key(key, hash) => Some((key, hash)),
            Placed::Handle(_) => None,
        }
    }

    /// What is known of the job that is meant.
    pub(crate) fn aim(&self) -> Aim {
        match self.job {
            Placed::Key(_, hash) => Aim::Key(hash),
            Placed::Handle(handle) => Aim::Slot(handle.slot()),
        }
    }
}

impl Shared {
    pub(crate) fn partition_of(&self, key: &str) -> usize {
        // Fixed for ever, in every process: a key's jobs are stored under its partition.
        let hash = xxhash_rust::xxh3::xxh3_64(key.as_bytes());
        ((u128::from(hash) * self.cells.len() as u128) >> 64) as usize
    }

    #[inline(always)]
    fn place_of<'a>(&self, key: &'a str) -> Destination<'a> {
        Destination { partition: self.partition_of(key), job: Placed::Key(key, self.hasher.hash(key)) }
    }

    /// Where `target` is, as far as can be told without entering a partition.
    #[inline(always)]
    pub(crate) fn place<'a>(&self, target: &'a Target<'_>) -> Result<Destination<'a>, InvalidKey> {
        match &target.0 {
            // A handle of another engine may name a partition that this one does not have.
            Named::Handle(handle) => {
                let partition = usize::from(handle.partition().0).min(self.cells.len() - 1);
                Ok(Destination { partition, job: Placed::Handle(*handle) })
            }
            Named::Key(key) => {
                Key::check(key)?;
                Ok(self.place_of(key))
            }
            Named::Valid(key) => Ok(self.place_of(key.as_str())),
        }
    }
}
