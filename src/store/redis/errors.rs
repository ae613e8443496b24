//! Errors of Redis, by what an engine does about them.
//!
//! | what | class | connection |
//! | --- | --- | --- |
//! | no connection, connection lost, no answer in time, an answer that is not RESP | `Retry` | dropped |
//! | `LOADING`, `MASTERDOWN`, `CLUSTERDOWN`, `TRYAGAIN`, `BUSY`, `NOSCRIPT` | `Retry` | kept |
//! | `ERR max number of clients reached` | `Retry` | dropped |
//! | `READONLY` | `Refused` | dropped: another master may be behind the name by now |
//! | `NOAUTH`, `WRONGPASS`, `DENIED` | `Refused` | dropped |
//! | `OOM`, `MISCONF`, `NOREPLICAS`, `NOPERM` | `Refused`; all but the last may pass by themselves | kept |
//! | `MOVED`, `ASK`, `CROSSSLOT`: a node of a cluster | `Refused` | dropped |
//! | anything unknown | `Refused` | kept |
//! | `WRONGTYPE` | `Fatal` | kept |
//!
//! The answers of our scripts (fenced, behind, held, foreign keys) are not errors of Redis: see `answer`.
//!
//! # Traps
//! - `OOM`, `MISCONF`, `NOREPLICAS` and `BUSY` are not error kinds of the `redis` crate, only codes.
//! - An error inside a script comes with the script's hash and line behind it; up to Redis 6.2 in front, under the code
//!   `ERR`. A command that the user may not run is `ERR` there, not `NOPERM`.
//! - `ERR unknown command` repeats the arguments, which may be a password or a job's payload. They are cut off.

use std::fmt;
use std::time::Duration;

use redis::{ErrorKind, RedisError};

use crate::chain::Chain;
use crate::store::{StoreError, StoreErrorClass};

/// An error of Redis, and what it means for the connection.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: StoreError,
    /// Whether the connection is useless now.
    pub(super) drops_connection: bool,
}

/// What was being done, for the message of an error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doing<'a> {
    what: &'static str,
    key: &'a str,
    command: &'a str,
}

/// What to do about an error, and how to describe it.
struct Verdict {
    class: StoreErrorClass,
    drops_connection: bool,
    /// Whether the server says that it will pass, or a refusal may pass.
    passes: bool,
    says: &'static str,
}

/// When it is worth asking again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

impl<'a> Doing<'a> {
    /// Something with a key.
    pub(super) fn with(what: &'static str, key: &'a str) -> Self {
        Doing { what, key, command: "" }
    }

    /// Something with more than one.
    pub(super) fn plain(what: &'static str) -> Self {
        Doing { what, key: "", command: "" }
    }

    /// The command, where there are several. It contains no secret argument.
    pub(super) fn by(self, command: &'a str) -> Self {
        Doing { command, ..self }
    }
}

impl fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        if !self.key.is_empty() {
            write!(f, " `{}`", self.key)?;
        }
        if self.command.is_empty() { Ok(()) } else { write!(f, ": {}", self.command) }
    }
}

const fn keep(class: StoreErrorClass, says: &'static str) -> Verdict {
    Verdict { class, drops_connection: false, passes: false, says }
}

const fn drop(class: StoreErrorClass, says: &'static str) -> Verdict {
    Verdict { class, drops_connection: true, passes: false, says }
}

const fn passing(verdict: Verdict) -> Verdict {
    Verdict { passes: true, ..verdict }
}

/// Says what to do about an error that came up while `doing`.
pub(super) fn classify(error: &RedisError, doing: Doing<'_>) -> Failure {
    let (verdict, said) = match error.kind() {
        ErrorKind::Io if error.is_timeout() => {
            (drop(StoreErrorClass::Retry, "Redis did not answer in time"), String::new())
        }
        ErrorKind::Io => {
            (drop(StoreErrorClass::Retry, "there is no connection to Redis"), Chain(error).to_string())
        }
        ErrorKind::Parse => (
            drop(StoreErrorClass::Retry, "what answers is not Redis, or does not speak as it should"),
            String::new(),
        ),
        _ => judge(error),
    };
    let said = if said.is_empty() { said } else { format!(" ({said})") };
    let mut error = StoreError::new(verdict.class, format!("{doing}: {}{said}", verdict.says));
    error.again_after = verdict.passes.then_some(AGAIN_AFTER);
    Failure { error, drops_connection: verdict.drops_connection }
}

