//! `reveille run`: jobs from JSON Lines, one operation per line, and JSON Lines about what became of them. With a store the
//! jobs outlive the process: the next run takes them over.
//!
//! ```text
//!  input thread            main thread (runtime)                      output thread
//!  Lines -> op -> Caller ──Reply──> acknowledge (in order) ──Event──┐
//!                  │ calls                                          ├──> write, flush
//!                  v                                                │
//!                engine ──due──> handlers (wait for the flush) ─────┘
//! ```
//!
//! # Rules
//! - All arrows are bounded. A consumer that reads slowly makes everything before it wait, up to the writer of the input.
//! - Calls are made in the order of the lines, and acknowledgements and errors come in that order. A job does not wait for
//!   the acknowledgement of its line: one that is due at once may be seen to fire before it.
//! - The runtime has one thread, so that jobs are written in the order in which they were started, above all those with one
//!   key. A second thread would have nothing to do, because a handler only hands its job over. With a store, a job delivered
//!   at most once is the exception: it is written when the store knows that it has started.
//! - With a store a line is acknowledged when its change is as durable as `--durability` asks. Jobs of an earlier run fire
//!   too, whether or not a line names their queue.
//! - Reading blocks, so the input has a thread, and nothing ever waits for that thread: it may block until the process ends.
//!   The session's gate keeps it from making calls once the session ends.

mod call;
mod exec;
mod left;
mod output;
mod queues;
mod read;
mod session;

use std::fmt::Display;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use reveille::{Builder, Engine, Profile};

pub(crate) use call::schedule;
use call::{Caller, Exec};
use output::Output;
use queues::QueueArgs;
use session::Session;

use crate::jsonl::input::{LINE_BYTES_MAX, Pipes, Source};
use crate::jsonl::time;
use crate::store::{self, Keeping, Named, Sharing, StoreArgs};
use crate::{complain, signal};

