//! Input, line by line, in bounded memory.
//!
//! # Rules
//! - Every line counts, blank ones too, so that a line number means what an editor shows.
//! - A line that cannot be an operation (too long, not UTF-8) is a [`Fault`] of its own, and reading goes on with the next.
//!   Of a line that is too long, hardly more than the limit is ever held in memory.
//! - Lines end with LF or CRLF; the last one need not end at all. A byte order mark before the first is skipped.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The longest line, in bytes without its end and without a byte order mark. Sixteen times the largest payload that an engine takes by default.
pub(crate) const LINE_BYTES_MAX: usize = 1024 * 1024;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// CRLF.
const LINE_END_BYTES_MAX: usize = 2;

/// Where lines come from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    Stdin,
    File(PathBuf),
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        if path == Path::new("-") { Source::Stdin } else { Source::File(path.to_owned()) }
    }
}

/// Until when a named pipe is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pipes {
    /// For ever, while writers come and go.
    Stay,
    /// Until its last writer has closed it.
    End,
}

impl Source {
    /// Whether it is a named pipe.
    pub(crate) fn is_named_pipe(&self) -> bool {
        match self {
            Source::Stdin => false,
            #[cfg(unix)]
            Source::File(path) => super::pipe::is_at(path),
            #[cfg(not(unix))]
            Source::File(_) => false,
        }
    }

    /// Opens it, without waiting for a writer. A directory could be opened, but not read, so it is refused here.
    pub(crate) fn open(&self, pipes: Pipes) -> io::Result<Box<dyn BufRead + Send>> {
        match self {
            Source::Stdin => Ok(buffered(io::stdin())),
            Source::File(path) if self.is_named_pipe() => open_pipe(path, pipes),
            Source::File(path) => {
                let file = File::open(path)?;
                if file.metadata()?.is_dir() {
                    return Err(io::ErrorKind::IsADirectory.into());
                }
                Ok(buffered(file))
            }
        }
    }
}

#[cfg(unix)]
fn open_pipe(path: &Path, pipes: Pipes) -> io::Result<Box<dyn BufRead + Send>> {
    match pipes {
        Pipes::Stay => super::pipe::open_to_stay(path).map(buffered),
        Pipes::End => super::pipe::UntilLastWriter::open(path).map(buffered),
    }
}

#[cfg(not(unix))]
fn open_pipe(path: &Path, _: Pipes) -> io::Result<Box<dyn BufRead + Send>> {
    File::open(path).map(buffered)
}

fn buffered<R: Read + Send + 'static>(input: R) -> Box<dyn BufRead + Send> {
    const BUFFER_BYTES: usize = 64 * 1024;
    Box::new(BufReader::with_capacity(BUFFER_BYTES, input))
}

/// Why a line is not text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(
        "the line is longer than {LINE_BYTES_MAX} bytes and was skipped; split it, or store the payload elsewhere"
    )]
    TooLong,
    #[error("the line is not UTF-8 (at byte {at}); encode it as such")]
    NotUtf8 {
        /// Counted from 1.
        at: usize,
    },
}

/// A line that is not blank.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Line<'a> {
    /// Counted from 1.
    pub(crate) number: u64,
    pub(crate) text: Result<&'a str, Fault>,
}

/// Reads lines.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    number: u64,
    line_bytes_max: usize,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Lines::with_line_bytes_max(input, LINE_BYTES_MAX)
    }

    /// With another limit, for tests with little input. The message for a line that is too long shows the usual limit.
    pub(super) fn with_line_bytes_max(input: R, line_bytes_max: usize) -> Self {
        Lines { input, buffer: Vec::new(), number: 0, line_bytes_max }
    }

    /// The next line that is not blank; `None` at the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            if !self.read()? {
                return Ok(None);
            }
            if !self.is_blank() {
                break;
            }
        }
        let number = self.number;
        if self.is_too_long() {
            self.skip_rest()?;
            return Ok(Some(Line { number, text: Err(Fault::TooLong) }));
        }
        let text = std::str::from_utf8(self.content());
        let text = text.map_err(|error| Fault::NotUtf8 { at: error.valid_up_to() + 1 });
        Ok(Some(Line { number, text: text.map(str::trim_ascii) }))
    }

    /// Reads a line with its end, or enough of it to see that it is too long. Returns whether there was one.
    fn read(&mut self) -> io::Result<bool> {
        self.buffer.clear();
        let at_most = BYTE_ORDER_MARK.len() + self.line_bytes_max + LINE_END_BYTES_MAX + 1;
        let bytes = self.input.by_ref().take(at_most as u64).read_until(b'\n', &mut self.buffer)?;
        self.number += u64::from(bytes > 0);
        Ok(bytes > 0)
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        if self.buffer.last() != Some(&b'\n') {
            self.input.skip_until(b'\n')?;
        }
        Ok(())
    }

    /// The line, without a byte order mark and without its end.
    fn content(&self) -> &[u8] {
        let mark = if self.number == 1 { BYTE_ORDER_MARK } else { b"" };
        let content = self.buffer.strip_prefix(mark).unwrap_or(&self.buffer);
        let content = content.strip_suffix(b"\n").unwrap_or(content);
        content.strip_suffix(b"\r").unwrap_or(content)
    }

    fn is_blank(&self) -> bool {
        !self.is_too_long() && self.content().trim_ascii().is_empty()
    }

    fn is_too_long(&self) -> bool {
        self.content().len() > self.line_bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> Vec<(u64, Result<String, Fault>)> {
        // A small buffer, so that lines come in pieces.
        let mut lines = Lines::new(BufReader::with_capacity(7, input));
        let mut all = Vec::new();
        while let Some(Line { number, text }) = lines.next().unwrap() {
            all.push((number, text.map(str::to_owned)));
        }
        all
    }

    fn text(text: &str) -> Result<String, Fault> {
        Ok(text.to_owned())
    }

    #[test]
    fn lines_are_counted_and_blank_ones_skipped() {
        assert_eq!(read(b""), []);
        assert_eq!(read(b"\n \r\n\t\n"), []);
        assert_eq!(read(b"a\n\n  \nb\r\nc"), [(1, text("a")), (4, text("b")), (5, text("c"))]);
    }

    #[test]
    fn a_byte_order_mark_is_skipped_at_the_beginning_only() {
        assert_eq!(read(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n"), [(1, text("a")), (2, text("\u{feff}b"))]);
    }

    #[test]
    fn a_line_that_is_no_text_is_a_fault_of_its_own() {
        assert_eq!(read(b"ab\xffc\nd\n"), [(1, Err(Fault::NotUtf8 { at: 3 })), (2, text("d"))]);
    }

    #[test]
    fn a_line_has_up_to_the_limit() {
        let longest = "x".repeat(LINE_BYTES_MAX);
        let input = format!("{longest}\n{longest}y\n{longest}yz\nb\n{longest}y");
        let too_long = || Err(Fault::TooLong);
        let expected = [(1, Ok(longest)), (2, too_long()), (3, too_long()), (4, text("b")), (5, too_long())];
        assert!(read(input.as_bytes()) == expected);
    }

    #[test]
    fn neither_its_end_nor_a_byte_order_mark_makes_a_line_longer() {
        let longest = "x".repeat(LINE_BYTES_MAX);
        let input = format!("\u{feff}{longest}\r\n{longest}\r\n{longest}y\r\nb\r\n");
        let expected = [(1, Ok(longest.clone())), (2, Ok(longest)), (3, Err(Fault::TooLong)), (4, text("b"))];
        assert!(read(input.as_bytes()) == expected);
    }
}
