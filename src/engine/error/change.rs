//! What an error says about the change that a call asked for.

/// What became of the change when a call ends with an error. For a commit that was awaited, the change is what its outcome
/// says, which may be that there was nothing to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Change {
    /// Nothing was changed. You can make the same call again.
    None,
    /// The change is in force in this engine, but not as durable as the call asked: a restart may forget it. Making the same
    /// call again changes the job twice.
    InForce,
    /// The change was made, and since then the engine has ended or lost the jobs. Only the next owner knows whether it is in
    /// force: look the job up there.
    Unknown,
}

impl Change {
    /// Whether the change is in force or may be.
    pub fn may_be_in_force(self) -> bool {
        self != Change::None
    }
}
