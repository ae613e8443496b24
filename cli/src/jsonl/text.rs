//! Pieces of input in messages, kept short: a line may have a megabyte, a message may not.

use std::fmt;

/// A piece of input as a message shows it: quoted, escaped and cut.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Brief(String);

impl Brief {
    /// Of what is shown: one character of input may take ten.
    const BYTES_MAX: usize = 128;

    pub(crate) fn new(text: &str) -> Self {
        let (shown, more) = Self::cut(text);
        Brief(format!("{shown:?}{more}"))
    }

    /// A number, or another word that needs no escapes: not quoted.
    pub(super) fn number(text: &str) -> Self {
        let (shown, more) = Self::cut(text);
        Brief(format!("{}{more}", escaped(shown)))
    }

    fn cut(text: &str) -> (&str, &'static str) {
        let mut bytes = 0;
        for (at, c) in text.char_indices() {
            bytes += c.escape_debug().map(char::len_utf8).sum::<usize>();
            if bytes > Self::BYTES_MAX {
                return (&text[..at], "...");
            }
        }
        (text, "")
    }
}

impl fmt::Display for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Brief {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text, with characters escaped that would act on a terminal, or look like the end of a message.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() { escaped.extend(c.escape_debug()) } else { escaped.push(c) }
    }
    escaped
}

/// A message that may quote input of any length, with its middle cut out if it is long: its beginning says what is wrong, its
/// end what to do.
pub(crate) fn cut_middle(message: String) -> String {
    const HEAD: usize = 240;
    const TAIL: usize = 240;
    if message.len() <= HEAD + TAIL {
        return message;
    }
    let is_boundary = |at: &usize| message.is_char_boundary(*at);
    let head = (0..=HEAD).rev().find(is_boundary).unwrap_or(0);
    let tail = (message.len() - TAIL..message.len()).find(is_boundary).unwrap_or(message.len());
    format!("{} [...] {}", &message[..head], &message[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(Brief::new("a\"b").to_string(), r#""a\"b""#);
        let long = Brief::new(&"é".repeat(1_000_000)).to_string();
        assert!(long.len() < 150 && long.ends_with("\"..."), "{long}");
        for each in ["\u{1a}", "\u{e000}", "\u{10ffff}", "\"", "é", "😀"] {
            let long = each.repeat(1_000);
            let shown = [Brief::new(&long), Brief::number(&long)].map(|brief| brief.to_string());
            assert!(shown.iter().all(|shown| shown.len() < 150 && shown.ends_with("...")), "{shown:?}");
        }
        assert_eq!(cut_middle("short".into()), "short");
        let long = cut_middle(format!("begin {} end", "é".repeat(100_000)));
        assert!(long.len() < 500 && long.starts_with("begin") && long.ends_with("end"), "{long}");
    }
}
