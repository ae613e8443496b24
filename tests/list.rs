//! The jobs of an engine in pages: every one that stays is shown exactly once, whatever the others do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use proptest::prelude::*;
use reveille::read::LoadBuckets;
use reveille::testing::TestEngine;
use reveille::{
    CancelOutcome, Engine, Job, JobFilter, JobId, JobPage, JobState, JobView, ListCursor, ListError,
    OnConflict, RescheduleOutcome, Timestamp,
};
use testkit::{TEN_O_CLOCK, at_ms, ms, nothing};

fn builder() -> reveille::Builder {
    Engine::builder().queue("mails", nothing).queue("sales", nothing)
}

async fn engine() -> TestEngine {
    TestEngine::start(builder(), TEN_O_CLOCK).await.unwrap()
}

/// All pages, one behind the other.
fn pages(engine: &Engine, filter: &JobFilter, jobs_max: usize) -> Vec<JobPage> {
    let (mut pages, mut next) = (Vec::new(), Some(ListCursor::default()));
    while let Some(from) = next {
        let page = engine.list(filter, from, jobs_max).unwrap();
        assert!(page.jobs.len() + page.fired.len() <= jobs_max);
        next = page.next;
        pages.push(page);
        assert!(pages.len() < 100_000, "the list has no end");
    }
    pages
}

fn jobs(engine: &Engine, filter: &JobFilter, jobs_max: usize) -> Vec<JobView> {
    pages(engine, filter, jobs_max).into_iter().flat_map(|page| page.jobs).collect()
}

fn keys(engine: &Engine, filter: &JobFilter) -> BTreeSet<String> {
    let jobs = jobs(engine, filter, 7);
    let keys: BTreeSet<String> = jobs.iter().map(|job| job.key.to_string()).collect();
    assert_eq!(keys.len(), jobs.len(), "each once");
    keys
}

fn set(keys: &[&str]) -> BTreeSet<String> {
    keys.iter().map(|&key| key.to_owned()).collect()
}

#[tokio::test]
async fn pages_of_any_size_show_every_job_once() {
    let engine = engine().await;
    assert_eq!(pages(&engine, &JobFilter::default(), 10).len(), 1, "an empty engine has one page");
    for n in 0..1_000 {
        let job = engine.schedule_raw("mails", "").key(format!("k{n}")).at(at_ms(1_000 + n));
        job.into_outcome().unwrap().scheduled().unwrap();
    }
    let all: BTreeSet<String> = (0..1_000).map(|n| format!("k{n}")).collect();
    for jobs_max in [1, 7, 256, 999, 1_000] {
        let found = jobs(&engine, &JobFilter::default(), jobs_max);
        assert_eq!(found.len(), 1_000, "pages of {jobs_max}");
        assert_eq!(found.iter().map(|job| job.key.to_string()).collect::<BTreeSet<_>>(), all);
    }
    for job in jobs(&engine, &JobFilter::default(), 100) {
        assert!(
            matches!(engine.lookup(job.handle), reveille::LookupOutcome::Scheduled(found) if found == job)
        );
    }
}

