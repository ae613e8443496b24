//! `reveille import`: jobs from JSON Lines into a store, and nothing else: none fires meanwhile.
//!
//! # Rules
//! - The engine that takes them has no handler that could run. Overdue jobs wait with the others for the next engine.
//! - Every job is durable before it is counted, and so is what is said of a queue.
//! - A wrong line is reported by its number, and the others go on.

mod intake;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use reveille::{Engine, OnConflict};

use intake::{Counts, Intake};

use crate::jsonl::input::{LINE_BYTES_MAX, Pipes, Source};
use crate::store::{self, Found, IfOwned, Keeping, Named, StoreArgs};
use crate::{complain, exit, signal};

/// The default number of partitions of a new namespace: the same as for `run`.
const PARTITIONS: u16 = 8;

/// As far as a due time can be written: an engine has accepted exported jobs once.
const HORIZON: Duration = Duration::from_secs(1000 * 365 * 24 * 3600);

/// How long the store may take for the last jobs.
const GRACE: Duration = Duration::from_secs(5);

/// The arguments of `reveille import`.
#[derive(Debug, clap::Args)]
#[command(mut_arg("store", |store| store.required(true)), after_help = "\
The lines are those of `reveille run`, with the ops `schedule`, and `pause` and `resume` of a queue, as `reveille export`
writes them. No job fires during an import, not even an overdue one.

Exit status: 0 if all went well, 1 if a line was wrong or not all jobs were taken, 2 if nothing could begin.")]
pub(crate) struct Args {
    /// The file to read; `-` is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    input: PathBuf,

    /// What to do when a key is taken and the line does not say
    #[arg(long, value_enum, default_value = "reject")]
    on_conflict: Policy,

    /// Take the jobs from the process that owns them, which stops firing them
    #[arg(long)]
    force: bool,

    /// The number of partitions of a new namespace [default: 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    partitions: Option<u16>,

    #[command(flatten)]
    place: StoreArgs,

    #[command(flatten)]
    keeping: Keeping,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Policy {
    /// Leave the job that is there
    Reject,
    /// Put the new one in its place
    Replace,
    /// Leave the job that is there, without an error: for repeated imports
    Keep,
}

/// Takes jobs in.
pub(crate) fn execute(args: Args) -> ExitCode {
    exit::status(run(&args))
}

async fn run(args: &Args) -> Result<ExitCode, String> {
    let source = Source::from(args.input.as_path());
    let input =
        source.open(Pipes::End).map_err(|error| format!("cannot open {}: {error}", args.input.display()))?;
    let mut signal = signal::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let named = args.place.needed(Some(&args.keeping))?;
    let engine = tokio::select! {
        engine = args.start(&named) => engine?,
        Ok(signal) = &mut signal => return Err(format!("stopped by {signal} before anything was begun")),
    };
    let on_conflict = match args.on_conflict {
        Policy::Reject => OnConflict::Reject,
        Policy::Replace => OnConflict::Replace,
        Policy::Keep => OnConflict::Keep,
    };
    let mut intake = Intake::start(input, engine.clone(), on_conflict)
        .map_err(|error| format!("cannot start a thread: {error}"))?;
    let broken_off = tokio::select! {
        biased;
        error = engine.lost() => Some(format!("another process took the jobs: {error}")),
        ended = intake.take_all() => ended.err().map(|error| format!("cannot read the input any further: {error}")),
        Ok(signal) = signal => Some(format!("stopped by {signal}")),
    };
    if broken_off.is_some() {
        // Calls made before the stop count too.
        let _ = tokio::time::timeout(GRACE, intake.stop()).await;
    }
    let is_flushed = engine.shutdown(GRACE).await.is_flushed;
    Ok(tell(&intake.counts, broken_off, is_flushed))
}

impl Args {
    async fn start(&self, named: &Named) -> Result<Engine, String> {
        let found = named.look().await?;
        if let Some(owner) = found.living_owner().filter(|_| !self.force) {
            return Err(format!("{owner}; stop it first, or take them from it with --force"));
        }
        let partitions = self.partitions(&found)?;
        let if_owned = if self.force { IfOwned::TakeOver } else { IfOwned::Fail };
        let build = || {
            let builder = Engine::builder().without_queues().unhandled_queues(true).horizon(HORIZON);
            let builder = builder.payload_bytes_max(LINE_BYTES_MAX);
            self.keeping.apply(builder)
        };
        store::start(named, Some(partitions), if_owned, build).await
    }

    fn partitions(&self, found: &Found) -> Result<u16, String> {
        match (found.partitions, self.partitions) {
            (Some(there), Some(asked)) if there != asked => Err(format!(
                "the namespace was made with {there} partitions, for ever; leave --partitions out"
            )),
            (Some(there), _) => Ok(there),
            (None, asked) => Ok(asked.unwrap_or(PARTITIONS)),
        }
    }
}

fn tell(counts: &Counts, broken_off: Option<String>, is_flushed: bool) -> ExitCode {
    let told = writeln!(io::stdout(), "{counts}");
    if let Some(why) = &broken_off {
        complain(format_args!("{why}; the lines after line {} were not taken", counts.last_line));
    }
    if !is_flushed {
        complain("the store has not confirmed all of it; import it again with --on-conflict keep");
    }
    if told.is_ok() && broken_off.is_none() && is_flushed && counts.mistakes == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
