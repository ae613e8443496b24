//! The jobs of an engine by when they are due, in pages: the earliest first, on either clock.

use std::collections::BTreeMap;

use reveille::testing::TestEngine;
use reveille::{Engine, JobFilter, JobState, ListCursor, ListError, PauseJobOutcome, Timestamp};
use testkit::{TEN_O_CLOCK, at_ms, ms, nothing};

async fn engine(partitions: u16) -> TestEngine {
    let builder = Engine::builder().queue("mails", nothing).queue("sales", nothing).partitions(partitions);
    TestEngine::start(builder, TEN_O_CLOCK).await.unwrap()
}

/// Each job and its due, over pages.
fn pages(engine: &Engine, filter: &JobFilter, jobs_max: usize) -> Vec<(String, Timestamp)> {
    let (mut all, mut next, mut pages) = (Vec::new(), Some(ListCursor::default()), 0);
    while let Some(from) = next {
        let page = engine.list_by_due(filter, from, jobs_max).unwrap();
        assert!(page.jobs.len() <= jobs_max && page.fired.is_empty());
        all.extend(page.jobs.into_iter().map(|job| (job.key.to_string(), job.due)));
        next = page.next.map(|next| next.to_string().parse().unwrap());
        pages += 1;
        assert!(pages < 10_000, "the list has no end");
    }
    all
}

fn schedule(engine: &Engine, n: i64) {
    let queue = if n % 5 == 0 { "sales" } else { "mails" };
    let job = engine.schedule_raw(queue, "").key(format!("k{n}"));
    let job = if n % 7 == 0 { job.tag("vip") } else { job };
    // Seconds to months, in no order; every third after a delay.
    let due_ms = 1_000 + (n * 7_919 % 1_009) * (1 << (n % 23));
    let job = if n % 3 == 0 { job.after(ms(due_ms as u64)) } else { job.at(at_ms(due_ms)) };
    job.into_outcome().unwrap().scheduled().unwrap();
}

#[tokio::test]
async fn pages_have_every_job_that_waits_the_earliest_first() {
    for partitions in [1, 8] {
        let engine = engine(partitions).await;
        (0..2_000).for_each(|n| schedule(&engine, n));
        for (filter, is_wanted) in [
            (JobFilter::default(), (|_| true) as fn(i64) -> bool),
            (JobFilter::default().queue("sales"), |n| n % 5 == 0),
            (JobFilter::default().tag("vip"), |n| n % 7 == 0),
            (JobFilter::default().tag("vip").queue("sales"), |n| n % 35 == 0),
            (JobFilter::default().key_prefix("k12"), |n| n.to_string().starts_with("12")),
            (JobFilter::default().queue("nobody's"), |_| false),
            (JobFilter::default().states([JobState::Running]), |_| false),
        ] {
            let expected = (0..2_000).filter(|&n| is_wanted(n)).count();
            for jobs_max in [1, 7, 100, 1_000] {
                if jobs_max == 1 && expected > 500 {
                    continue;
                }
                let found = pages(&engine, &filter, jobs_max);
                assert!(found.is_sorted_by_key(|&(_, due)| due), "{filter:?} by {jobs_max}");
                let keys: BTreeMap<&str, usize> = found.iter().map(|(key, _)| (key.as_str(), 1)).collect();
                assert_eq!((keys.len(), found.len()), (expected, expected), "{filter:?} by {jobs_max}");
            }
        }
        let (from, to) = (at_ms(60_000), at_ms(600_000));
        let found = pages(&engine, &JobFilter::default().due_from(from).due_to(to), 50);
        let all = pages(&engine, &JobFilter::default(), 1_000);
        let expected: Vec<_> = all.into_iter().filter(|&(_, due)| from <= due && due < to).collect();
        assert!(expected.len() > 50);
        assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn what_does_not_wait_is_not_shown() {
    let engine = engine(2).await;
    for (key, at) in [("due", 10), ("rests", 20), ("waits", 30_000)] {
        engine.schedule_raw("sales", "").key(key).at(at_ms(at)).into_outcome().unwrap().scheduled().unwrap();
    }
    engine.pause("sales").into_outcome().unwrap();
    let paused = engine.pause_job("rests").into_outcome().unwrap();
    assert!(matches!(paused, PauseJobOutcome::Paused { .. }));
    engine.advance(ms(15)).await;
    let keys: Vec<_> = pages(&engine, &JobFilter::default(), 10).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["waits"]);
}

#[tokio::test]
async fn a_cursor_is_of_one_order_and_one_engine() {
    let one = engine(8).await;
    (0..10).for_each(|n| schedule(&one, n));
    let all = JobFilter::default();
    let by_due = one.list_by_due(&all, ListCursor::default(), 1).unwrap().next.unwrap();
    let by_table = one.list(&all, ListCursor::default(), 1).unwrap().next.unwrap();
    assert_eq!(one.list(&all, by_due, 1).unwrap_err(), ListError::OtherOrder);
    assert_eq!(one.list_by_due(&all, by_table, 1).unwrap_err(), ListError::OtherOrder);
    let other = engine(8).await;
    assert_eq!(other.list_by_due(&all, by_due, 1).unwrap_err(), ListError::OtherEngine);
}

/// While jobs are moved over the page's place and time goes on, those that stay are shown once.
#[tokio::test]
async fn jobs_that_stay_are_shown_once_while_others_fire_and_move() {
    let engine = engine(4).await;
    (0..1_000).for_each(|n| schedule(&engine, n));
    for n in 0..500 {
        let job =
            engine.schedule_raw("mails", "").key(format!("stays{n}")).at(at_ms(3_600_000 + n * 777_777));
        job.into_outcome().unwrap().scheduled().unwrap();
    }
    let (mut shown, mut next, mut round) = (BTreeMap::new(), Some(ListCursor::default()), 0);
    while let Some(from) = next {
        let page = engine.list_by_due(&JobFilter::default(), from, 20).unwrap();
        page.jobs.iter().for_each(|job| *shown.entry(job.key.to_string()).or_insert(0) += 1);
        next = page.next;
        round += 1;
        let _ = engine
            .reschedule(format!("k{}", round * 13 % 1_000), at_ms(400_000_000 - round * 5_000_000))
            .into_outcome();
        engine.advance(ms(1_000)).await;
    }
    for n in 0..500 {
        assert_eq!(shown.get(&format!("stays{n}")), Some(&1), "stays{n} after {round} pages");
    }
}
