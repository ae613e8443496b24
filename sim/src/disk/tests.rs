//! The simulated file system itself: it must do what the contract promises, and all that the contract leaves open.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use reveille::sim::{File, Files};

use super::content::PAGE;
use super::{Disk, Mount, Seat, Trouble};

const DIR: &str = "/data/store";
const SEEDS: u64 = 400;

struct Machine {
    disk: Arc<Disk>,
    files: Mount,
    seat: Arc<Seat>,
}

impl Machine {
    /// With a directory that outlives its power.
    fn new(seed: u64) -> Self {
        let disk = Disk::new(None, seed);
        let machine = Machine::again(&disk);
        machine.files.create_dir(Path::new(DIR)).unwrap();
        machine.files.sync_dir(Path::new("/")).unwrap();
        machine.files.sync_dir(Path::new("/data")).unwrap();
        machine
    }

    /// Another process.
    fn again(disk: &Arc<Disk>) -> Self {
        let seat = Arc::default();
        Machine { disk: Arc::clone(disk), files: Mount::new(disk, &seat), seat }
    }

    fn path(name: &str) -> std::path::PathBuf {
        Path::new(DIR).join(name)
    }

    fn create(&self, name: &str) -> Box<dyn File> {
        self.files.create(&Self::path(name)).unwrap()
    }

    /// One whose name and whose content are synced.
    fn kept(&self, name: &str, bytes: &[u8]) -> Box<dyn File> {
        let file = self.create(name);
        file.write_at(bytes, 0).unwrap();
        file.sync().unwrap();
        self.sync_dir();
        file
    }

    fn sync_dir(&self) {
        self.files.sync_dir(Path::new(DIR)).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        self.files.rename(&Self::path(from), &Self::path(to)).unwrap();
    }

    /// Another process, after power was lost.
    fn without_power(self) -> Self {
        self.seat.end();
        self.disk.lose_power();
        Machine::again(&self.disk)
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let file = self.files.open(&Self::path(name), false).ok()?;
        let mut bytes = vec![0; file.bytes().unwrap() as usize];
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
        Some(bytes)
    }

    fn names(&self) -> Vec<String> {
        let mut names = self.files.list(Path::new(DIR)).unwrap();
        names.sort_unstable();
        names
    }
}

/// What is left with each of many seeds.
fn all<T: Ord>(left: impl Fn(u64) -> T) -> BTreeSet<T> {
    (0..SEEDS).map(left).collect()
}

fn pages(letters: &str) -> Vec<u8> {
    letters.bytes().flat_map(|letter| [letter; PAGE]).collect()
}

/// The letter of each page; `?` if it has several, `-` if it is empty.
fn letters(bytes: &[u8]) -> String {
    let letter = |page: &[u8]| {
        let is_one = page.iter().all(|byte| *byte == page[0]);
        if !is_one {
            '?'
        } else if page[0] == 0 {
            '-'
        } else {
            page[0] as char
        }
    };
    bytes.chunks(PAGE).map(letter).collect()
}

#[test]
fn what_was_written_is_there_after_a_kill() {
    let machine = Machine::new(1);
    let file = machine.create("a");
    file.write_at(&pages("xyz"), 0).unwrap();
    machine.seat.end();
    assert!(file.write_at(b"late", 0).is_err() && file.sync().is_err() && file.bytes().is_err());
    let after = Machine::again(&machine.disk);
    assert_eq!(letters(&after.read("a").unwrap()), "xyz");
}

#[test]
fn what_was_synced_outlives_the_power_whatever_the_seed() {
    let left = all(|seed| {
        let machine = Machine::new(seed);
        let file = machine.kept("a", &pages("xyz"));
        file.truncate(2 * PAGE as u64).unwrap();
        file.write_at(b"!", 5_000).unwrap();
        file.sync().unwrap();
        machine.without_power().read("a").unwrap()
    });
    let mut expected = pages("xy");
    expected[5_000] = b'!';
    assert_eq!(left, BTreeSet::from([expected]));
}

