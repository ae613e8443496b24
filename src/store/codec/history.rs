//! What images and records have of attempts: faults, and the history of a job.

use super::CodecError;
use super::wire::{self, Body};
use crate::job::{AttemptError, Cause, Death, DeathReason, ERRORS_MAX, Fault, History, MESSAGE_BYTES_MAX};
use crate::time::Timestamp;

impl<'a> From<Option<&'a Fault>> for wire::Fault<'a> {
    fn from(fault: Option<&'a Fault>) -> Self {
        fault.map_or(wire::Fault::None, |fault| wire::Fault::of(fault.cause, &fault.message))
    }
}

impl<'a> wire::Fault<'a> {
    fn of(cause: Cause, message: &'a str) -> Self {
        match cause {
            Cause::Failed => wire::Fault::Failed { message },
            Cause::Panicked => wire::Fault::Panicked { message },
            Cause::TimedOut => wire::Fault::TimedOut { message },
            Cause::Interrupted => wire::Fault::Interrupted { message },
        }
    }

    pub(super) fn read(self) -> Result<Option<Fault>, CodecError> {
        let (cause, message) = match self {
            wire::Fault::None => return Ok(None),
            wire::Fault::Failed { message } => (Cause::Failed, message),
            wire::Fault::Panicked { message } => (Cause::Panicked, message),
            wire::Fault::TimedOut { message } => (Cause::TimedOut, message),
            wire::Fault::Interrupted { message } => (Cause::Interrupted, message),
        };
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(CodecError::invalid("the text of an error is too long"));
        }
        Ok(Some(Fault { cause, message: message.into() }))
    }
}

impl<'a> wire::History<'a> {
    /// Its errors are written into `errors`.
    pub(super) fn of(history: &History, errors: &'a mut Vec<u8>) -> Result<Self, CodecError> {
        errors.clear();
        for AttemptError { attempt, at, cause, message } in &history.errors {
            let fault = wire::Fault::of(*cause, message);
            wire::write(errors, &wire::AttemptError { attempt: *attempt, at: at.as_micros(), fault })?;
        }
        let History { failures, revivals, is_stopped, .. } = *history;
        Ok(wire::History { failures, revivals, is_stopped, errors: wire::Block(errors) })
    }

    pub(super) fn read(self, death: Option<Death>) -> Result<Box<History>, CodecError> {
        let mut history = History { death, ..History::default() };
        (history.failures, history.revivals) = (self.failures, self.revivals);
        history.is_stopped = self.is_stopped;
        let mut body = Body::new(self.errors.0);
        while !body.is_empty() {
            let wire::AttemptError { attempt, at, fault } = body.read()?;
            let fault = fault.read()?.ok_or(CodecError::invalid("an error has no cause"))?;
            if history.errors.len() == ERRORS_MAX {
                return Err(CodecError::invalid("a job has more errors than are kept"));
            }
            history.errors.push(AttemptError::new(attempt, Timestamp::from_micros(at), &fault));
        }
        Ok(Box::new(history))
    }
}

/// How many bytes a fault takes, at most.
pub(super) fn fault_bytes(fault: Option<&Fault>) -> usize {
    wire::FAULT_BYTES_MAX + fault.map_or(0, |fault| wire::bytes_of(fault.message.len()))
}

/// How many bytes a history takes, at most: the instant and the reason of a death included.
pub(super) fn history_bytes(history: &History) -> usize {
    let error = |error: &AttemptError| {
        wire::ERROR_BYTES_MAX + wire::FAULT_BYTES_MAX + wire::bytes_of(error.message.len())
    };
    let errors: usize = history.errors.iter().map(error).sum();
    wire::HISTORY_BYTES_MAX + wire::bytes_of(errors) + wire::TAG_BYTES + wire::NUMBER_BYTES_MAX
}

impl From<DeathReason> for wire::Reason {
    fn from(reason: DeathReason) -> Self {
        match reason {
            DeathReason::Exhausted => wire::Reason::Exhausted,
            DeathReason::Killed => wire::Reason::Killed,
            DeathReason::Expired => wire::Reason::Expired,
        }
    }
}

impl From<wire::Reason> for DeathReason {
    fn from(reason: wire::Reason) -> Self {
        match reason {
            wire::Reason::Exhausted => DeathReason::Exhausted,
            wire::Reason::Killed => DeathReason::Killed,
            wire::Reason::Expired => DeathReason::Expired,
        }
    }
}
