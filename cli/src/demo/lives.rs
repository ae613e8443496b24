//! The morning in a child process that is killed in the middle and started again: the parent's side.
//!
//! ```text
//!  parent                                       child, first life         child, second life
//!  starts it ─────────────────────────────────> schedules, fires
//!  reads what it tells, to the last byte <────── answers, starts
//!  SIGKILL ────────────────────────────────────> X
//!  starts it again, says how far it had come ──────────────────────────> restores, goes on
//!  reads, and judges both lives by the plan <─────────────────────────── answers, starts
//! ```
//!
//! # Rules
//! - The child dies with the parent, whatever ends that: the end of its standard input tells it. So does the demonstration's
//!   folder.
//! - Only what the child has told is held against it, and all of that.

use std::io::{self, Read};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use reveille::Clock;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::child::{self, Before, Life};
use super::ledger::{Ledger, Started};
use super::plan::Plan;
use super::progress::Progress;
use super::report::{Crash, Kept, Report};
use super::told::{self, Told};
use super::{Args, Error, Failure, NAMESPACE, kept};
use crate::signal;
use crate::signal::Signal;
use crate::store::Named;

/// When the kill comes, in milliseconds after the first sale: while some jobs fire and others are moved and called off. Only
/// chance knows it better, so that no engine can be ready for it.
const KILL_MS: std::ops::Range<i64> = 3_500..5_500;

/// How long a child may take to leave nothing behind, once nobody asks for its morning any more.
const PATIENCE_MS: u64 = 10_000;

/// Between two looks at what the child has told. A pipe holds more than it can tell in that time.
const READ_EVERY: Duration = Duration::from_millis(1);

/// Where the jobs are kept.
#[derive(Debug)]
struct Place {
    named: Named,
    /// Removed with this value.
    own: Option<TempDir>,
}

/// A child process. Ended when dropped.
#[derive(Debug)]
struct Living {
    child: Child,
    /// Its lifeline.
    stdin: Option<ChildStdin>,
    /// Resolves when all it has told is in the ledger, and it will tell nothing more.
    told: oneshot::Receiver<io::Result<()>>,
}

pub(super) async fn show(args: &Args, plan: Arc<Plan>) -> Result<Report, Failure> {
    let mut signal = signal::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let place = Place::of(args)?;
    let ledger = Arc::new(Ledger::new(plan));
    let mut first = Living::start(place.life(None), &ledger)?;
    let progress = Progress::start(Arc::clone(&ledger), args.jobs);
    tokio::select! {
        biased;
        Ok(signal) = &mut signal => return Err(place.stop(first, signal).await),
        () = until_kill(&ledger, args.jobs) => {}
        status = first.ended() => return Err(ended_too_soon(status, &ledger)),
    }
    let mut crash = first.kill(&ledger).await.map_err(Failure::BrokeOff)?;
    progress.say(crash);

    let before = {
        let mut book = ledger.book();
        book.next_life();
        Before { begin_us: book.begin_us().unwrap_or_default(), answered: book.counts.answered }
    };
    let mut second = Living::start(place.life(Some(before)), &ledger)?;
    let restored = async {
        crash.restored(until_started(&ledger).await);
        progress.say(crash.restore());
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        Ok(signal) = &mut signal => return Err(place.stop(second, signal).await),
        status = second.ended() => went_well(status).map_err(Failure::BrokeOff)?,
        () = restored => {}
    }
    drop(progress);
    let pending = kept::pending(&place.named).await?;
    let book = ledger.book();
    if let Some(started) = book.started() {
        crash.restored(started);
    }
    Ok(Report::of(&book, Some(Kept::of(&book, pending)), Some(crash)))
}

impl Place {
    fn of(args: &Args) -> Result<Self, String> {
        if let Some(named) = args.named()? {
            return Ok(Place { named, own: None });
        }
        let own = tempfile::Builder::new().prefix("reveille-demo-").tempdir();
        let own = own.map_err(|error| format!("cannot make a temporary folder: {error}"))?;
        Ok(Place { named: Named::own(own.path(), NAMESPACE)?, own: Some(own) })
    }

    fn life(&self, before: Option<Before>) -> Life {
        Life { folder: self.own.as_ref().map(|own| own.path().to_owned()), before }
    }

