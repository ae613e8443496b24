//! What all parts of the engine share: the partitions behind their locks, the settings, the counts, and the one way in.

mod cell;
pub(crate) mod hint;
mod keys;
mod life;
mod runtime;
mod settings;
mod shared;

pub(crate) use cell::{Aim, Cell, Owned, new_histogram};
pub(crate) use keys::{KeyHash, KeyHasher, KeyIndex};
pub(crate) use life::{Life, Stage};
pub(crate) use runtime::{ASK_EVERY, Asking, Handlers};
pub(crate) use settings::Settings;
pub(crate) use shared::{Busier, Probe, Probed, Shared, Taken};
