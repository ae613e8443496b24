//! The world: virtual time, tasks, and processes that are killed and frozen. One seed decides which task runs next.
//!
//! # Rules
//! - One thread. A task runs from one await to the next. The next one is drawn from the set of runnable tasks, ordered by
//!   number. So the order of wake-ups does not matter, only the seed does.
//! - Time passes while nothing can run, by jumps to the next timer; and a little, drawn, with every step that is run.
//! - A frozen process runs nothing while its clocks go on; one whose handlers are blocked runs all but those. A killed one never runs again; what it has sent is on its way.
//! - Tasks outside of processes (network, server, plan) belong to the environment, and are never frozen.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Once};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;
use reveille::sim::{Boxed, Simulation, within};

use crate::process::Process;
use crate::trace::Trace;

/// When a simulated world begins, in microseconds: some hours in, so that nothing is below zero.
const BEGIN_US: u64 = 10_000_000_000;

/// The longest usual step, in microseconds; one in [`SLOW_ONE_IN`] takes up to [`SLOW_US`].
const STEP_US: u64 = 3;
const SLOW_ONE_IN: u32 = 400;
const SLOW_US: u64 = 3_000;

/// The limit that stops a world that never comes to rest.
const STEPS_MAX: u64 = 3_000_000;

/// A promise that was broken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Its name, in a word or two: the same for the same cause.
    pub promise: &'static str,
    /// What was seen.
    pub detail: String,
}

thread_local! {
    static IS_IN_A_STEP: Cell<bool> = const { Cell::new(false) };
    static LAST_PANIC: Cell<Option<String>> = const { Cell::new(None) };
}

/// Keeps where a panic of a simulated task came from, and prints nothing: handlers panic on purpose.
pub fn listen_to_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if IS_IN_A_STEP.get() {
                LAST_PANIC.set(panic.location().map(|place| format!("at {place}")));
            } else {
                usual(panic);
            }
        }));
    });
}

/// The world of one run.
pub(crate) struct World {
    core: Mutex<Core>,
    /// What happened.
    pub trace: Trace,
    violation: Mutex<Option<Violation>>,
}

struct Core {
    now_us: u64,
    rng: fastrand::Rng,
    tasks: BTreeMap<u64, Task>,
    /// Numbers of runnable tasks.
    ready: BTreeSet<u64>,
    /// Numbers of runnable tasks of a frozen process or with blocked handlers.
    frozen: BTreeSet<u64>,
    timers: BTreeMap<(u64, u64), Waker>,
    next_id: u64,
}

struct Task {
    process: Option<Arc<Process>>,
    /// Whether it runs handlers.
    is_handler: bool,
    /// Taken while it runs.
    future: Option<Boxed<()>>,
}

impl Task {
    /// Whether it never runs again.
    fn is_stopped(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.is_killed())
    }

    /// Whether it must not run at present.
    fn is_held(&self) -> bool {
        let is_held =
            |process: &Arc<Process>| process.is_frozen() || (self.is_handler && process.is_blocked());
        self.process.as_ref().is_some_and(is_held)
    }
}

struct TaskWaker {
    world: std::sync::Weak<World>,
    id: u64,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if let Some(world) = self.world.upgrade() {
            world.core.lock().wake(self.id);
        }
    }
}

impl Core {
    fn wake(&mut self, id: u64) {
        let Some(task) = self.tasks.get(&id) else { return };
        if task.is_held() {
            self.frozen.insert(id)
        } else {
            self.ready.insert(id)
        };
    }

    fn fresh(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}

impl World {
    /// A world in which nothing has happened yet.
    pub(crate) fn new(seed: u64, trace: Trace) -> Arc<Self> {
        Arc::new(World {
            core: Mutex::new(Core {
                now_us: BEGIN_US,
                rng: fastrand::Rng::with_seed(seed ^ 0x005e_ed0f_5c4e_d01e),
                tasks: BTreeMap::new(),
                ready: BTreeSet::new(),
                frozen: BTreeSet::new(),
                timers: BTreeMap::new(),
                next_id: 0,
            }),
            trace,
            violation: Mutex::new(None),
        })
    }

    /// The time, in microseconds.
    pub(crate) fn now_us(&self) -> u64 {
        self.core.lock().now_us
    }

