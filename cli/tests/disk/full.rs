//! A disk that is full: a small file system of its own. Needs the right to mount one.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::{Disk, exported, tell};
use testkit::program::{Run, text};

/// A file system in memory with a megabyte of room.
struct Small(Disk);

impl Small {
    /// `None` if it cannot be mounted, which is said.
    fn mount() -> Option<Self> {
        let disk = Disk::new();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "reveille-test"])
            .arg(disk.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Small(disk)),
            Ok(output) => {
                println!("skipped: {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(error) => {
                println!("skipped: mount cannot be run: {error}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let (path, block) = (self.path().join("filler"), vec![1; 4096]);
        let mut filler = std::fs::File::create(path).unwrap();
        while std::io::Write::write_all(&mut filler, &block).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

fn schedule(key: &str, after: &str) -> String {
    // Longer than what is left of a block.
    format!(
        "{{\"op\":\"schedule\",\"key\":\"{key}\",\"in\":\"{after}\",\"payload\":\"{}\"}}\n",
        "x".repeat(8_000)
    )
}

#[test]
fn firing_goes_on_while_the_disk_is_full_and_acknowledging_when_there_is_room() {
    let Some(small) = Small::mount() else { return };
    let store = format!("file:{}", small.path().display());
    let mut run = Run::start(&["--store", &store, "--namespace", "ns"]);
    run.write(&schedule("before", "3s"));
    assert_eq!(text(&run.event(), "outcome"), "scheduled");
    small.fill();
    run.write(&schedule("meanwhile", "1h"));
    let fired = run.event();
    assert_eq!((text(&fired, "event"), text(&fired, "key")), ("fired", "before"), "{fired}");
    run.says("No space left");
    assert!(run.event_within(Duration::from_millis(500)).is_none(), "it is not kept yet");
    small.make_room();
    let acknowledged = run.event();
    assert_eq!((text(&acknowledged, "event"), text(&acknowledged, "key")), ("ack", "meanwhile"));
    // All of it is kept: also that the other has ended.
    run.signal(Signal::TERM);
    assert_eq!(run.ended().status.code(), Some(0));
    let left = exported(&store, "ns");
    assert!(
        left.lines().count() == 1 && left.contains("\"key\":\"meanwhile\""),
        "{} jobs",
        left.lines().count()
    );
}

#[test]
fn a_start_on_a_full_disk_says_what_is_wrong() {
    let Some(small) = Small::mount() else { return };
    let store = format!("file:{}", small.path().display());
    small.fill();
    let ended = tell(&store, "ns", &["run", "--fail-fast"], "");
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("No space left"), "{}", ended.stderr);
    // One that may wait begins when there is room.
    let mut run = Run::start(&["--store", &store, "--namespace", "ns"]);
    run.write(&schedule("after", "1h"));
    run.says("waiting for the store");
    small.make_room();
    assert_eq!(text(&run.event(), "outcome"), "scheduled");
    run.kill();
    assert_eq!(exported(&store, "ns").lines().count(), 1);
}

#[test]
fn a_file_system_that_is_read_only_is_said() {
    let Some(small) = Small::mount() else { return };
    let store = format!("file:{}", small.path().display());
    let import = tell(&store, "ns", &["import"], &schedule("there", "1h"));
    assert_eq!(import.status.code(), Some(0), "{}", import.stderr);
    let remount = Command::new("mount").args(["-o", "remount,ro"]).arg(small.path()).status().unwrap();
    assert!(remount.success());
    let ended = tell(&store, "ns", &["run", "--fail-fast"], "");
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("Mount that file system so that it can be written to"), "{}", ended.stderr);
    // It can still be read.
    assert_eq!(exported(&store, "ns").lines().count(), 1);
}
