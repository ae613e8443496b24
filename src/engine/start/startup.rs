//! A start in the background, and how far it is.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::builder::Builder;
use super::told::{RestoreProgress, Standby};
use crate::engine::error::StartError;
use crate::engine::state::Engine;
use crate::rt::Scoped;

/// How far a start is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StartPhase {
    /// The store has not answered yet.
    Starting,
    /// Another engine owns the jobs; this one waits for it to end.
    Standby(Standby),
    /// The engine has the leases, and loads what the store holds.
    Restoring(RestoreProgress),
    /// The engine runs.
    Ready(Engine),
    /// The engine could not start.
    Failed(Arc<StartError>),
}

/// An engine that is starting: see [`Builder::start_in_background`]. Cheap to clone. If the last clone is dropped before
/// the engine runs, the start is cancelled.
#[derive(Clone)]
pub struct Startup {
    phase: watch::Receiver<StartPhase>,
    _task: Arc<Scoped<()>>,
}

impl Builder {
    /// Starts the engine in the background, for a service that opens its port first and answers "not ready". While another
    /// engine owns the jobs, [`start`](Self::start) waits as long as that engine lives.
    ///
    /// ```
    /// # use reveille::{Engine, Job, StartPhase};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let startup = Engine::builder().queue("q", |_: Job| async {}).start_in_background()?;
    /// // Bind the port, and answer 503 as long as this is so:
    /// if startup.engine().is_none() {
    ///     println!("not ready: {:?}", startup.phase());
    /// }
    /// let engine = startup.ready().await?;
    /// # assert!(matches!(startup.phase(), StartPhase::Ready(_)));
    /// # let _ = engine; Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When a setting is wrong, or there is no runtime. [`Startup::ready`] returns every other error.
    pub fn start_in_background(mut self) -> Result<Startup, StartError> {
        self.check()?;
        let runtime = self.runtime_or_current()?;
        let (tell, phase) = watch::channel(StartPhase::Starting);
        let tell = Arc::new(tell);
        let (restoring, standing_by) = (Arc::clone(&tell), Arc::clone(&tell));
        let (restore_told, standby_told) = (self.told.take(), self.standby_told.take());
        let builder = self
            .on_restore(move |progress| {
                restoring.send_replace(StartPhase::Restoring(progress));
                restore_told.iter().for_each(|told| told(progress));
            })
            .on_standby(move |standby| {
                standing_by.send_replace(StartPhase::Standby(standby.clone()));
                standby_told.iter().for_each(|told| told(standby.clone()));
            });
        let task = runtime.spawn_scoped(async move {
            tell.send_replace(match builder.start().await {
                Ok(engine) => StartPhase::Ready(engine),
                Err(error) => StartPhase::Failed(Arc::new(error)),
            });
        });
        Ok(Startup { phase, _task: Arc::new(task) })
    }

    /// Calls `told` while [`start`](Self::start) waits for another engine to end: whenever it has asked the store, about once
    /// a second.
    pub fn on_standby(mut self, told: impl Fn(Standby) + Send + Sync + 'static) -> Self {
        self.standby_told = Some(Arc::new(told));
        self
    }
}

impl Startup {
    /// How far it is.
    pub fn phase(&self) -> StartPhase {
        let phase = self.phase.borrow().clone();
        // Its task has ended with the runtime, without a word.
        let is_interrupted = !phase.is_over() && self.phase.has_changed().is_err();
        if is_interrupted { StartPhase::Failed(Arc::new(StartError::Interrupted)) } else { phase }
    }

    /// Waits for the next phase that this clone has not seen yet, and returns it. Once that was `Ready` or `Failed`, it waits
    /// for ever.
    pub async fn changed(&mut self) -> StartPhase {
        if self.phase.changed().await.is_err() && self.phase.borrow().is_over() {
            std::future::pending::<()>().await;
        }
        self.phase()
    }

    /// The engine, if it runs.
    pub fn engine(&self) -> Option<Engine> {
        match &*self.phase.borrow() {
            StartPhase::Ready(engine) => Some(engine.clone()),
            _ => None,
        }
    }

    /// Waits until the engine runs.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn ready(&self) -> Result<Engine, Arc<StartError>> {
        // An error means that the task has ended and will send no more.
        let _ = self.phase.clone().wait_for(StartPhase::is_over).await;
        match self.phase() {
            StartPhase::Ready(engine) => Ok(engine),
            StartPhase::Failed(error) => Err(error),
            _ => Err(Arc::new(StartError::Interrupted)),
        }
    }
}

impl StartPhase {
    fn is_over(&self) -> bool {
        matches!(self, StartPhase::Ready(_) | StartPhase::Failed(_))
    }
}

impl fmt::Debug for Startup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Startup").field("phase", &*self.phase.borrow()).finish()
    }
}
