//! Delays as text. The library reads them; the messages are of a line, and short.

use std::time::Duration;

use reveille::{InvalidDuration, parse_duration};

use super::{DelayFault, TimeError};
use crate::jsonl::text::Brief;

/// Reads a delay: `1.5s`, `1h30m`, `2 days`, or ISO 8601 as `PT90S`.
pub(crate) fn parse_delay(text: &str) -> Result<Duration, TimeError> {
    parse_duration(text).map_err(|error| fault(error).of(Brief::new(text)))
}

fn fault(error: InvalidDuration) -> DelayFault {
    match error {
        InvalidDuration::NoUnit { number } => DelayFault::NoUnit { number: Brief::number(&number) },
        InvalidDuration::Unit { unit } => DelayFault::Unit { unit: Brief::new(&unit) },
        InvalidDuration::CalendarUnit => DelayFault::CalendarUnit,
        InvalidDuration::Comma => DelayFault::Comma,
        InvalidDuration::Order => DelayFault::Order,
        InvalidDuration::Fraction => DelayFault::Fraction,
        InvalidDuration::TimeOfDay => DelayFault::TimeOfDay,
        InvalidDuration::Negative => DelayFault::Negative,
        InvalidDuration::OutOfRange => DelayFault::OutOfRange,
        _ => DelayFault::Form,
    }
}
