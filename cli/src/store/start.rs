//! Starting an engine on a store, and reporting what it waits for.

use std::error::Error as _;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use reveille::store::{StoreError, StoreErrorClass};
use reveille::{Builder, Engine, RestoreProgress, StartError};

use super::any::AnyStore;
use super::watched::Watched;
use super::{Named, Origin};
use crate::complain;

/// What to do while another process owns the jobs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IfOwned {
    Wait,
    Fail,
    TakeOver,
}

/// Starts an engine on a store, as `build` says, and reports if it waits. It has as many partitions as were found there, if
/// any were.
pub(crate) async fn start(
    named: &Named,
    partitions: Option<u16>,
    if_owned: IfOwned,
    build: impl FnOnce() -> Builder,
) -> Result<Engine, String> {
    let has_waited = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&has_waited);
    let builder = build()
        .store(Watched::new(named))
        .on_standby(move |standby| {
            if !told.swap(true, SeqCst) {
                complain(format_args!("waiting for another process to end: {}", standby.owner));
            }
        })
        .standby(if_owned == IfOwned::Wait)
        .take_over(if_owned == IfOwned::TakeOver)
        .start_patience(named.patience.of_start());
    let builder = match partitions {
        Some(partitions) => builder.partitions(partitions),
        None => builder,
    };
    let engine = start_once(builder, named.is_quiet).await.map_err(|error| explain(error, named))?;
    if has_waited.load(SeqCst) {
        complain("the jobs are this process's now");
    }
    Ok(engine)
}

async fn start_once(builder: Builder, is_quiet: bool) -> Result<Engine, StartError> {
    let bar = progress_bar(is_quiet);
    let drawn = bar.clone();
    let started = builder.on_restore(move |progress| draw(&drawn, progress)).start().await;
    bar.finish_and_clear();
    started
}

fn explain(error: StartError, named: &Named) -> String {
    match error {
        StartError::Held(error) => match named.store {
            // It says what to do by itself.
            AnyStore::Disk(_) => error.to_string(),
            AnyStore::Redis(_) => {
                format!(
                    "another process has the jobs: {error}; stop it first, or wait until its lease has ended"
                )
            }
        },
        StartError::Store(error) => named.cannot_use(&error),
        error => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            format!("cannot start the engine: {error}{cause}")
        }
    }
}

impl Named {
    /// The message when the store does not do what it is asked.
    pub(super) fn cannot_use(&self, error: &StoreError) -> String {
        let origin = self.origin;
        let advice = match (error.class, &self.store, origin) {
            (StoreErrorClass::Retry, AnyStore::Redis(_), Origin::Option) => {
                "; see that Redis runs there and can be reached, or name another with --store"
            }
            (StoreErrorClass::Retry, AnyStore::Redis(_), Origin::Variable) => {
                "; see that Redis runs there and can be reached, or name another in REVEILLE_STORE or with --store"
            }
            _ => "",
        };
        format!("cannot use the store that {origin} names: {error}{advice}")
    }
}

/// Drawn on a terminal only, and on standard error.
fn progress_bar(is_quiet: bool) -> ProgressBar {
    let target = if io::stderr().is_terminal() && !is_quiet {
        ProgressDrawTarget::stderr_with_hz(20)
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(None, target);
    if let Ok(style) =
        ProgressStyle::with_template("{elapsed:>4} [{bar:40}] {pos} of {len} partitions, {msg}")
    {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

fn draw(bar: &ProgressBar, progress: RestoreProgress) {
    bar.set_length(u64::from(progress.partitions));
    bar.set_position(u64::from(progress.partitions_done));
    let [jobs, records] = [progress.jobs, progress.records].map(HumanCount);
    bar.set_message(format!("{jobs} jobs, {records} changes, {}", HumanBytes(progress.bytes)));
}
