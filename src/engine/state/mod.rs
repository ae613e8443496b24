//! What all parts of an engine share: the partitions behind their locks, the settings, the counts, and the one way in.

mod cell;
mod contexts;
mod engine;
pub(crate) mod gates;
mod hint;
pub(crate) mod jobs;
mod keys;
mod life;
mod meters;
mod notes;
mod probe;
mod releases;
mod runtime;
mod settings;
mod shared;
mod signals;
mod tenant;

pub(crate) use cell::{Aim, Cell, HISTOGRAM_MAX_US, LastSnapshot, Owned, new_histogram};

pub(crate) use contexts::{Contexts, Wanted};
pub use engine::Engine;
pub(crate) use gates::Gates;
pub use gates::Proposal;
pub(crate) use jobs::Room;
pub(crate) use keys::{KeyHash, KeyHasher, KeyIndex};
pub(crate) use life::{Life, Stage};
pub(crate) use meters::EngineMeters;
pub(crate) use notes::Notes;
pub(crate) use probe::{Failure, FailureKind, Probe, Probed};
pub(crate) use releases::Releases;
pub(crate) use runtime::Handlers;
pub(crate) use settings::Settings;
pub(crate) use shared::{Busier, Shared, Taken};
pub(crate) use signals::Signals;
pub use signals::{CancelReason, Cancellation};
