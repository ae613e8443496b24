//! The names of the store's files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The format that is written, and the only one that is read.
pub(super) const FORMAT: u16 = 1;

/// Whoever holds its lock owns the store.
pub(super) const LOCK: &str = "lock";

/// What the store knows of itself.
pub(super) const META: &str = "meta";

/// At the end of a file that is being written, and means nothing yet.
pub(super) const UNFINISHED: &str = ".tmp";

/// What a file is called until it is whole.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(UNFINISHED);
    name.into()
}

/// A file of the store, by its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Name {
    /// A segment of the log.
    Segment(u64),
    /// A snapshot of a partition, and its generation.
    Snapshot(u16, u64),
}

impl Name {
    /// The file of this name; `None` if it is not one of these.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let parsed = if let Some(rest) = name.strip_prefix("log-") {
            Name::Segment(rest.strip_suffix(".rvl")?.parse().ok()?)
        } else {
            let (partition, generation) =
                name.strip_prefix("snapshot-p")?.strip_suffix(".rvs")?.split_once('-')?;
            Name::Snapshot(partition.parse().ok()?, generation.parse().ok()?)
        };
        // One file has one name.
        (parsed.text() == name).then_some(parsed)
    }

    pub(super) fn text(self) -> String {
        let mut text = String::new();
        let _ = match self {
            Name::Segment(number) => write!(text, "log-{number:010}.rvl"),
            Name::Snapshot(partition, generation) => {
                write!(text, "snapshot-p{partition:04}-{generation:010}.rvs")
            }
        };
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_others_are_not_ours() {
        for name in
            [Name::Segment(1), Name::Segment(u64::MAX), Name::Snapshot(7, 12), Name::Snapshot(9_999, 1)]
        {
            assert_eq!(Name::parse(&name.text()), Some(name));
        }
        assert_eq!(Name::Segment(42).text(), "log-0000000042.rvl");
        assert_eq!(Name::Snapshot(3, 7).text(), "snapshot-p0003-0000000007.rvs");
        for other in
            ["log-1.rvl", "log-0000000001.rvl.tmp", "snapshot-p1-1.rvs", "meta", "lock", "", "log-.rvl"]
        {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }
}