/// The arguments of `reveille run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Operations, one per line:
  {\"op\":\"schedule\",\"key\":\"concert:42\",\"at\":\"2026-12-01T10:00:00+07:00\",\"payload\":{\"seats\":500}}
      `at` is RFC 3339 with an offset, or a number of seconds since 1970. A zone may follow the offset, or replace it
      where the time is not ambiguous: \"2026-12-01T10:00:00[Europe/Berlin]\".
      Or `in`, as \"1.5s\", \"1h30m\", or a number of seconds. Units are w, d, h, m, s, ms, us and ns.
      Optional: queue, payload (or payload_base64 for any bytes), priority (among jobs of one tick 0 goes first, 255
      last), delivery (at_least_once, at_most_once), on_conflict (reject, replace, keep, keep_earlier,
      keep_later, payload, update), debounce ({\"max\":\"10s\"}), timeout (\"5s\"), expires (an
      instant), retry ({\"attempts\":5,\"backoff\":\"exponential\",\"base\":\"1s\",\"max\":\"1h\",\"jitter\":\"full\"}; backoff is fixed,
      exponential or sidekiq, jitter none or full), tags ([\"mail\"]), headers ({\"traceparent\":\"..\"}).
  {\"op\":\"reschedule\",\"key\":\"concert:42\",\"in\":\"90s\"}
  {\"op\":\"cancel\",\"key\":\"concert:42\"}
      \"and_after\":true also ends what comes after an attempt that runs.
  {\"op\":\"cancel\",\"tag\":\"mail\"} and {\"op\":\"reschedule\",\"tag\":\"mail\",\"in\":\"90s\"}
      all jobs that have the tag; \"by\":\"5m\" or \"-5m\" moves each from where it is.
  {\"op\":\"lookup\",\"key\":\"concert:42\"}
  {\"op\":\"revive\",\"key\":\"concert:42\"} and {\"op\":\"purge\",\"key\":\"concert:42\"}
      bring a dead job back, now or `at` or `in` its time, or take it away.
  {\"op\":\"list\",\"queue\":\"mails\",\"state\":\"dead\",\"limit\":100}
      a page of jobs. Optional: queue, tag, prefix (of the key), from and to (when they are due), state (one or a list of
      pending, retrying, ready, running, paused, dead, fired), limit, order (\"due\": the earliest first), and cursor (the `next` of
      the page before).
  {\"op\":\"count\",\"tag\":\"mail\"} and {\"op\":\"load\",\"bucket\":\"hour\"}
      how many jobs there are, and when they are due: by minute, hour or day. The same fields say which.
  {\"op\":\"pause\",\"queue\":\"mails\"} and {\"op\":\"resume\",\"queue\":\"mails\"}
      a pause is as durable as the jobs, and lasts until the queue is resumed.
  {\"op\":\"drain\",\"queue\":\"mails\",\"within\":\"30s\"}
      pauses it, and is answered when none of its jobs runs, or after that time.

With --store the jobs are kept, on local disk or in a Redis, and the next run with the same store and namespace goes on
with them. While another process fires them, this one waits to take over. While the store is not there yet, it waits for
that too, unless --fail-fast is given. A signal ends the wait at once.

SIGINT, SIGTERM, SIGHUP and SIGQUIT stop it in order: running jobs end, and the pending ones go to a process that waits
for them. A second signal ends it at once. It also stops when the reader of its output has gone: a job that cannot be
reported stays pending.

Exit status: 0 if all went well, also when a signal stopped it or ended its wait; 1 if a line was wrong, the output was
closed, another process took over the jobs, or the store did not take everything; 2 if nothing could begin; after a second
signal 128 plus its number.")]
pub(crate) struct Args {
    /// The file to read; `-` is standard input. A named pipe is an inbox: it is read as long as this runs, while its
    /// writers come and go
    #[arg(value_name = "FILE", default_value = "-")]
    input: PathBuf,

    /// End when the input has ended and no job is pending: the default for a file. A named pipe then ends with its
    /// last writer
    #[arg(long, overrides_with = "no_exit_when_idle")]
    exit_when_idle: bool,

    /// Go on after the input has ended, until a signal: the default for standard input and a named pipe
    #[arg(long, overrides_with = "exit_when_idle")]
    no_exit_when_idle: bool,

    /// How to wait for the next due time [default: precise, or eco on a single core]
    #[arg(long, value_enum)]
    profile: Option<ProfileName>,

    /// Give each job to `sh -c COMMAND`: its payload on standard input, REVEILLE_KEY, REVEILLE_QUEUE, REVEILLE_ATTEMPT and
    /// REVEILLE_DUE in its environment. Status 0 is done, any other a failed attempt
    #[arg(long, value_name = "COMMAND")]
    exec: Option<String>,

    /// How many commands of a queue may run at a time
    #[arg(long, value_name = "COMMANDS", default_value = "16", requires = "exec", value_parser = parse_concurrency)]
    concurrency: usize,

    #[command(flatten)]
    queues: QueueArgs,

    /// The resolution of due times
    #[arg(long, value_name = "DELAY", default_value = "1ms", value_parser = time::parse_delay)]
    tick: Duration,

    /// How many jobs may be pending [default: 50 million]
    #[arg(long, value_name = "JOBS")]
    jobs_max: Option<usize>,

    /// How many bytes a payload may have [default: 65536]
    #[arg(long, value_name = "BYTES", value_parser = parse_payload_max)]
    payload_max: Option<usize>,

    /// How far ahead a job may be due [default: 3650d]
    #[arg(long, value_name = "DELAY", value_parser = parse_horizon)]
    horizon: Option<Duration>,

    #[command(flatten)]
    place: StoreArgs,

    #[command(flatten)]
    keeping: Keeping,

    #[command(flatten)]
    sharing: Sharing,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ProfileName {
    /// Sleep only: almost no CPU time
    Eco,
    /// Wake a little early and spin to the instant
    Precise,
    /// Spin on a core of its own
    Dedicated,
}

/// Runs jobs from JSON Lines.
pub(crate) fn execute(args: Args) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.map_err(|error| cannot("start", error)).and_then(|runtime| {
        let ended = runtime.block_on(run(&args));
        // Without waiting for handlers that the output has left behind.
        runtime.shutdown_background();
        ended
    });
    ended.unwrap_or_else(|error| {
        complain(error);
        ExitCode::from(2)
    })
}

async fn run(args: &Args) -> Result<ExitCode, String> {
    let source = Source::from(args.input.as_path());
    let exits_when_idle = args.exits_when_idle(&source);
    let pipes = if exits_when_idle { Pipes::End } else { Pipes::Stay };
    let input = source.open(pipes);
    let input = input.map_err(|error| cannot(format_args!("open {}", args.input.display()), error))?;
    let mut signal = signal::listen().map_err(|error| cannot("listen for signals", error))?;
    let (output, mut written) =
        Output::start(io::stdout()).map_err(|error| cannot("start a thread", error))?;
    #[cfg(unix)]
    output.watch_stdout().map_err(|error| cannot("write the output", error))?;
    let named =
        args.place.store(store::NAMESPACE, Some(&args.keeping), Some(&args.sharing))?.map(Named::waiting);
    // A standby may wait here for as long as it lives.
    let engine = tokio::select! {
        engine = args.start(named.as_ref()) => engine?,
        Ok(signal) = &mut signal => {
            complain(format_args!("stopped by {signal} before anything was begun"));
            return Ok(ExitCode::SUCCESS);
        }
        _ = &mut written => return Err("the output was closed before anything was begun".into()),
    };
    let mut caller = Caller::new(engine.clone(), output.clone(), args.exec(), args.queues.said());
    caller.adopt().map_err(|error| cannot("go on with the jobs in the store", error))?;
    let session = Session::start(input, caller, engine, output, named);
    let session = session.map_err(|error| cannot("start a thread", error))?;
    Ok(session.attend(exits_when_idle, signal, written).await)
}

fn cannot(what: impl Display, error: impl Display) -> String {
    format!("cannot {what}: {error}")
}

impl Args {
    /// A file has an end. Standard input and a named pipe may have one, but need not.
    fn exits_when_idle(&self, source: &Source) -> bool {
        let has_end = matches!(source, Source::File(_)) && !source.is_named_pipe();
        self.exit_when_idle || (has_end && !self.no_exit_when_idle)
    }

    fn exec(&self) -> Option<Exec> {
        let command = self.exec.as_deref()?.into();
        Some(Exec { command, concurrency: self.concurrency })
    }

    async fn start(&self, named: Option<&Named>) -> Result<Engine, String> {
        match named {
            Some(named) => {
                let build = || self.sharing.apply(self.keeping.apply(self.engine()));
                store::start(named, named.partitions().await?, self.sharing.if_owned(), build).await
            }
            None => self.engine().start().await.map_err(|error| cannot("start the engine", error)),
        }
    }

    fn engine(&self) -> Builder {
        // Queues of restored jobs are added once they are known.
        let builder = Engine::builder().without_queues().unhandled_queues(true).tick(self.tick);
        let mut builder = self.queues.apply(builder);
        if let Some(profile) = self.profile {
            builder = builder.profile(match profile {
                ProfileName::Eco => Profile::Eco,
                ProfileName::Precise => Profile::Precise,
                ProfileName::Dedicated => Profile::DEDICATED,
            });
        }
        if let Some(jobs) = self.jobs_max {
            builder = builder.jobs_max(jobs);
        }
        if let Some(bytes) = self.payload_max {
            builder = builder.payload_bytes_max(bytes);
        }
        if let Some(horizon) = self.horizon {
            builder = builder.horizon(horizon);
        }
        builder
    }
}

/// A due time must be one that RFC 3339 can write.
fn parse_horizon(text: &str) -> Result<Duration, String> {
    const YEARS_1000: Duration = Duration::from_secs(1000 * 365 * 24 * 3600);
    let horizon = time::parse_delay(text).map_err(|error| error.to_string())?;
    if horizon > YEARS_1000 { Err("a horizon has 365000 days at most".into()) } else { Ok(horizon) }
}

fn parse_concurrency(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(commands @ 1..=10_000) => Ok(commands),
        _ => Err("it must be a number from 1 to 10000".into()),
    }
}

fn parse_payload_max(text: &str) -> Result<usize, String> {
    let bytes: usize = text.parse().map_err(|error| format!("{error}"))?;
    if bytes > LINE_BYTES_MAX { Err(format!("a line has {LINE_BYTES_MAX} bytes at most")) } else { Ok(bytes) }
}
