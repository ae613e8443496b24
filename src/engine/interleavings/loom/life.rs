//! Starts against the end of the engine, and those who wait for it.

use std::sync::Arc;

use loom::future::block_on;
use loom::thread;

use super::check;
use crate::engine::state::Life;
use crate::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Counts, looks, and starts if it may, as a worker does.
fn start(life: &Life, is_over: &AtomicBool) {
    if life.begin_one() {
        assert!(!is_over.load(Relaxed), "a job begins after the end");
    }
    life.end_one();
}

/// Once the count was seen at zero after a stop, nothing begins; and whoever waits for that is told.
#[test]
fn nothing_begins_after_the_end() {
    check(|| {
        let (life, is_over) = (Arc::new(Life::new()), Arc::new(AtomicBool::new(false)));
        let workers = [(); 2].map(|()| {
            let (life, is_over) = (Arc::clone(&life), Arc::clone(&is_over));
            thread::spawn(move || start(&life, &is_over))
        });
        life.stop();
        block_on(life.until(|| life.is_over()));
        assert_eq!(life.running(), 0);
        is_over.store(true, Relaxed);
        for worker in workers {
            worker.join().unwrap();
        }
        assert_eq!(life.running(), 0);
    });
}

/// A shutdown waits for the driver and for what runs, whichever ends last.
#[test]
fn a_shutdown_waits_for_driver_and_handlers() {
    check(|| {
        let life = Arc::new(Life::new());
        assert!(life.begin_one());
        let handler = {
            let life = Arc::clone(&life);
            thread::spawn(move || life.end_one())
        };
        let driver = {
            let life = Arc::clone(&life);
            thread::spawn(move || life.driver_ends())
        };
        life.stop();
        block_on(life.until(|| life.is_over() && life.has_driver_ended()));
        handler.join().unwrap();
        driver.join().unwrap();
    });
}
