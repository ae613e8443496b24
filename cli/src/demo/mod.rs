//! `reveille demo`: a ticket-sale morning.
//!
//! Thousands of sales are scheduled by key. Some are moved and some are called off while others open, and a tenth open at
//! the same instant. Everything that happens is compared with a plan made beforehand; what the engine says about itself does
//! not count. With a store the demonstration waits until every change is durable, and leaves nothing there.

mod kept;
mod morning;
mod plan;
mod report;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reveille::{Engine, Profile};

use crate::signal::Signal;
use crate::store::{Keeping, Named, Sharing, StoreArgs};
use crate::{complain, exit, signal};
use morning::Morning;
use plan::Plan;
use report::{Kept, Report};

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
Exit status: 0 if all promises were kept, 1 if one was broken or the demonstration failed, 2 if nothing could begin."
)]
pub(crate) struct Args {
    /// How many jobs to schedule.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    jobs: u32,

    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    place: StoreArgs,

    #[command(flatten)]
    keeping: Keeping,

    #[command(flatten)]
    sharing: Sharing,
}

/// Runs the demonstration. Status 1 if a promise was broken.
pub(crate) fn execute(args: Args) -> ExitCode {
    exit::status(run(&args))
}

async fn run(args: &Args) -> Result<ExitCode, String> {
    let named = args.place.store(NAMESPACE, Some(&args.keeping))?;
    let engine = args.start(named.as_ref()).await?;
    let report = match show(args, &engine, named.as_ref()).await {
        Ok(report) => report,
        Err(error) => {
            complain(format_args!("the demonstration broke off: {error}"));
            return Ok(ExitCode::FAILURE);
        }
    };
    let written = if args.json { report.write_json(io::stdout()) } else { report.write_table(io::stdout()) };
    if let Err(error) = written {
        complain(format_args!("the report cannot be written: {error}"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(match report.broken_promise() {
        None => ExitCode::SUCCESS,
        Some(broken) => {
            complain(format_args!("a promise was broken: {broken}"));
            ExitCode::FAILURE
        }
    })
}

impl Args {
    /// An engine without jobs, and without a queue yet, so that nothing can fire.
    async fn start(&self, named: Option<&Named>) -> Result<Engine, String> {
        let build = || {
            Engine::builder()
                .without_queues()
                .remember_fired(self.jobs as usize, Duration::from_secs(3600))
                .profile(Profile::default())
        };
        let Some(named) = named else {
            return build().start().await.map_err(|error| format!("cannot start the engine: {error}"));
        };
        let build = || self.sharing.apply(self.keeping.apply(build()));
        kept::start(named, self.sharing.if_owned(), build).await
    }
}

async fn show(args: &Args, engine: &Engine, named: Option<&Named>) -> Result<Report, Error> {
    let morning = Arc::new(Morning::new(Plan::new(args.jobs), named.is_some()));
    let opening = Arc::clone(&morning);
    engine.add_queue("open_sale", move |job| {
        opening.opens(&job);
        async {}
    })?;
    let bar = progress_bar(u64::from(args.jobs));
    let watching = tokio::spawn(watch(engine.clone(), Arc::clone(&morning), bar.clone()));
    let signal = signal::listen()?;
    let ended = tokio::select! {
        biased;
        error = engine.lost() => Err(error.into()),
        ended = pass(&morning, engine) => ended,
        Ok(signal) = signal => Err(call_off(&morning, engine, signal).await),
    };
    watching.abort();
    bar.finish_and_clear();
    let commit_delay = engine.stats().store.map(|store| store.commit_delay);
    engine.shutdown(GRACE).await;
    ended?;
    let kept = match (named, commit_delay) {
        (Some(named), Some(delay)) => Some(Kept::of(&morning, delay, kept::pending(named).await?)),
        _ => None,
    };
    Ok(Report::of(&morning, kept))
}

/// The morning, from the first job to the last.
async fn pass(morning: &Morning, engine: &Engine) -> Result<(), Error> {
    morning.schedule_all(engine).await?;
    morning.change_minds(engine).await?;
    // Everything due has fired when the engine is idle. If jobs were lost it may never be idle: that is a result too.
    let patience = Duration::from_secs(60) + Duration::from_micros(20) * morning.jobs();
    let _ = tokio::time::timeout(patience, engine.idle()).await;
    Ok(())
}

/// Cancels everything: otherwise a signal would leave the store full of useless jobs.
async fn call_off(morning: &Morning, engine: &Engine, signal: Signal) -> Error {
    match morning.call_off_all(engine).await {
        Ok(()) => format!("stopped by {signal}; all jobs were called off").into(),
        Err(error) => format!("stopped by {signal}, and the jobs could not be called off: {error}").into(),
    }
}

/// Drawn on a terminal only, and on standard error: standard output is for the result.
fn progress_bar(jobs: u64) -> ProgressBar {
    let target = if io::stderr().is_terminal() {
        ProgressDrawTarget::stderr_with_hz(20)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(jobs), target);
    if let Ok(style) = ProgressStyle::with_template("{elapsed:>4} [{bar:40}] {pos} of {len} settled, {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

async fn watch(engine: Engine, morning: Arc<Morning>, bar: ProgressBar) {
    loop {
        bar.set_position(morning.settled());
        bar.set_message(format!("{} pending", engine.jobs()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