#[test]
fn pages_that_were_not_synced_are_there_in_any_combination() {
    let left = all(|seed| {
        let machine = Machine::new(seed);
        machine.kept("a", &pages("xxx")).write_at(&pages("yyy"), 0).unwrap();
        letters(&machine.without_power().read("a").unwrap())
    });
    for pages in ["xxx", "yyy", "xyx", "yxy", "xxy", "yyx", "x?x"] {
        assert!(left.contains(pages), "{pages} is not in {left:?}");
    }
}

#[test]
fn of_a_page_any_version_since_the_sync_may_be_there() {
    let left = all(|seed| {
        let machine = Machine::new(seed);
        let file = machine.kept("a", &pages("w"));
        for letter in ["x", "y", "z"] {
            file.write_at(&pages(letter), 0).unwrap();
        }
        letters(&machine.without_power().read("a").unwrap())
    });
    assert!(["w", "x", "y", "z", "?"].iter().all(|letter| left.contains(*letter)), "{left:?}");
}

#[test]
fn a_file_that_grew_has_any_length_it_had_and_holes() {
    let left = all(|seed| {
        let machine = Machine::new(seed);
        let file = machine.kept("a", b"");
        (0..3).for_each(|at| file.write_at(&pages("x"), at * PAGE as u64).unwrap());
        letters(&machine.without_power().read("a").unwrap())
    });
    for pages in ["", "x", "xx", "xxx", "-", "-x", "x-x", "--x", "xx-"] {
        assert!(left.contains(pages), "{pages} is not in {left:?}");
    }
    assert!(left.iter().all(|pages| pages.len() <= 3), "{left:?}");
}

#[test]
fn what_was_cut_off_does_not_come_back_behind_what_was_written_after() {
    let left = all(|seed| {
        let machine = Machine::new(seed);
        let file = machine.kept("a", &pages("xxx"));
        file.truncate(PAGE as u64).unwrap();
        file.write_at(&pages("y"), PAGE as u64).unwrap();
        letters(&machine.without_power().read("a").unwrap())
    });
    // As it was; cut; and grown again, with what was written or a hole, whole or in part.
    let expected = ["xxx", "x", "xy", "x-", "x?"].map(str::to_owned);
    assert_eq!(left, BTreeSet::from(expected));
}

#[test]
fn a_sync_that_fails_drops_pages_and_the_next_one_does_not_write_them() {
    let left = all(|seed| {
        let machine = Machine::new(seed);
        let file = machine.kept("a", &pages("xx"));
        machine.disk.trouble(Trouble::Syncs, 1);
        file.write_at(&pages("yy"), 0).unwrap();
        let failed = file.sync().is_err();
        // A trouble lasts until its end, and no time passes here.
        machine.disk.state.lock().troubles.clear();
        file.sync().unwrap();
        (failed, letters(&machine.without_power().read("a").unwrap()))
    });
    assert!(left.contains(&(true, "xx".into())) && left.contains(&(true, "xy".into())), "{left:?}");
    assert!(left.iter().filter(|(failed, _)| !failed).all(|(_, pages)| pages == "yy"), "{left:?}");
}

#[test]
fn what_a_failed_sync_dropped_is_read_for_a_while_and_written_if_it_is_changed_again() {
    let (old, new) = (AtomicUsize::new(0), AtomicUsize::new(0));
    for seed in 0..SEEDS {
        let machine = Machine::new(seed);
        let file = machine.kept("a", &pages("x"));
        machine.disk.trouble(Trouble::Syncs, 1);
        file.write_at(&pages("y"), 0).unwrap();
        if file.sync().is_ok() {
            continue;
        }
        machine.disk.state.lock().troubles.clear();
        let read = letters(&machine.read("a").unwrap());
        (if read == "x" { &old } else { &new }).fetch_add(1, Relaxed);
        file.write_at(&pages("y"), 0).unwrap();
        file.sync().unwrap();
        assert_eq!(letters(&machine.without_power().read("a").unwrap()), "y");
    }
    assert!(old.load(Relaxed) > 0 && new.load(Relaxed) > 0, "{old:?} {new:?}");
}

