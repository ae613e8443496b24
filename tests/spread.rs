//! Jobs of one instant that come one after the other.

use std::sync::Arc;

use reveille::store::MemoryStore;
use reveille::testing::TestEngine;
use reveille::{Due, Engine, OnConflict, RescheduleOutcome, ScheduleOutcome};
use testkit::{MINUTE, TEN_O_CLOCK, at_ms, ms, nothing};

/// A minute's worth of jobs of one instant: never more in a second than a little over their share.
#[tokio::test]
async fn a_burst_is_spread_over_its_window() {
    let engine = TestEngine::start(Engine::builder().queue("q", nothing), TEN_O_CLOCK).await.unwrap();
    for n in 0..6_000 {
        let job = engine.schedule_raw("q", "").key(format!("user:{n}"));
        job.spread(at_ms(0), MINUTE).await.unwrap().scheduled().unwrap();
    }
    let mut all = 0;
    for second in 0..60 {
        let fired = engine.advance(ms(1_000)).await.len();
        assert!((50..=150).contains(&fired), "{fired} in second {second}, and 100 are fair");
        all += fired;
    }
    assert_eq!(all, 6_000);
}

/// Whoever schedules it again, in whichever process, means the same instant.
#[tokio::test]
async fn a_key_keeps_its_place() {
    let store = Arc::new(MemoryStore::new());
    let start = async || {
        let builder = Engine::builder().queue("q", nothing).store(store.clone());
        TestEngine::start(builder, TEN_O_CLOCK).await.unwrap()
    };
    let expected = Due::At(at_ms(5_000)).spread("k", MINUTE);
    let Due::At(instant) = expected else { panic!("it follows another clock") };
    assert!(instant > at_ms(5_000) && instant < at_ms(65_000));
    for round in 0..3 {
        let engine = start().await;
        let job = engine.schedule_raw("q", "").key("k").on_conflict(OnConflict::Replace);
        let outcome = job.spread(at_ms(5_000), MINUTE).await.unwrap();
        let was = match outcome {
            ScheduleOutcome::Replaced { was, .. } => Some(was),
            _ => None,
        };
        assert_eq!(was, (round > 0).then_some(instant));
        let moved = engine.reschedule("k", expected).await.unwrap();
        assert!(matches!(moved, RescheduleOutcome::Rescheduled { was, .. } if was == instant));
        engine.shutdown(MINUTE).await;
    }
}

/// By its own key too, if it is given none.
#[tokio::test]
async fn jobs_without_a_key_are_spread() {
    let engine = TestEngine::start(Engine::builder().queue("q", nothing), TEN_O_CLOCK).await.unwrap();
    for _ in 0..600 {
        engine.schedule_raw("q", "").spread(ms(0), MINUTE).await.unwrap().scheduled().unwrap();
    }
    let mut fired = engine.advance(MINUTE / 2).await;
    assert!((200..=400).contains(&fired.len()), "{} in half of it", fired.len());
    fired.extend(engine.advance(MINUTE / 2).await);
    assert_eq!(fired.len(), 600);
    for job in fired {
        assert!(job.due < TEN_O_CLOCK + MINUTE);
    }
}
