//! A week in which nobody is there: a real process on a real Redis is killed with SIGKILL, and the next one begins seven days later
//! by its clocks. Each policy for what was missed does as it says; retries and what was cut short go on.

use std::io::{BufRead, BufReader};
use std::num::NonZeroU32;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use reveille::job::Passed;
use reveille::testing::TestEngine;
use reveille::{Builder, Engine, Job, JobResult, Missed, QueueConfig, Recurrence, Retry, ScheduleOutcome};
use testkit::redis::{EVERYSEC, RedisServer};
use testkit::{SECOND, TEN_O_CLOCK, at_ms, ms};

const WEEK_S: i64 = 7 * 24 * 3600;

/// The process's Redis, and which of the two lives it is.
const REDIS: &str = "REVEILLE_TEST_REDIS";
const LIFE: &str = "REVEILLE_TEST_LIFE";

/// By key, once a minute.
const POLICIES: [&str; 3] = ["all", "none", "one"];

fn missed(policy: &str) -> Missed {
    match policy {
        "all" => Missed::All { max: NonZeroU32::new(3).unwrap() },
        "none" => Missed::None,
        _ => Missed::One,
    }
}

/// What a process says, a line each.
type Said = Arc<Mutex<Vec<String>>>;

/// Two attempts that fail an hour apart, one that is cut short by the end of the process, and one of each policy.
fn builder(url: &str, said: &Said) -> Builder {
    let (ran, passed) = (Arc::clone(said), Arc::clone(said));
    let told = move |key: &str, over: &Passed| {
        passed.lock().unwrap().push(format!("{key} passed over {} {:?}", over.count, over.reason));
    };
    let handler = move |job: Job| {
        let ran = Arc::clone(&ran);
        async move {
            let second = (job.scheduled_for().as_micros() - TEN_O_CLOCK.as_micros()) / 1_000_000;
            let (key, missed, attempt) = (job.key().as_str(), job.missed(), job.attempt());
            ran.lock().unwrap().push(format!("{key} ran for {second}, missed {missed}, attempt {attempt}"));
            match (key, attempt) {
                ("flaky", 1) => JobResult::Failed("not yet".into()),
                ("cut short", 1) => std::future::pending().await,
                _ => JobResult::Done,
            }
        }
    };
    Engine::builder()
        .queue(QueueConfig::new("q").concurrency(4).on_passed_over(told), handler)
        .store(Arc::new(testkit::redis::impatient(url, ms(5_000))))
        .lease(ms(500))
        .single_owner(false)
        // One log: what comes last is durable last.
        .partitions(1)
}

/// As every process of a service does when it starts.
async fn upsert(engine: &Engine) -> Vec<ScheduleOutcome> {
    let mut outcomes = Vec::new();
    for key in POLICIES {
        let rule = Recurrence::every(Duration::from_secs(60)).unwrap().missed(missed(key));
        outcomes.push(engine.schedule_raw("q", "").key(key).recurring(rule).await.unwrap());
    }
    outcomes
}

async fn first_life(url: &str) {
    let engine = TestEngine::start(builder(url, &Said::default()), TEN_O_CLOCK).await.unwrap();
    let engine = engine.go_on_after(ms(300));
    assert!(upsert(&engine).await.iter().all(|outcome| outcome.is_taken()));
    let hourly = Retry::attempts(5).fixed(Duration::from_secs(3600));
    for key in ["flaky", "cut short"] {
        let job = engine.schedule_raw("q", "").key(key).retry(hourly);
        job.after(SECOND).await.unwrap().scheduled().unwrap();
    }
    assert_eq!(engine.advance(SECOND * 2).await.len(), 2);
    engine
        .schedule_raw("q", "")
        .key("last")
        .after(Duration::from_secs(3600))
        .await
        .unwrap()
        .scheduled()
        .unwrap();
    engine.cancel("last").await.unwrap().cancelled().unwrap();
    println!("\nready");
    std::future::pending::<()>().await;
}

async fn second_life(url: &str) {
    let said = Said::default();
    let begins = at_ms(WEEK_S * 1_000 + 30_000);
    let engine = TestEngine::start(builder(url, &said), begins).await.unwrap();
    let outcomes = upsert(&engine).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, ScheduleOutcome::Kept { .. })), "{outcomes:?}");
    engine.advance(Duration::from_secs(40)).await;
    println!();
    said.lock().unwrap().iter().for_each(|line| println!("said {line}"));
    println!("ready");
    engine.shutdown(SECOND).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a process of the test below"]
async fn a_life() {
    let url = std::env::var(REDIS).unwrap();
    match std::env::var(LIFE).unwrap().as_str() {
        "first" => first_life(&url).await,
        _ => second_life(&url).await,
    }
}

/// Starts a process, and reads what it says until it is ready.
fn live(url: &str, life: &str) -> (Killed, Vec<String>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "a_life", "--ignored", "--nocapture"]).env(REDIS, url).env(LIFE, life);
    let mut child = Killed(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut said = Vec::new();
    for line in lines.by_ref() {
        if line == "ready" {
            return (child, said);
        }
        said.extend(line.strip_prefix("said ").map(str::to_owned));
    }
    panic!("the {life} life has ended too soon: {said:?}");
}

/// A process that does not outlive the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // SIGKILL.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn promise_8_a_week_of_downtime_after_a_kill_under_each_policy() {
    let server = RedisServer::start(&EVERYSEC);
    let (first, _) = live(&server.url(), "first");
    drop(first);
    let (_second, mut said) = live(&server.url(), "second");
    said.sort();
    let minutes = WEEK_S / 60;
    let ran = |key: &str, minute: i64, missed: i64| {
        format!("{key} ran for {}, missed {missed}, attempt 1", minute * 60)
    };
    let mut expected = vec![
        format!("all passed over {} Missed", minutes - 3),
        ran("all", minutes - 2, minutes - 3),
        ran("all", minutes - 1, 0),
        ran("all", minutes, 0),
        ran("all", minutes + 1, 0),
        format!("none passed over {minutes} Missed"),
        ran("none", minutes + 1, minutes),
        format!("one passed over {} Coalesced", minutes - 1),
        ran("one", minutes, minutes - 1),
        ran("one", minutes + 1, 0),
        "cut short ran for 1, missed 0, attempt 2".to_owned(),
        "flaky ran for 3601, missed 0, attempt 2".to_owned(),
    ];
    expected.sort();
    assert_eq!(said, expected);
}