#[tokio::test]
async fn a_filter_is_by_queue_and_state_and_key() {
    let held = |job: Job| async move {
        if job.key().as_str() == "held" {
            std::future::pending::<()>().await;
        }
    };
    let builder = Engine::builder().queue("mails", nothing).queue("sales", held).queue("late", nothing);
    let engine = TestEngine::start(builder, TEN_O_CLOCK).await.unwrap().go_on_after(ms(50));
    engine.pause("late").into_outcome().unwrap();
    for (key, queue, at) in [
        ("a:1", "mails", 60_000),
        ("a:2", "sales", 60_000),
        ("b:1", "mails", 60_000),
        ("gone", "mails", 1),
        ("held", "sales", 1),
        ("waits", "late", 1),
    ] {
        let job = engine.schedule_raw(queue, "").key(key).at(at_ms(at));
        job.into_outcome().unwrap().scheduled().unwrap();
    }
    engine.advance(ms(10)).await;
    let all = JobFilter::default();
    assert_eq!(keys(&engine, &all), set(&["a:1", "a:2", "b:1", "held", "waits"]));
    assert_eq!(keys(&engine, &all.clone().queue("mails")), set(&["a:1", "b:1"]));
    assert_eq!(keys(&engine, &all.clone().key_prefix("a:")), set(&["a:1", "a:2"]));
    assert_eq!(keys(&engine, &all.clone().queue("sales").key_prefix("a:")), set(&["a:2"]));
    assert_eq!(keys(&engine, &all.clone().queue("nobody's")), set(&[]));
    assert_eq!(keys(&engine, &all.clone().states([JobState::Running])), set(&["held"]));
    assert_eq!(keys(&engine, &all.clone().states([JobState::Ready])), set(&["waits"]));
    let pending_or_ready = all.clone().states([JobState::Pending, JobState::Ready]);
    assert_eq!(keys(&engine, &pending_or_ready), set(&["a:1", "a:2", "b:1", "waits"]));
    assert_eq!(keys(&engine, &all.clone().states([])), set(&[]));
    let fired: Vec<_> = pages(&engine, &all.clone().states([JobState::Fired]), 10)
        .into_iter()
        .flat_map(|page| page.fired)
        .collect();
    let told: Vec<_> = fired.iter().map(|job| (job.key.as_str(), job.fired_at, job.end)).collect();
    assert_eq!(told, [("gone", at_ms(1), reveille::End::Done)]);
    assert!(
        pages(&engine, &all.queue("mails").states([JobState::Fired]), 10)
            .iter()
            .all(|page| page.fired.is_empty())
    );
    let held = jobs(&engine, &JobFilter::default().states([JobState::Running]), 1).remove(0);
    assert_eq!((held.state, held.running_since()), (JobState::Running, Some(at_ms(1))));
}

#[tokio::test]
async fn a_filter_is_by_when_jobs_are_due_on_either_clock() {
    let engine = engine().await;
    for n in 0..10 {
        let key = format!("k{n}");
        let job = engine.schedule_raw("mails", "").key(&key);
        // By turns at an instant and after a delay.
        let job = if n % 2 == 0 { job.at(at_ms(1_000 * n)) } else { job.after(ms(1_000 * n as u64)) };
        job.into_outcome().unwrap().scheduled().unwrap();
    }
    engine.pause("mails").into_outcome().unwrap();
    engine.advance(ms(1)).await;
    let of = |filter: &JobFilter| keys(&engine, filter).into_iter().collect::<Vec<_>>().join(" ");
    let filter = JobFilter::default().due_from(at_ms(3_000)).due_to(at_ms(6_000));
    assert_eq!(of(&filter), "k3 k4 k5");
    assert_eq!(engine.count(&filter).jobs, 3);
    let load = engine.load(&filter, LoadBuckets { width: ms(1_000), count: 2 });
    assert_eq!((load.from, load.before, load.buckets, load.after), (at_ms(3_000), 0, vec![1, 1], 1));
    assert_eq!(of(&JobFilter::default().due_to(at_ms(1_000))), "k0", "ready, and due");
    assert_eq!(of(&JobFilter::default().due_from(at_ms(9_000))), "k9");
    assert_eq!(of(&JobFilter::default().due_from(at_ms(6_000)).due_to(at_ms(3_000))), "");
    engine.resume("mails").into_outcome().unwrap();
    engine.advance(ms(20_000)).await;
    let fired = JobFilter::default().states([JobState::Fired]);
    assert_eq!(engine.count(&fired).jobs, 10);
    assert_eq!(engine.count(&fired.due_from(at_ms(0))).jobs, 0, "it is not remembered when they were due");
}

/// Promise 9: a filter that matches nothing does not make one call go through all jobs.
#[tokio::test]
async fn promise_9_the_work_for_a_page_is_bounded() {
    let engine = engine().await;
    for n in 0..20_000 {
        let job = engine.schedule_raw("mails", "").key(format!("k{n}")).at(at_ms(1_000 + n));
        job.into_outcome().unwrap().scheduled().unwrap();
    }
    let pages = pages(&engine, &JobFilter::default().key_prefix("x"), 100);
    assert!(pages.iter().all(|page| page.jobs.is_empty()));
    assert!((5..=10).contains(&pages.len()), "{} pages of at most 4,096 places", pages.len());
    let page = engine.list(&JobFilter::default(), ListCursor::default(), usize::MAX).unwrap();
    assert_eq!(page.jobs.len(), 1_000, "however many were asked for");
    assert_eq!(engine.list(&JobFilter::default(), ListCursor::default(), 0).unwrap().jobs.len(), 1);
}

