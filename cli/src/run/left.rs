//! What stays behind when a session ends, and what becomes of it.

use std::fmt;

use reveille::{Engine, StoreState};

/// The jobs that have not fired, and the changes that nobody keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Left {
    jobs: usize,
    kept: Kept,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kept {
    /// There is no store.
    Nowhere,
    InStore {
        /// Changes that the store has not confirmed, and will not be asked to any more.
        missing: u64,
    },
    /// The store has lost something that it had confirmed, and was not given it again.
    Damaged,
    /// The store has what it was told in time, and another engine owns it.
    ByAnother,
}

impl Left {
    /// What an engine leaves that has been shut down.
    pub(super) fn behind(engine: &Engine) -> Self {
        let stats = engine.stats();
        let kept = match stats.store {
            None => Kept::Nowhere,
            Some(store) if store.state == StoreState::Lost => Kept::ByAnother,
            Some(store) if store.partitions_behind > 0 => Kept::Damaged,
            Some(_) => Kept::InStore { missing: stats.log_pending },
        };
        Left { jobs: engine.jobs(), kept }
    }

    /// Whether the store has everything, if there is one.
    pub(super) fn is_kept(self) -> bool {
        matches!(self.kept, Kept::Nowhere | Kept::InStore { missing: 0 })
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
            (Kept::Damaged, _) => f.write_str(
                "; the store has lost what it had confirmed, and could not be given it again: a restart may be refused, or \
                 not know of these jobs",
            ),
            (Kept::InStore { missing: 0 }, 1..) => f.write_str(" in the store"),
            (Kept::InStore { missing: missing @ 1.. }, _) => write!(
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
        assert_eq!(said(0, Kept::InStore { missing: 0 }), "no job is pending");
        assert_eq!(said(1, Kept::InStore { missing: 0 }), "1 job stays pending in the store");
        assert!(
            said(0, Kept::InStore { missing: 3 })
                .starts_with("no job is pending; the store has not confirmed")
        );
        assert!(!said(5, Kept::ByAnother).contains('5'));
        assert!(said(5, Kept::Damaged).starts_with("5 jobs stay pending; the store has lost"));
        assert!(!Left { jobs: 5, kept: Kept::Damaged }.is_kept());
    }
}
