//! The `reveille` program. It only reads the command line and sets logging up; each subcommand is a module.
//!
//! It is a library only for the fuzzer, which cannot reach into a program. Do not depend on it.
//!
//! # Rules
//! - Standard output belongs to the subcommand. Logs and messages go to standard error.
//! - Exit status: 0 when all went well, 1 when something did not, 2 when there was nothing to begin with: a wrong
//!   command line, an input that cannot be opened, a store that cannot be used or is another's.

mod bench;
mod demo;
mod exit;
mod export;
mod figures;
mod file;
mod import;
mod inspect;
mod jsonl;
mod run;
mod signal;
mod store;

#[doc(hidden)]
#[cfg(fuzzing)]
pub use jsonl::model as jsonl_model;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Fires jobs on time.
#[derive(Debug, Parser)]
#[command(name = "reveille", version, about, max_term_width = 100)]
struct Cli {
    /// What to log to standard error: a level (`info`) or levels by module (`reveille=debug,warn`). The default is
    /// RUST_LOG, or else `warn`.
    #[arg(long, global = true, value_name = "LEVELS")]
    log: Option<Targets>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show a ticket-sale morning: jobs by the thousand, scheduled, moved, cancelled and fired on time.
    Demo(demo::Args),
    /// Run jobs from JSON Lines, and report as JSON Lines what became of them.
    Run(run::Args),
    /// Show what a store holds of a namespace, and who owns it.
    Inspect(inspect::Args),
    /// Write the pending jobs of a namespace as JSON Lines.
    Export(export::Args),
    /// Read jobs from JSON Lines into a namespace, without firing any.
    Import(import::Args),
    /// Measure this machine, each figure beside its floor.
    Bench(bench::Args),
}

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.log.unwrap_or_else(levels_from_environment));
    match cli.command {
        Command::Demo(args) => demo::execute(args),
        Command::Run(args) => run::execute(args),
        Command::Inspect(args) => inspect::execute(args),
        Command::Export(args) => export::execute(args),
        Command::Import(args) => import::execute(args),
        Command::Bench(args) => bench::execute(args),
    }
}

fn levels_from_environment() -> Targets {
    // The subcommand itself reports how an engine ends.
    let default =
        Targets::new().with_default(LevelFilter::WARN).with_target("reveille::end", LevelFilter::OFF);
    let Ok(text) = std::env::var("RUST_LOG") else { return default };
    // The variable is shared with other programs, so this one starts even if it cannot parse it.
    text.parse().unwrap_or_else(|error| {
        complain(format_args!("RUST_LOG is not understood ({error}); logging warnings"));
        default
    })
}

fn log_to_stderr(levels: Targets) {
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).log_internal_errors(false);
    tracing_subscriber::registry().with(lines.with_filter(levels)).init();
}

/// Writes one line to standard error. Unlike `eprintln!` it does not panic if standard error is closed.
pub(crate) fn complain(message: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "reveille: {message}");
}