#[tokio::test]
async fn a_cursor_is_good_for_its_engine_only() {
    let one = engine().await;
    for key in ["a", "b", "c"] {
        one.schedule_raw("mails", "").key(key).at(at_ms(9)).into_outcome().unwrap().scheduled().unwrap();
    }
    let next = one.list(&JobFilter::default(), ListCursor::default(), 1).unwrap().next.unwrap();
    let text = next.to_string();
    assert_eq!(one.list(&JobFilter::default(), text.parse().unwrap(), 9).unwrap().jobs.len(), 2);
    let other = engine().await;
    assert_eq!(other.list(&JobFilter::default(), next, 1).unwrap_err(), ListError::OtherEngine);
    drop(one);
    let again = TestEngine::start(builder(), TEN_O_CLOCK + ms(1)).await.unwrap();
    assert_eq!(again.list(&JobFilter::default(), next, 1).unwrap_err(), ListError::OtherEngine);
}

/// While other threads do what they like with other jobs.
#[tokio::test]
async fn jobs_that_stay_are_shown_once_beside_threads_that_change_others() {
    let engine = Engine::builder().queue("mails", nothing).start().await.unwrap();
    let far = engine.now() + ms(3_600_000);
    for n in 0..3_000 {
        engine
            .schedule_raw("mails", "")
            .key(format!("stays{n}"))
            .at(far)
            .into_outcome()
            .unwrap()
            .scheduled()
            .unwrap();
        if n % 3 == 0 {
            engine
                .schedule_raw("mails", "")
                .key(format!("goes{n}"))
                .at(far)
                .into_outcome()
                .unwrap()
                .scheduled()
                .unwrap();
        }
    }
    /// Also when the test fails: the threads would go on for ever.
    struct Ends<'a>(&'a AtomicBool);
    impl Drop for Ends<'_> {
        fn drop(&mut self) {
            self.0.store(true, SeqCst);
        }
    }
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&is_over);
        for thread in 0..2 {
            let (engine, is_over) = (&engine, &is_over);
            scope.spawn(move || {
                let mut n = 0;
                while !is_over.load(SeqCst) {
                    n = (n + 7) % 3_000;
                    let _ = engine.cancel(format!("goes{n}")).into_outcome();
                    let comes = engine.schedule_raw("mails", "").key(format!("comes{thread}-{n}"));
                    let _ = comes.on_conflict(OnConflict::Replace).after(ms(n)).into_outcome();
                    let _ = engine.reschedule(format!("stays{n}"), far + ms(n)).into_outcome();
                }
            });
        }
        for _ in 0..20 {
            let mut met: BTreeMap<String, usize> = BTreeMap::new();
            let mut ids = BTreeSet::new();
            for job in jobs(&engine, &JobFilter::default(), 100) {
                assert!(ids.insert(job.id), "{job:?} was shown twice");
                *met.entry(job.key.to_string()).or_default() += 1;
            }
            let missing: Vec<u32> =
                (0..3_000).filter(|n| met.get(&format!("stays{n}")) != Some(&1)).collect();
            assert!(missing.is_empty(), "not shown exactly once: {missing:?}");
        }
    });
}

#[derive(Clone, Debug)]
enum Step {
    Schedule { key: u8, due_ms: i64, replace: bool },
    Cancel(u8),
    Reschedule { key: u8, due_ms: i64 },
    Pass(u64),
    Page(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u8>(), 0i64..40, any::<bool>()).prop_map(|(key, due_ms, replace)| Step::Schedule { key, due_ms, replace }),
        2 => any::<u8>().prop_map(Step::Cancel),
        2 => (any::<u8>(), 0i64..40).prop_map(|(key, due_ms)| Step::Reschedule { key, due_ms }),
        1 => (1u64..8).prop_map(Step::Pass),
        3 => (1usize..20).prop_map(Step::Page),
    ]
}

/// What a test knows of an engine's jobs.
#[derive(Default)]
struct Model {
    /// By key: which it is, and when it is due.
    pending: BTreeMap<String, (JobId, Timestamp)>,
    fired: BTreeMap<JobId, Timestamp>,
}

impl Model {
    fn all(&self) -> BTreeSet<JobId> {
        self.pending.values().map(|&(id, _)| id).chain(self.fired.keys().copied()).collect()
    }

    fn check(&self, page: &JobPage) {
        for job in &page.jobs {
            assert_eq!(self.pending.get(job.key.as_str()), Some(&(job.id, job.due)), "{job:?}");
            assert_eq!(job.state, JobState::Pending);
        }
        for fired in &page.fired {
            assert_eq!(self.fired.get(&fired.id), Some(&fired.fired_at), "{fired:?}");
        }
    }
}

