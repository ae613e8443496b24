//! Directories: names as they are read, and as the disk surely has them.
//!
//! # Rules
//! - A change of a name is there at once, and on the disk once its directory was synced. Until then the disk may have it or
//!   not: without any that came before it, but for those of the same names. That is more than a journal in order can show,
//!   which keeps the first of them.
//! - A rename is whole. Neither the file's own sync nor that of a directory below keeps a name.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

/// What a name stands for: a number of a file or a directory.
pub(super) type Number = u64;

const ROOT: Number = 0;

/// A name in a directory.
type Place = (Number, String);

/// All directories.
#[derive(Debug)]
pub(super) struct Names {
    seen: Entries,
    kept: Entries,
    changes: Vec<Change>,
    next: Number,
}

type Entries = BTreeMap<Place, Entry>;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    File(Number),
    Dir(Number),
}

#[derive(Clone, Debug)]
enum Change {
    Link(Place, Entry),
    Unlink(Place),
    Rename(Place, Place),
}

impl Change {
    fn places(&self) -> Vec<&Place> {
        match self {
            Change::Link(place, _) | Change::Unlink(place) => vec![place],
            Change::Rename(from, to) => vec![from, to],
        }
    }

    fn make(self, entries: &mut Entries) {
        match self {
            Change::Link(place, entry) => drop(entries.insert(place, entry)),
            Change::Unlink(place) => drop(entries.remove(&place)),
            Change::Rename(from, to) => {
                if let Some(entry) = entries.remove(&from) {
                    entries.insert(to, entry);
                }
            }
        }
    }
}

impl Names {
    /// A root with nothing in it.
    pub(super) fn new() -> Self {
        Names { seen: BTreeMap::new(), kept: BTreeMap::new(), changes: Vec::new(), next: ROOT + 1 }
    }

    /// What has this name.
    pub(super) fn find(&self, path: &Path) -> io::Result<Entry> {
        let mut entry = Entry::Dir(ROOT);
        for name in parts(path)? {
            let Entry::Dir(dir) = entry else { return Err(io::ErrorKind::NotADirectory.into()) };
            entry = *self.seen.get(&(dir, name)).ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(entry)
    }

    pub(super) fn file(&self, path: &Path) -> io::Result<Number> {
        match self.find(path)? {
            Entry::File(number) => Ok(number),
            Entry::Dir(_) => Err(io::ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn dir(&self, path: &Path) -> io::Result<Number> {
        match self.find(path)? {
            Entry::Dir(number) => Ok(number),
            Entry::File(_) => Err(io::ErrorKind::NotADirectory.into()),
        }
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let dir = self.dir(path)?;
        let entries = self.seen.range((dir, String::new())..).take_while(|((of, _), _)| *of == dir);
        Ok(entries.map(|((_, name), _)| name.clone()).collect())
    }

    /// The name of a file in its directory, as it is read.
    pub(super) fn name_of(&self, number: Number) -> Option<String> {
        let mut named = self.seen.iter().filter(|(_, entry)| **entry == Entry::File(number));
        named.next().map(|((_, name), _)| name.clone())
    }

    /// Whether a file has a name.
    pub(super) fn has(&self, number: Number) -> bool {
        self.seen.values().any(|entry| *entry == Entry::File(number))
    }

    /// Makes a directory, and those above it.
    pub(super) fn create_dirs(&mut self, path: &Path) -> io::Result<()> {
        let mut dir = ROOT;
        let names = parts(path)?;
        let last = names.len();
        for (at, name) in (1..).zip(names) {
            let place = (dir, name);
            dir = match self.seen.get(&place) {
                Some(Entry::Dir(number)) => *number,
                Some(Entry::File(_)) if at == last => return Err(io::ErrorKind::AlreadyExists.into()),
                Some(Entry::File(_)) => return Err(io::ErrorKind::NotADirectory.into()),
                None => {
                    let number = self.fresh();
                    self.change(Change::Link(place, Entry::Dir(number)));
                    number
                }
            };
        }
        Ok(())
    }

    /// Makes a name for a new file, which must not be there. Returns its number.
    pub(super) fn create(&mut self, path: &Path) -> io::Result<Number> {
        let place = self.place(path)?;
        let number = self.fresh();
        self.change(Change::Link(place, Entry::File(number)));
        Ok(number)
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let number = self.file(from)?;
        if let Ok(Entry::Dir(_)) = self.find(to) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let (from, to) = (self.place(from)?, self.place(to)?);
        if from != to && self.seen.get(&to) != Some(&Entry::File(number)) {
            self.change(Change::Rename(from, to));
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        let place = self.place(path)?;
        self.change(Change::Unlink(place));
        Ok(())
    }

    /// The names in a directory are on the disk.
    pub(super) fn sync(&mut self, path: &Path) -> io::Result<()> {
        let dir = self.dir(path)?;
        let mut kept: Vec<bool> =
            self.changes.iter().map(|change| change.places().iter().any(|(of, _)| *of == dir)).collect();
        // With a rename between two directories goes what came before it in the other.
        let mut needed = BTreeSet::new();
        for (change, kept) in self.changes.iter().zip(&mut kept).rev() {
            *kept |= change.places().iter().any(|place| needed.contains(*place));
            if *kept {
                needed.extend(change.places().into_iter().cloned());
            }
        }
        self.settle(kept);
        Ok(())
    }

    /// Power is lost.
    pub(super) fn lose_power(&mut self, rng: &mut fastrand::Rng) {
        let count = self.changes.len();
        let kept = match rng.u8(..5) {
            0 => vec![false; count],
            1 => vec![true; count],
            2 => {
                let first = rng.usize(..=count);
                (0..count).map(|at| at < first).collect()
            }
            _ => self.some(rng),
        };
        self.settle(kept);
        self.changes.clear();
        self.seen.clone_from(&self.kept);
    }

    /// Each of the changes or not, but none without those of the same names before it.
    fn some(&self, rng: &mut fastrand::Rng) -> Vec<bool> {
        let mut lost = BTreeSet::new();
        let mut kept = Vec::new();
        for change in &self.changes {
            let is_kept = rng.bool() && !change.places().iter().any(|place| lost.contains(*place));
            if !is_kept {
                lost.extend(change.places().into_iter().cloned());
            }
            kept.push(is_kept);
        }
        kept
    }

    fn settle(&mut self, kept: Vec<bool>) {
        let changes = std::mem::take(&mut self.changes);
        for (change, kept) in changes.into_iter().zip(kept) {
            if kept { change.make(&mut self.kept) } else { self.changes.push(change) }
        }
    }

    fn change(&mut self, change: Change) {
        change.clone().make(&mut self.seen);
        self.changes.push(change);
    }

    fn place(&self, path: &Path) -> io::Result<Place> {
        let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        let name = parts(path)?.pop().ok_or(io::ErrorKind::InvalidInput)?;
        Ok((self.dir(dir)?, name))
    }

    fn fresh(&mut self) -> Number {
        self.next += 1;
        self.next - 1
    }
}

/// The names along an absolute path.
fn parts(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::RootDir => {}
            Component::Normal(name) => {
                names.push(name.to_str().ok_or(io::ErrorKind::InvalidInput)?.to_owned());
            }
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    Ok(names)
}
