//! How a store does, in a word.

/// What a store's answers say about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreState {
    /// It takes what it is sent.
    #[default]
    Healthy,
    /// It cannot be reached, or asks to be tried again. Jobs fire; commits wait.
    Unreachable,
    /// It can be reached but takes no writes: it is out of memory, read-only, or cannot write to its disk. Jobs fire; commits
    /// wait. An operator has to fix it.
    Refusing,
    /// It takes what it is sent, but may lose it, because its settings were changed. See
    /// [`StoreStats::doubts`](crate::StoreStats::doubts).
    Doubtful,
    /// It takes nothing more from this engine: see [`Engine::lost`](crate::Engine::lost).
    Lost,
    /// The runtime that handlers run on has ended, and the engine with it. The store takes nothing more from this engine, which
    /// has given its jobs back.
    Ended,
}

impl StoreState {
    pub(crate) const ALL: [StoreState; 6] = {
        use StoreState::{Doubtful, Ended, Healthy, Lost, Refusing, Unreachable};
        [Healthy, Unreachable, Refusing, Doubtful, Lost, Ended]
    };

    pub(crate) fn name(self) -> &'static str {
        match self {
            StoreState::Healthy => "healthy",
            StoreState::Unreachable => "unreachable",
            StoreState::Refusing => "refusing",
            StoreState::Doubtful => "doubtful",
            StoreState::Lost => "lost",
            StoreState::Ended => "ended",
        }
    }

    /// Whether it takes what it is sent.
    pub(crate) fn answers(self) -> bool {
        matches!(self, StoreState::Healthy | StoreState::Doubtful)
    }
}
