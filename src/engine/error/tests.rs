//! That no error tells its cause twice, and that each says something.

use std::error::Error;
use std::path::Path;
use std::{fs, io};

use super::*;
use crate::engine::InvalidCursor;
use crate::partition::{PartitionId, ReplayError};
use crate::read::ReadError;

/// One of every kind that is made of another error, and some that are not.
fn samples() -> Vec<Box<dyn Error>> {
    let store = || StoreError::retry("Redis at 127.0.0.1:6379 does not answer");
    let json = || serde_json::from_str::<u8>("nothing").expect_err("it is no number");
    let misfit = || ReplayError::OutOfRange(u64::MAX);
    let change = Change::Unknown;
    let mut samples: Vec<Box<dyn Error>> = vec![
        Box::new(ScheduleError::InvalidKey(InvalidKey::Empty)),
        Box::new(ScheduleError::Refused(Refusal::NoSlot)),
        Box::new(ScheduleError::Encode(json())),
        Box::new(RescheduleError::InvalidKey(InvalidKey::Empty)),
        Box::new(RescheduleError::Refused(Refusal::NoSlot)),
        Box::new(CancelError::InvalidKey(InvalidKey::Empty)),
        Box::new(StartError::Queue(QueueError::Duplicate { name: "q".into() })),
        Box::new(StartError::Held(store())),
        Box::new(StartError::Store(store())),
        Box::new(StartError::Restore { partition: 1, error: misfit() }),
        Box::new(StartError::Thread(io::Error::other("no more threads"))),
        Box::new(ReadError::Store(store())),
        Box::new(ReadError::Misfit { partition: PartitionId(1), error: misfit() }),
        Box::new(InvalidCursor),
    ];
    let calls = || [CallError::NotDurable(store()), CallError::NotOwner { error: store(), change }];
    samples.extend(calls().into_iter().map(|call| Box::new(ScheduleError::Call(call)) as _));
    samples.extend(calls().into_iter().map(|call| Box::new(RescheduleError::Call(call)) as _));
    samples.extend(calls().into_iter().map(|call| Box::new(CancelError::Call(call)) as _));
    samples.extend(calls().into_iter().map(|call| Box::new(call) as _));
    samples
}

#[test]
fn no_error_tells_its_source_in_its_own_message() {
    let samples = samples();
    let mut sources = 0;
    for sample in &samples {
        let mut error: &dyn Error = &**sample;
        assert!(!error.to_string().is_empty(), "{error:?} says nothing");
        while let Some(source) = error.source() {
            let (message, cause) = (error.to_string(), source.to_string());
            assert!(!message.contains(&cause), "{error:?} tells its source: {message:?}");
            (error, sources) = (source, sources + 1);
        }
    }
    assert!(sources >= 3, "samples without sources show nothing");
}

/// What a message of an error kind puts in, and what the kind holds: `(attribute, fields)`.
fn kinds(code: &str) -> Vec<(&str, &str)> {
    let pieces = code.split("#[error(").skip(1);
    pieces
        .filter_map(|piece| piece.split_once(")]\n"))
        .map(|(attribute, rest)| {
            // Up to the next kind, the end of the enum, or the end of a struct.
            let end = ["\n    /// ", "\n    #[error", "\n}"].iter().filter_map(|end| rest.find(end)).min();
            (attribute, &rest[..end.unwrap_or(rest.len())])
        })
        .collect()
}

/// Whether a kind names a source that its message has too.
fn is_told_twice((attribute, fields): (&str, &str)) -> bool {
    let is_source = ["#[from]", "#[source]"].iter().any(|mark| fields.contains(mark));
    let puts_in = ["{0", "{error", "{source", "{cause"].iter().any(|name| attribute.contains(name));
    is_source && puts_in && !attribute.contains("transparent")
}

fn files(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(fs::read_to_string(&path));
        }
    }
}

/// Of all crates of the workspace, also kinds that nobody has thought to sample.
#[test]
fn no_kind_of_error_is_written_to_tell_its_source() {
    let twice = "#[error(\"it failed: {0}\")]\n    Store(#[from] StoreError),\n";
    let once = "#[error(\"it failed: {0}\")]\n    Store(StoreError),\n    /// Next.\n    #[error(\"b\")]\n    B(#[source] E),\n";
    assert!(kinds(twice).into_iter().any(is_told_twice));
    assert!(!kinds(once).into_iter().any(is_told_twice));

    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in ["src", "cli/src", "sim/src", "testkit/src"] {
        files(&root.join(folder), &mut sources);
    }
    // Tests may have errors as users write them.
    let shipped = sources.iter().map(|code| code.split("#[cfg(test)]\nmod tests {").next().unwrap_or(code));
    let shipped = shipped.filter(|code| !code.starts_with("//! That no error tells"));
    let all: Vec<_> = shipped.flat_map(kinds).collect();
    assert!(all.len() > 50, "only {} kinds of errors were found", all.len());
    let told_twice: Vec<_> = all.into_iter().filter(|kind| is_told_twice(*kind)).collect();
    assert!(told_twice.is_empty(), "{told_twice:#?}");
}
