//! Work that comes while workers fall asleep, leave, or are yet to be had.

use std::sync::Arc;

use loom::future::block_on;
use loom::sync::Mutex;
use loom::thread;

use super::check;
use crate::engine::meters::Register;
use crate::engine::queues::{Queue, QueueConfig, Queues, Runner};
use crate::engine::state::Life;
use crate::engine::state::jobs::{JobCount, jobs};

/// A queue, one partition's due jobs of it behind their lock, and the end.
struct World {
    queue: Arc<Queue>,
    due: Mutex<usize>,
    /// How many jobs are left, which is changed under the same lock.
    count: JobCount,
    life: Life,
    idle_max: usize,
    /// Not one of the checker's: only the test looks.
    workers: std::sync::Mutex<Vec<thread::JoinHandle<()>>>,
}

impl World {
    fn new(jobs: usize, idle_max: usize, concurrency: usize) -> Arc<World> {
        Arc::new(World {
            queue: Queues::new(1, Register::default())
                .claim(QueueConfig::new("q").concurrency(concurrency))
                .unwrap(),
            due: Mutex::new(0),
            count: JobCount::new(jobs),
            life: Life::new(),
            idle_max,
            workers: Default::default(),
        })
    }

    /// What `Shared::enter` does: changes what is due under the lock, publishes it, and calls for what is more.
    fn enter<R>(&self, change: impl FnOnce(&mut usize) -> R) -> R {
        let mut due = self.due.lock().unwrap();
        let result = change(&mut due);
        let more = due.saturating_sub(self.queue.publish_ready(0, *due));
        drop(due);
        if more > 0 {
            self.queue.call_workers(more.min(1));
        }
        result
    }

    fn bring(&self) {
        self.enter(|due| *due += 1);
    }

    fn could_start(&self) -> bool {
        self.queue.ready_in(0) > 0 && !self.life.is_stopping()
    }

    fn jobs(&self) -> usize {
        jobs(std::iter::once(&self.count))
    }

    fn run_by_workers(self: &Arc<Self>) {
        let world = Arc::downgrade(self);
        self.queue.run_by(Runner::Workers(Box::new(move |_| {
            let world = world.upgrade().unwrap();
            let worker = Arc::clone(&world);
            let worker = thread::spawn(move || block_on(worker.work()));
            world.workers.lock().unwrap().push(worker);
        })));
    }

    /// What a worker does, with nothing to it but the taking of jobs.
    async fn work(&self) {
        loop {
            let take = |due: &mut usize| {
                due.checked_sub(1).map(|less| {
                    *due = less;
                    self.count.publish(self.jobs() - 1)
                })
            };
            if self.could_start()
                && let Some(is_emptied) = self.enter(take)
            {
                if is_emptied {
                    self.life.one_is_empty(|| self.jobs());
                }
                continue;
            }
            let called = self.queue.called(self.idle_max, |_| self.could_start(), || self.life.is_stopping());
            if self.life.is_stopping() || !called.await {
                break;
            }
        }
        self.queue.worker_leaves(|_| self.could_start());
    }

    /// Waits until all is done, then has the workers go. One that nobody tells hangs the test.
    fn end(&self) {
        block_on(self.life.idle(|| self.jobs()));
        self.life.stop();
        self.queue.call_all();
        loop {
            let Some(worker) = self.workers.lock().unwrap().pop() else { break };
            worker.join().unwrap();
        }
    }
}

#[test]
fn work_that_comes_while_a_worker_falls_asleep_is_done() {
    check(|| {
        let world = World::new(2, 1, 1);
        world.run_by_workers();
        world.bring();
        world.bring();
        world.end();
    });
}

/// Two bring work, to a worker that is there.
#[test]
fn work_that_two_bring_is_done() {
    check(|| {
        let world = World::new(2, 1, 1);
        world.run_by_workers();
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.bring())
        };
        world.bring();
        other.join().unwrap();
        world.end();
    });
}

/// No worker stays: each that finds nothing leaves, and work that comes meanwhile gets another.
#[test]
fn work_that_comes_while_a_worker_leaves_is_done() {
    check(|| {
        let world = World::new(2, 0, 1);
        world.run_by_workers();
        world.bring();
        world.bring();
        world.end();
    });
}

/// Work comes for a queue that is given its handler at the same time.
#[test]
fn work_that_comes_before_there_is_a_handler_is_done() {
    check(|| {
        let world = World::new(1, 1, 1);
        let other = {
            let world = Arc::clone(&world);
            thread::spawn(move || world.bring())
        };
        world.run_by_workers();
        // As `Engine::add_queue` does.
        if world.could_start() {
            world.queue.call_workers(1);
        }
        other.join().unwrap();
        world.end();
    });
}