    /// Writes a line of the trace.
    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        self.trace.note(self.now_us() - BEGIN_US, line);
    }

    /// A promise is broken: the run ends here. The first one counts.
    pub(crate) fn broken(&self, promise: &'static str, detail: String) {
        let mut violation = self.violation.lock();
        if violation.is_none() {
            self.trace.note(self.now_us() - BEGIN_US, || format!("BROKEN {promise}: {detail}"));
            *violation = Some(Violation { promise, detail });
        }
    }

    /// The promise that was broken.
    pub(crate) fn violation(&self) -> Option<Violation> {
        self.violation.lock().clone()
    }

    /// Spawns a task of a process, or of the environment. Returns its number.
    pub(crate) fn spawn(&self, process: Option<Arc<Process>>, future: Boxed<()>) -> u64 {
        self.spawn_task(process, false, future)
    }

    /// Spawns a task of a process that runs handlers.
    pub(crate) fn spawn_handler(&self, process: Arc<Process>, future: Boxed<()>) -> u64 {
        self.spawn_task(Some(process), true, future)
    }

    fn spawn_task(&self, process: Option<Arc<Process>>, is_handler: bool, future: Boxed<()>) -> u64 {
        if process.as_ref().is_some_and(|process| process.is_killed()) {
            return 0;
        }
        let mut core = self.core.lock();
        let id = core.fresh();
        core.tasks.insert(id, Task { process, is_handler, future: Some(future) });
        core.wake(id);
        id
    }

    /// Spawns a task of the environment.
    pub(crate) fn spawn_env(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.spawn(None, Box::pin(future));
    }

    /// Drops a task.
    pub(crate) fn abort(&self, id: u64) {
        let task = {
            let mut core = self.core.lock();
            core.ready.remove(&id);
            core.frozen.remove(&id);
            core.tasks.remove(&id)
        };
        // Not under the lock: it may wake and spawn.
        drop(task);
    }

    /// Drops all tasks of a process, which has been marked as killed.
    pub(crate) fn kill(&self, process: &Arc<Process>) {
        let is_its = |task: &Task| task.process.as_ref().is_some_and(|its| Arc::ptr_eq(its, process));
        let ids: Vec<u64> = {
            let core = self.core.lock();
            core.tasks.iter().filter(|(_, task)| is_its(task)).map(|(&id, _)| id).collect()
        };
        let simulation: Arc<dyn Simulation> = Arc::clone(process) as _;
        within(&simulation, || ids.into_iter().for_each(|id| self.abort(id)));
    }

    /// Lets a process's tasks go on, after it was frozen or its handlers were blocked.
    pub(crate) fn thaw(&self, process: &Arc<Process>) {
        let mut core = self.core.lock();
        let Core { tasks, frozen, ready, .. } = &mut *core;
        let is_its = |id: &u64| {
            tasks.get(id).is_some_and(|task| {
                !task.is_held() && task.process.as_ref().is_some_and(|its| Arc::ptr_eq(its, process))
            })
        };
        let its: Vec<u64> = frozen.iter().copied().filter(|id| is_its(id)).collect();
        for id in its {
            frozen.remove(&id);
            ready.insert(id);
        }
    }

    /// Resolves at an instant of the world.
    pub(crate) fn until(self: &Arc<Self>, at_us: u64) -> Until {
        Until { world: Arc::clone(self), at_us, timer: None }
    }

    /// Resolves after this time.
    pub(crate) fn after(self: &Arc<Self>, us: u64) -> Until {
        self.until(self.now_us().saturating_add(us))
    }

    /// Runs until `is_over`, a promise is broken, or nothing is left to happen. `at_rest` is called whenever nothing can
    /// run before time passes.
    pub(crate) fn run(self: &Arc<Self>, is_over: impl Fn() -> bool, mut at_rest: impl FnMut()) {
        let mut steps = 0;
        while !is_over() && self.violation.lock().is_none() {
            if let Some((id, task)) = self.next() {
                steps += 1;
                if steps > STEPS_MAX {
                    self.broken("liveness", format!("it is never at rest: {steps} steps"));
                }
                self.step(id, task);
                continue;
            }
            if self.fire_timers() {
                continue;
            }
            at_rest();
            let mut core = self.core.lock();
            let Some((&(at_us, _), _)) = core.timers.first_key_value() else {
                drop(core);
                self.broken("liveness", "nothing is left that could ever happen".to_owned());
                return;
            };
            core.now_us = core.now_us.max(at_us);
        }
    }