async fn run(engine: &TestEngine, steps: Vec<Step>) {
    let (mut model, mut now) = (Model::default(), 0);
    let everything =
        JobFilter::default().states([JobState::Pending, JobState::Ready, JobState::Running, JobState::Fired]);
    let (mut next, mut stays, mut met) = (Some(ListCursor::default()), None, BTreeSet::new());
    // In the end whatever is left to be shown.
    let rest = std::iter::repeat_n(Step::Page(50), 40);
    for step in steps.into_iter().chain(rest) {
        match step {
            Step::Schedule { key, due_ms, replace } => {
                let key = format!("k{key}");
                let conflict = if replace { OnConflict::Replace } else { OnConflict::Reject };
                let due = at_ms(now + 1 + due_ms);
                let outcome =
                    engine.schedule_raw("mails", "").key(&*key).on_conflict(conflict).at(due).into_outcome();
                if outcome.unwrap().is_taken() {
                    let reveille::LookupOutcome::Scheduled(job) = engine.lookup(&*key) else {
                        panic!("{key}")
                    };
                    model.pending.insert(key, (job.id, due));
                }
            }
            Step::Cancel(key) => {
                let key = format!("k{key}");
                let is_cancelled = engine.cancel(&*key).into_outcome().unwrap() == CancelOutcome::Cancelled;
                assert_eq!(is_cancelled, model.pending.remove(&key).is_some());
            }
            Step::Reschedule { key, due_ms } => {
                let (key, due) = (format!("k{key}"), at_ms(now + 1 + due_ms));
                let outcome = engine.reschedule(&*key, due).into_outcome().unwrap();
                let job = model.pending.get_mut(&key);
                assert_eq!(matches!(outcome, RescheduleOutcome::Rescheduled { .. }), job.is_some());
                job.into_iter().for_each(|job| job.1 = due);
            }
            Step::Pass(by_ms) => {
                now += by_ms as i64;
                for job in engine.advance(ms(by_ms)).await {
                    assert_eq!(model.pending.remove(job.key.as_str()).map(|(id, _)| id), Some(job.id));
                    model.fired.insert(job.id, job.fired_at);
                }
            }
            Step::Page(jobs_max) => {
                let Some(from) = next else { continue };
                let page = engine.list(&everything, from, jobs_max).unwrap();
                model.check(&page);
                stays.get_or_insert_with(|| model.all());
                let ids = page.jobs.iter().map(|job| job.id).chain(page.fired.iter().map(|job| job.id));
                for id in ids {
                    assert!(met.insert(id), "{id} was shown twice");
                }
                next = page.next;
            }
        }
        if next.is_some()
            && let Some(stays) = &mut stays
        {
            let there = model.all();
            stays.retain(|id| there.contains(id));
        }
    }
    assert_eq!(next, None, "40 pages of 50 show all");
    let missing: Vec<_> = stays.unwrap_or_default().difference(&met).copied().collect();
    assert!(missing.is_empty(), "were there from the first page to the last, and not shown: {missing:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against a model: jobs come, are replaced, moved, cancelled and fire between two pages.
    #[test]
    fn what_stays_is_shown_once_and_as_it_stands(
        first in 0u8..200,
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let engine = engine().await;
            let begin = (0..first).map(|key| Step::Schedule { key, due_ms: i64::from(key) % 40, replace: false });
            let steps: Vec<Step> = begin.chain(steps).collect();
            run(&engine, steps).await;
            engine.shutdown(ms(1_000)).await;
        });
    }
}

#[tokio::test]
async fn a_handler_can_list_too() {
    let seen = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let handler = move |job: Job| {
        let page = job.engine().list(&JobFilter::default(), ListCursor::default(), 10).unwrap();
        told.lock().extend(page.jobs.into_iter().map(|job| (job.key.to_string(), job.state)));
        async {}
    };
    let engine = TestEngine::start(Engine::builder().queue("mails", handler), TEN_O_CLOCK).await.unwrap();
    engine.schedule_raw("mails", "").key("lists").at(at_ms(1)).into_outcome().unwrap().scheduled().unwrap();
    engine.schedule_raw("mails", "").key("later").at(at_ms(99)).into_outcome().unwrap().scheduled().unwrap();
    engine.advance(ms(1)).await;
    let mut seen = seen.lock().clone();
    seen.sort();
    assert_eq!(seen, [("later".to_owned(), JobState::Pending), ("lists".to_owned(), JobState::Running)]);
}
