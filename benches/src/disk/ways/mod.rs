//! The stores that are measured, by name.

mod backend;
mod files;
#[cfg(feature = "fjall")]
mod fjall;
mod owned;
mod queue;
mod redb;
mod store;

use std::path::Path;
use std::sync::Arc;

use reveille::store::{DiskConfig, DiskStore, Store};

use backend::{Backend, Error};
use store::Kept;

/// A way to keep a log and snapshots in a folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Opens what is in a folder that exists, or begins there.
    pub(crate) open: fn(&Path) -> Result<Arc<dyn Store>, Error>,
}

pub(crate) const ALL: &[Way] = &[
    Way {
        name: "disk",
        what: "the store on local disk, as it is",
        open: |folder| Ok(Arc::new(DiskStore::new(DiskConfig::new(folder.join("store"))))),
    },
    Way {
        name: "files",
        what: "segments of frames, written by whoever appends",
        open: |folder| kept(files::open(folder, true)?),
    },
    Way {
        name: "files-thread",
        what: "the same, written by a thread, all that wait at once",
        open: |folder| kept(files::open(folder, false)?),
    },
    Way {
        name: "redb",
        what: "one transaction for all that wait",
        open: |folder| kept(redb::open(folder, false)?),
    },
    Way {
        name: "redb-quick",
        what: "the same with quick repair",
        open: |folder| kept(redb::open(folder, true)?),
    },
    #[cfg(feature = "fjall")]
    Way { name: "fjall", what: "one batch for all that wait", open: |folder| kept(fjall::open(folder)?) },
];

#[allow(clippy::unnecessary_wraps, reason = "as the table wants it")]
fn kept(backend: impl Backend) -> Result<Arc<dyn Store>, Error> {
    Ok(Arc::new(Kept::new(Arc::new(backend))))
}