    /// Drops everything under way, because futures hold the world that holds them.
    pub(crate) fn end(&self) {
        loop {
            let Some((_, task)) = self.core.lock().tasks.pop_first() else { return };
            let process = task.process.clone();
            match process {
                Some(process) => within(&(process as Arc<dyn Simulation>), || drop(task)),
                None => drop(task),
            }
        }
    }

    /// Draws one of the tasks that can run.
    fn next(&self) -> Option<(u64, Task)> {
        let mut core = self.core.lock();
        let id = loop {
            let count = core.ready.len();
            if count == 0 {
                return None;
            }
            let nth = if count == 1 { 0 } else { core.rng.usize(..count) };
            let id = *core.ready.iter().nth(nth)?;
            core.ready.remove(&id);
            if !core.tasks.get(&id).is_some_and(Task::is_stopped) {
                break id;
            }
        };
        let took = if core.rng.u32(..SLOW_ONE_IN) == 0 { SLOW_US } else { STEP_US };
        core.now_us += core.rng.u64(..=took);
        let task = core.tasks.get_mut(&id)?;
        let taken = Task { future: task.future.take(), process: task.process.clone(), ..*task };
        Some((id, taken))
    }

    fn step(self: &Arc<Self>, id: u64, task: Task) {
        let Some(mut future) = task.future else { return };
        let waker = Waker::from(Arc::new(TaskWaker { world: Arc::downgrade(self), id }));
        let mut context = Context::from_waker(&waker);
        let mut poll = || catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context)));
        IS_IN_A_STEP.set(true);
        let polled = match &task.process {
            Some(process) => within(&(Arc::clone(process) as Arc<dyn Simulation>), poll),
            None => poll(),
        };
        IS_IN_A_STEP.set(false);
        let left = self.put_back(id, future, matches!(polled, Ok(Poll::Pending)));
        match &task.process {
            Some(process) => within(&(Arc::clone(process) as Arc<dyn Simulation>), || drop(left)),
            None => drop(left),
        }
        self.judge(polled);
    }

    /// Keeps a task that goes on; returns its future if it has ended, or was aborted while it ran.
    fn put_back(&self, id: u64, future: Boxed<()>, goes_on: bool) -> Option<Boxed<()>> {
        let mut core = self.core.lock();
        match core.tasks.get_mut(&id) {
            Some(task) if goes_on => {
                task.future = Some(future);
                return None;
            }
            _ => {}
        }
        core.tasks.remove(&id);
        core.ready.remove(&id);
        core.frozen.remove(&id);
        Some(future)
    }

    fn judge(&self, polled: std::thread::Result<Poll<()>>) {
        if let Err(panic) = polled {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            let place = LAST_PANIC.take().unwrap_or_default();
            self.broken("no panic", format!("{text} {place}"));
        }
    }

    /// Wakes the waits for an instant that has come.
    fn fire_timers(&self) -> bool {
        let due: Vec<Waker> = {
            let mut core = self.core.lock();
            let now_us = core.now_us;
            let later = core.timers.split_off(&(now_us + 1, 0));
            std::mem::replace(&mut core.timers, later).into_values().collect()
        };
        let any = !due.is_empty();
        due.into_iter().for_each(Waker::wake);
        any
    }
}

/// A wait for an instant of the world.
pub(crate) struct Until {
    world: Arc<World>,
    at_us: u64,
    timer: Option<(u64, u64)>,
}

impl Future for Until {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let world = Arc::clone(&self.world);
        let mut core = world.core.lock();
        if core.now_us >= self.at_us {
            return Poll::Ready(());
        }
        let timer = match self.timer {
            Some(timer) => timer,
            None => (self.at_us, core.fresh()),
        };
        self.timer = Some(timer);
        core.timers.insert(timer, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Until {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.world.core.lock().timers.remove(&timer);
        }
    }
}