/// An error that the server returned.
fn judge(error: &RedisError) -> (Verdict, String) {
    let detail = error.detail().unwrap_or_default();
    let (code, detail) = match error.code() {
        Some("ERR") => unwrapped(detail).unwrap_or(("ERR", detail)),
        Some(code) => (code, detail),
        // The client's own, which have no code.
        None => return (keep(StoreErrorClass::Refused, UNKNOWN), error.category().to_owned()),
    };
    let detail = harmless(detail);
    let verdict = by_code(code).unwrap_or_else(|| by_words(&detail));
    (verdict, format!("{code} {detail}"))
}

const UNKNOWN: &str = "Redis answered with an error that is not known here";

fn by_code(code: &str) -> Option<Verdict> {
    use StoreErrorClass::{Fatal, Refused, Retry};
    Some(match code {
        "LOADING" => passing(keep(Retry, "Redis is still loading its data")),
        "MASTERDOWN" => keep(Retry, "the replica has lost its master"),
        "CLUSTERDOWN" | "TRYAGAIN" => keep(Retry, "the cluster is not ready"),
        "BUSY" => keep(Retry, "Redis is busy with a script"),
        "NOSCRIPT" => keep(Retry, "Redis has forgotten a script"),
        "READONLY" => {
            drop(Refused, "Redis is a replica, which takes no writes: connect to the master, or promote it")
        }
        "NOAUTH" => drop(Refused, "Redis asks for a password: put one into the address"),
        "WRONGPASS" => drop(Refused, "Redis does not take the user or the password"),
        "DENIED" => drop(Refused, "Redis takes no connections from elsewhere: see its `protected-mode`"),
        "NOPERM" => keep(Refused, "the user may not do this: allow it with ACL SETUSER"),
        "OOM" => passing(keep(
            Refused,
            "Redis is at its maxmemory and takes no writes: raise `maxmemory`, or give memory back",
        )),
        "MISCONF" => passing(keep(
            Refused,
            "Redis cannot write its disk and takes no writes: see its log, and the space on its disk",
        )),
        "NOREPLICAS" => {
            passing(keep(Refused, "Redis misses replicas and takes no writes: see `min-replicas-to-write`"))
        }
        "MOVED" | "ASK" | "CROSSSLOT" => drop(
            Refused,
            "this Redis is a node of a cluster, which Reveille does not speak to yet: use a single server",
        ),
        "WRONGTYPE" => {
            keep(Fatal, "a key of Reveille holds something else: give Reveille a namespace of its own")
        }
        _ => return None,
    })
}

fn by_words(detail: &str) -> Verdict {
    use StoreErrorClass::{Refused, Retry};
    if detail.starts_with("max number of clients") {
        drop(Retry, "Redis has all the connections that it takes: raise its `maxclients`")
    } else if detail.starts_with("DB index is out of range") || detail.starts_with("invalid DB index") {
        keep(Refused, "the server has no database of this number: name another, or raise its `databases`")
    } else if detail.starts_with("SELECT is not allowed in cluster mode") {
        keep(
            Refused,
            "this Redis is a node of a cluster, which Reveille does not speak to yet: use a single server",
        )
    } else if detail.starts_with("unknown command") || detail.starts_with("Unknown Redis command") {
        keep(Refused, "this Redis, or a proxy in front of it, lacks a command that Reveille needs")
    } else {
        keep(Refused, UNKNOWN)
    }
}

/// The code and detail of an error that was raised inside a script, where they are not at the front.
fn unwrapped(detail: &str) -> Option<(&str, &str)> {
    if detail.starts_with("The user executing the script can't") {
        return Some(("NOPERM", detail));
    }
    // Up to 6.2: Error running script (call to f_…): @user_script:7: @user_script: 7: -OOM command not allowed …
    let (_, inner) = detail.strip_prefix("Error running script")?.split_once(": -")?;
    inner.split_once(' ')
}

