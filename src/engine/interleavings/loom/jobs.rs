//! Jobs that come and go in two partitions: those who wait for none to be left, and the bound.

use std::sync::Arc;

use loom::future::block_on;
use loom::sync::Mutex;
use loom::thread;

use super::check;
use crate::engine::state::Life;
use crate::engine::state::jobs::{JobCount, Room, jobs};

/// Two partitions, as far as their jobs are counted.
struct World {
    partitions: [Part; 2],
    room: Room,
    life: Life,
}

/// How many jobs there are and what room is held, under the partition's lock, and what is published.
struct Part {
    owned: Mutex<(usize, usize)>,
    count: JobCount,
}

impl World {
    /// With room for `max`, which partitions take by `block`.
    fn new(live: [usize; 2], max: usize, block: usize, near: usize) -> Arc<World> {
        let part = |jobs| Part { owned: Mutex::new((jobs, jobs)), count: JobCount::new(jobs) };
        let room = Room::with_blocks(max, live.iter().sum(), block, near);
        Arc::new(World { partitions: live.map(part), room, life: Life::new() })
    }

    fn jobs(&self) -> usize {
        jobs(self.partitions.iter().map(|part| &part.count))
    }

    /// What `Shared::enter` does.
    fn enter<R>(&self, at: usize, change: impl FnOnce(&mut usize, &mut usize) -> R) -> R {
        let part = &self.partitions[at];
        let mut owned = part.owned.lock().unwrap();
        let (live, held) = &mut *owned;
        let result = change(live, held);
        self.room.settle(held, *live);
        let is_emptied = part.count.publish(*live);
        drop(owned);
        if is_emptied {
            self.life.one_is_empty(|| self.jobs());
        }
        result
    }

    /// What `Shared::gather_room` does.
    fn gather_room(&self) -> Option<u64> {
        self.room.exact_turn().or_else(|| {
            let turn = self.room.tighten();
            for part in &self.partitions {
                let (live, held) = &mut *part.owned.lock().unwrap();
                self.room.fetch_back(held, *live);
            }
            self.room.is_gathered(turn);
            self.room.exact_turn()
        })
    }

    /// What `Shared::schedule` does.
    fn schedule(&self, at: usize) -> bool {
        let mut turn = self.room.exact_turn();
        loop {
            let is_taken = self.enter(at, |live, held| {
                let has_room = self.room.make(held, *live);
                *live += usize::from(has_room);
                has_room
            });
            if is_taken {
                return true;
            }
            if turn.is_some() && turn == self.room.exact_turn() {
                return false;
            }
            turn = self.gather_room();
        }
    }

    fn end_one(&self, at: usize) {
        self.enter(at, |live, _| *live -= 1);
    }
}

fn thread(world: &Arc<World>, run: impl FnOnce(&World) + Send + 'static) -> thread::JoinHandle<()> {
    let world = Arc::clone(world);
    thread::spawn(move || run(&world))
}

/// The last jobs of two partitions end while somebody waits for none to be left.
#[test]
fn whoever_waits_for_the_last_job_is_told() {
    check(|| {
        let world = World::new([1, 1], 10, 1, 1);
        let workers = [0, 1].map(|at| thread(&world, move |world| world.end_one(at)));
        block_on(world.life.idle(|| world.jobs()));
        assert_eq!(world.jobs(), 0);
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

/// A job schedules the next one in the other partition before it ends: there is always one, and nobody is told otherwise.
#[test]
fn a_chain_of_jobs_is_not_taken_for_none() {
    check(|| {
        let world = World::new([1, 0], 10, 1, 1);
        let chain = thread(&world, |world| {
            for at in [0, 1] {
                assert!(world.schedule(1 - at));
                world.end_one(at);
            }
        });
        assert!(world.jobs() >= 1);
        chain.join().unwrap();
        assert_eq!(world.jobs(), 1);
    });
}

/// Room that one partition keeps idle is found by the other: whoever comes while there is a place gets it.
#[test]
fn idle_room_is_found() {
    check(|| {
        let world = World::new([0, 0], 3, 2, 1);
        // Takes room for two.
        assert!(world.schedule(0));
        let other = thread(&world, |world| assert!(world.schedule(0), "the second of three"));
        assert!(world.schedule(1), "the second of three, or the third");
        other.join().unwrap();
        assert_eq!(world.jobs(), 3);
        assert!(!world.schedule(0) && !world.schedule(1));
    });
}

/// There are never more jobs than there may be, of two that want the last place one gets it, and a place that is given back
/// can be had by either.
#[test]
fn there_is_room_for_so_many_jobs() {
    for (block, near) in [(1, 4), (2, 1)] {
        check(move || {
            let world = World::new([1, 0], 2, block, near);
            let is_in = Arc::new(Mutex::new(false));
            let other = {
                let is_in = Arc::clone(&is_in);
                thread(&world, move |world| *is_in.lock().unwrap() = world.schedule(1))
            };
            let mine = world.schedule(0);
            other.join().unwrap();
            assert!(mine != *is_in.lock().unwrap(), "one place, and not one taker");
            assert_eq!(world.jobs(), 2);
            world.end_one(0);
            assert!(world.schedule(1) && !world.schedule(0));
        });
    }
}

/// A place that is given back in one partition while the other looks for room: a refusal means that there was none.
#[test]
fn a_refusal_is_exact_while_jobs_end() {
    check(|| {
        let world = World::new([1, 0], 2, 2, 1);
        let other = thread(&world, |world| {
            world.end_one(0);
            // There is one place at least from here on.
            assert!(world.schedule(0), "of two places one is taken at most");
        });
        assert!(world.schedule(1), "of two places one is taken at most");
        other.join().unwrap();
        assert_eq!(world.jobs(), 2);
    });
}
