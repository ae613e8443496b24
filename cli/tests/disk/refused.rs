//! Places that cannot hold a store, and arguments that mean nothing for one on disk.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::{Disk, FAR, tell};
use testkit::program::{Run, TempFile, executable};

/// What `run` says of a store in a place where none can be. It would wait for what somebody can put right.
fn said_of(path: &Path) -> String {
    let store = format!("file:{}", path.display());
    let ended = tell(&store, "ns", &["run", "--fail-fast"], FAR);
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
    ended.stderr
}

#[test]
fn a_path_that_is_a_file_is_said() {
    let file = TempFile::new("a-file", b"mine");
    for path in [Path::new(file.path()).to_owned(), Path::new(file.path()).join("below")] {
        let said = said_of(&path);
        assert!(said.contains("A store on disk is a directory") && said.contains(file.path()), "{said}");
    }
    assert_eq!(std::fs::read(file.path()).unwrap(), b"mine");
}

#[test]
fn a_place_where_nothing_can_be_made_is_said() {
    let said = said_of(Path::new("/proc/reveille"));
    assert!(said.contains("/proc/reveille"), "{said}");
}

/// A user who may not write there. Needs the right to be another user.
#[test]
fn a_directory_without_permission_is_said() {
    if !rustix::process::geteuid().is_root() {
        let disk = Disk::new();
        std::fs::set_permissions(disk.path(), std::fs::Permissions::from_mode(0o500)).unwrap();
        let said = said_of(disk.path());
        assert!(said.contains("Let the user that this process runs as read and write"), "{said}");
        return;
    }
    const NOBODY: u32 = 65534;
    let disk = Disk::new();
    // It need not be able to run the program where cargo has put it.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("reveille");
    std::fs::copy(executable(), &program).unwrap();
    let mut command = Command::new(program);
    command
        .args(["run", "--fail-fast", "--store", &disk.store(), "--namespace", "ns"])
        .uid(NOBODY)
        .gid(NOBODY)
        .current_dir("/");
    let ended = Run::spawn(&mut command).finish(FAR);
    assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("Let the user that this process runs as read and write"),
        "{}",
        ended.stderr
    );
    assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
}

#[test]
fn what_a_disk_does_not_have_is_refused() {
    let disk = Disk::new();
    for (args, said) in [
        (&["run", "--lease", "1s"][..], "--lease"),
        (&["run", "--replicas", "1"], "--replicas"),
        (&["run", "--durability", "replicated"], "no replicas"),
        (&["run", "--single-owner"], "--single-owner"),
        (&["demo", "--single-owner"], "--single-owner"),
        (&["import", "--lease", "1s"], "--lease"),
        (&["demo", "--durability", "memory"], "--no-crash"),
    ] {
        let ended = disk.tell("ns", args, "");
        assert_eq!((ended.status.code(), ended.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(ended.stderr.contains(said), "{args:?}: {}", ended.stderr);
    }
    assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0, "nothing was begun");
}

#[test]
fn an_address_is_a_path_by_how_it_begins() {
    let disk = Disk::new();
    let path = disk.path().to_str().unwrap();
    for store in [path.to_owned(), format!("file:{path}"), format!("file://{path}"), "./jobs".to_owned()] {
        let mut command = Command::new(executable());
        command.args(["import", "--on-conflict", "keep", "--store", &store]).current_dir(disk.path());
        let ended = Run::spawn(&mut command).finish(FAR);
        assert_eq!(ended.status.code(), Some(0), "{store}: {}", ended.stderr);
    }
    assert!(disk.path().join("reveille/meta").is_file() && disk.path().join("jobs/reveille/meta").is_file());

    for (store, said) in [
        ("file:", "comes the path of a directory"),
        ("file://host/jobs", "a third slash"),
        ("jobs", "the address is not one of Redis"),
        ("jobs", "file:PATH"),
    ] {
        let ended = Run::program(&["run", "--store", store]).finish("");
        assert_eq!(ended.status.code(), Some(2), "{store}");
        assert!(ended.stderr.contains(said), "{store}: {}", ended.stderr);
    }
    let mut command = Command::new(executable());
    let ended = Run::spawn(command.args(["export"]).env("REVEILLE_STORE", path)).finish("");
    assert_eq!((ended.status.code(), ended.stdout.lines().count()), (Some(0), 1), "{}", ended.stderr);
    let typo = disk.tell("typo", &["export"], "");
    assert_eq!(typo.status.code(), Some(2));
    assert!(typo.stderr.contains("no namespace \"typo\"") && typo.stderr.contains(path), "{}", typo.stderr);
    assert!(!disk.path().join("typo").exists(), "looking makes nothing");
}
