//! A cron expression and its zone, as text: what is kept, whether it can be worked out here or not.

use smol_str::SmolStr;

/// The longest expression, in bytes.
pub(super) const EXPRESSION_BYTES_MAX: usize = 255;
/// The longest name of a zone, in bytes. That of the longest there is has about thirty.
pub(super) const ZONE_BYTES_MAX: usize = 64;

/// An expression and the zone whose clocks it is about. Both are printable ASCII, and not empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct CronText {
    pub(super) expression: SmolStr,
    pub(super) zone: SmolStr,
}

impl CronText {
    /// With one space between two fields, so that expressions that say the same in the same words are equal. What cannot be
    /// such a text is named in the error.
    pub(super) fn new(expression: &str, zone: &str) -> Result<Self, super::InvalidRecurrence> {
        let single_spaced = expression.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        Ok(CronText {
            expression: text("cron expression", &single_spaced, EXPRESSION_BYTES_MAX)?,
            zone: text("name of the time zone", zone, ZONE_BYTES_MAX)?,
        })
    }
}

fn text(what: &'static str, text: &str, bytes_max: usize) -> Result<SmolStr, super::InvalidRecurrence> {
    let is_printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    if text.is_empty() || text.len() > bytes_max || !is_printable {
        return Err(super::InvalidRecurrence::Text { what, bytes_max });
    }
    Ok(text.into())
}
