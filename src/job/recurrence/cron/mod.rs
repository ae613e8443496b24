//! Cron expressions. `croner` reads them, and knows which days they mean; the rest is ours.
//!
//! Its own search is not used. It walks the clock of a zone second by second where clocks change, gives up in a gap of more
//! than two hours (Apia had one of a day), and drops a fixed time in a gap behind which another date begins.

mod expression;
mod timetable;

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::tz::{self, TimeZone};
use parking_lot::Mutex;
use smol_str::SmolStr;

use super::{CronText, InvalidRecurrence, RecurrenceError};
use expression::Expression;
pub(super) use timetable::Timetable;

/// Checks an expression and the name of a zone, and has them as they are kept.
pub(super) fn checked(expression: &str, zone: &str) -> Result<CronText, InvalidRecurrence> {
    let mut text = CronText::new(expression, zone)?;
    let unknown = || InvalidRecurrence::Zone { name: zone.to_owned() };
    let found = time_zone(zone).ok_or_else(unknown)?;
    // As the database spells it: Europe/Berlin and europe/berlin are one.
    text.zone = SmolStr::new(found.iana_name().unwrap_or(zone));
    Expression::checked(&text.expression)?;
    Ok(text)
}

fn time_zone(name: &str) -> Option<TimeZone> {
    tz::db().get(name).ok().filter(|zone| !zone.is_unknown())
}

/// How many expressions are kept read. To read one takes longer than to work it out, and a program has few that differ.
const KEPT: usize = 64;

/// Those that were read last, the latest first.
static READ: Mutex<VecDeque<(SmolStr, Arc<Expression>)>> = Mutex::new(VecDeque::new());

/// Reads what was kept.
pub(super) fn timetable(text: &CronText) -> Result<Timetable, RecurrenceError> {
    // The database keeps zones, and looks after a while whether they have changed.
    let zone = time_zone(&text.zone).ok_or_else(|| RecurrenceError::Zone { name: text.zone.to_string() })?;
    Ok(Timetable::new(expression(&text.expression)?, zone))
}

fn expression(text: &SmolStr) -> Result<Arc<Expression>, RecurrenceError> {
    let mut read = READ.lock();
    if let Some(at) = read.iter().position(|(known, _)| known == text) {
        return Ok(Arc::clone(&read[at].1));
    }
    drop(read);
    let expression = Expression::read(text)
        .map(Arc::new)
        .map_err(|_| RecurrenceError::Expression { expression: text.to_string() })?;
    read = READ.lock();
    read.truncate(KEPT - 1);
    read.push_front((text.clone(), Arc::clone(&expression)));
    Ok(expression)
}
