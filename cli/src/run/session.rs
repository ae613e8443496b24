//! From the first line to the exit status: the input's thread, the acknowledgements, and the ways in which it all ends.

use std::io::{self, BufRead};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use reveille::Engine;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::call::{Caller, Reply};
use super::input::{Line, Lines};
use super::op;
use super::output::Output;
use super::signal::Signal;
use crate::complain;

/// Calls whose acknowledgements are outstanding.
const REPLIES_MAX: usize = 1024;

/// How long a stop may take.
const GRACE: Duration = Duration::from_secs(5);

/// Where replies go while the session takes any. The input holds it through a call and until the reply is handed over;
/// who empties it knows that every call made has its reply on the way, and that none is made from then on.
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
}

impl Session {
    /// Starts reading.
    pub(super) fn start(input: Box<dyn BufRead + Send>, engine: Engine, output: Output) -> io::Result<Self> {
        let (replies, pending) = mpsc::channel(REPLIES_MAX);
        let gate = Arc::new(Mutex::new(Some(replies)));
        let mistakes = Arc::default();
        let (ended, end) = oneshot::channel();
        let reader = Reader {
            lines: Lines::new(input),
            caller: Caller::new(engine.clone(), output.clone()),
            gate: Arc::clone(&gate),
        };
        thread::Builder::new().name("reveille-input".into()).spawn(move || {
            // Nobody waits for it any more when the session was stopped.
            let _ = ended.send(reader.run());
        })?;
        let acknowledgements = tokio::spawn(acknowledge(pending, output.clone(), Arc::clone(&mistakes)));
        Ok(Session { engine, output, gate, acknowledgements, input: end, mistakes })
    }

    /// Waits until the session ends, and gives the program's exit status.
    pub(super) async fn attend(
        mut self,
        exits_when_idle: bool,
        signal: oneshot::Receiver<Signal>,
        mut written: oneshot::Receiver<io::Result<()>>,
    ) -> ExitCode {
        let signal = tokio::select! {
            biased;
            ended = self.finish(exits_when_idle, &mut written) => return self.status(ended).await,
            Ok(signal) = signal => signal,
        };
        let is_told = match tokio::time::timeout(GRACE, self.stop(&mut written)).await {
            Ok(Ok(())) => true,
            Ok(ended) => return self.status(ended).await,
            Err(_elapsed) => false,
        };
        complain(format_args!("stopped by {signal}; {}", left_behind(self.engine.jobs())));
        if is_told {
            return self.status(Ok(())).await;
        }
        complain("the output was not read in time; what was to be written is lost");
        ExitCode::FAILURE
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

    /// Stops in order: the input, then the engine, then the output.
    async fn stop(&mut self, written: &mut oneshot::Receiver<io::Result<()>>) -> io::Result<()> {
        let all_done = async {
            drop(self.gate.lock().await.take());
            tokio::join!(self.engine.shutdown(GRACE), ended(&mut self.acknowledgements));
            self.output.end();
            Ok(())
        };
        tokio::try_join!(all_done, result(written)).map(|_| ())
    }

    async fn status(&self, written: io::Result<()>) -> ExitCode {
        if let Err(error) = written {
            let jobs = self.engine.jobs();
            self.engine.shutdown(Duration::ZERO).await;
            let what = if error.kind() == io::ErrorKind::BrokenPipe {
                "the output was closed".to_owned()
            } else {
                format!("cannot write the output: {error}")
            };
            complain(format_args!("{what}; {}", left_behind(jobs)));
            return ExitCode::FAILURE;
        }
        if self.mistakes.load(Ordering::Relaxed) > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
    }
}

/// What becomes of the jobs that have not fired.
fn left_behind(jobs: usize) -> String {
    match jobs {
        0 => "no job is pending".to_owned(),
        1 => "1 job stays pending, and is lost: there is no store".to_owned(),
        _ => format!("{jobs} jobs stay pending, and are lost: there is no store"),
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

    /// Reads to the end, or until nobody takes replies.
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