#[test]
fn a_synced_file_without_a_synced_name_may_be_gone() {
    let left = all(|seed| {
        let machine = Machine::new(seed);
        machine.create("a").sync().unwrap();
        machine.without_power().names()
    });
    assert_eq!(left, BTreeSet::from([vec![], vec!["a".to_owned()]]));
}

#[test]
fn a_rename_is_whole_and_brings_no_content() {
    let left = all(|seed| {
        let machine = Machine::new(seed);
        machine.kept("a", b"old");
        machine.create("a.tmp").write_at(b"new", 0).unwrap();
        machine.rename("a.tmp", "a");
        let after = machine.without_power();
        (after.names(), after.read("a").unwrap())
    });
    let contents: BTreeSet<_> = left.iter().map(|(_, content)| content.as_slice()).collect();
    assert!([b"old".as_slice(), b"new", b""].iter().all(|content| contents.contains(content)), "{left:?}");
    assert!(left.iter().all(|(names, _)| names.contains(&"a".to_owned())), "{left:?}");
}

#[test]
fn a_later_change_may_be_there_without_an_earlier_one() {
    let left = all(|seed| {
        let machine = Machine::new(seed);
        machine.kept("old", b"");
        machine.kept("new.tmp", b"");
        machine.rename("new.tmp", "new");
        machine.files.remove(&Machine::path("old")).unwrap();
        machine.without_power().names().join(" ")
    });
    let expected = ["new.tmp old", "new old", "new", "new.tmp"].map(str::to_owned);
    assert_eq!(left, BTreeSet::from(expected));
}

#[test]
fn changes_of_one_name_are_there_in_order() {
    let left = all(|seed| {
        let machine = Machine::new(seed);
        machine.create("a.tmp");
        machine.rename("a.tmp", "a");
        machine.files.remove(&Machine::path("a")).unwrap();
        machine.without_power().names().join(" ")
    });
    assert_eq!(left, BTreeSet::from(["", "a.tmp", "a"].map(str::to_owned)));
}

#[test]
fn synced_names_are_there() {
    let left = all(|seed| {
        let machine = Machine::new(seed);
        machine.kept("a", b"");
        machine.create("b");
        machine.rename("a", "c");
        machine.sync_dir();
        machine.without_power().names().join(" ")
    });
    assert_eq!(left, BTreeSet::from(["b c".to_owned()]));
}

#[test]
fn a_directory_whose_name_was_not_synced_may_be_gone_with_all_in_it() {
    let left = all(|seed| {
        let disk = Disk::new(None, seed);
        let machine = Machine::again(&disk);
        machine.files.create_dir(Path::new(DIR)).unwrap();
        machine.kept("a", b"x");
        let after = machine.without_power();
        after.files.list(Path::new(DIR)).map_err(|error| error.kind())
    });
    assert_eq!(left, BTreeSet::from([Ok(vec!["a".to_owned()]), Err(io::ErrorKind::NotFound)]));
}

#[test]
fn a_full_disk_writes_a_part_and_takes_what_needs_no_room() {
    let left = all(|seed| {
        let machine = Machine::new(seed);
        let file = machine.kept("a", &pages("x"));
        machine.disk.trouble(Trouble::Full, 1);
        file.write_at(&pages("y"), 0).unwrap();
        let error = file.write_at(&pages("zz"), PAGE as u64).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        letters(&machine.read("a").unwrap())
    });
    assert!(["y", "yz", "yzz"].iter().all(|pages| left.contains(*pages)), "{left:?}");
}