    /// Ends it all before its time, and leaves nothing behind.
    async fn stop(self, mut living: Living, signal: Signal) -> Failure {
        let called_off = match &self.own {
            // The folder goes with the jobs.
            Some(_) => living.child.kill().map_err(Error::from),
            None => {
                living.stdin = None;
                living.ended().await.and_then(|status| went_well(Ok(status)))
            }
        };
        Failure::BrokeOff(match called_off {
            Ok(()) => format!("stopped by {signal}; all jobs were called off").into(),
            Err(error) => {
                format!("stopped by {signal}, and the jobs could not be called off: {error}").into()
            }
        })
    }
}

impl Living {
    /// Starts this program again, with the same arguments, for one life.
    fn start(life: Life, ledger: &Arc<Ledger>) -> Result<Self, String> {
        let cannot = |error: &dyn std::fmt::Display| format!("cannot start a process for the jobs: {error}");
        let program = std::env::current_exe().map_err(|error| cannot(&error))?;
        let life = serde_json::to_string(&life).map_err(|error| cannot(&error))?;
        let mut child = Command::new(program)
            .args(std::env::args_os().skip(1))
            .env(child::VARIABLE, life)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| cannot(&error))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (sender, told) = oneshot::channel();
        let living = Living { child, stdin, told };
        let stdout = stdout.ok_or_else(|| cannot(&"it has no output"))?;
        let ledger = Arc::clone(ledger);
        let reading = thread::Builder::new().name("reveille-told".into()).spawn(move || {
            let _ = sender.send(read_all(stdout, &ledger));
        });
        match reading {
            Ok(_) => Ok(living),
            Err(error) => Err(cannot(&error)),
        }
    }

    /// Waits until it has ended, and all that it told is in the ledger.
    async fn ended(&mut self) -> Result<ExitStatus, Error> {
        (&mut self.told).await??;
        Ok(self.child.wait()?)
    }

    /// Kills it in the middle of its work.
    async fn kill(mut self, ledger: &Ledger) -> Result<Crash, Error> {
        self.child.kill()?;
        let at = Clock::System.now().wall;
        let status = self.ended().await?;
        if status.code().is_some() && cfg!(unix) {
            return Err(format!("the first process ended by itself, with {status}").into());
        }
        Ok(Crash::at(at, &ledger.book()))
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        // Asked first, so that it leaves nothing behind. One that has ended is not there to be asked or killed.
        self.stdin = None;
        for _ in 0..PATIENCE_MS {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(1));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads to the end. What a killed process had begun to write is cut off.
fn read_all(mut from: ChildStdout, ledger: &Ledger) -> io::Result<()> {
    let (mut buffer, mut filled) = (vec![0; 64 * 1024], 0);
    loop {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => return Ok(()),
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        let (events, rest) = buffer[..filled].as_chunks::<{ told::BYTES }>();
        let mut book = ledger.book();
        for event in events {
            let told = Told::from_bytes(event);
            book.take(told.ok_or_else(|| io::Error::other("the process tells what nobody understands"))?);
        }
        drop(book);
        let (from, left) = (filled - rest.len(), rest.len());
        buffer.copy_within(from..filled, 0);
        filled = left;
        thread::sleep(READ_EVERY);
    }
}

/// Resolves in the middle of the morning, once everything is acknowledged.
async fn until_kill(ledger: &Ledger, jobs: u32) {
    let kill_us = 1_000 * fastrand::i64(KILL_MS);
    loop {
        let is_time = {
            let book = ledger.book();
            let is_acknowledged = book.counts.acknowledged == u64::from(jobs);
            let now_us = Clock::System.now().wall.as_micros();
            is_acknowledged && book.begin_us().is_some_and(|begin_us| now_us >= begin_us + kill_us)
        };
        if is_time {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn until_started(ledger: &Ledger) -> Started {
    loop {
        if let Some(started) = ledger.book().started() {
            return started;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// The first life ended by itself. What it said is on standard error.
fn ended_too_soon(status: Result<ExitStatus, Error>, ledger: &Ledger) -> Failure {
    match status {
        Ok(status) if status.code() == Some(2) && ledger.book().begin_us().is_none() => {
            Failure::NotBegun(None)
        }
        Ok(status) if status.success() => {
            Failure::BrokeOff("all was over before the process could be killed".into())
        }
        status => went_well(status).err().map_or(Failure::NotBegun(None), Failure::BrokeOff),
    }
}

fn went_well(status: Result<ExitStatus, Error>) -> Result<(), Error> {
    match status? {
        status if status.success() => Ok(()),
        status => Err(format!("the process with the jobs ended with {status}").into()),
    }
}
