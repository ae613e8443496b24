//! Errors of a store, by what an engine does about them.

use std::time::Duration;

/// What an engine does about an error of its store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum StoreErrorClass {
    /// It may pass, and it is unknown whether the request was carried out. The engine sends the same request again.
    Retry,
    /// The store is there but takes no writes; nothing was written. The engine sends the same request again, rarely, and an
    /// operator has to know.
    Refused,
    /// Another owner's lease still lasts. Only [`Store::acquire`](super::Store::acquire) returns this.
    Held,
    /// The partition belongs to another owner now. The engine stops firing and writing.
    Fenced,
    /// The store has less than it acknowledged: it went back in time. The engine takes the lease anew and writes
    /// everything again.
    Behind,
    /// Foreign data lies where the engine would write. Nothing was written, and nobody else can own the partition while it
    /// lies there. An operator has to remove it, as the message says. Meanwhile the engine fires from memory and asks again;
    /// then it writes everything anew.
    Blocked,
    /// It will not pass: the store does not take this engine's records, or holds data that must not be touched.
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

/// Why a store could not carry out a request.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct StoreError {
    /// What the engine should do about it.
    pub class: StoreErrorClass,
    /// When it is worth asking again, if the store knows. With [`Refused`](StoreErrorClass::Refused) it also means that the
    /// trouble may pass by itself.
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

    /// The partition belongs to another owner.
    pub fn fenced(message: impl Into<String>) -> Self {
        StoreError::new(StoreErrorClass::Fenced, message)
    }

    /// Another owner's lease lasts for `again_after`.
    pub fn held(message: impl Into<String>, again_after: Duration) -> Self {
        StoreError { again_after: Some(again_after), ..StoreError::new(StoreErrorClass::Held, message) }
    }
}
