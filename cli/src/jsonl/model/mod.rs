//! Any bytes as the input of `run`, against what is known of it without its reader: where lines end, which fields a line
//! has, what a time means by the rules of RFC 3339 and of decimal numbers.
//!
//! For tests and fuzzing only, so that what one finds the other can replay.

mod fields;
mod lines;
mod ops;
mod times;

use super::input::{Line, Lines};

/// Reads `bytes` as lines, and each line as an operation and as a time. Panics where what was read is not what the line
/// says, does not come back after it was written, or is refused for a reason that it does not have.
pub fn run(bytes: &[u8]) {
    lines::check(bytes);
    let mut lines = Lines::new(bytes);
    while let Some(Line { text, .. }) = lines.next().expect("bytes can be read") {
        let Ok(text) = text else { continue };
        ops::check(text);
        times::check(text);
    }
}

/// A message stands on one line of a terminal, whatever it quotes.
fn check_message(message: &str) {
    assert!(!message.is_empty() && message.len() < 600, "{} bytes", message.len());
    assert!(!message.contains(char::is_control), "{message:?}");
}
