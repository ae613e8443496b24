//! An export into a file that is there: it is replaced by a whole one, or stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::tell;
use testkit::program::Run;
use testkit::redis::RedisServer;

const OLD: &str = "an older export\n";

/// A namespace with some megabytes of jobs.
fn much(server: &RedisServer) -> usize {
    const JOBS: usize = 400;
    let payload = "x".repeat(60_000);
    let line = |at| {
        format!("{{\"op\":\"schedule\",\"key\":\"k{at}\",\"at\":2000000000,\"payload\":\"{payload}\"}}\n")
    };
    let import = tell(server, "ns", &["import"], &(0..JOBS).map(line).collect::<String>());
    assert_eq!(import.status.code(), Some(0), "{}", import.stderr);
    JOBS
}

/// A folder with an older export in it, and its path.
fn older() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backup.jsonl");
    fs::write(&path, OLD).unwrap();
    (folder, path)
}

fn export(server: &RedisServer, to: &Path) -> Vec<String> {
    ["export", to.to_str().unwrap(), "--store", &server.url(), "--namespace", "ns"]
        .map(str::to_owned)
        .to_vec()
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_full_disk_leaves_the_old_file() {
    let server = RedisServer::start(&[]);
    let jobs = much(&server);
    let (folder, path) = older();
    // Files of this process may not grow beyond 500 KiB, and a write that would make them says so.
    let limited = format!("trap '' XFSZ; ulimit -f 1000; exec {} \"$@\"", env!("CARGO_BIN_EXE_reveille"));
    let mut command = Command::new("sh");
    command.args(["-c", &limited, "sh"]).args(export(&server, &path));
    let ended = Run::spawn(&mut command).ended_as_text();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("cannot write") && ended.stderr.contains("File too large"),
        "{}",
        ended.stderr
    );
    assert!(fs::read_to_string(&path).unwrap() == OLD, "the old file is gone");
    assert_eq!(names(folder.path()).len(), 1);

    let args = export(&server, &path);
    let ended = Run::program(&args.iter().map(String::as_str).collect::<Vec<_>>()).ended_as_text();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), jobs);
    assert_eq!(names(folder.path()).len(), 1);
}

/// Ends an export while it writes, and says whether it was in time.
fn ended_while_it_writes(server: &RedisServer, jobs: usize, signal: Signal, leaves: usize) -> bool {
    let (folder, path) = older();
    let args = export(server, &path);
    let mut run = Run::program(&args.iter().map(String::as_str).collect::<Vec<_>>());
    let is_at_it =
        || names(folder.path()).len() > 1 || fs::read_to_string(&path).is_ok_and(|text| text != OLD);
    while !is_at_it() && !run.has_ended() {
        std::thread::yield_now();
    }
    if !run.has_ended() {
        run.signal(signal);
    }
    let ended = run.ended_unread(Vec::new());
    let text = fs::read_to_string(&path).unwrap();
    if text == OLD {
        assert_ne!(ended.status.code(), Some(0));
        assert!(names(folder.path()).len() <= 1 + leaves, "{:?}", names(folder.path()));
        return true;
    }
    assert_eq!(text.lines().count(), jobs, "neither the old file nor the new one");
    false
}

#[test]
fn an_export_that_ends_while_it_writes_leaves_the_old_file() {
    let server = RedisServer::start(&[]);
    let jobs = much(&server);
    for (signal, leaves) in [(Signal::KILL, 1), (Signal::TERM, 0), (Signal::INT, 0), (Signal::HUP, 0)] {
        let attempts = 20;
        let in_time = (0..attempts).find(|_| ended_while_it_writes(&server, jobs, signal, leaves));
        assert!(in_time.is_some(), "it was never ended while it wrote");
        std::thread::sleep(Duration::from_millis(1));
    }
}
