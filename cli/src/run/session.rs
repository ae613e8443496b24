//! From the first line to the exit status: the input's thread, the acknowledgements, and the ways in which it all ends.
//!
//! # Rules
//! - What the program says about jobs that stay behind is true: it depends on whether there is a store, and whether that
//!   has taken everything.
//! - An engine that has lost its jobs to another ends at once. Jobs that had started before are still written: a handler
//!   hands its job to the output when it starts, on the thread that also learns of the loss, so nothing that started later is
//!   in the output's channel. Lines that were read and not acknowledged get an error each.

use std::io::{self, BufRead};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use reveille::store::StoreError;
use reveille::{Engine, ShutdownReport};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::call::{Caller, Reply};
use super::left::Left;
use super::output::Output;
use crate::complain;
use crate::jsonl::input::{Line, Lines};
use crate::jsonl::op;
use crate::signal::Signal;
use crate::store::Named;

/// Calls whose acknowledgements are outstanding.
const REPLIES_MAX: usize = 1024;

/// How long handlers and the store may take to come to an end.
const GRACE: Duration = Duration::from_secs(5);

/// How long a stop may take in all: the engine's end, and then what is left to write.
const STOP_MAX: Duration = Duration::from_secs(7);

/// Where replies go while the session accepts any. The input holds it from a call until its reply is handed over. Once it is
/// emptied, every call made has its reply on the way, and no more are made.
type Gate = Mutex<Option<mpsc::Sender<Reply>>>;

/// An engine at work on an input.
#[derive(Debug)]
pub(super) struct Session {
    engine: Engine,
    output: Output,
    gate: Arc<Gate>,
    /// Ends when the gate is closed and all replies are with the output.
    acknowledgements: JoinHandle<()>,
    input: oneshot::Receiver<io::Result<()>>,
    mistakes: Arc<AtomicU64>,
    /// The store that keeps the jobs, if any.
    named: Option<Named>,
}

/// Why a session ends.
enum End {
    /// Input and jobs have ended, or the output has failed.
    Itself(io::Result<()>),
    Signal(Signal),
    /// Another engine owns the jobs.
    Lost(StoreError),
}

impl Session {
    /// Starts reading.
    pub(super) fn start(
        input: Box<dyn BufRead + Send>,
        caller: Caller,
        engine: Engine,
        output: Output,
        named: Option<Named>,
    ) -> io::Result<Self> {
        let (replies, pending) = mpsc::channel(REPLIES_MAX);
        let gate = Arc::new(Mutex::new(Some(replies)));
        let mistakes = Arc::default();
        let (ended, end) = oneshot::channel();
        let reader = Reader { lines: Lines::new(input), caller, gate: Arc::clone(&gate) };
        thread::Builder::new().name("reveille-input".into()).spawn(move || {
            // The receiver is gone if the session was stopped.
            let _ = ended.send(reader.run());
        })?;
        let acknowledgements = tokio::spawn(acknowledge(pending, output.clone(), Arc::clone(&mistakes)));
        Ok(Session { engine, output, gate, acknowledgements, input: end, mistakes, named })
    }

    /// Waits until the session ends, and gives the program's exit status.
    pub(super) async fn attend(
        mut self,
        exits_when_idle: bool,
        signal: oneshot::Receiver<Signal>,
        mut written: oneshot::Receiver<io::Result<()>>,
    ) -> ExitCode {
        let engine = self.engine.clone();
        let end = tokio::select! {
            biased;
            // First: a lost engine is idle, too.
            error = engine.lost() => End::Lost(error),
            ended = self.finish(exits_when_idle, &mut written) => End::Itself(ended),
            Ok(signal) = signal => End::Signal(signal),
        };
        match end {
            End::Itself(Ok(())) => self.close().await,
            End::Itself(Err(error)) => self.break_off(&error).await,
            End::Signal(signal) => self.stop(&mut written, format_args!("by {signal}")).await,
            End::Lost(error) => {
                self.stop(&mut written, format_args!("since the jobs are another's: {error}")).await
            }
        }
    }

    /// Works until input and jobs have ended, or the output has failed.
    async fn finish(
        &mut self,
        exits_when_idle: bool,
        written: &mut oneshot::Receiver<io::Result<()>>,
    ) -> io::Result<()> {
        let all_done = async {
            let read = (&mut self.input).await;
            if let Ok(Err(error)) = read {
                complain(format_args!("cannot read the input any further: {error}"));
                self.mistakes.fetch_add(1, Ordering::Relaxed);
            }
            ended(&mut self.acknowledgements).await;
            if !exits_when_idle {
                std::future::pending::<()>().await;
            }
            self.engine.idle().await;
            self.output.end();
            Ok(())
        };
        tokio::try_join!(all_done, result(written)).map(|_| ())
    }

