//! Writes a file whole or not at all: beside the old one, synced, and then put in its place.
//!
//! # Rules
//! - Whatever fails, the old file stays as it was. Nothing is left beside it, unless the process is killed while it
//!   writes: then `.NAME.*.tmp` stays.
//! - The new file has the permissions of the old one, and its owner where that may be given.
//! - A symbolic link stays a link: its target is replaced.
//! - Anything but a regular file, such as a pipe or a terminal, has no old content to keep and is written directly.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// As many symbolic links in a row as Linux follows.
const LINKS_MAX: usize = 40;

/// Has `write` write the file at `path`.
pub(crate) fn write<T>(path: &Path, write: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
    let old = match fs::metadata(path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    match (old, target(path)?) {
        (Some(old), _) if old.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        (Some(old), Some(target)) if old.is_file() => replace(&target, Some(&old), write),
        (None, Some(target)) => replace(&target, None, write),
        _ => write(&OpenOptions::new().write(true).open(path)?),
    }
}

/// Where the links at `path` lead; `None` if that is what some process has open, which `/dev/stdout` stands for.
fn target(path: &Path) -> io::Result<Option<PathBuf>> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        if path.starts_with("/proc") || path.starts_with("/dev/fd") {
            return Ok(None);
        }
        match fs::read_link(&path) {
            // An absolute one takes the place of all.
            Ok(link) => path = folder(&path).join(link),
            Err(_) => return Ok(Some(path)),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

fn replace<T>(
    path: &Path,
    old: Option<&Metadata>,
    write: impl FnOnce(&File) -> io::Result<T>,
) -> io::Result<T> {
    let new = beside(path)?;
    let written = write(new.as_file())?;
    if let Some(old) = old {
        keep_owner(new.as_file(), old);
        new.as_file().set_permissions(old.permissions())?;
    }
    new.as_file().sync_all()?;
    new.persist(path).map_err(|error| error.error)?;
    sync_folder(folder(path))?;
    Ok(written)
}

fn beside(path: &Path) -> io::Result<NamedTempFile> {
    let name = path.file_name().unwrap_or(OsStr::new("reveille"));
    let mut prefix = OsStr::new(".").to_owned();
    prefix.push(name);
    prefix.push(".");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    // The usual permissions of a new file, less the process' mask.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder(path)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => error,
        kind => io::Error::new(
            kind,
            format!("no file can be made beside it, to be put in its place when it is whole: {error}"),
        ),
    })
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        Some(_) => Path::new("."),
        None => path,
    }
}

/// Only root may give a file away. For others the new file stays theirs.
#[cfg(unix)]
fn keep_owner(file: &File, old: &Metadata) {
    use std::os::unix::fs::{MetadataExt, fchown};
    let _ = fchown(file, Some(old.uid()), Some(old.gid()));
}

#[cfg(not(unix))]
fn keep_owner(_: &File, _: &Metadata) {}

/// Before this a crash of the machine may bring the old file back.
#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // A folder that may be written but not listed, and file systems that cannot sync one.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput) =>
        {
            Ok(())
        }
        synced => synced,
    }
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn write_text(path: &Path, text: &str) -> io::Result<()> {
        write(path, |mut file| file.write_all(text.as_bytes()))
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_file_is_replaced_with_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_text(&path, "old").unwrap();
        for mode in [0o600, 0o640, 0o444] {
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            write_text(&path, "new").unwrap();
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, mode);
        }
        assert_eq!(
            (fs::read_to_string(&path).unwrap(), names(folder.path())),
            ("new".into(), vec!["a".into()])
        );
    }

    #[test]
    fn a_file_that_is_made_has_the_usual_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |name| fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        fs::write(folder.path().join("usual"), "").unwrap();
        write_text(&folder.path().join("new"), "").unwrap();
        assert_eq!(mode("new"), mode("usual"));
    }

    #[test]
    fn what_fails_leaves_the_old_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write_text(&path, "old").unwrap();
        for error in [io::ErrorKind::StorageFull, io::ErrorKind::Interrupted] {
            let failed = write(&path, |mut file| {
                file.write_all(b"half")?;
                Err::<(), _>(error.into())
            });
            assert_eq!(failed.unwrap_err().kind(), error);
            assert_eq!(fs::read_to_string(&path).unwrap(), "old");
            assert_eq!(names(folder.path()), ["a"]);
        }
    }

    #[test]
    fn links_stay_and_lead_to_the_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("far")).unwrap();
        symlink("far/file", at("two")).unwrap();
        symlink(at("two"), at("one")).unwrap();
        // At first they lead nowhere.
        for text in ["first", "second"] {
            write_text(&at("one"), text).unwrap();
            assert_eq!(fs::read_to_string(at("far/file")).unwrap(), text);
            assert!(at("one").is_symlink() && at("two").is_symlink());
            assert_eq!(names(&at("far")), ["file"]);
        }
        symlink("round", at("round")).unwrap();
        assert!(write_text(&at("round"), "").is_err());
    }

    #[test]
    fn what_is_no_regular_file_is_written_straight() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RWXU).unwrap();
        let fifo = path.clone();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            File::open(fifo).unwrap().read_to_string(&mut text).unwrap();
            text
        });
        write_text(&path, "through").unwrap();
        assert_eq!((reader.join().unwrap(), names(folder.path())), ("through".into(), vec!["fifo".into()]));
        write_text(Path::new("/dev/null"), "gone").unwrap();
        assert_eq!(write_text(Path::new("/dev/full"), "x").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(write_text(folder.path(), "x").unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }
}