/// Without arguments that the server repeats, and without a script's hash.
pub(super) fn harmless(detail: &str) -> String {
    const CHARS_MAX: usize = 200;
    let ends = [", with args beginning with", " script: ", "\n", "\r"];
    let end = ends.iter().filter_map(|end| detail.find(end)).min().unwrap_or(detail.len());
    detail[..end].chars().take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn told(line: &str) -> Failure {
        let (code, detail) = line.split_once(' ').unwrap();
        let value = redis::parse_redis_value(format!("-{code} {detail}\r\n").as_bytes()).unwrap();
        classify(&value.extract_error().unwrap_err(), Doing::plain("test"))
    }

    #[test]
    fn every_code_has_its_class() {
        use StoreErrorClass::{Fatal, Refused, Retry};
        for (line, class, drops) in [
            ("LOADING Redis is loading the dataset in memory", Retry, false),
            ("MASTERDOWN Link with MASTER is down", Retry, false),
            ("CLUSTERDOWN The cluster is down", Retry, false),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Retry, false),
            ("BUSY Redis is busy running a script.", Retry, false),
            ("NOSCRIPT No matching script.", Retry, false),
            ("ERR max number of clients reached", Retry, true),
            ("READONLY You can't write against a read only replica.", Refused, true),
            ("NOAUTH Authentication required.", Refused, true),
            ("WRONGPASS invalid username-password pair or user is disabled.", Refused, true),
            ("DENIED Redis is running in protected mode", Refused, true),
            ("NOPERM this user has no permissions to run the 'xadd' command", Refused, false),
            ("OOM command not allowed when used memory > 'maxmemory'.", Refused, false),
            ("MISCONF Redis is configured to save RDB snapshots", Refused, false),
            ("NOREPLICAS Not enough good replicas to write.", Refused, false),
            ("MOVED 3999 127.0.0.1:6381", Refused, true),
            ("ASK 3999 127.0.0.1:6381", Refused, true),
            ("CROSSSLOT Keys in request don't hash to the same slot", Refused, true),
            ("ERR DB index is out of range", Refused, false),
            ("ERR something new", Refused, false),
            ("NEWCODE something new", Refused, false),
            ("ERR unknown command 'EVALSHA', with args beginning with: 'secret' ", Refused, false),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", Fatal, false),
        ] {
            let failure = told(line);
            assert_eq!((failure.error.class, failure.drops_connection), (class, drops), "{line}");
            assert!(failure.error.to_string().starts_with("test: "), "{}", failure.error);
        }
    }

    #[test]
    fn an_error_inside_a_script_has_the_same_class() {
        for line in [
            "OOM command not allowed when used memory > 'maxmemory'. script: 8651, on @user_script:1.",
            "ERR Error running script (call to f_86): @user_script:1: @user_script: 1: -OOM command not allowed",
            "ERR The user executing the script can't run this command or subcommand script: 53fd, on @user_script:1.",
        ] {
            let failure = told(line);
            assert_eq!(failure.error.class, StoreErrorClass::Refused, "{line}");
            assert!(!failure.error.to_string().contains("script: "), "{}", failure.error);
            assert!(!failure.error.to_string().contains(UNKNOWN), "{}", failure.error);
        }
    }

    #[test]
    fn what_happens_to_a_connection_is_tried_again_on_a_new_one() {
        let errors = [
            RedisError::from(io::Error::from(io::ErrorKind::ConnectionRefused)),
            RedisError::from(io::Error::from(io::ErrorKind::BrokenPipe)),
            RedisError::from(io::Error::from(io::ErrorKind::TimedOut)),
            RedisError::from(io::Error::other("certificate")),
            redis::parse_redis_value(b"HTTP/1.1 400 Bad Request\r\n").unwrap_err(),
        ];
        for error in errors {
            let failure = classify(&error, Doing::plain("test"));
            let of = (failure.error.class, failure.drops_connection);
            assert_eq!(of, (StoreErrorClass::Retry, true), "{error}");
        }
    }

    #[test]
    fn arguments_that_the_server_repeats_are_cut_off() {
        let failure = told("ERR unknown command 'AUTH', with args beginning with: 'bob' 'hunter2' ");
        assert!(!failure.error.to_string().contains("hunter2"), "{}", failure.error);
    }
}
