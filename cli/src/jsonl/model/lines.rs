//! The lines of an input, all at once.

use std::io::BufReader;

use crate::jsonl::input::{Fault, Line, Lines};

/// Few, so that lines are too long with little input.
const LINE_BYTES_MAX: usize = 100;

pub(super) fn check(bytes: &[u8]) {
    // A small buffer, so that lines come in pieces.
    let input = BufReader::with_capacity(7, bytes);
    let mut lines = Lines::with_line_bytes_max(input, LINE_BYTES_MAX);
    for expected in expected(bytes) {
        let line = lines.next().expect("bytes can be read");
        assert_eq!(line, Some(expected));
        if let Some(Line { text: Err(fault), .. }) = line {
            super::check_message(&fault.to_string());
        }
    }
    assert_eq!(lines.next().expect("bytes can be read"), None);
}

fn expected(bytes: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    bytes.split(|&byte| byte == b'\n').zip(1..).filter_map(|(line, number)| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let text = match std::str::from_utf8(line) {
            _ if line.len() > LINE_BYTES_MAX => Err(Fault::TooLong),
            Err(error) => Err(Fault::NotUtf8 { at: error.valid_up_to() + 1 }),
            Ok(text) => Ok(text.trim_ascii()),
        };
        (text != Ok("")).then_some(Line { number, text })
    })
}
