//! Files that are not as they were written.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::{Disk, FAR, LOOKUP, exported};
use testkit::program::text;

/// Schedules so many jobs, each acknowledged by itself, and ends.
fn filled(disk: &Disk, jobs: usize, durability: &str) {
    let mut run = disk.run("ns", &["--durability", durability]);
    for n in 0..jobs {
        run.write(&format!(
            "{{\"op\":\"schedule\",\"key\":\"k{n}\",\"in\":\"1h\",\"payload\":\"{n:0>200}\"}}\n"
        ));
        assert_eq!(text(&run.event(), "outcome"), "scheduled");
    }
    run.kill();
}

fn flip(path: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x40], offset).unwrap();
}

#[test]
fn damage_is_refused_by_file_and_offset() {
    let disk = Disk::new();
    filled(&disk, 50, "fsync");
    let log = disk.files("ns", "log-").remove(0);
    let whole = std::fs::read(&log).unwrap();
    flip(&log, 2_000);
    for command in [&["run"][..], &["run", "--fail-fast"], &["export"], &["inspect", "--queues"]] {
        let ended = disk.tell("ns", command, "");
        assert_eq!(
            (ended.status.code(), ended.stdout.as_str()),
            (Some(2), ""),
            "{command:?}: {}",
            ended.stderr
        );
        let name = log.to_str().unwrap();
        assert!(
            ended.stderr.contains(name) && ended.stderr.contains("at byte "),
            "{command:?}: {}",
            ended.stderr
        );
        assert!(ended.stderr.contains("is not as the store wrote it"), "{command:?}: {}", ended.stderr);
    }
    // Nothing was cut or written, so that it can be mended.
    flip(&log, 2_000);
    assert!(std::fs::read(&log).unwrap() == whole);
    assert_eq!(exported(&disk.store(), "ns").lines().count(), 50);
}

#[test]
fn a_torn_tail_is_cut_and_said() {
    let disk = Disk::new();
    filled(&disk, 50, "logged");
    // The last segment that has more than its head.
    let mut logs = disk.files("ns", "log-");
    let bytes = |path: &Path| std::fs::metadata(path).unwrap().len();
    logs.retain(|path| bytes(path) > 1_000);
    let log = logs.pop().unwrap();
    OpenOptions::new().write(true).open(&log).unwrap().set_len(bytes(&log) - 10).unwrap();

    let mut run = disk.run("ns", &[]);
    run.write("{\"op\":\"lookup\",\"key\":\"k48\"}\n{\"op\":\"lookup\",\"key\":\"k49\"}\n");
    assert_eq!(text(&run.event(), "outcome"), "scheduled");
    assert_eq!(
        text(&run.event(), "outcome"),
        "not_found",
        "the machine has lost it, and nobody has made it up"
    );
    run.write(FAR);
    assert_eq!(text(&run.event(), "outcome"), "scheduled");
    let said = run.said();
    assert!(said.contains(log.file_name().unwrap().to_str().unwrap()) && said.contains("WARN"), "{said}");
    run.kill();
    let mut run = disk.run("ns", &[]);
    run.write(LOOKUP);
    assert_eq!(text(&run.event(), "outcome"), "scheduled");
    assert!(!run.said().contains("WARN"), "it is whole again: {}", run.said());
}
