//! What the engine of the demonstration did, as events: kept at once in a ledger of the same process, or written to a pipe that
//! a parent process reads.
//!
//! # Rules
//! - An event has 16 bytes and is written in one go, before whatever comes after it: a handler's start before the handler ends, an
//!   answer before the next one. Nothing is kept back in the process, so what happened before a SIGKILL is in the pipe.
//! - Only what was told counts. What a killed process had not told by then, it has promised to nobody.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use super::ledger::Ledger;

/// The bytes of an event.
pub(super) const BYTES: usize = 16;

/// Something that happened. Jobs are named by their number in the plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    /// The first sale opens at this instant.
    Begins { at_us: i64 },
    /// The engine has started, with so many jobs, after so long.
    Started { jobs: u32, took_us: i64 },
    /// A schedule is durable.
    Scheduled { n: u32, answer: Answer },
    /// All schedules were called.
    AllScheduled { took_us: i64 },
    /// All schedules are durable.
    AllAcknowledged { took_us: i64 },
    /// A move or a cancel is about to be called.
    Asks { n: u32 },
    /// A move is durable.
    Moved { n: u32, answer: Answer },
    /// A cancel is durable.
    CalledOff { n: u32, answer: Answer },
    /// A handler has begun, of a job that was moved or not.
    Fired { n: u32, at_us: i64, is_moved: bool },
    /// The store knows that a job has ended.
    Ended { n: u32 },
    /// How long the store takes to confirm a change: a percentile of it.
    CommitDelay { percentile: Percentile, us: i64 },
}

/// What a call did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// What was asked.
    Done,
    /// There is no such job, nor was one lately.
    NotFound,
    /// Something else, as when the job had fired already.
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Percentile {
    P50,
    P99,
    P999,
    Max,
}

/// Who is told.
#[derive(Clone, Debug)]
pub(super) enum Teller {
    Ledger(Arc<Ledger>),
    /// Standard output.
    Pipe(Arc<File>),
}

impl Teller {
    /// For a process whose standard output is read by its parent.
    pub(super) fn to_parent() -> io::Result<Self> {
        #[cfg(unix)]
        let output = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?;
        #[cfg(windows)]
        let output = std::os::windows::io::AsHandle::as_handle(&io::stdout()).try_clone_to_owned()?;
        Ok(Teller::Pipe(Arc::new(output.into())))
    }

    pub(super) fn tell(&self, told: Told) {
        match self {
            Teller::Ledger(ledger) => ledger.take(told),
            // If the parent is gone, the end of standard input says so.
            Teller::Pipe(pipe) => drop((&**pipe).write_all(&told.to_bytes())),
        }
    }
}

impl Told {
    fn to_bytes(self) -> [u8; BYTES] {
        let (kind, flag, n, value) = match self {
            Told::Begins { at_us } => (0, 0, 0, at_us),
            Told::Started { jobs, took_us } => (1, 0, jobs, took_us),
            Told::Scheduled { n, answer } => (2, answer.to_byte(), n, 0),
            Told::AllScheduled { took_us } => (3, 0, 0, took_us),
            Told::AllAcknowledged { took_us } => (4, 0, 0, took_us),
            Told::Asks { n } => (5, 0, n, 0),
            Told::Moved { n, answer } => (6, answer.to_byte(), n, 0),
            Told::CalledOff { n, answer } => (7, answer.to_byte(), n, 0),
            Told::Fired { n, at_us, is_moved } => (8, u8::from(is_moved), n, at_us),
            Told::Ended { n } => (9, 0, n, 0),
            Told::CommitDelay { percentile, us } => (10, percentile.to_byte(), 0, us),
        };
        let mut bytes = [0; BYTES];
        bytes[..2].copy_from_slice(&[kind, flag]);
        bytes[4..8].copy_from_slice(&n.to_le_bytes());
        bytes[8..].copy_from_slice(&i64::to_le_bytes(value));
        bytes
    }

    /// `None` for bytes that no process of this build writes.
    pub(super) fn from_bytes(bytes: &[u8; BYTES]) -> Option<Self> {
        let [kind, flag, _, _, n0, n1, n2, n3, value @ ..] = *bytes;
        let (n, value) = (u32::from_le_bytes([n0, n1, n2, n3]), i64::from_le_bytes(value));
        Some(match kind {
            0 => Told::Begins { at_us: value },
            1 => Told::Started { jobs: n, took_us: value },
            2 => Told::Scheduled { n, answer: Answer::from_byte(flag)? },
            3 => Told::AllScheduled { took_us: value },
            4 => Told::AllAcknowledged { took_us: value },
            5 => Told::Asks { n },
            6 => Told::Moved { n, answer: Answer::from_byte(flag)? },
            7 => Told::CalledOff { n, answer: Answer::from_byte(flag)? },
            8 => Told::Fired { n, at_us: value, is_moved: flag != 0 },
            9 => Told::Ended { n },
            10 => Told::CommitDelay { percentile: Percentile::from_byte(flag)?, us: value },
            _ => return None,
        })
    }
}

impl Answer {
    fn to_byte(self) -> u8 {
        match self {
            Answer::Done => 0,
            Answer::NotFound => 1,
            Answer::Other => 2,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [Answer::Done, Answer::NotFound, Answer::Other].into_iter().find(|answer| answer.to_byte() == byte)
    }
}

impl Percentile {
    pub(super) const ALL: [Percentile; 4] =
        [Percentile::P50, Percentile::P99, Percentile::P999, Percentile::Max];

    fn to_byte(self) -> u8 {
        match self {
            Percentile::P50 => 0,
            Percentile::P99 => 1,
            Percentile::P999 => 2,
            Percentile::Max => 3,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Percentile::ALL.into_iter().find(|percentile| percentile.to_byte() == byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let answers = [Answer::Done, Answer::NotFound, Answer::Other];
        let mut all = vec![
            Told::Begins { at_us: i64::MAX },
            Told::Started { jobs: u32::MAX, took_us: -1 },
            Told::AllScheduled { took_us: 7 },
            Told::AllAcknowledged { took_us: 8 },
            Told::Asks { n: 0x0102_0304 },
            Told::Fired { n: 5, at_us: i64::MIN, is_moved: true },
            Told::Fired { n: 6, at_us: 1, is_moved: false },
            Told::Ended { n: 9 },
        ];
        all.extend(answers.map(|answer| Told::Scheduled { n: 1, answer }));
        all.extend(answers.map(|answer| Told::Moved { n: 2, answer }));
        all.extend(answers.map(|answer| Told::CalledOff { n: 3, answer }));
        all.extend(Percentile::ALL.map(|percentile| Told::CommitDelay { percentile, us: 4 }));
        for told in all {
            assert_eq!(Told::from_bytes(&told.to_bytes()), Some(told));
        }
        let mut unknown = Told::Ended { n: 9 }.to_bytes();
        unknown[0] = 11;
        assert_eq!(Told::from_bytes(&unknown), None);
    }
}