#[test]
fn a_process_ends_at_the_operation_it_was_told_to() {
    for operations in 0..4 {
        let machine = Machine::new(operations);
        let told = Arc::new(AtomicUsize::new(0));
        let its = Arc::clone(&told);
        machine.seat.end_after(operations, Box::new(move || its.store(its.load(Relaxed) + 1, Relaxed)));
        let done = [
            machine.files.create(&Machine::path("a")).is_ok(),
            machine.files.create(&Machine::path("b")).is_ok(),
            machine.files.rename(&Machine::path("a"), &Machine::path("c")).is_ok(),
            machine.files.sync_dir(Path::new(DIR)).is_ok(),
        ];
        assert_eq!(done.iter().filter(|done| **done).count() as u64, operations);
        assert_eq!(told.load(Relaxed), 1);
        let after = Machine::again(&machine.disk);
        let expected: &[&str] = [&[][..], &["a"], &["a", "b"], &["b", "c"]][operations as usize];
        assert_eq!(after.names(), expected);
    }
}

#[test]
fn a_write_in_whose_middle_the_process_ends_is_written_in_part() {
    let left = all(|seed| {
        let machine = Machine::new(seed);
        let file = machine.create("a");
        machine.seat.end_after(0, Box::new(|| {}));
        assert!(file.write_at(&pages("xx"), 0).is_err());
        Machine::again(&machine.disk).read("a").unwrap().len()
    });
    assert!(
        left.contains(&0) && left.contains(&PAGE) && left.contains(&(2 * PAGE)) && left.len() > 10,
        "{left:?}"
    );
}

#[test]
fn nothing_happens_between_the_loss_of_power_and_the_end_of_the_processes() {
    let machine = Machine::new(5);
    let file = machine.kept("a", b"x");
    machine.disk.fail_after(1, Box::new(|| {}));
    file.write_at(b"y", 0).unwrap();
    assert!(file.sync().is_err() && file.sync().is_err() && file.read_at(&mut [0], 0).is_err());
    assert!(machine.disk.is_off());
    let after = machine.without_power();
    assert!(!after.disk.is_off() && after.read("a").is_some());
}

#[test]
fn a_lock_is_of_one_and_free_when_it_is_dropped_or_its_file_is_another() {
    let machine = Machine::new(1);
    let path = Machine::path("lock");
    let held = machine.files.lock(&path).unwrap();
    let other = Machine::again(&machine.disk);
    for files in [&machine.files, &other.files] {
        assert_eq!(files.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
    assert!(held.is_at(&path).unwrap());
    other.files.remove(&path).unwrap();
    assert!(!held.is_at(&path).unwrap());
    let second = other.files.lock(&path).unwrap();
    drop(held);
    assert_eq!(machine.files.lock(&path).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    drop(second);
    assert!(machine.files.lock(&path).is_ok());
}

#[test]
fn a_file_is_made_in_place_of_another_and_errors_are_those_of_a_system() {
    let machine = Machine::new(1);
    let file = machine.kept("a", b"old");
    machine.create("a");
    assert_eq!(file.bytes().unwrap(), 0, "it is the same file, cut off");
    let kind = |result: io::Result<()>| result.unwrap_err().kind();
    let absent = Machine::path("absent");
    assert_eq!(kind(machine.files.open(&absent, true).map(drop)), io::ErrorKind::NotFound);
    assert_eq!(kind(machine.files.rename(&absent, &Machine::path("b"))), io::ErrorKind::NotFound);
    assert_eq!(kind(machine.files.remove(&absent)), io::ErrorKind::NotFound);
    assert_eq!(kind(machine.files.create_dir(&Machine::path("a"))), io::ErrorKind::AlreadyExists);
    assert_eq!(kind(machine.files.create_dir(&Machine::path("a/b"))), io::ErrorKind::NotADirectory);
    let reader = machine.files.open(&Machine::path("a"), false).unwrap();
    assert_eq!(kind(reader.write_at(b"x", 0)), io::ErrorKind::PermissionDenied);
}
