//! Pause, shutdown and drop, against all that goes on.

use std::sync::Arc;
use std::time::Duration;

use super::{FOR_EVER, Rig, check, thread};

/// Nothing begins between the return of `pause` and `resume`, and all goes on after that.
#[test]
fn nothing_begins_while_a_queue_is_paused() {
    check(|| async {
        let rig = Rig::start(2, |builder| builder).await;
        let caller = thread({
            let engine = rig.engine.clone();
            move || {
                for key in ["a", "b"] {
                    engine.schedule_raw("q", "").key(key).after(Duration::ZERO).into_outcome().unwrap();
                }
            }
        });
        rig.schedule("c", Duration::ZERO);
        rig.engine.pause("q").into_outcome().unwrap();
        let begun = rig.begun();
        for _ in 0..3 {
            shuttle::future::yield_now().await;
        }
        caller.join().unwrap();
        assert_eq!(rig.begun(), begun, "a job began while its queue was paused");
        rig.engine.resume("q").into_outcome().unwrap();
        rig.engine.idle().await;
        assert_eq!(rig.fired.total(), 3);
        rig.end().await;
    });
}

/// A shutdown beside callers, handlers, and somebody who waits until all is idle: whoever waits is told, what began has
/// ended, and nothing begins any more.
#[test]
fn nothing_begins_after_a_shutdown() {
    check(|| async {
        let rig = Rig::start(2, |builder| builder).await;
        let caller = thread({
            let engine = rig.engine.clone();
            move || {
                let schedule =
                    |key| engine.schedule_raw("q", "").key(key).after(Duration::ZERO).into_outcome();
                ["a", "b"].into_iter().filter(|key| schedule(*key).is_ok()).count()
            }
        });
        let waiting = thread({
            let engine = rig.engine.clone();
            move || shuttle::future::block_on(engine.idle())
        });
        rig.schedule("c", Duration::ZERO);
        let report = rig.engine.shutdown(FOR_EVER).await;
        assert_eq!((report.still_running, rig.engine.shared.life.running()), (0, 0));
        let begun = rig.begun();
        waiting.join().unwrap();
        let taken = 1 + caller.join().unwrap();
        assert_eq!(rig.begun(), begun, "something began after the shutdown");
        assert_eq!((rig.fired.total() as u64, rig.engine.jobs()), (begun, taken - begun as usize));
        rig.end().await;
    });
}

/// The last owner goes while a worker is at work and another caller waits: all of the engine's threads and tasks end.
#[test]
fn all_end_when_the_last_owner_goes() {
    check(|| async {
        let rig = Rig::start(2, |builder| builder).await;
        let shared = Arc::clone(&rig.engine.shared);
        let caller = thread({
            let engine = rig.engine.clone();
            move || drop(engine.schedule_raw("q", "").key("a").after(Duration::ZERO).into_outcome())
        });
        let _ = rig.engine.schedule_raw("q", "").key("b").after(Duration::ZERO).into_outcome();
        let Rig { engine, fired, .. } = rig;
        drop(engine);
        caller.join().unwrap();
        while Arc::strong_count(&shared) > 1 {
            shuttle::future::yield_now().await;
        }
        assert!(fired.is_each_once());
    });
}
