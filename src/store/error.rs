//! What can stand in a store's way, by what an engine does about it.

use std::time::Duration;

/// What an engine does about an error of its store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreErrorClass {
    /// It may pass, and whether the request was carried out is not known: the same request is sent again.
    Retry,
    /// The store is there and takes no writes: nothing was written. The same request is sent again, seldom, and somebody
    /// has to be told.
    Refused,
    /// Another owner's lease lasts. Only [`Store::acquire`](super::Store::acquire) answers so.
    Held,
    /// The partition is another owner's by now. The engine stops firing and writing.
    Fenced,
    /// The store has less than it acknowledged: it went back in time. The engine takes the lease anew and writes
    /// everything again.
    Behind,
    /// Something that is not the engine's lies where it would write: nothing was written, and nobody else can own the
    /// partition while it lies there. Somebody has to remove it, as the message says; the engine fires on from memory, asks
    /// again, and then writes everything anew.
    Blocked,
    /// It will not pass: the store does not take this engine's records, or holds what is not to be touched.
    Fatal,
}

impl StoreErrorClass {
    pub(crate) const ALL: [StoreErrorClass; 7] = {
        use StoreErrorClass::{Behind, Blocked, Fatal, Fenced, Held, Refused, Retry};
        [Retry, Refused, Held, Fenced, Behind, Blocked, Fatal]
    };

    pub(crate) fn name(self) -> &'static str {
        match self {
            StoreErrorClass::Retry => "retry",
            StoreErrorClass::Refused => "refused",
            StoreErrorClass::Held => "held",
            StoreErrorClass::Fenced => "fenced",
            StoreErrorClass::Behind => "behind",
            StoreErrorClass::Blocked => "blocked",
            StoreErrorClass::Fatal => "fatal",
        }
    }
}

/// Why a store could not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct StoreError {
    /// What the engine should do about it.
    pub class: StoreErrorClass,
    /// When it is worth asking again, if the store can tell. Of one that is [`Refused`](StoreErrorClass::Refused) it says that
    /// it may pass by itself.
    pub again_after: Option<Duration>,
    message: String,
}

impl StoreError {
    /// An error of a class; the message says what happened and what to do.
    pub fn new(class: StoreErrorClass, message: impl Into<String>) -> Self {
        StoreError { class, again_after: None, message: message.into() }
    }

    /// An error that may pass.
    pub fn retry(message: impl Into<String>) -> Self {
        StoreError::new(StoreErrorClass::Retry, message)
    }

    /// An error that will not pass.
    pub fn fatal(message: impl Into<String>) -> Self {
        StoreError::new(StoreErrorClass::Fatal, message)
    }

    /// The partition is another owner's.
    pub fn fenced(message: impl Into<String>) -> Self {
        StoreError::new(StoreErrorClass::Fenced, message)
    }

    /// Another owner's lease lasts, for so long.
    pub fn held(message: impl Into<String>, again_after: Duration) -> Self {
        StoreError { again_after: Some(again_after), ..StoreError::new(StoreErrorClass::Held, message) }
    }
}
