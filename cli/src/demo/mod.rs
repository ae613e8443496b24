//! `reveille demo`: a ticket-sale morning, and a crash in the middle of it.
//!
//! Thousands of sales are scheduled by key. Some are moved and some are called off while others open, and a tenth open at
//! the same instant. In the middle the process that has the jobs is killed, and started again. Everything that happens is compared
//! with a plan made beforehand; what the engine says about itself does not count. Nothing is left in the store.
//!
//! ```text
//!  mod ── alone ──────────────┐              the morning in this process
//!   └──── lives ── child ──── morning        or in a child, which is killed
//!           └────── told ───── ledger ── report
//! ```

mod alone;
mod child;
mod kept;
mod ledger;
mod lives;
mod morning;
mod plan;
mod progress;
mod report;
mod told;

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use reveille::{Builder, Engine, Profile};

use crate::store::{Keeping, Named, Sharing, StoreArgs};
use crate::{complain, exit};
use child::Life;
use plan::Plan;
use report::Report;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The default namespace, apart from that of real jobs.
const NAMESPACE: &str = "reveille-demo";

/// How long the last changes may take to reach the store.
const GRACE: Duration = Duration::from_secs(5);

/// The arguments of `reveille demo`.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("namespace", |namespace| {
        namespace.help("The name under which they are kept there; it must hold no jobs [default: reveille-demo]")
    }),
    after_help = "\
The jobs are in a process of their own, which is killed (SIGKILL) in the middle and started again. They are kept in a
temporary folder, or in the store that is named. A job whose handler was running at that moment runs again: at least once.

Exit status: 0 if all promises were kept, 1 if one was broken or the demonstration failed, 2 if nothing could begin."
)]
pub(crate) struct Args {
    /// How many jobs to schedule.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    jobs: u32,

    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,

    /// Kill nothing: one process from beginning to end, in memory only unless a store is named.
    #[arg(long)]
    no_crash: bool,

    /// What a parent process has its child do.
    #[arg(long, hide = true, env = child::VARIABLE)]
    life: Option<Life>,

    #[command(flatten)]
    place: StoreArgs,

    #[command(flatten)]
    keeping: Keeping,

    #[command(flatten)]
    sharing: Sharing,
}

/// Why there is no report.
enum Failure {
    /// It may have been said already.
    NotBegun(Option<String>),
    BrokeOff(Error),
}

/// Runs the demonstration. Status 1 if a promise was broken.
pub(crate) fn execute(args: Args) -> ExitCode {
    exit::status(run(&args))
}

async fn run(args: &Args) -> Result<ExitCode, String> {
    if let Some(life) = &args.life {
        return child::live(args, life).await;
    }
    let plan = Arc::new(Plan::new(args.jobs));
    let shown = if args.no_crash { alone::show(args, plan).await } else { lives::show(args, plan).await };
    Ok(match shown {
        Ok(report) => print(&report, args.json),
        Err(Failure::NotBegun(Some(error))) => return Err(error),
        Err(Failure::NotBegun(None)) => ExitCode::from(2),
        Err(Failure::BrokeOff(error)) => {
            complain(format_args!("the demonstration broke off: {error}"));
            ExitCode::FAILURE
        }
    })
}

fn print(report: &Report, as_json: bool) -> ExitCode {
    let written = if as_json { report.write_json(io::stdout()) } else { report.write_table(io::stdout()) };
    if let Err(error) = written {
        complain(format_args!("the report cannot be written: {error}"));
        return ExitCode::FAILURE;
    }
    match report.broken_promise() {
        None => ExitCode::SUCCESS,
        Some(broken) => {
            complain(format_args!("a promise was broken: {broken}"));
            ExitCode::FAILURE
        }
    }
}

impl Args {
    /// The store that was named, if any.
    fn named(&self) -> Result<Option<Named>, String> {
        let named = self.place.store(NAMESPACE, Some(&self.keeping), Some(&self.sharing))?;
        if named.is_some() && !self.no_crash && !self.keeping.outlives_a_crash() {
            return Err(
                "`--durability memory` promises nothing after a kill; add --no-crash, or leave it out".into(),
            );
        }
        Ok(named)
    }

    /// An engine without a queue yet, so that nothing can fire.
    fn engine(&self) -> Builder {
        Engine::builder()
            .without_queues()
            .remember_fired(self.jobs as usize, Duration::from_secs(3600))
            .profile(Profile::default())
    }

    /// The same, for a store.
    fn kept_engine(&self) -> Builder {
        self.sharing.apply(self.keeping.apply(self.engine()))
    }
}

impl From<String> for Failure {
    fn from(error: String) -> Self {
        Failure::NotBegun(Some(error))
    }
}
