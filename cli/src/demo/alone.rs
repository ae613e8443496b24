//! The morning in this process, from beginning to end: `--no-crash`.

use std::sync::Arc;
use std::time::Duration;

use reveille::Engine;

use super::ledger::Ledger;
use super::morning::Morning;
use super::plan::Plan;
use super::progress::Progress;
use super::report::{Kept, Report};
use super::told::Teller;
use super::{Args, Error, Failure, GRACE, kept};
use crate::signal;
use crate::signal::Signal;
use crate::store::Named;

pub(super) async fn show(args: &Args, plan: Arc<Plan>) -> Result<Report, Failure> {
    let named = args.named()?;
    let ledger = Arc::new(Ledger::new(Arc::clone(&plan)));
    let morning = Arc::new(Morning::new(plan, Teller::Ledger(Arc::clone(&ledger)), named.is_some()));
    let engine = start(args, named.as_ref()).await?;
    pass(&morning, &engine, &ledger).await.map_err(Failure::BrokeOff)?;
    let pending = match &named {
        Some(named) => Some(kept::pending(named).await?),
        None => None,
    };
    let book = ledger.book();
    Ok(Report::of(&book, pending.map(|pending| Kept::of(&book, pending)), None))
}

/// An engine without jobs, and without a queue yet, so that nothing can fire.
async fn start(args: &Args, named: Option<&Named>) -> Result<Engine, String> {
    match named {
        Some(named) => kept::start(named, args.sharing.if_owned(), || args.kept_engine()).await,
        None => args.engine().start().await.map_err(|error| format!("cannot start the engine: {error}")),
    }
}

async fn pass(morning: &Arc<Morning>, engine: &Engine, ledger: &Arc<Ledger>) -> Result<(), Error> {
    let progress = Progress::start(Arc::clone(ledger), morning.jobs());
    let signal = signal::listen()?;
    morning.begin(engine, Duration::ZERO)?;
    let ended = tokio::select! {
        biased;
        error = engine.lost() => Err(error.into()),
        ended = whole(morning, engine) => ended,
        Ok(signal) = signal => Err(call_off(morning, engine, signal).await),
    };
    drop(progress);
    morning.tell_commit_delay(engine);
    engine.shutdown(GRACE).await;
    ended
}

/// The morning, from the first job to the last.
async fn whole(morning: &Morning, engine: &Engine) -> Result<(), Error> {
    morning.schedule_all(engine).await?;
    morning.change_minds(engine, 0).await?;
    morning.settles(engine).await;
    Ok(())
}

/// Cancels everything: otherwise a signal would leave the store full of useless jobs.
async fn call_off(morning: &Morning, engine: &Engine, signal: Signal) -> Error {
    match morning.call_off_all(engine).await {
        Ok(()) => format!("stopped by {signal}; all jobs were called off").into(),
        Err(error) => format!("stopped by {signal}, and the jobs could not be called off: {error}").into(),
    }
}
