//! The runtimes that tasks run on, and the time by which they wait: tokio's. With the feature `_sim` they may be a
//! simulator's instead, which decides what runs next and how time passes, so that a run can be repeated exactly.
//!
//! # Rules
//! - Library code spawns and waits through this module, never through `tokio::spawn` or `tokio::time`.
//! - Only handlers run on the user's [`Runtime`]: it may be busy, have no timer, or end. All I/O and every wait for a time is
//!   on the engine's own runtime, [`Io`]. Futures that a user may poll on any executor wait through [`Io::timeout`].
//! - No code may depend on which task runs next: a simulator takes any that can run.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

#[cfg(any(feature = "_sim", not(reveille_shuttle)))]
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

#[cfg(feature = "_sim")]
use crate::seam::{Simulation, current};

/// A task's future, or a wait.
pub(crate) type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where tasks run.
#[derive(Clone, Debug)]
pub(crate) enum Runtime {
    Tokio(tokio::runtime::Handle),
    #[cfg(feature = "_sim")]
    Simulated(Arc<dyn Simulation>, Crew),
}

/// The kind of task in a simulated process: its handlers can be blocked while the others go on.
#[cfg(feature = "_sim")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Crew {
    Handlers,
    Engine,
}

/// A wait has taken longer than its limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Elapsed;

impl Runtime {
    /// The runtime that the caller runs on.
    pub(crate) fn current() -> Option<Self> {
        #[cfg(feature = "_sim")]
        if let Some(simulation) = current() {
            return Some(Runtime::Simulated(simulation, Crew::Engine));
        }
        tokio::runtime::Handle::try_current().ok().map(Runtime::Tokio)
    }

    /// The same one, for handlers.
    pub(crate) fn for_handlers(self) -> Self {
        match self {
            #[cfg(feature = "_sim")]
            Runtime::Simulated(simulation, _) => Runtime::Simulated(simulation, Crew::Handlers),
            tokio => tokio,
        }
    }

    /// Whether it may end before the engine, and can be asked whether it polls.
    pub(crate) fn is_real(&self) -> bool {
        !cfg!(reveille_shuttle) && matches!(self, Runtime::Tokio(_))
    }

    /// How many threads run its tasks.
    pub(crate) fn threads(&self) -> usize {
        match self {
            // A checker's runtime reports 0.
            Runtime::Tokio(handle) => handle.metrics().num_workers().max(1),
            #[cfg(feature = "_sim")]
            Runtime::Simulated(..) => 2,
        }
    }

    /// Runs what may spawn tasks by itself.
    #[cfg(feature = "tower")]
    pub(crate) fn within<T>(&self, run: impl FnOnce() -> T) -> T {
        match self {
            Runtime::Tokio(handle) => {
                let _entered = handle.enter();
                run()
            }
            #[cfg(feature = "_sim")]
            Runtime::Simulated(..) => run(),
        }
    }

    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match self {
            Runtime::Tokio(handle) => drop(handle.spawn(task)),
            #[cfg(feature = "_sim")]
            Runtime::Simulated(simulation, crew) => {
                spawn_simulated(simulation, *crew, Box::pin(task));
            }
        }
    }

    /// Spawns a task that ends when what this returns is dropped.
    pub(crate) fn spawn_scoped<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Scoped<T> {
        match self {
            Runtime::Tokio(handle) => Scoped(Task::Tokio(handle.spawn(task))),
            #[cfg(feature = "_sim")]
            Runtime::Simulated(simulation, crew) => {
                let (done, result) = tokio::sync::oneshot::channel();
                let task = Box::pin(async move {
                    let _ = done.send(task.await);
                });
                let id = spawn_simulated(simulation, *crew, task);
                Scoped(Task::Simulated { simulation: Arc::clone(simulation), id, result })
            }
        }
    }

    /// Runs blocking work on a thread for it. `None` if it panicked, or the runtime ended.
    pub(crate) async fn run_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        match self {
            Runtime::Tokio(handle) => handle.spawn_blocking(work).await.ok(),
            #[cfg(feature = "_sim")]
            Runtime::Simulated(simulation, crew) => run_simulated(simulation, *crew, work).await,
        }
    }
}

/// Goes on, as on a thread, if nobody waits for it any more.
#[cfg(feature = "_sim")]
async fn run_simulated<T: Send + 'static>(
    simulation: &Arc<dyn Simulation>,
    crew: Crew,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let Some(turn) = simulation.blocking_turn() else { return Some(work()) };
    let (done, result) = tokio::sync::oneshot::channel();
    let its = Arc::clone(simulation);
    let task = async move {
        turn.await;
        let result = work();
        if let Some(turn) = its.blocking_turn() {
            turn.await;
        }
        let _ = done.send(result);
    };
    spawn_simulated(simulation, crew, Box::pin(task));
    result.await.ok()
}

#[cfg(feature = "_sim")]
fn spawn_simulated(simulation: &Arc<dyn Simulation>, crew: Crew, task: Boxed) -> u64 {
    match crew {
        Crew::Handlers => simulation.spawn_handler(task),
        Crew::Engine => simulation.spawn(task),
    }
}

/// The engine's own thread with a runtime of its own, for everything but handlers: its tasks go on whatever handlers do to
/// theirs. Clones are the same thread. It ends with the last clone, and so do its tasks: a task that must outlive its engine
/// holds a clone.
#[derive(Clone, Debug)]
pub(crate) struct Io {
    runtime: Runtime,
    /// Nothing is ever sent: the thread waits for all senders to be gone.
    _held: Option<mpsc::Sender<Infallible>>,
}

