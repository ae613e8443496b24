//! One life of the morning, in a process of its own: what the parent starts, and kills.
//!
//! # Rules
//! - Standard output carries events ([`told`](super::told)) and nothing else.
//! - Standard input is a lifeline. Its end means that the parent has stopped the morning, or is gone: the jobs in a store that was
//!   named are called off, and the demonstration's own folder is removed with all that is in it.
//! - Signals are the parent's business. One that reaches both, as Ctrl-C does, does nothing here.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use reveille::{Clock, Engine};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::morning::Morning;
use super::plan::Plan;
use super::told::Teller;
use super::{Args, Error, GRACE, NAMESPACE, kept};
use crate::store::{self, IfOwned, Named};
use crate::{complain, signal};

/// In this variable a parent tells its child what to do.
pub(super) const VARIABLE: &str = "REVEILLE_DEMO_LIFE";

/// What a child is told when it is started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Life {
    /// The demonstration's own folder, if no store was named.
    pub(super) folder: Option<PathBuf>,
    /// What a life before this one has left.
    pub(super) before: Option<Before>,
}

/// How far the morning had come.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Before {
    /// The instant of the first sale.
    pub(super) begin_us: i64,
    /// How many changes of the plan were answered. They are answered in order.
    pub(super) answered: u64,
}

impl FromStr for Life {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// Lives, and leaves nothing behind if the parent is gone.
pub(super) async fn live(args: &Args, life: &Life) -> Result<ExitCode, String> {
    let cannot = |error: io::Error| format!("cannot start: {error}");
    signal::hold_back().map_err(cannot)?;
    let is_orphan = Arc::new(AtomicBool::new(false));
    let parent_ends = watch_parent(life.folder.clone(), Arc::clone(&is_orphan)).map_err(cannot)?;
    let lived = live_on(args, life, parent_ends).await;
    if let Some(folder) = life.folder.as_deref().filter(|_| is_orphan.load(SeqCst)) {
        remove(folder);
    }
    lived
}

async fn live_on(
    args: &Args,
    life: &Life,
    mut parent_ends: oneshot::Receiver<()>,
) -> Result<ExitCode, String> {
    let plan = Arc::new(Plan::new(args.jobs));
    let teller = Teller::to_parent().map_err(|error| format!("cannot start: {error}"))?;
    let morning = Arc::new(Morning::new(plan, teller, true));
    let named = named(args, life, &morning)?;
    let mono_us = || Clock::System.now().mono.as_micros();
    let began_us = mono_us();
    let engine = tokio::select! {
        engine = start(args, &named, life) => engine?,
        _ = &mut parent_ends => return Ok(ExitCode::SUCCESS),
    };
    let took = Duration::from_micros(mono_us() - began_us);
    let ended = tokio::select! {
        biased;
        error = engine.lost() => Err(error.into()),
        // A folder of the demonstration's own goes with its jobs.
        _ = parent_ends => match life.folder {
            Some(_) => Ok(()),
            None => morning.call_off_all(&engine).await,
        },
        ended = pass(&morning, &engine, took, life.before) => ended,
    };
    morning.tell_commit_delay(&engine);
    engine.shutdown(GRACE).await;
    Ok(match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(error);
            ExitCode::FAILURE
        }
    })
}

/// The store, which tells the morning what it has.
fn named(args: &Args, life: &Life, morning: &Arc<Morning>) -> Result<Named, String> {
    let named = match &life.folder {
        Some(folder) => Named::own(folder, NAMESPACE)?,
        None => args.named()?.ok_or("there is neither a folder nor a store")?,
    };
    let kept = Arc::clone(morning);
    Ok(named.quietly().watched(move |batch| kept.kept(batch)))
}

async fn start(args: &Args, named: &Named, life: &Life) -> Result<Engine, String> {
    match life.before {
        None => kept::start(named, args.sharing.if_owned(), || args.kept_engine()).await,
        // The life before was this parent's, and has ended.
        Some(_) => {
            let build = || args.kept_engine().unhandled_queues(true);
            store::start(named, named.partitions().await?, IfOwned::Wait, build).await
        }
    }
}

async fn pass(
    morning: &Arc<Morning>,
    engine: &Engine,
    took: Duration,
    before: Option<Before>,
) -> Result<(), Error> {
    if let Some(before) = before {
        morning.begins_at(before.begin_us);
    }
    morning.begin(engine, took)?;
    let done = match before {
        None => {
            morning.schedule_all(engine).await?;
            0
        }
        Some(before) => usize::try_from(before.answered)?,
    };
    morning.change_minds(engine, done).await?;
    morning.settles(engine).await;
    Ok(())
}

/// Resolves when standard input ends. If the demonstration's own folder is not gone some time later, nobody waits any more for
/// whatever this process is doing.
fn watch_parent(folder: Option<PathBuf>, is_orphan: Arc<AtomicBool>) -> io::Result<oneshot::Receiver<()>> {
    let (sender, ended) = oneshot::channel();
    thread::Builder::new().name("reveille-parent".into()).spawn(move || {
        // Nothing is ever written to it.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        is_orphan.store(true, SeqCst);
        let _ = sender.send(());
        if let Some(folder) = folder {
            thread::sleep(GRACE);
            remove(&folder);
            std::process::exit(1);
        }
    })?;
    Ok(ended)
}

/// Removes a folder to which a thread that is about to end may still be writing.
fn remove(folder: &Path) {
    for _ in 0..100 {
        let _ = std::fs::remove_dir_all(folder);
        thread::sleep(Duration::from_millis(10));
        if !folder.exists() {
            return;
        }
    }
}