    /// Ends when there is nothing left to do: flushes the store, and gives the leases back.
    async fn close(self) -> ExitCode {
        if !self.has_store() {
            return self.status();
        }
        let left = Left::behind(&self.engine.shutdown(GRACE).await);
        if !left.is_kept() {
            complain(format_args!("ended; {left}"));
            return ExitCode::FAILURE;
        }
        self.status()
    }

    /// Ends when the output cannot be written.
    async fn break_off(self, error: &io::Error) -> ExitCode {
        // Handlers whose events were not written never end, so waiting for them is useless. They do nothing else either, so
        // their jobs are pending, and free for the next owner.
        let grace = if self.has_store() { Duration::from_secs(1) } else { Duration::ZERO };
        let left = Left::behind(&self.engine.shutdown(grace).await);
        self.give_leases_back().await;
        let what = if error.kind() == io::ErrorKind::BrokenPipe {
            "the output was closed".to_owned()
        } else {
            format!("cannot write the output: {error}")
        };
        complain(format_args!("{what}; {left}"));
        ExitCode::FAILURE
    }

    /// Ends before its time.
    async fn stop(
        mut self,
        written: &mut oneshot::Receiver<io::Result<()>>,
        why: std::fmt::Arguments<'_>,
    ) -> ExitCode {
        let mut report = None;
        let stopped = tokio::time::timeout(STOP_MAX, self.stop_all(written, &mut report)).await;
        if let Ok(Err(error)) = stopped {
            return self.break_off(&error).await;
        }
        let report = match report {
            Some(report) => report,
            None => self.engine.shutdown(Duration::ZERO).await,
        };
        let left = Left::behind(&report);
        complain(format_args!("stopped {why}; {left}"));
        if stopped.is_err() {
            self.give_leases_back().await;
            complain("the output was not read in time; what was to be written is lost");
        }
        if stopped.is_err() || !left.is_kept() { ExitCode::FAILURE } else { self.status() }
    }

    /// Stops in order: the input, then the engine, then the output.
    async fn stop_all(
        &mut self,
        written: &mut oneshot::Receiver<io::Result<()>>,
        report: &mut Option<ShutdownReport>,
    ) -> io::Result<()> {
        let all_done = async {
            drop(self.gate.lock().await.take());
            let shutdown = async { *report = Some(self.engine.shutdown(GRACE).await) };
            tokio::join!(shutdown, ended(&mut self.acknowledgements));
            self.output.end();
            Ok(())
        };
        tokio::try_join!(all_done, result(written)).map(|_| ())
    }

    /// For handlers that wait in vain for the output, and do nothing else.
    async fn give_leases_back(&self) {
        if let Some(named) = &self.named {
            named.give_leases_back().await;
        }
    }

    fn status(&self) -> ExitCode {
        if self.mistakes.load(Ordering::Relaxed) > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }

    fn has_store(&self) -> bool {
        self.engine.stats().store.is_some()
    }
}

/// Waits for a task, also for one that was waited for before.
async fn ended(task: &mut JoinHandle<()>) {
    if !task.is_finished() {
        // It can only have ended, or else panicked, and then its replies are gone like those that it has written.
        let _ = task.await;
    }
}

async fn result(written: &mut oneshot::Receiver<io::Result<()>>) -> io::Result<()> {
    written.await.unwrap_or_else(|_| Err(io::Error::other("the output thread ended")))
}

/// Hands replies to the output in the order of their lines, each when its call has come to last.
async fn acknowledge(mut replies: mpsc::Receiver<Reply>, output: Output, mistakes: Arc<AtomicU64>) {
    while let Some(reply) = replies.recv().await {
        let answer = reply.settled().await;
        mistakes.fetch_add(u64::from(answer.is_err()), Ordering::Relaxed);
        if output.answer(answer).await.is_err() {
            break;
        }
    }
}

/// What the input's thread does.
struct Reader {
    lines: Lines<Box<dyn BufRead + Send>>,
    caller: Caller,
    gate: Arc<Gate>,
}

impl Reader {
    fn run(mut self) -> io::Result<()> {
        let end = self.read_all();
        drop(self.gate.blocking_lock().take());
        end
    }

    /// Reads to the end, or until the receiver of replies is gone.
    fn read_all(&mut self) -> io::Result<()> {
        while let Some(Line { number, text }) = self.lines.next()? {
            let op = text.map_err(|fault| fault.to_string());
            let op = op.and_then(|text| op::parse(text).map_err(|error| error.to_string()));
            let gate = self.gate.blocking_lock();
            let Some(replies) = &*gate else { break };
            let reply = match op {
                Ok(op) => self.caller.call(number, op),
                Err(error) => Reply::mistake(number, error),
            };
            if replies.blocking_send(reply).is_err() {
                break;
            }
        }
        Ok(())
    }
}
