//! The demonstration on a store: in a namespace that has no jobs, neither before nor after.

use reveille::{Builder, Engine};

use crate::figures;
use crate::store::{self, IfOwned, Named};

/// Starts an engine in a namespace without jobs. A namespace with jobs is left as it is.
pub(super) async fn start(
    named: &Named,
    if_owned: IfOwned,
    build: impl Fn() -> Builder,
) -> Result<Engine, String> {
    refuse_jobs(named, pending(named).await?)?;
    let engine = store::start(named, named.partitions().await?, if_owned, build).await?;
    // Another process may have been faster.
    let jobs = engine.jobs();
    if jobs > 0 {
        engine.shutdown(super::GRACE).await;
    }
    refuse_jobs(named, jobs)?;
    Ok(engine)
}

fn refuse_jobs(named: &Named, jobs: usize) -> Result<(), String> {
    if jobs == 0 {
        return Ok(());
    }
    let namespace = &named.namespace;
    Err(format!(
        "the namespace {namespace:?} holds {} and was left as it is; name another with --namespace, or have \
         them fired by `reveille run --namespace {namespace} --exit-when-idle`",
        figures::jobs(jobs)
    ))
}

/// How many jobs a namespace holds.
pub(super) async fn pending(named: &Named) -> Result<usize, String> {
    let left = named.left().await?;
    Ok(left.pending.try_into().unwrap_or(usize::MAX))
}