impl Io {
    /// Starts the thread. In a simulation the simulator provides it, and under a checker the checker.
    ///
    /// # Errors
    /// When the system has no thread or no descriptor left.
    pub(crate) fn start() -> io::Result<Self> {
        #[cfg(feature = "_sim")]
        if let Some(simulation) = current() {
            return Ok(Io { runtime: Runtime::Simulated(simulation, Crew::Engine), _held: None });
        }
        start_thread()
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// A wait that any executor may poll, for as long as the thread is held.
    pub(crate) fn sleep(&self, time: Duration) -> Boxed {
        match &self.runtime {
            Runtime::Tokio(handle) => {
                // Under a checker there is one runtime, and this runs in it.
                #[cfg(not(reveille_shuttle))]
                let _timer = handle.enter();
                #[cfg(reveille_shuttle)]
                let _ = handle;
                Box::pin(tokio::time::sleep(time))
            }
            #[cfg(feature = "_sim")]
            Runtime::Simulated(simulation, _) => simulation.sleep(time),
        }
    }

    /// Waits for `future`, on whatever executor this is polled, but for no longer than `time`.
    pub(crate) async fn timeout<F: Future>(&self, time: Duration, future: F) -> Result<F::Output, Elapsed> {
        #[cfg(reveille_shuttle)]
        return timeout(time, future).await;
        #[cfg(not(reveille_shuttle))]
        tokio::select! {
            biased;
            output = future => Ok(output),
            () = self.sleep(time) => Err(Elapsed),
        }
    }
}

#[cfg(not(reveille_shuttle))]
fn start_thread() -> io::Result<Io> {
    let name = "reveille-io";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().thread_name(name).build()?;
    let handle = runtime.handle().clone();
    let (held, mut is_held) = mpsc::channel(1);
    // Handed over through this: if there is no thread, it must not be dropped here, where blocking may not be allowed.
    let given = Arc::new(parking_lot::Mutex::new(Some(runtime)));
    let taken = Arc::clone(&given);
    let started = std::thread::Builder::new().name(name.into()).spawn(move || {
        let Some(runtime) = taken.lock().take() else { return };
        runtime.block_on(is_held.recv());
        // What may still run beside it is not waited for.
        runtime.shutdown_background();
    });
    if let Err(error) = started {
        given.lock().take().into_iter().for_each(tokio::runtime::Runtime::shutdown_background);
        return Err(error);
    }
    Ok(Io { runtime: Runtime::Tokio(handle), _held: Some(held) })
}

#[cfg(reveille_shuttle)]
fn start_thread() -> io::Result<Io> {
    let runtime = Runtime::current().ok_or_else(|| io::Error::other("no runtime"))?;
    Ok(Io { runtime, _held: None })
}

/// Spawns a task on the runtime that the caller runs on; nothing happens if there is none.
#[cfg(feature = "redis")]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    if let Some(runtime) = Runtime::current() {
        runtime.spawn(task);
    }
}

pub(crate) async fn sleep(time: Duration) {
    #[cfg(feature = "_sim")]
    if let Some(simulation) = current() {
        return simulation.sleep(time).await;
    }
    tokio::time::sleep(time).await;
}

/// Waits for `future`, but for no longer than `time`.
pub(crate) async fn timeout<F: Future>(time: Duration, future: F) -> Result<F::Output, Elapsed> {
    #[cfg(feature = "_sim")]
    if let Some(simulation) = current() {
        return tokio::select! {
            biased;
            output = future => Ok(output),
            () = simulation.sleep(time) => Err(Elapsed),
        };
    }
    tokio::time::timeout(time, future).await.map_err(|_| Elapsed)
}

/// A task that ends when this is dropped. Resolves with what the task gave; `None` if it panicked, or its runtime ended.
#[derive(Debug)]
pub(crate) struct Scoped<T>(Task<T>);

#[derive(Debug)]
enum Task<T> {
    Tokio(JoinHandle<T>),
    #[cfg(feature = "_sim")]
    Simulated {
        simulation: Arc<dyn Simulation>,
        id: u64,
        result: tokio::sync::oneshot::Receiver<T>,
    },
}

impl<T> Future for Scoped<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        match &mut self.0 {
            Task::Tokio(task) => Pin::new(task).poll(context).map(Result::ok),
            #[cfg(feature = "_sim")]
            Task::Simulated { result, .. } => Pin::new(result).poll(context).map(Result::ok),
        }
    }
}

impl<T> Drop for Scoped<T> {
    fn drop(&mut self) {
        match &self.0 {
            Task::Tokio(task) => task.abort(),
            #[cfg(feature = "_sim")]
            Task::Simulated { simulation, id, .. } => simulation.abort(*id),
        }
    }
}

/// Tasks under way. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Tasks<T>(Vec<Scoped<T>>);

impl<T: Send + 'static> Tasks<T> {
    pub(crate) fn new() -> Self {
        Tasks(Vec::new())
    }

    #[cfg(feature = "redis")]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn spawn_on(&mut self, runtime: &Runtime, task: impl Future<Output = T> + Send + 'static) {
        self.0.push(runtime.spawn_scoped(task));
    }

    /// The result of one that has ended; `None` when there is none left. `Some(None)`: it panicked, or its runtime ended.
    pub(crate) async fn join_next(&mut self) -> Option<Option<T>> {
        if self.0.is_empty() {
            return None;
        }
        let (at, result) = std::future::poll_fn(|context| {
            for (at, task) in self.0.iter_mut().enumerate() {
                if let Poll::Ready(result) = Pin::new(task).poll(context) {
                    return Poll::Ready((at, result));
                }
            }
            Poll::Pending
        })
        .await;
        self.0.swap_remove(at);
        Some(result)
    }
}
