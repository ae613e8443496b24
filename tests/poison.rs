//! Jobs that end their process: how often they have begun is counted all the same. Each process is this program once more,
//! told by its environment to run one engine and nothing else.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use reveille::store::RedisStore;
use reveille::{Builder, Engine, Job};
use testkit::redis::{RedisServer, config};
use testkit::wait::{bare_runtime, block_on, wait_until};
use testkit::{HOUR, ms, nothing};

const STORE: &str = "REVEILLE_POISON_STORE";
const NOTES: &str = "REVEILLE_POISON_NOTES";
const KIND: &str = "REVEILLE_POISON_KIND";

/// How a job ends its process, or has it ended.
const KINDS: [&str; 3] = ["aborts", "aborts inline", "blocks"];

fn builder(url: &str) -> Builder {
    Engine::builder()
        .partitions(2)
        .store(Arc::new(RedisStore::new(config(url))))
        .lease(ms(300))
        .take_over(true)
}

/// Writes a line that is there whatever becomes of the process.
fn note(line: &str) {
    let path = std::env::var(NOTES).unwrap();
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn abort(job: &Job) {
    note(&job.attempt().to_string());
    std::process::abort();
}

/// Not a test: the process that a job ends.
#[test]
#[ignore = "the others run it, as a process of its own"]
fn process() {
    let told =
        |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by the test that runs this"));
    let (url, kind) = (told(STORE), told(KIND));
    let runtime = bare_runtime(0);
    let builder = builder(&url).runtime(runtime.handle().clone());
    let builder = match kind.as_str() {
        "aborts" => builder.queue("q", |job: Job| async move { abort(&job) }),
        "aborts inline" => builder.inline_queue("q", abort),
        _ => builder.queue("q", |job: Job| async move {
            note(&job.attempt().to_string());
            thread::sleep(HOUR);
        }),
    };
    let engine = block_on(builder.start()).unwrap();
    if engine.jobs() == 0 {
        block_on(engine.schedule_raw("q", "").key("poison").after(ms(20))).unwrap().scheduled().unwrap();
    }
    // Tells when the store has all that there is to tell.
    let watched = engine.clone();
    thread::spawn(move || {
        wait_until("it runs", || watched.stats().running == 1);
        wait_until("its start is written", || watched.stats().log_pending == 0);
        note("written");
    });
    runtime.block_on(std::future::pending::<()>());
}

/// A process that runs the job. Killed when it is dropped, if it has not ended by then.
struct Process(Child);

impl Process {
    fn start(server: &RedisServer, notes: &Path, kind: &str) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "process", "--ignored", "--nocapture"]);
        command.env(STORE, server.url()).env(NOTES, notes).env(KIND, kind);
        Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn notes_of(path: &PathBuf) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn attempts_of(path: &PathBuf) -> Vec<u16> {
    notes_of(path).iter().filter_map(|line| line.parse().ok()).collect()
}

/// Runs as many processes as `lives`, each to the end that the job makes of it, and returns what each was told of its attempt.
fn attempts(kind: &str, lives: usize) -> Vec<u16> {
    let server = RedisServer::start(&[]);
    let notes = server.dir().join("notes");
    for life in 1..=lives {
        let mut process = Process::start(&server, &notes, kind);
        if kind == "blocks" {
            let written = || notes_of(&notes).iter().filter(|line| *line == "written").count();
            wait_until("the start is written while its handler blocks", || written() == life);
            drop(process);
        } else {
            assert!(!process.0.wait().unwrap().success());
        }
        assert_eq!(attempts_of(&notes).len(), life, "{kind}: the job runs once in each life");
    }
    attempts_of(&notes)
}

/// A handler that aborts within microseconds may do so before its first start is written. From the second life on its job is
/// overdue at the restart, and begins only once its start is in the store.
#[test]
fn a_job_that_aborts_its_process_is_counted() {
    for kind in &KINDS[..2] {
        let attempts = attempts(kind, 6);
        assert!((1..=2).contains(&attempts[1]), "{kind}: {attempts:?}");
        for life in 2..attempts.len() {
            assert_eq!(attempts[life], attempts[life - 1] + 1, "{kind}: {attempts:?}");
        }
    }
}

/// A handler that blocks at once, on a runtime with one thread: its start is on its way all the same.
#[test]
fn a_job_that_blocks_until_its_process_is_killed_is_counted() {
    assert_eq!(attempts(KINDS[2], 4), [1, 2, 3, 4]);
}

/// While the store stands still a job that was overdue waits for no longer than about a second.
#[test]
fn an_overdue_job_does_not_wait_for_a_store_that_stands_still() {
    let server = RedisServer::start(&[]);
    let (runtime, url) = (bare_runtime(1), server.url());
    let build = || builder(&url).runtime(runtime.handle().clone()).single_owner(true);
    let engine = block_on(build().queue("q", nothing).start()).unwrap();
    engine.pause("q").into_outcome().unwrap();
    for n in 0..3 {
        block_on(engine.schedule_raw("q", "").key(format!("overdue {n}")).after(Duration::ZERO))
            .unwrap()
            .scheduled()
            .unwrap();
    }
    block_on(engine.shutdown(ms(5_000)));
    drop(engine);
    let config = reveille::QueueConfig::new("q").concurrency(1).paused();
    let engine = block_on(build().queue(config, nothing).start()).unwrap();
    wait_until("they are due", || engine.stats().ready == 3);
    server.stop();
    engine.resume("q").into_outcome().unwrap();
    block_on(engine.idle());
    server.go_on();
    assert_eq!(engine.stats().succeeded, 3);
}
