//! `reveille demo`: a ticket-sale morning.
//!
//! Thousands of sales are scheduled by key. Some are moved and some are called off while others open, and a tenth open
//! at one same instant. Everything that happens is held against a plan made beforehand; what the engine says of itself
//! is not asked.

mod morning;
mod plan;
mod report;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reveille::{Engine, Profile};

use crate::complain;
use morning::Morning;
use plan::Plan;
use report::Report;

/// What `reveille demo` can be told.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many jobs to schedule.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    jobs: u32,

    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// Runs the demonstration. Status 1 if a promise was broken.
pub(crate) fn execute(args: Args) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(format_args!("the runtime cannot be started: {error}"));
            return ExitCode::from(2);
        }
    };
    let report = match runtime.block_on(run(&args)) {
        Ok(report) => report,
        Err(error) => {
            complain(format_args!("the demonstration broke off: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let written = if args.json { report.write_json(io::stdout()) } else { report.write_table(io::stdout()) };
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

async fn run(args: &Args) -> Result<Report, Box<dyn std::error::Error + Send + Sync>> {
    let plan = Plan::new(args.jobs);
    let morning = Arc::new(Morning::new(plan));
    let opening = Arc::clone(&morning);
    let engine = Engine::builder()
        .queue("open_sale", move |job| {
            opening.opens(&job);
            async {}
        })
        .remember_fired(args.jobs as usize, Duration::from_secs(3600))
        .profile(Profile::default())
        .start()
        .await?;
    let bar = progress_bar(u64::from(args.jobs));
    let watching = tokio::spawn(watch(engine.clone(), Arc::clone(&morning), bar.clone()));
    morning.schedule_all(&engine)?;
    morning.change_minds(&engine).await?;
    // All that is due has fired when the engine is idle. Should jobs be lost it may never be: that is a result too.
    let patience = Duration::from_secs(60) + Duration::from_micros(20) * args.jobs;
    let _ = tokio::time::timeout(patience, engine.idle()).await;
    watching.abort();
    bar.finish_and_clear();
    engine.shutdown(Duration::from_secs(5)).await;
    Ok(Report::of(&morning))
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
