//! A server that gets what the simulated one gets: the same commands at the same times, the same crashes with the same
//! loss. The engines get its answers, which have to be the same as the simulated server's.

use std::collections::BTreeMap;

use redis::Value;

use super::commands::Mode;
use super::db::Held;

/// The name of the check that fails if the two differ.
pub(super) const PROMISE: &str = "the simulated server is as a real one";

/// Another server.
///
/// `changes` counts the changes of the data since the beginning; a crash names what it loses by this count.
pub trait Twin: Send {
    /// Answers to a command. `code` is the text of the script that it calls, if it calls one.
    fn answer(&mut self, asked: &Asked, code: Option<&str>) -> Value;

    /// It crashes, comes back, and has lost everything after the first `changes`.
    fn restart(&mut self, changes: u64);

    /// It forgets everything, and for good.
    fn flush(&mut self, changes: u64);

    /// How its keys differ from these, if they do.
    fn differs(&mut self, keys: &BTreeMap<Vec<u8>, Held>) -> Option<String>;
}

/// A command.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its words.
    pub args: Vec<Vec<u8>>,
    /// What the server's clock shows.
    pub clock_us: u64,
    /// What keeps it from running.
    pub mode: Mode,
    /// The changes so far, with those of this command.
    pub changes: u64,
}

/// The answer for an engine, and how it is wrong.
pub(super) fn ask(
    twin: &mut dyn Twin,
    asked: &Asked,
    texts: &BTreeMap<String, String>,
    answer: Value,
) -> (Value, Option<String>) {
    if !is_asked(asked, &answer) {
        return (answer, None);
    }
    let code = code(&asked.args, texts);
    let said = twin.answer(asked, code);
    // How many entries `XTRIM ~` removes, and so how many are left, is up to the server; in the end all must be
    // gone.
    let is_trim = code.is_some_and(|code| code.contains("XTRIM") || code.contains("XLEN"));
    if is_trim || is_same(&answer, &said) {
        return (said, None);
    }
    let words: Vec<_> = asked.args.iter().map(|arg| String::from_utf8_lossy(arg)).collect();
    let broken = format!("{words:?}: {answer:?}, and its twin {said:?}");
    (said, Some(broken))
}

fn code<'a>(args: &'a [Vec<u8>], texts: &'a BTreeMap<String, String>) -> Option<&'a str> {
    let body = std::str::from_utf8(args.get(1)?).ok()?;
    match args[0].to_ascii_uppercase().as_slice() {
        b"EVAL" => Some(body),
        b"EVALSHA" => texts.get(body).map(String::as_str),
        _ => None,
    }
}

fn is_asked(asked: &Asked, answer: &Value) -> bool {
    let name = asked.args[0].to_ascii_uppercase();
    let is_about_the_server = matches!(
        name.as_slice(),
        b"PING" | b"INFO" | b"CONFIG" | b"CLIENT" | b"COMMAND" | b"TIME" | b"WAIT" | b"WAITAOF"
    );
    // Which scripts the twin knows may differ.
    let is_unknown = matches!(answer, Value::ServerError(error) if error.code() == "NOSCRIPT");
    // A server in these states refuses everything; a real one is hard to bring there.
    let is_away = matches!(asked.mode, Mode::Loading | Mode::Busy | Mode::TryAgain);
    !is_about_the_server && !is_unknown && !is_away
}

/// Errors by their code, which is what the client looks at; a real server adds the place in the script.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::ServerError(one), Value::ServerError(other)) => one.code() == other.code(),
        (one, other) => one == other,
    }
}
