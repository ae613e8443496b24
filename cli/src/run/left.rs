//! What a session leaves behind, and what becomes of it.

use std::fmt;

use reveille::ShutdownReport;

/// The jobs that have not fired, and the changes that are not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Left {
    /// Pending, or with a handler that has not ended.
    jobs: usize,
    kept: Kept,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kept {
    /// There is no store.
    Nowhere,
    InStore,
    /// The store has not confirmed this many changes, and will not be asked again.
    InPart {
        missing: u64,
    },
    /// The store has lost something it had confirmed, and it was not written again.
    Damaged,
    /// The store has what it got in time, and another engine owns it.
    ByAnother,
}

impl Left {
    /// What an engine leaves after its shutdown.
    pub(super) fn behind(report: &ShutdownReport) -> Self {
        let kept = if !report.has_store {
            Kept::Nowhere
        } else if report.is_taken_over {
            Kept::ByAnother
        } else if report.is_flushed {
            Kept::InStore
        } else if report.partitions_behind > 0 {
            Kept::Damaged
        } else {
            Kept::InPart { missing: report.changes_unconfirmed }
        };
        Left { jobs: report.pending + report.still_running, kept }
    }

    /// Whether the store has everything, if there is one.
    pub(super) fn is_kept(self) -> bool {
        matches!(self.kept, Kept::Nowhere | Kept::InStore)
    }
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kept == Kept::ByAnother {
            return f.write_str("they are in the store, for that one to fire");
        }
        match self.jobs {
            0 => f.write_str("no job is pending")?,
            1 => f.write_str("1 job stays pending")?,
            jobs => write!(f, "{jobs} jobs stay pending")?,
        }
        match (self.kept, self.jobs) {
            (Kept::Nowhere, 1..) => {
                let are = if self.jobs == 1 { "is" } else { "are" };
                write!(f, ", and {are} lost: there is no store")
            }
            (Kept::InStore, 1..) => f.write_str(" in the store"),
            (Kept::Damaged, _) => f.write_str(
                "; the store has lost what it had confirmed, and could not be given it again: a restart may be refused, or \
                 not know of these jobs",
            ),
            (Kept::InPart { missing }, _) => write!(
                f,
                "; the store has not confirmed the last {missing} changes, so that a restart may not know of them: \
                 a job that has fired may fire again"
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_said() {
        let said = |jobs, kept| Left { jobs, kept }.to_string();
        assert_eq!(said(0, Kept::Nowhere), "no job is pending");
        assert_eq!(said(1, Kept::Nowhere), "1 job stays pending, and is lost: there is no store");
        assert_eq!(said(2, Kept::Nowhere), "2 jobs stay pending, and are lost: there is no store");
        assert_eq!(said(0, Kept::InStore), "no job is pending");
        assert_eq!(said(1, Kept::InStore), "1 job stays pending in the store");
        let in_part = |missing| said(0, Kept::InPart { missing });
        assert!(in_part(3).starts_with("no job is pending; the store has not confirmed the last 3 changes"));
        assert!(!said(5, Kept::ByAnother).contains('5'));
        assert!(said(5, Kept::Damaged).starts_with("5 jobs stay pending; the store has lost"));
        assert!(!Left { jobs: 5, kept: Kept::Damaged }.is_kept());
    }
}
