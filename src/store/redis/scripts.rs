//! The scripts, and how they are called.
//!
//! A script is called by its hash. A server that does not know it (after a restart, or SCRIPT FLUSH) gets its text
//! instead, and knows it from then on.
//!
//! # Rules
//! - A script touches keys of one partition only.
//! - A script may be sent again after its answer was lost: it does the same once more, or says that it is done.
//! - `fence.lua` is part of every script; its rules hold for all.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use redis::{Cmd, Pipeline, ServerErrorKind, Value};

use super::answer::Answer;
use super::connect::Connection;
use super::errors::Doing;
use super::link::Link;
use crate::store::{Grant, StoreError};

/// A script by name, text and hash.
#[derive(Debug)]
pub(super) struct Script {
    code: &'static str,
    sha: OnceLock<String>,
}

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(pub(super) static $name: Script =
            Script { code: concat!(include_str!("lua/fence.lua"), include_str!($file)), sha: OnceLock::new() };)*

        #[cfg(any(test, feature = "_sim"))]
        const ALL: &[(&str, &Script)] = &[$((stringify!($name), &$name)),*];
    };
}

scripts! {
    ACQUIRE = "lua/acquire.lua";
    APPEND = "lua/append.lua";
    BEGIN = "lua/begin.lua";
    CHECK = "lua/check.lua";
    CHUNK = "lua/chunk.lua";
    PUBLISH = "lua/publish.lua";
    RELEASE = "lua/release.lua";
    RENEW = "lua/renew.lua";
    SWEEP = "lua/sweep.lua";
    SYNC = "lua/sync.lua";
    TRIM = "lua/trim.lua";
}

/// The highest number that a script counts exactly, since its numbers are doubles.
pub(super) const NUMBER_MAX: u64 = 1 << 53;

/// A script with its keys and arguments. It may contain payloads, which are never printed.
pub(super) struct Call<'a> {
    script: &'static Script,
    keys: Vec<String>,
    args: Vec<Cow<'a, [u8]>>,
    is_countable: bool,
}

#[derive(Clone, Copy)]
enum By {
    Hash,
    Text,
}

impl Script {
    fn sha(&self) -> &str {
        self.sha.get_or_init(|| redis::Script::new(self.code).get_hash().to_owned())
    }
}

impl<'a> Call<'a> {
    /// A call on the keys of a partition, `:m` first. Arguments follow, the caller's owner and epoch first.
    pub(super) fn new(script: &'static Script, keys: Vec<String>) -> Self {
        Call { script, keys, args: Vec::new(), is_countable: true }
    }

    /// A call by the holder of a grant.
    pub(super) fn by(script: &'static Script, keys: Vec<String>, grant: &'a Grant) -> Self {
        Call::new(script, keys).text(grant.owner.as_str()).number(grant.epoch)
    }

    pub(super) fn text(self, text: &'a str) -> Self {
        self.bytes(text.as_bytes())
    }

    pub(super) fn number(mut self, number: u64) -> Self {
        self.is_countable &= number < NUMBER_MAX;
        self.args.push(Cow::Owned(number.to_string().into_bytes()));
        self
    }

    pub(super) fn flag(self, flag: bool) -> Self {
        self.number(flag.into())
    }

    pub(super) fn bytes(mut self, bytes: &'a [u8]) -> Self {
        self.args.push(Cow::Borrowed(bytes));
        self
    }

    fn command(&self, by: By) -> Cmd {
        let bytes =
            self.args.iter().map(|arg| arg.len()).sum::<usize>() + 64 * (self.args.len() + self.keys.len());
        let mut command = Cmd::with_capacity(3 + self.keys.len() + self.args.len(), bytes);
        match by {
            By::Hash => command.arg("EVALSHA").arg(self.script.sha()),
            By::Text => command.arg("EVAL").arg(self.script.code),
        };
        command.arg(self.keys.len()).arg(&self.keys);
        for arg in &self.args {
            command.arg(arg.as_ref());
        }
        command
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.is_countable {
            return Ok(());
        }
        Err(StoreError::fatal(
            "a sequence or an epoch is past 2^53, which no partition gets to; nothing was sent",
        ))
    }
}

/// Runs a script. Also returns the connection, for what its server said about itself.
pub(super) async fn run(
    link: &Link,
    call: &Call<'_>,
    doing: Doing<'_>,
) -> Result<(Answer, Arc<Connection>), StoreError> {
    call.check()?;
    let connection = link.connection().await?;
    let mut answer = link.send(&connection, &call.command(By::Hash), doing).await?;
    if is_unknown(&answer) {
        answer = link.send(&connection, &call.command(By::Text), doing).await?;
    }
    Ok((Answer::new(link.checked(&connection, answer, doing)?), connection))
}

/// Runs scripts in a pipeline, in one round trip. Returns one answer for each, in order.
pub(super) async fn run_all(
    link: &Link,
    calls: &[Call<'_>],
    doing: Doing<'_>,
) -> Result<Vec<Result<Answer, StoreError>>, StoreError> {
    calls.iter().try_for_each(Call::check)?;
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let connection = link.connection().await?;
    let answers = run_on(link, &connection, calls, doing).await?;
    let checked = |answer| link.checked(&connection, answer, doing).map(Answer::new);
    Ok(answers.into_iter().map(checked).collect())
}

/// The same, on a given connection. Errors from the server are still in the answers.
pub(super) async fn run_on(
    link: &Link,
    connection: &Arc<Connection>,
    calls: &[Call<'_>],
    doing: Doing<'_>,
) -> Result<Vec<Value>, StoreError> {
    let mut commands = Pipeline::with_capacity(calls.len());
    for call in calls {
        commands.add_command(call.command(By::Hash));
    }
    let mut answers = link.send_all(connection, &commands, doing).await?;
    for (answer, call) in answers.iter_mut().zip(calls) {
        if is_unknown(answer) {
            *answer = link.send(connection, &call.command(By::Text), doing).await?;
        }
    }
    Ok(answers)
}

/// The name of the script with this text.
#[cfg(feature = "_sim")]
pub(crate) fn script_name(code: &str) -> Option<&'static str> {
    ALL.iter().find(|(_, script)| script.code == code).map(|(name, _)| *name)
}

fn is_unknown(answer: &Value) -> bool {
    match answer {
        Value::ServerError(error) => error.kind() == Some(ServerErrorKind::NoScript),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_short_and_fenced() {
        for (name, script) in ALL {
            let lines = script.code.lines().count();
            assert!(lines < 160, "{name} has {lines} lines");
            let is_fenced = script.code.matches("fence(").count() >= 2;
            assert!(is_fenced || *name == "ACQUIRE", "{name}");
        }
    }

    #[test]
    fn numbers_that_lua_cannot_count_are_not_sent() {
        assert!(Call::new(&APPEND, Vec::new()).number(NUMBER_MAX - 1).check().is_ok());
        assert!(Call::new(&APPEND, Vec::new()).number(NUMBER_MAX).check().is_err());
    }
}
