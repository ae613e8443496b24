//! The driver's sleep against all that ends it: `clock::Waiter` with a partition's hint, and the engine's end.

use std::sync::Arc;

use loom::thread;

use super::check;
use crate::clock::{Clock, ManualClock, Profile, Waiter, Waker};
use crate::engine::state::Life;
use crate::engine::state::hint::WakeHint;
use crate::partition::{MonoTime, Now, Timestamp, Wake};

/// Due at an instant of the monotonic clock; on a clock that stands still nothing comes due by itself.
fn at(us: u64) -> Wake {
    Wake::new(None, Some(MonoTime::from_micros(us)))
}

const NEVER: Wake = Wake::from_words(i64::MAX, u64::MAX);

/// Later than a manual clock shows.
const FAR: u64 = u64::MAX / 2;

fn hint() -> Arc<WakeHint> {
    let hint = WakeHint::new();
    hint.publish(NEVER);
    Arc::new(hint)
}

/// Publishes first, then wakes, as `Shared::enter` does.
fn bring_forward(hint: &WakeHint, waker: &Waker, us: u64) {
    hint.publish(at(us));
    waker.wake_before(MonoTime::from_micros(us));
}

/// A driver on a thread of its own, that sleeps by the partitions' hints until it has seen `last`.
fn driver(clock: Clock, waker: &Arc<Waker>, hints: &[Arc<WakeHint>], last: u64) -> thread::JoinHandle<()> {
    let (waker, hints) = (Arc::clone(waker), hints.to_vec());
    thread::spawn(move || {
        let next_wake = || hints.iter().filter_map(|hint| hint.read().as_mono(Now::default())).min();
        let mut waiter = Waiter::new(clock, Profile::Eco, waker);
        loop {
            let deadline = next_wake();
            if deadline == Some(MonoTime::from_micros(last)) {
                return;
            }
            waiter.wait(deadline, None, |armed| next_wake().is_some_and(|earliest| earliest < armed), || {});
        }
    })
}

fn manual() -> Clock {
    Clock::Manual(Arc::new(ManualClock::new(Timestamp::default())))
}

/// Nothing is due, and then something is.
#[test]
fn what_is_published_is_not_slept_through() {
    for clock in [|| Clock::System, manual] {
        check(move || {
            let (waker, hint) = (Arc::new(Waker::default()), hint());
            let driver = driver(clock(), &waker, std::slice::from_ref(&hint), FAR);
            bring_forward(&hint, &waker, FAR);
            driver.join().unwrap();
        });
    }
}

#[test]
fn what_is_brought_forward_is_not_slept_through() {
    check(|| {
        let (waker, hint) = (Arc::new(Waker::default()), hint());
        hint.publish(at(FAR + 2));
        let driver = driver(manual(), &waker, std::slice::from_ref(&hint), FAR);
        bring_forward(&hint, &waker, FAR + 1);
        bring_forward(&hint, &waker, FAR);
        driver.join().unwrap();
    });
}

/// Two callers, each with a partition of its own.
#[test]
fn two_callers_wake_one_driver() {
    check(|| {
        let (waker, hints) = (Arc::new(Waker::default()), [hint(), hint()]);
        let driver = driver(manual(), &waker, &hints, FAR);
        let other = {
            let (waker, hint) = (Arc::clone(&waker), Arc::clone(&hints[1]));
            thread::spawn(move || bring_forward(&hint, &waker, FAR))
        };
        bring_forward(&hints[0], &waker, FAR + 1);
        other.join().unwrap();
        driver.join().unwrap();
    });
}

/// A stop says so, then wakes; also a driver that has yet to become one.
#[test]
fn a_stop_is_not_slept_through() {
    check(|| {
        let (waker, life) = (Arc::new(Waker::default()), Arc::new(Life::new()));
        let driver = {
            let (waker, life) = (Arc::clone(&waker), Arc::clone(&life));
            thread::spawn(move || {
                let mut waiter = Waiter::new(Clock::System, Profile::Eco, waker);
                while !life.is_stopping() {
                    waiter.wait(None, None, |_| life.is_stopping(), || {});
                }
                life.driver_ends();
            })
        };
        life.stop();
        waker.wake();
        loom::future::block_on(life.until(|| life.has_driver_ended()));
        driver.join().unwrap();
    });
}
